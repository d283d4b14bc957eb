"""Reads the results file of lm-evaluation-harness 0.4 (`results_<time>.json`).

Every numeric result becomes a quality metric named `<task>.<metric>`, with the filter behind it when there is one:
`acc,none` of task arc_easy is quality/arc_easy.acc, `exact_match,strict-match` of gsm8k is
quality/gsm8k.exact_match.strict-match; the task is the data set as well. The file does not say which artifact was
measured, so the reading carries no subject digest: whoever attaches it declares the identity digest. Its hashes of chat
template and system instruction are shown. The samples that the harness writes beside its results are refused with a
sentence that names the file to attach.

Source: lm_eval 0.4.13, loggers/evaluation_tracker.py and evaluator.py; before 0.4.3 `model_args` is one text.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from registry.readers import fields, measures
from registry.readers.documents import fail, parse, picture, plain
from registry.readers.reading import Metric, Reading

# Used only when the file has no `higher_is_better` for the metric, as before lm_eval 0.4.3.
_LOWER_IS_BETTER = frozenset({"word_perplexity", "byte_perplexity", "bits_per_byte", "perplexity", "wer", "ter"})
_NOT_METRICS = frozenset({"alias", "name", "sample_len", "sample_count"})
_TOLD = (
    "lm_eval_version",
    "git_hash",
    "model_source",
    "model_name",
    "chat_template_sha",
    "system_instruction_sha",
    "total_evaluation_time_seconds",
    "task_hashes",
    "versions",
    "n-shot",
)


class LmEval:
    """The reader of lm-evaluation-harness results."""

    slug = "lm-eval"
    title = "lm-evaluation-harness 0.4 results JSON"
    kind = "evaluation"
    max_bytes = 10 * 1024 * 1024

    def recognises(self, body: bytes) -> bool:
        """Say whether the body has the keys that the harness writes, into its results or into its samples."""
        return (b'"results"' in body and (b'"lm_eval_version"' in body or b'"n-shot"' in body)) or is_samples(body)

    def read(self, body: bytes) -> Reading:
        """Return the metrics and when they were measured. Raises Invalid."""
        if is_samples(body):
            fail("document", "the samples of a task, samples_<task>_<time>.jsonl", "the results_<time>.json beside it")
        document = fields.as_mapping(parse(body, max_bytes=self.max_bytes), "")
        measured_at = _date(document)
        warnings = _limited(document)
        metrics = measures.checked(_metrics(document, measured_at, warnings))
        return Reading(
            kind=self.kind,
            reader=self.slug,
            media_type="application/json",
            summary=_summary(document, metrics, measured_at),
            warnings=tuple(warnings),
            metrics=metrics,
            measured_at=measured_at,
        )


def is_samples(body: bytes) -> bool:
    """Say whether the body is the harness's log of single samples, one a line."""
    line = body.lstrip()[:65536].partition(b"\n")[0]
    return line.startswith(b"{") and b'"doc_hash"' in line and b'"target_hash"' in line


def _limited(document: dict[str, Any]) -> list[str]:
    """Return a warning for a run over a part of its tasks. Raises Invalid when nobody asked for one (`--limit`)."""
    limit = fields.mapping(document, "config").get("limit")
    warnings: list[str] = []
    for task, sizes in fields.mapping(document, "n-samples").items():
        at = fields.below("n-samples", task)
        holder = fields.as_mapping(sizes, at)
        original, used = measures.count(holder, "original", at), measures.count(holder, "effective", at)
        if original is None or used is None or used >= original:
            continue
        if limit is None:
            fail(f"{at}.effective", f"{used:,}", f"all {original:,} samples, because the run had no limit")
        if len(warnings) < measures.MAX_WARNINGS:
            warnings.append(f"{at} is {used:,} of {original:,}: the run was limited to a part of the task.")
    return warnings


def _date(document: dict[str, Any]) -> datetime:
    """Return `date`, seconds since 1970, as an instant."""
    value = document.get("date")
    expected = "the seconds since 1970 at which the harness ran"
    if not measures.is_number(value) or not 0 < value < 10**11:
        fail("date", picture(value), expected)
    return fields.not_in_future(datetime.fromtimestamp(float(value), UTC), "date")


def _metrics(document: dict[str, Any], measured_at: datetime, warnings: list[str]) -> Iterator[Metric]:
    """Yield one metric for each number that is a result, with its standard error where the harness gives one."""
    for task, results in fields.mapping(document, "results", required=True).items():
        at = fields.below("results", task)
        for key, value in fields.as_mapping(results, at).items():
            name, _, filtered = key.partition(",")
            if name in _NOT_METRICS or name.endswith("_stderr"):
                continue
            if not measures.is_number(value):
                if len(warnings) < measures.MAX_WARNINGS:
                    warnings.append(f"{fields.below(at, key)} is {picture(value)}, not a number, and was left out.")
                continue
            stderr = results.get(f"{name}_stderr,{filtered}" if filtered else f"{name}_stderr")
            yield Metric(
                category="quality",
                name=".".join([task, name] + ([filtered] if filtered not in {"", "none"} else [])),
                value=measures.measure(value, f"{at}.{key}"),
                direction=_direction(document, task, name),
                n=_samples(document, task),
                stderr=measures.measure(stderr, f"{at}.{name}_stderr") if measures.is_number(stderr) else None,
                measured_at=measured_at,
                dataset=task[: measures.MAX_PLACE],
            )


def _direction(document: dict[str, Any], task: str, name: str) -> str:
    """Return whether higher or lower values of a metric are better."""
    by_task = fields.mapping(document, "higher_is_better")
    higher = fields.mapping(by_task, task, "higher_is_better").get(name)
    if isinstance(higher, bool):
        return "higher" if higher else "lower"
    return "lower" if name in _LOWER_IS_BETTER else "higher"


def _samples(document: dict[str, Any], task: str) -> int | None:
    """Return how many samples of a task were really used."""
    sizes = fields.mapping(fields.mapping(document, "n-samples"), task, "n-samples")
    return measures.count(sizes, "effective", fields.below("n-samples", task)) or None


def _summary(document: dict[str, Any], metrics: tuple[Metric, ...], measured_at: datetime) -> dict[str, Any]:
    """Return what pages show: tool, hashes that identify template and tasks, times and sizes as texts."""
    config = fields.mapping(document, "config")
    told = {key.replace("-", "_"): plain(document[key]) for key in _TOLD if document.get(key) is not None}
    return {
        "format": LmEval.title,
        **told,
        "model": plain(config.get("model")),
        "model_args": plain(config.get("model_args")),
        "limit": plain(config.get("limit")),
        "tasks": list(fields.mapping(document, "results"))[:500],
        "samples": plain(fields.mapping(document, "n-samples")),
        "measured_at": measured_at.isoformat(),
        "metric_count": len(metrics),
        "metrics": measures.shown(metrics),
    }
