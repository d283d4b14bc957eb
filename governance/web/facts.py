"""What a check saw, as people read it: facts become labelled values and tables. Knows shapes, not checks.

A fact's name and value tell how it is printed, so a check that saw something new needs nothing here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from portal.charts import ThresholdBar, threshold_bar

MAX_ROWS, MAX_COLUMNS, MAX_DEPTH, MAX_WORDS = 200, 7, 4, 4000
# From this length on, a text is no cell of a table any more.
LONG, SHORT_WORD = 60, 40
DIGEST = re.compile(r"(sha256:)?[0-9a-f]{40}([0-9a-f]{24})?")
INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)")
# What comes first, whatever order the database gives back: names of facts, then of what stands in rows.
ORDER = (
    "uses_asked", "uses_prohibited", "licences", "parts", "metrics", "reasons", "faults", "blocking", "attempts",
    "name", "what", "version", "role", "component", "purl", "metric", "field", "use", "filename", "file", "member",
    "path", "rule", "code", "licence", "state", "outcome", "verdict", "severity", "stands", "stands_in_the_way",
    "how_many", "seen", "value", "min", "max", "expected", "says", "why", "because", "fault", "fix", "kind", "forbids",
    "conditions", "texts",
)  # fmt: skip
LABELS = {
    "sbom": "SBOM",
    "sha256": "sha256",
    "uri": "URI",
    "stands_in_the_way": "In the way",
    "stands": "In good standing",
    "purl": "Package",
    "min": "At least",
    "max": "At most",
    "fault": "What is wrong",
    "texts": "Text",
    "conditions": "Asks for",
    "n": "Samples",
    "uses_asked": "Uses that have to be allowed",
    "uses_prohibited": "Uses that the version prohibits",
}
# What a bar shows already.
DRAWN = frozenset({"value", "min", "max", "unit", "shown"})
BADGES = frozenset({"outcome", "verdict", "severity", "state", "triage", "risk"})
# Words of facts that look like the words of outcomes.
LOOKS = {"allowed": "passed", "pass": "passed", "forbidden": "failed", "denied": "failed", "reject": "failed"}
BYTES = frozenset({"size", "bytes"})
MONO = frozenset({"purl", "component", "path", "member", "file", "uri", "global", "module"})


@dataclass(frozen=True)
class Cell:
    """One value: how it is printed (`kind`), the value, a link, and a word that stands instead of the value's own."""

    kind: str
    value: Any
    url: str = ""
    label: str = ""

    @property
    def is_long(self) -> bool:
        """Return whether the value needs a line of its own."""
        if self.kind == "list":
            return True
        return self.kind in {"text", "mono"} and len(str(self.value)) > LONG


@dataclass(frozen=True)
class Record:
    """One row whose values are too long for a table: its name, what is short, and what needs lines of its own."""

    title: Cell
    bar: ThresholdBar | None
    badges: list[Cell]
    short: list[tuple[str, Cell]]
    long: list[tuple[str, Cell]]


@dataclass(frozen=True)
class Block:
    """Labelled values, a table, records, or a text, with a title."""

    title: str
    items: list[dict[str, Any]] = field(default_factory=list)
    columns: list[str] = field(default_factory=list)
    rows: list[list[Cell]] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    more: int = 0
    text: Any = None


def blocks(facts: Mapping[str, Any], title: str = "", depth: int = 0) -> list[Block]:
    """Return facts as blocks: single values first, then each table and each group. Empty ones are left out."""
    plain = {name: value for name, value in ordered(facts) if is_plain(value)}
    found = [Block(title, items=[item(name, value) for name, value in plain.items() if not is_empty(value)])]
    for name, value in ordered(facts):
        if name in plain or is_empty(value):
            continue
        below = f"{title}: {label_of(name).lower()}" if title else label_of(name)
        if isinstance(value, Mapping) and depth < MAX_DEPTH:
            found += blocks(value, below, depth + 1)
        elif isinstance(value, list) and all(isinstance(each, Mapping) for each in value):
            found.append(listed(below, value))
        else:
            found.append(Block(below, text=value))
    return [block for block in found if block.items or block.rows or block.records or block.text is not None]


def ordered(facts: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Return facts in the order in which people read them."""
    places = {name: place for place, name in enumerate(ORDER)}
    return sorted(facts.items(), key=lambda row: (places.get(row[0], len(ORDER)), row[0]))


def is_plain(value: Any) -> bool:
    """Return whether a value is printed beside its label: anything single, or a list of single values."""
    if isinstance(value, list):
        return all(not isinstance(each, list | Mapping) for each in value)
    return not isinstance(value, Mapping)


def is_empty(value: Any) -> bool:
    """Return whether a value says nothing; no and zero do say something."""
    return value is None or value in ("", [], {})


def item(name: str, value: Any) -> dict[str, Any]:
    """Return one labelled value."""
    return {"label": label_of(name), "cell": cell(name, value)}


def listed(title: str, rows: list[Mapping[str, Any]]) -> Block:
    """Return rows of the same sort, faulty ones first: as a table, or as records where it would be too wide."""
    shown = sorted(rows, key=lambda row: not row.get("fault"))[:MAX_ROWS]
    told = [{name: value for name, value in ordered(row) if is_told(name, value)} for row in shown]
    names = [name for name, _ in ordered(dict.fromkeys(name for row in told for name in row)) if name != "url"]
    made = [{name: cell(name, row.get(name)) for name in names} for row in told]
    bars = [bar_of(row) for row in told]
    for cells, row in zip(made, shown, strict=True):
        if names and is_local(row.get("url")) and cells[names[0]].kind in {"text", "mono"}:
            cells[names[0]] = Cell("link", cells[names[0]].value, url=row["url"])
        if "fault" in row and "outcome" not in row:
            cells["outcome"] = Cell("badge", "failed" if row["fault"] else "passed")
    more = len(rows) - len(shown)
    if any(bars) or any(width(cells) > MAX_COLUMNS for cells in made):
        return Block(title, records=[record(cells, bar) for cells, bar in zip(made, bars, strict=True)], more=more)
    columns = [label_of(name) for name in (made[0] if made else names)]
    return Block(title, columns=columns, rows=[list(cells.values()) for cells in made], more=more)


def width(cells: Mapping[str, Cell]) -> int:
    """Return how many columns a row would take; digests take two, and what is long has no place in a table."""
    digests = sum(each.kind == "digest" for each in cells.values())
    return MAX_COLUMNS + 1 if any(each.is_long for each in cells.values()) else len(cells) + digests


def bar_of(row: Mapping[str, Any]) -> ThresholdBar | None:
    """Return a measured value drawn against its limits, where a row holds such."""
    low, value, high = (as_float(row.get(name)) for name in ("min", "value", "max"))
    if value is None or (low is None and high is None):
        return None
    return threshold_bar(value, minimum=low, maximum=high, unit=str(row.get("unit", "")), passed=not row.get("fault"))


def as_float(value: Any) -> float | None:
    """Return a number for drawing, which needs no exactness; None for what is none."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def is_told(name: str, value: Any) -> bool:
    """Return whether a value of a row is worth a place; that nothing stands in the way is not."""
    return not is_empty(value) and not (name == "stands_in_the_way" and value is False)


def record(cells: Mapping[str, Cell], bar: ThresholdBar | None) -> Record:
    """Return one row as a record, named by its first value; what a bar draws is not said again."""
    drawn = DRAWN if bar is not None else frozenset()
    told = {name: each for name, each in cells.items() if each.kind != "none" and name not in drawn}
    (_, title), *others = [(label_of(name), each) for name, each in told.items()]
    return Record(
        title=title,
        bar=bar,
        badges=[each for _, each in others if each.kind == "badge"],
        short=[(name, each) for name, each in others if each.kind != "badge" and not each.is_long],
        long=[(name, each) for name, each in others if each.is_long],
    )


def cell(name: str, value: Any) -> Cell:
    """Return how one value is printed."""
    if is_empty(value):
        return Cell("none", "")
    if isinstance(value, list | Mapping):
        return several(name, value)
    if isinstance(value, bool):
        return truth(name, value)
    if isinstance(value, int | float):
        return Cell("bytes" if name in BYTES else "number", value)
    return words(name, str(value)[:MAX_WORDS])


def several(name: str, value: list[Any] | Mapping[str, Any]) -> Cell:
    """Return how several values are printed: short words in a line, others one below the other."""
    if isinstance(value, Mapping):
        return Cell("list", [Cell("text", f"{label_of(key)}: {each}"[:MAX_WORDS]) for key, each in value.items()])
    if len(value) == 1:
        return cell(name, value[0])
    if all(isinstance(each, str) and len(each) <= SHORT_WORD and "://" not in each for each in value):
        return Cell("text", ", ".join(value)[:MAX_WORDS])
    return Cell("list", [cell(name, each) for each in value[:MAX_ROWS]])


def truth(name: str, value: bool) -> Cell:
    """Return how yes and no are printed: what stands in the way is no good news."""
    if name == "stands_in_the_way":
        return Cell("badge", "failed", label="In the way") if value else Cell("text", "no")
    return Cell("badge", value)


def words(name: str, text: str) -> Cell:
    """Return how a text is printed: digests can be copied, instants are told by their age, states have badges."""
    if DIGEST.fullmatch(text):
        return Cell("digest", text)
    if INSTANT.fullmatch(text):
        return Cell("when", datetime.fromisoformat(text))
    if text.startswith("https://") and " " not in text:
        return Cell("away", text.removeprefix("https://"), url=text)
    if name in BADGES:
        return Cell("badge", LOOKS.get(text, text), label=text.replace("_", " ").capitalize())
    return Cell("mono" if name in MONO else "text", text)


def is_local(url: Any) -> bool:
    """Return whether an address stays on this site."""
    return isinstance(url, str) and url.startswith("/") and not url.startswith("//")


def label_of(name: str) -> str:
    """Return a fact's name as a label."""
    return LABELS.get(name) or name.replace("_", " ").replace("-", " ").capitalize()
