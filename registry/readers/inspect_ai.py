"""Reads logs of inspect_ai: the `.json` log (version 2) and the `.eval` zip around the same, which has zstd members.

Every number under `results.scores` becomes a quality metric named `<task>.<score>.<metric>`, with its standard error;
where a score was reduced over epochs in several ways the reducer stands behind it. A log does not say what its scores
are about or which way is better: a task may write `category` and `direction` into its metadata, and names such as
attack_success_rate or perplexity are known to be better when lower. The time that whole samples took, tools and
scoring included, is latency/sample_p95_ms.

What was measured is named by the run's metadata where people put it (`identity_digest`, `model_digest`,
`prompt_hash`); a log without them is declared by whoever attaches it. Only a run that succeeded counts.

Source: inspect_ai 0.3.285, log/_log.py and log/_recorders/eval.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from registry.readers import fields, measures
from registry.readers.documents import fail, number_text, parse, picture, plain
from registry.readers.members import Members
from registry.readers.reading import Metric, Reading

VERSION = 2
MAX_HEADER = 16 * 1024 * 1024
MAX_SUMMARIES = 64 * 1024 * 1024
ERRORS = ("stderr", "bootstrap_stderr")
SPREADS = (*ERRORS, "std", "var", "bootstrap_std")
LOWER = ("attack_success_rate", "asr", "perplexity", "loss", "error_rate", "refusal_error")
DIRECTIONS = ("higher", "lower")


class InspectJson:
    """The reader of inspect_ai logs in JSON."""

    slug = "inspect-ai"
    title = "inspect_ai JSON log (version 2)"
    kind = "evaluation"
    max_bytes = 20 * 1024 * 1024

    def recognises(self, body: bytes) -> bool:
        """Say whether the body has the keys that inspect_ai writes."""
        return body.lstrip()[:1] == b"{" and b'"eval"' in body and b'"plan"' in body and b'"task_id"' in body

    def read(self, body: bytes) -> Reading:
        """Return the metrics of a run that succeeded. Raises Invalid."""
        log = fields.as_mapping(parse(body, max_bytes=self.max_bytes), "")
        samples = fields.array(log, "samples") if log.get("samples") is not None else None
        return read_log(self, log, samples, None if samples is None else len(samples), "application/json")


class InspectEval:
    """The reader of inspect_ai's own log format, a zip file."""

    slug = "inspect-ai-eval"
    title = "inspect_ai .eval log"
    kind = "evaluation"
    max_bytes = 20 * 1024 * 1024

    def recognises(self, body: bytes) -> bool:
        """Say whether the body is a zip file with the log's journal in it."""
        return body.startswith(b"PK\x03\x04") and (b"header.json" in body or b"_journal/start.json" in body)

    def read(self, body: bytes) -> Reading:
        """Return the metrics of a run that succeeded. Raises Invalid, also for any trick that a zip can play."""
        if len(body) > self.max_bytes:
            fail("document", f"{len(body):,} bytes", f"at most {self.max_bytes:,} bytes")
        members = Members(body)
        if "header.json" not in members:
            fail("header.json", "nothing", "the log of a run that finished, which has a header.json")
        header = parse(members.read("header.json", max_bytes=MAX_HEADER), max_bytes=MAX_HEADER)
        samples: list[Any] | None = None
        if "summaries.json" in members:
            content = members.read("summaries.json", max_bytes=MAX_SUMMARIES)
            samples = fields.array({"summaries": parse(content, max_bytes=MAX_SUMMARIES)}, "summaries", required=True)
        kept = members.count("samples/") or (None if samples is None else len(samples))
        return read_log(self, fields.as_mapping(header, "header.json"), samples, kept, "application/zip")


def read_log(
    reader: InspectJson | InspectEval, log: dict[str, Any], samples: list[Any] | None, kept: int | None, media: str
) -> Reading:
    """Return what a log says; `kept` is how many samples lie beside it. Raises Invalid."""
    expect_success(log)
    run = fields.mapping(log, "eval", required=True)
    stats = fields.mapping(log, "stats")
    measured_at = fields.moment(stats, "completed_at", "stats") or fields.moment(run, "created", "eval", required=True)
    results = fields.mapping(log, "results", required=True)
    completed = expect_complete(results, kept)
    warnings: list[str] = []
    metadata = {**fields.mapping(run, "metadata", "eval"), **fields.mapping(log, "metadata")}
    found = [*scores(run, results, metadata, completed, measured_at, warnings)]
    found += latency(run, samples or [], measured_at)
    metrics = measures.checked(found)
    identities, parts = measures.written(metadata, warnings)
    return Reading(
        kind=reader.kind,
        reader=reader.slug,
        media_type=media,
        summary=summary(reader.title, log, run, results, metrics, measured_at),
        warnings=tuple(warnings),
        metrics=metrics,
        subject_digests=identities,
        measured_at=measured_at,
        named=parts,
    )


def expect_success(log: dict[str, Any]) -> None:
    """Raise Invalid unless the log is of a known version and its run succeeded."""
    if (version := log.get("version")) != VERSION:
        fail("version", f"unsupported {picture(version)}", f"{VERSION}, as inspect_ai 0.3 writes it")
    if (status := log.get("status")) != "success":
        fail("status", picture(status), "success: the numbers of another run do not count")
    if log.get("invalidated") not in (None, False):
        fail("invalidated", picture(log["invalidated"]), "a log that nobody has invalidated")


def expect_complete(results: dict[str, Any], kept: int | None) -> int | None:
    """Return how many samples were completed. Raises Invalid for fewer than the log declares."""
    total = measures.count(results, "total_samples", "results")
    completed = measures.count(results, "completed_samples", "results")
    if total is not None and completed is not None and completed < total:
        fail("results.completed_samples", f"{completed:,}", f"all {total:,} samples that the run had")
    if completed is not None and kept is not None and kept < completed:
        fail("samples", f"{kept:,} samples", f"the {completed:,} that results.completed_samples says")
    return completed


def scores(
    run: dict[str, Any],
    results: dict[str, Any],
    metadata: Mapping[str, Any],
    completed: int | None,
    measured_at: datetime | None,
    warnings: list[str],
) -> Iterator[Metric]:
    """Yield one metric for each number of each score."""
    task = fields.text(run, "task", "eval", limit=100, required=True).strip()
    entries = fields.mappings(results, "scores", "results", required=True)
    names = Counter(str(entry.get("name")) for _, entry in entries)
    for at, entry in entries:
        name = fields.text(entry, "name", at, limit=100, required=True).strip()
        reducer = fields.text(entry, "reducer", at, limit=60).strip()
        prefix = f"{task}.{name}" + (f".{reducer}" if names[name] > 1 and reducer else "")
        scored = measures.count(entry, "scored_samples", at)
        values = dict(numbers(entry, at, warnings))
        stderr = next((values[key] for key in ERRORS if key in values), None)
        for key, value in values.items():
            if key in SPREADS:
                continue
            yield Metric(
                category=category(metadata),
                name=f"{prefix}.{key}",
                value=value,
                direction=direction(metadata, key),
                n=(completed if scored is None else scored) or None,
                stderr=stderr if key in {"accuracy", "mean"} else None,
                measured_at=measured_at,
                dataset=dataset(run),
            )


def numbers(entry: dict[str, Any], at: str, warnings: list[str]) -> Iterator[tuple[str, Decimal]]:
    """Yield (name, value) of each metric of a score that is a number."""
    for key, metric in fields.mapping(entry, "metrics", at, required=True).items():
        place = fields.below(f"{at}.metrics", key)
        value = fields.as_mapping(metric, place).get("value")
        if measures.is_number(value):
            yield key.rpartition("/")[2], measures.measure(value, f"{place}.value")
        elif len(warnings) < measures.MAX_WARNINGS:
            warnings.append(f"{place} is {picture(value)}, not a number, and was left out.")


def category(metadata: Mapping[str, Any]) -> str:
    """Return the category that the task's metadata names, quality otherwise."""
    written = metadata.get("category", "quality")
    if written not in measures.CATEGORIES:
        fail("metadata.category", picture(written), f"one of {', '.join(measures.CATEGORIES)}")
    return str(written)


def direction(metadata: Mapping[str, Any], key: str) -> str:
    """Return which way is better: as the task's metadata says, or as the metric's name does."""
    written = metadata.get("direction")
    if written is not None and written not in DIRECTIONS:
        fail("metadata.direction", picture(written), "higher or lower")
    return str(written or ("lower" if key in LOWER else "higher"))


def dataset(run: dict[str, Any]) -> str:
    """Return the name of the data set, or the task that brings its own."""
    named = fields.text(fields.mapping(run, "dataset", "eval"), "name", "eval.dataset").strip()
    return (named or str(run["task"]))[: measures.MAX_PLACE]


def latency(run: dict[str, Any], samples: list[Any], measured_at: datetime | None) -> list[Metric]:
    """Return the 95th percentile of the time that samples took, in ms, when all of them say it."""
    times = []
    for index, sample in enumerate(samples):
        holder = fields.as_mapping(sample, fields.below("samples", index))
        key = "working_time" if holder.get("working_time") is not None else "total_time"
        value = measures.number(holder, key, fields.below("samples", index))
        if value is None:
            return []
        if value < 0:
            fail(fields.below(fields.below("samples", index), key), number_text(value), "a time that is not negative")
        times.append(measures.measure(value * 1000, key))
    if not times:
        return []
    slowest = measures.percentile(times, 95)
    known = Metric("latency", "sample_p95_ms", slowest, "ms", "lower", len(times), None, measured_at, dataset(run))
    return [known]


def summary(
    title: str,
    log: dict[str, Any],
    run: dict[str, Any],
    results: dict[str, Any],
    metrics: tuple[Metric, ...],
    measured_at: datetime | None,
) -> dict[str, Any]:
    """Return what pages show of a log."""
    told = ("task", "task_version", "model", "model_args", "packages", "revision", "metadata", "tags")
    return {
        "format": title,
        **{key: plain(run[key]) for key in told if run.get(key)},
        "dataset": plain(run.get("dataset")) if len(str(run.get("dataset"))) < 4000 else dataset(run),
        "usage": plain(fields.mapping(log, "stats").get("model_usage")),
        "total_samples": plain(results.get("total_samples")),
        "completed_samples": plain(results.get("completed_samples")),
        "measured_at": measured_at.isoformat() if measured_at else "",
        "metric_count": len(metrics),
        "metrics": measures.shown(metrics),
    }
