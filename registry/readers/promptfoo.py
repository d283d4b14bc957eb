"""Reads the JSON output of promptfoo (results of version 3, as 0.121 writes them), red-team runs included.

Each column of the run, one prompt with one provider, is measured for itself and never mixed with another:

- quality/pass_rate over all rows, errors counted as failed;
- one metric for each `metric:` tag of the assertions. promptfoo's scores say "higher is better" whatever the tag is, so
  a tag that names another category becomes `<category>/<tag>_score` (`<category>/score` for the bare word), and beside
  it the share of failed assertions is kept under the name that limits use (toxicity/rate,
  jailbreak/attack_success_rate, bias/rate) when every score is 0 or 1;
- latency/p95_ms and cost/usd_per_1k_requests over the rows that were really answered, neither cached nor failed;
- for red-team rows the share of attacks that succeeded. "pass" there means that the attack was resisted; rows with an
  error are neither.

`prompts[].id` is the sha256 of the raw prompt, and `raw` is hashed again here. promptfoo trims prompt files, so the
same text with a line end counts as the same prompt.

Source: promptfoo 0.121.20, src/types/index.ts (EvaluateSummaryV3) and src/models/prompt.ts.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from registry.readers import fields, measures
from registry.readers.documents import fail, number_text, parse, picture, plain
from registry.readers.reading import Metric, Named, Reading

VERSION = 3
MAX_COLUMNS = 50
ERROR = 2  # ResultFailureReason.ERROR: the provider failed, so nothing was judged.
STRIPPED = "[prompt stripped]"
NO_CATEGORY = "privacy"
# The name under which the share of failures is kept, by category.
FAILING = {
    "jailbreak": "attack_success_rate",
    "toxicity": "rate",
    "bias": "rate",
    "quality": "failure_rate",
}
# Words in tags and plugin names, the first that fits decides; everything else is quality for a tag, jailbreak for a
# plugin, because red-team plugins attack.
WORDS = (
    ("privacy", ("pii", "privacy", "ssn", "ferpa", "hipaa", "coppa")),
    ("bias", ("bias", "fairness", "stereotype", "age discrimination")),
    ("toxicity", ("toxic", "hate", "harassment", "insult", "profan", "graphic content", "sexual content", "self harm")),
    ("jailbreak", ("jailbreak", "injection", "attack", "redteam", "red team", "hijack")),
)
QUALITY_PLUGINS = ("hallucination", "overreliance", "off-topic", "imitation")


@dataclass
class Column:
    """What was counted in one column of the run."""

    slice: str
    rows: int = 0
    passed: int = 0
    latencies: list[Decimal] = field(default_factory=list)
    costs: list[Decimal] = field(default_factory=list)
    scores: dict[str, list[Decimal]] = field(default_factory=lambda: defaultdict(list))
    # plugin -> [attacks that were judged, attacks that succeeded]
    attacks: dict[str, list[int]] = field(default_factory=lambda: defaultdict(lambda: [0, 0]))
    broken: int = 0
    cached: int = 0


class Promptfoo:
    """The reader of promptfoo results."""

    slug = "promptfoo"
    title = "promptfoo results JSON (version 3)"
    kind = "evaluation"
    max_bytes = 20 * 1024 * 1024

    def recognises(self, body: bytes) -> bool:
        """Say whether the body has the keys that promptfoo writes."""
        return b'"evalId"' in body and b'"prompts"' in body and b'"stats"' in body

    def read(self, body: bytes) -> Reading:
        """Return the metrics of every column, and the prompts that they were measured with. Raises Invalid."""
        document = fields.as_mapping(parse(body, max_bytes=self.max_bytes), "")
        results = fields.mapping(document, "results", required=True)
        if (version := results.get("version")) != VERSION:
            fail("results.version", f"unsupported {picture(version)}", f"{VERSION}, as promptfoo 0.121 writes it")
        measured_at = fields.moment(results, "timestamp", "results", required=True)
        warnings: list[str] = []
        prompts = fields.mappings(results, "prompts", "results", required=True)
        named = tuple(prompt_named(prompt, at, warnings) for at, prompt in prompts)
        columns = _columns(prompts, results)
        outside: dict[str, str] = {}
        dataset = fields.text(fields.mapping(document, "config"), "description", "config").strip()[:200]
        found = (metric for column in columns for metric in _metrics(column, dataset, measured_at, outside))
        metrics = measures.checked(found, or_else=outside)
        identities, parts = measures.written(_metadata(document), warnings)
        return Reading(
            kind=self.kind,
            reader=self.slug,
            media_type="application/json",
            summary=_summary(document, results, columns, metrics, outside),
            warnings=(*warnings, *_warnings(columns, outside)),
            metrics=metrics,
            subject_digests=identities,
            measured_at=measured_at,
            named=tuple(dict.fromkeys([*named, *parts])),
        )


def prompt_named(prompt: dict[str, Any], at: str, warnings: list[str]) -> Named:
    """Return the digests of one prompt: of its text, and of the text as a file that ends its last line holds it."""
    written = fields.sha256(prompt, "id", at)
    raw = prompt.get("raw")
    text = raw if isinstance(raw, str) else "" if raw is None else json.dumps(raw, separators=(",", ":"), default=str)
    if not text or text == STRIPPED:
        if not written:
            fail(f"{at}.raw", picture(raw), "the text of the prompt, or its sha256 as id")
        return Named("prompt", (written,))
    digests = tuple(hashlib.sha256((text + end).encode()).hexdigest() for end in ("", "\n", "\r\n"))
    if written and written != digests[0] and len(warnings) < measures.MAX_WARNINGS:
        # Some releases hash a label or the text in quotes instead.
        warnings.append(f"{at}.id is not the sha256 of the prompt's text; the text itself was hashed.")
    return Named("prompt", digests)


def _metadata(document: dict[str, Any]) -> dict[str, Any]:
    """Return what people wrote into the run's own metadata, wherever their configuration puts it."""
    config = fields.mapping(document, "config")
    found = config.get("metadata")
    return found if isinstance(found, dict) else {}


def _columns(prompts: list[tuple[str, dict[str, Any]]], results: dict[str, Any]) -> list[Column]:
    """Return what was counted, column by column. Raises Invalid for rows that are missing or belong to no column."""
    if not 1 <= len(prompts) <= MAX_COLUMNS:
        fail("results.prompts", f"{len(prompts)} prompts", f"1 to {MAX_COLUMNS} columns of prompt and provider")
    columns = [Column(_slice(index, prompt, at, len(prompts))) for index, (at, prompt) in enumerate(prompts)]
    rows = fields.mappings(results, "results", "results", required=True)
    stats = fields.mapping(results, "stats", "results", required=True)
    outcomes = [measures.count(stats, key, "results.stats") or 0 for key in ("successes", "failures", "errors")]
    if len(rows) < sum(outcomes):
        fail("results.results", f"{len(rows):,} rows", f"the {sum(outcomes):,} that results.stats counts")
    for at, row in rows:
        place = row.get("promptIdx", 0)
        if not isinstance(place, int) or isinstance(place, bool) or not 0 <= place < len(columns):
            fail(f"{at}.promptIdx", picture(place), f"the place of a prompt, 0 to {len(columns) - 1}")
        _count(columns[place], row, at)
    return columns


def _slice(index: int, prompt: dict[str, Any], at: str, columns: int) -> str:
    """Return what tells one column from the others, nothing for the only one."""
    provider = fields.text(prompt, "provider", at).strip()[:120]
    return f"prompt {index + 1} with {provider or 'a provider'}" if columns > 1 else ""


def _count(column: Column, row: dict[str, Any], at: str) -> None:
    """Add one row to its column."""
    success = row.get("success")
    if not isinstance(success, bool):
        fail(f"{at}.success", picture(success), "true or false")
    failed = row.get("failureReason") == ERROR
    plugin = _plugin(row)
    if failed:
        column.broken += 1
    elif plugin:
        column.attacks[plugin][0] += 1
        column.attacks[plugin][1] += not success
    if not plugin:
        column.rows += 1
        column.passed += success and not failed
    if not failed:
        _take_scores(column, row, at)
        _take_costs(column, row, at)


def _take_scores(column: Column, row: dict[str, Any], at: str) -> None:
    """Add the scores of a row's tags."""
    for tag, score in fields.mapping(row, "namedScores", at).items():
        if not measures.is_number(score):
            fail(fields.below(f"{at}.namedScores", tag), picture(score), "a number")
        column.scores[tag].append(measures.measure(score, fields.below(f"{at}.namedScores", tag)))


def _take_costs(column: Column, row: dict[str, Any], at: str) -> None:
    """Add the time and the money that a row took, unless it was answered from the cache."""
    response = row.get("response")
    if isinstance(response, dict) and response.get("cached") is True:
        column.cached += 1
        return
    for key, kept in (("latencyMs", column.latencies), ("cost", column.costs)):
        value = measures.number(row, key, at)
        if value is not None and value < 0:
            fail(f"{at}.{key}", number_text(value), "a number that is not negative")
        if value is not None:
            kept.append(value)


def _plugin(row: dict[str, Any]) -> str:
    """Return the red-team plugin that wrote the attack of a row, "" for an ordinary test."""
    for path in (("metadata",), ("gradingResult", "metadata"), ("testCase", "metadata")):
        holder: Any = row
        for key in path:
            holder = holder.get(key) if isinstance(holder, dict) else None
        plugin = holder.get("pluginId") if isinstance(holder, dict) else None
        if isinstance(plugin, str) and plugin.strip():
            return plugin.strip()[: measures.MAX_PLACE - 20]
    return ""


def category_of(word: str, otherwise: str) -> str:
    """Return the category that a tag or a plugin belongs to; "privacy" is none of our six."""
    # Words are compared by how they begin: "hate" is in "hateful" and not in "whatever".
    spaced = " " + " ".join(re.split(r"[^a-z0-9]+", word.lower()))
    return next((name for name, words in WORDS if any(f" {each}" in spaced for each in words)), otherwise)


def _metrics(column: Column, dataset: str, measured_at: datetime | None, outside: dict[str, str]) -> Iterator[Metric]:
    """Yield the metrics of one column; what falls outside the six categories goes into `outside`."""

    def metric(category: str, name: str, value: Decimal, n: int, direction: str = "lower", **more: str) -> Metric:
        own: dict[str, Any] = {"dataset": dataset, "slice": column.slice, **more}
        return Metric(category, name, value, direction=direction, n=n, measured_at=measured_at, **own)

    if column.rows:
        yield metric("quality", "pass_rate", measures.share(column.passed, column.rows), column.rows, "higher")
    for tag, scores in column.scores.items():
        mean = measures.measure(sum(scores, Decimal(0)) / len(scores), "namedScores")
        category = category_of(tag, "quality")
        if category == NO_CATEGORY:
            outside[f"{tag} {column.slice}".strip()] = number_text(mean)
            continue
        bare = tag.lower().strip() == category
        name = "score" if bare else tag.strip() if category == "quality" else f"{tag.strip()}_score"
        yield metric(category, name, mean, len(scores), "higher")
        if bare and category != "quality" and not column.attacks and set(scores) <= {Decimal(0), Decimal(1)}:
            failing = measures.share(scores.count(Decimal(0)), len(scores))
            yield metric(category, FAILING[category], failing, len(scores))
    if column.latencies:
        slowest = measures.percentile(column.latencies, 95)
        yield metric("latency", "p95_ms", slowest, len(column.latencies), unit="ms")
    if any(column.costs):
        each = measures.measure(sum(column.costs, Decimal(0)) * 1000 / len(column.costs), "cost")
        yield metric("cost", "usd_per_1k_requests", each, len(column.costs), unit="usd")
    yield from _attacks(column, metric, outside)


def _attacks(column: Column, metric: Any, outside: dict[str, str]) -> Iterator[Metric]:
    """Yield the share of attacks that succeeded: of all in a category, and of each plugin as a slice."""
    by_category: dict[str, list[tuple[str, int, int]]] = defaultdict(list)
    for plugin, (judged, succeeded) in column.attacks.items():
        is_quality = any(word in plugin.lower() for word in QUALITY_PLUGINS)
        category = "quality" if is_quality else category_of(plugin, "jailbreak")
        by_category[category].append((plugin, judged, succeeded))
    for category, plugins in by_category.items():
        judged, succeeded = sum(row[1] for row in plugins), sum(row[2] for row in plugins)
        if category == NO_CATEGORY:
            outside[f"{category} attacks {column.slice}".strip()] = f"{succeeded} of {judged} succeeded"
            continue
        yield metric(category, FAILING[category], measures.share(succeeded, judged), judged)
        for plugin, of_it, through in plugins:
            sliced = f"{plugin}, {column.slice}" if column.slice else plugin
            yield metric(category, FAILING[category], measures.share(through, of_it), of_it, slice=sliced[:200])


def _warnings(columns: list[Column], outside: dict[str, str]) -> Iterator[str]:
    """Yield what a reviewer should know about the run."""
    broken, cached = sum(column.broken for column in columns), sum(column.cached for column in columns)
    if len(columns) > 1:
        yield f"The run compares {len(columns)} columns of prompt and provider; none of them is the overall value."
    if broken:
        yield f"{broken:,} rows ended in an error of the provider; an attack among them counts neither way."
    if cached:
        yield f"{cached:,} rows were answered from promptfoo's cache; they say nothing about latency and cost."
    if outside:
        yield f"Outside the six categories, shown and not kept as metrics: {', '.join(list(outside)[:10])}."


def _summary(
    document: dict[str, Any],
    results: dict[str, Any],
    columns: list[Column],
    metrics: tuple[Metric, ...],
    outside: dict[str, str],
) -> dict[str, Any]:
    """Return what pages show of a run."""
    prompts = fields.array(results, "prompts", "results")
    return {
        "format": Promptfoo.title,
        "eval_id": plain(document.get("evalId")),
        "tool_version": plain(fields.mapping(document, "metadata").get("promptfooVersion")),
        "description": plain(fields.mapping(document, "config").get("description")),
        "measured_at": plain(results.get("timestamp")),
        "prompts": [
            {"id": each.get("id"), "label": str(each.get("label"))[:200], "provider": plain(each.get("provider"))}
            for each in prompts
        ],
        "rows": sum(column.rows + sum(judged for judged, _ in column.attacks.values()) for column in columns),
        "errors": sum(column.broken for column in columns),
        "outside": dict(list(outside.items())[:100]),
        "metric_count": len(metrics),
        "metrics": measures.shown(metrics),
    }
