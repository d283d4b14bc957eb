"""Reads model cards: Markdown with a YAML front matter, as on Hugging Face.

A card is what its author says. Its numbers (`model-index`) are shown as reported and never become metrics; the rest is
offered to the registration form, where a person takes it over or not.

Source: the Hugging Face model card specification, `modelcard.md`.
"""

from __future__ import annotations

import re
from typing import Any

from registry.readers.documents import decode, parse_front_matter, split_front_matter
from registry.readers.licences import spdx_expression
from registry.readers.reading import Reading

MAX_BYTES = 1024 * 1024
MAX_SECTION = 4000
MAX_REPORTED = 200
MAX_ITEMS = 100

_HEADING = re.compile(r"(#{1,6})[ \t]+(\S.{0,300})")
_FENCE = re.compile(r" {0,3}(```|~~~)")
_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f]")
_USES = ("uses", "intended use", "intended uses", "direct use", "intended uses & limitations")
_NOT_USES = ("out-of-scope use", "out-of-scope uses", "out of scope", "out-of-scope", "misuse and out-of-scope use")
_RISKS = ("bias, risks, and limitations", "limitations", "limitations and bias", "risks and limitations")


class ModelCard:
    """The reader of model cards."""

    slug = "model-card"
    title = "model card in Markdown with YAML front matter"
    kind = "model-card"
    max_bytes = MAX_BYTES

    def recognises(self, body: bytes) -> bool:
        """Say whether the body begins with a front matter or has a Markdown heading."""
        start = body.removeprefix(b"\xef\xbb\xbf")
        return b"\x00" not in body and (start.startswith((b"---", b"#")) or b"\n#" in start)

    def read(self, body: bytes) -> Reading:
        """Return suggestions for the form and the reported results. Raises Invalid."""
        text = decode(body, max_bytes=self.max_bytes)
        matter, markdown = split_front_matter(text)
        card = parse_front_matter(matter)
        sections = _sections(_CONTROL.sub("", markdown))
        licence = _first(card, "license")
        warnings = _warnings(matter, licence)
        return Reading(
            kind=self.kind,
            reader=self.slug,
            media_type="text/markdown",
            summary={
                "format": self.title,
                "title": next((title for _, title, _ in sections if title), ""),
                "licence": licence,
                "licence_name": _first(card, "license_name"),
                "licence_link": _first(card, "license_link"),
                "base_model": _texts(card.get("base_model")),
                "datasets": _texts(card.get("datasets")),
                "languages": _texts(card.get("language")),
                "tags": _texts(card.get("tags")),
                "library": _first(card, "library_name"),
                "task": _first(card, "pipeline_tag"),
                "limitations": _section(sections, _RISKS),
                "reported": _reported(card),
            },
            warnings=warnings,
            suggestions=_suggestions(card, sections, licence),
        )


def _warnings(matter: str, licence: str) -> tuple[str, ...]:
    """Return what a reviewer should know about the card."""
    if not matter:
        return ("The model card has no front matter, so it names no licence, base model and data sets to a machine.",)
    if not licence:
        return ("The model card names no licence.",)
    if not spdx_expression(licence):
        return (f"The licence {licence[:80]!r} is not in the SPDX list; a person has to say what it allows.",)
    return ()


def _suggestions(
    card: dict[str, Any], sections: list[tuple[int, str, str]], licence: str
) -> dict[str, str | list[str]]:
    """Return what the card offers to the registration form."""
    offered: dict[str, str | list[str]] = {
        "licence": spdx_expression(licence),
        "base_model": _texts(card.get("base_model")),
        "datasets": _texts(card.get("datasets")),
        "allowed_uses": _section(sections, _USES),
        "prohibited_uses": _section(sections, _NOT_USES),
        "risk_rationale": _section(sections, _RISKS),
        "description": _introduction(sections),
    }
    return {key: value for key, value in offered.items() if value}


def _texts(value: Any) -> list[str]:
    """Return a front matter value as a list of texts: both `en` and `[en, de]` are written in the wild."""
    items = value if isinstance(value, list) else [value]
    return [item.strip()[:300] for item in items if isinstance(item, str) and item.strip()][:MAX_ITEMS]


def _first(card: dict[str, Any], key: str) -> str:
    """Return the first text of a front matter value, "" when it has none."""
    return next(iter(_texts(card.get(key))), "")


def _sections(markdown: str) -> list[tuple[int, str, str]]:
    """Return (level, heading, text below it) for each section, the part before the first heading with level 0."""
    sections: list[tuple[int, str, list[str]]] = [(0, "", [])]
    fence = ""
    for line in markdown.splitlines():
        if marker := _FENCE.match(line):
            # A heading inside a code block is code.
            fence = "" if fence == marker[1] else fence or marker[1]
        heading = None if fence else _HEADING.fullmatch(line.rstrip())
        if heading:
            sections.append((len(heading[1]), heading[2].rstrip("# ").strip(), []))
        else:
            sections[-1][2].append(line)
    return [(level, title, "\n".join(lines).strip()) for level, title, lines in sections]


def _section(sections: list[tuple[int, str, str]], titles: tuple[str, ...]) -> str:
    """Return the text of the first section with one of these headings, with the sections below it that say the same."""
    for index, (level, title, text) in enumerate(sections):
        if title.lower().strip(" :*") not in titles:
            continue
        texts = [text]
        for below, name, more in (sections[later] for later in range(index + 1, len(sections))):
            # "Out-of-Scope Use" stands below "Uses" in the common template, and says the opposite.
            if below <= level or name.lower().strip(" :*") in _NOT_USES:
                break
            texts.append(more)
        if found := _without_comments("\n\n".join(filter(None, texts))):
            return found[:MAX_SECTION]
    return ""


def _introduction(sections: list[tuple[int, str, str]]) -> str:
    """Return the first text of the card, before or right below its first heading."""
    return next((found[:MAX_SECTION] for _, _, text in sections[:2] if (found := _without_comments(text))), "")


def _without_comments(text: str) -> str:
    """Return Markdown without HTML comments and the template's placeholder, which say nothing."""
    return _COMMENT.sub("", text).replace("[More Information Needed]", "").strip()


def _reported(card: dict[str, Any]) -> list[dict[str, str]]:
    """Return the results of `model-index` as reported: task, data set, metric, value, all as texts."""
    reported = []
    for model in _objects(card.get("model-index")):
        for result in _objects(model.get("results")):
            task, dataset = _object(result.get("task")), _object(result.get("dataset"))
            for metric in _objects(result.get("metrics")):
                row = {
                    "task": _first(task, "name") or _first(task, "type"),
                    "dataset": _first(dataset, "name") or _first(dataset, "type"),
                    "metric": _first(metric, "name") or _first(metric, "type"),
                    "value": _first(metric, "value"),
                }
                reported.append(row)
    return reported[:MAX_REPORTED]


def _objects(value: Any) -> list[dict[str, Any]]:
    """Return the mappings in a list, leaving out what is none."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _object(value: Any) -> dict[str, Any]:
    """Return a mapping, empty when the value is none."""
    return value if isinstance(value, dict) else {}
