"""Reads the report of garak (`garak.<run>.report.jsonl`, 0.14 to 0.17): one line for each thing that happened.

Only the `eval` lines count: a probe's outputs as one detector judged them. Rate = fails / total_evaluated, lower is
better. The probe's module gives the category (CATEGORY below), and the probe is the slice, with its detector behind it
where a probe has several. Probes are different sets of prompts, so their rates are never averaged; the worst of a
category is kept as an overall value of its own, `worst_attack_success_rate` and alike. What falls outside the six
categories stays in the summary, with a warning.

The report names the target and no digest of it, so whoever attaches it declares the identity digest. garak writes its
instants without an offset: the earliest instant that they can mean counts, so that no value looks fresher than it is.

Source: garak 0.17, evaluators/base.py and command.py; reports before 0.14 have `total` for `total_evaluated`.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from registry.readers import fields, measures
from registry.readers.documents import decode, fail, parse, picture, plain
from registry.readers.reading import Metric, Reading

MAX_LINE = 4 * 1024 * 1024
MAX_EVALS = measures.MAX_METRICS
MAX_LINES = 20_000
DATASET = "garak"
# UTC+14 is the first zone in which a day begins.
EARLIEST_ZONE = timedelta(hours=14)
KNOWN = re.compile(r"0\.1[4-7]\b")
NAIVE = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d{1,6})?")
# Probe modules by what a failure of theirs means; None is outside our six.
CATEGORY: dict[str, str | None] = {
    **dict.fromkeys(
        ("dan", "promptinject", "latentinjection", "encoding", "suffix", "tap", "goat", "fitd"), "jailbreak"
    ),
    **dict.fromkeys(("realtoxicityprompts", "lmrc", "continuation"), "toxicity"),
    **dict.fromkeys(("packagehallucination", "snowball"), "quality"),
    **dict.fromkeys(("leakreplay", "propile"), None),
}
RATES = {"jailbreak": "attack_success_rate", "toxicity": "rate", "quality": "failure_rate"}
TOLD = ("plugins.target_type", "plugins.target_name", "plugins.model_type", "plugins.model_name", "run.generations")
# Attempts are most of a report and are not read: their lines begin like this.
ATTEMPT = re.compile(r'\s*\{"entry_type": ?"attempt"')


class Garak:
    """The reader of garak reports."""

    slug = "garak"
    title = "garak report.jsonl (0.14 to 0.17)"
    kind = "evaluation"
    max_bytes = 20 * 1024 * 1024

    def recognises(self, body: bytes) -> bool:
        """Say whether the first line is one of garak's."""
        line = body.lstrip()[:65536].partition(b"\n")[0]
        return line.startswith(b"{") and b'"entry_type"' in line

    def read(self, body: bytes) -> Reading:
        """Return the rates of every probe and detector. Raises Invalid, also for a run that did not finish."""
        entries, attempts = _entries(decode(body, max_bytes=self.max_bytes))
        setup = entries["start_run setup"][0] if entries["start_run setup"] else {}
        start = _only(entries, "init")
        version = fields.text(start, "garak_version", "init", limit=40, required=True)
        warnings = [] if KNOWN.match(version) else [f"Written by garak {version[:40]}; 0.14 to 0.17 are known."]
        measured_at = _instant(entries, start, warnings)
        outside: dict[str, str] = {}
        found = list(_rates(entries["eval"], outside, warnings))
        metrics = measures.checked(_metrics(found, measured_at), or_else=outside)
        if outside:
            warnings.append(f"Outside the six categories, shown and not kept as metrics: {', '.join(outside)[:400]}.")
        return Reading(
            kind=self.kind,
            reader=self.slug,
            media_type="application/x-ndjson",
            summary={
                "format": self.title,
                "tool_version": version,
                "target": {key.partition(".")[2]: plain(setup[key]) for key in TOLD if setup.get(key) is not None},
                "run": plain(start.get("run")),
                "measured_at": measured_at.isoformat(),
                "attempts": attempts,
                "outside": dict(list(outside.items())[:100]),
                "metric_count": len(metrics),
                "metrics": measures.shown(metrics),
            },
            warnings=tuple(warnings),
            metrics=metrics,
            measured_at=measured_at,
        )


def _entries(text: str) -> tuple[dict[str, list[dict[str, Any]]], int]:
    """Return the report's lines by their entry type, and how many attempts there were."""
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    attempts = read = 0
    for number, line in enumerate(text.split("\n"), start=1):
        if ATTEMPT.match(line):
            attempts += 1
            continue
        if not line.strip():
            continue
        at, read = f"line {number}", read + 1
        if read > MAX_LINES:
            fail(at, f"more than {MAX_LINES:,} lines besides attempts", f"at most {MAX_LINES:,} of them")
        entry = fields.as_mapping(parse(line.encode("utf-8", "replace"), max_bytes=MAX_LINE), at)
        kind = fields.text(entry, "entry_type", at, limit=60, required=True)
        attempts += kind == "attempt"
        if kind == "eval" and len(found["eval"]) >= MAX_EVALS:
            fail(at, f"more than {MAX_EVALS:,} results", f"at most {MAX_EVALS:,} results of probes and detectors")
        if kind == "eval" or not found[kind]:
            found[kind].append(entry)
    return found, attempts


def _only(entries: dict[str, list[dict[str, Any]]], kind: str) -> dict[str, Any]:
    """Return the first entry of a kind that every report has."""
    if not entries[kind]:
        fail("document", f"no line with the entry type {kind}", "a whole report.jsonl of garak")
    return entries[kind][0]


def _instant(entries: dict[str, list[dict[str, Any]]], start: dict[str, Any], warnings: list[str]) -> datetime:
    """Return when the run ended. Raises Invalid for a run that did not."""
    if not entries["completion"] and not entries["digest"]:
        fail("document", "no line with the entry type completion", "the report of a run that finished")
    ended = entries["completion"][0] if entries["completion"] else {}
    key, holder = ("end_time", ended) if ended.get("end_time") else ("start_time", start)
    value = holder.get(key)
    if isinstance(value, str) and NAIVE.fullmatch(value):
        try:
            instant = datetime.fromisoformat(value).replace(tzinfo=UTC) - EARLIEST_ZONE
        except (ValueError, OverflowError):
            fail(key, picture(value), "a date and time")
        warnings.append("garak wrote no offset to its instants: the earliest that they can mean was taken.")
        return fields.not_in_future(instant, key)
    found = fields.moment(holder, key, required=True)
    return found or fail(key, picture(value), "a date and time")


def _rates(
    lines: list[dict[str, Any]], outside: dict[str, str], warnings: list[str]
) -> Iterator[tuple[str, str, str, dict[str, Any], int, int]]:
    """Yield (category, probe, detector, line, fails, evaluated) for each result that has a category."""
    for index, line in enumerate(lines):
        at = f"eval[{index}]"
        probe = fields.text(line, "probe", at, limit=150, required=True).removeprefix("probes.").strip()
        detector = fields.text(line, "detector", at, limit=150, required=True).removeprefix("detector.").strip()
        passed = measures.count(line, "passed", at, required=True) or 0
        whole = "total_evaluated" if "total_evaluated" in line else "total"
        total = measures.count(line, whole, at, required=True) or 0
        fails = measures.count(line, "fails", at)
        fails = total - passed if fails is None else fails
        if fails < 0 or passed + fails != total:
            fail(f"{at}.{whole}", f"{total:,}", f"{passed:,} passed and the fails together")
        if not total:
            warnings += [f"{probe} with {detector} judged no output."] if len(warnings) < measures.MAX_WARNINGS else []
            continue
        category = CATEGORY.get(probe.partition(".")[0])
        if category is None:
            outside[f"{probe} with {detector}"] = f"{fails} of {total} failed"
            continue
        yield category, probe, detector, line, fails, total


def _metrics(found: list[tuple[str, str, str, dict[str, Any], int, int]], measured_at: datetime) -> Iterator[Metric]:
    """Yield the rate of every probe and detector, and the worst rate of each category that has several."""
    detectors = Counter(probe for _, probe, *_ in found)
    worst: dict[str, list[Metric]] = defaultdict(list)
    for category, probe, detector, line, fails, total in found:
        at = f"eval of {probe}"
        metric = Metric(
            category=category,
            name=RATES[category],
            value=measures.share(fails, total),
            direction="lower",
            n=total,
            measured_at=measured_at,
            dataset=DATASET,
            slice=f"{probe}, {detector}"[: measures.MAX_PLACE] if detectors[probe] > 1 else probe,
            ci_low=measures.number(line, "confidence_lower", at),
            ci_high=measures.number(line, "confidence_upper", at),
        )
        worst[category].append(measures.expect_spread(metric, at))
        yield metric
    for category, metrics in worst.items():
        top = max(metrics, key=lambda each: each.value)
        name = f"worst_{RATES[category]}"
        yield Metric(category, name, top.value, direction="lower", n=top.n, measured_at=measured_at, dataset=DATASET)
