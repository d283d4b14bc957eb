"""What the evaluations tab prints: every metric against its limits and over the versions, and who stands for reports.

Formatting only; what counts is judged by the evaluations check.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from itertools import islice
from typing import Any

from django.utils import timezone

from governance import policy
from governance.checks import evaluations
from governance.checks.measurements import NONE
from governance.permissions import may
from portal.charts import Sample, ThresholdBar, Trend, threshold_bar, trend
from registry import catalog
from registry.models import Evaluation, Evidence, User, Version
from registry.models.evaluations import Category

MAX_TRENDS = 60
MAX_REPORTED = 50
MAX_REPORTS = 100
ELSEWHERE = "not measured on this version itself"


def panel(version: Version, user: User) -> dict[str, Any]:
    """Return everything that was measured, what the policy requires first, with trends, reports and their signers."""
    rules = policy.governing(version)
    rule = rules.rule("evaluations")
    series = catalog.metric_trends(version)
    readings = evaluations.survey(version, rule, at=timezone.now())
    metrics = [metric(reading, series, version.number) for reading in readings]
    documents = version.evidence.filter(kind__in=("evaluation", "model-card")).select_related("attached_by")
    documents = documents.prefetch_related("signatures__signed_by")[:MAX_REPORTS]
    reports = [row for row in documents if row.kind == "evaluation"]
    may_sign = version.state != "retired" and may(user, "report.sign", version)
    return {
        "policy": rules,
        "required": [each for each in metrics if each["reading"].is_required],
        "categories": by_category(each for each in metrics if not each["reading"].is_required),
        "trends": [each for each in metrics if each["trend"].points and worth_a_trend(each)][:MAX_TRENDS],
        "reported": reported(documents),
        "reports": [{"row": row, "may_sign": may_sign and not has_signed(row, user)} for row in reports],
    }


def by_category(metrics: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return metrics in the order of the six categories, those with none left out."""
    rows = list(metrics)
    found = [
        {"label": label, "metrics": [each for each in rows if each["reading"].measurement.row.category == name]}
        for name, label in Category.choices
    ]
    return [each for each in found if each["metrics"]]


def worth_a_trend(each: dict[str, Any]) -> bool:
    """Return whether a trend says more than the bar: the required ones always, others from two versions on."""
    return each["reading"].is_required or len(each["trend"].points) > 1


def has_signed(row: Evidence, user: User) -> bool:
    """Return whether a person signed a report."""
    return any(each.signed_by_id == user.pk for each in row.signatures.all())


def metric(reading: evaluations.Reading, series: catalog.Series, number: str) -> dict[str, Any]:
    """Return one metric drawn against its limits and its value in the version before, and over all versions."""
    points = points_of(reading, series)
    row = reading.measurement.row if reading.measurement is not None else None
    return {
        "reading": reading,
        "label": label(reading, row),
        "dataset": row.dataset if row is not None else "",
        "outcome": outcome(reading),
        "bar": bar(reading, row, before(points, number)) if row is not None else None,
        "direction": row.get_direction_display() if row is not None else "",
        "spread": spread_words(row) if row is not None else "",
        "trend": drawn(reading, points),
    }


def points_of(reading: evaluations.Reading, series: catalog.Series) -> list[catalog.Point]:
    """Return the values over the versions that belong to a metric: of its own data set and slice only."""
    if reading.measurement is not None:
        row = reading.measurement.row
        return series.get((row.name, row.dataset, row.slice), [])
    overall = [points for (name, _, sliced), points in series.items() if name == reading.metric and not sliced]
    return overall[0] if len(overall) == 1 else []


def before(points: list[catalog.Point], number: str) -> Decimal | None:
    """Return the value of the last version before this one that was measured on itself."""
    values = None
    for point in points:
        if point.number == number:
            break
        values = point.row.value if point.is_own else values
    return values


def outcome(reading: evaluations.Reading) -> str:
    """Return the word for the badge."""
    if reading.within:
        return "passed" if reading.is_required else ""
    if reading.measurement is None:
        return "missing"
    if reading.measurement.binding == NONE:
        return "unknown"
    return "failed" if reading.counts and reading.is_required else "stale"


def label(reading: evaluations.Reading, row: Evaluation | None) -> str:
    """Return a metric's name with its slice, where the name the policy uses does not tell it."""
    if row is None or not row.slice or reading.metric != row.name:
        return reading.metric
    return f"{reading.metric}, {row.slice}"


def spread(row: Evaluation) -> tuple[float, float] | None:
    """Return (low, high) of a value's error: its interval, or one standard error to both sides."""
    if row.ci_low is not None and row.ci_high is not None:
        return float(row.ci_low), float(row.ci_high)
    return None if row.stderr is None else (float(row.value - row.stderr), float(row.value + row.stderr))


def spread_words(row: Evaluation) -> str:
    """Return a value's error in words, "" when nobody says."""
    if row.ci_low is not None and row.ci_high is not None:
        return f"{evaluations.written(row.ci_low)} to {evaluations.written(row.ci_high)} (confidence interval)"
    return "" if row.stderr is None else f"± {short(row.stderr)} (standard error)"


def short(value: Decimal) -> str:
    """Return a small number with three digits that say something."""
    return f"{float(value):.3g}"


def bar(reading: evaluations.Reading, row: Evaluation, former: Decimal | None) -> ThresholdBar:
    """Return one value drawn against its limits; what does not count is grey."""
    return threshold_bar(
        float(row.value),
        minimum=as_float(reading.minimum),
        maximum=as_float(reading.maximum),
        previous=as_float(former) if reading.counts else None,
        unit=row.unit,
        passed=reading.within if reading.is_required else None,
        spread=spread(row),
        is_stale=not reading.counts or bool(reading.faults and not reading.is_required),
    )


def drawn(reading: evaluations.Reading, points: list[catalog.Point]) -> Trend:
    """Return a metric over the versions; what was measured on something else is grey."""
    samples = [
        Sample(
            label=point.number,
            value=float(point.row.value),
            spread=spread(point.row),
            n=point.row.sample_size,
            fault="" if point.is_own else ELSEWHERE,
        )
        for point in points
    ]
    unit = points[-1].row.unit if points else ""
    return trend(samples, minimum=as_float(reading.minimum), maximum=as_float(reading.maximum), unit=unit)


def as_float(value: Any) -> float | None:
    """Return a decimal as a float for drawing, which needs no exactness."""
    return None if value is None else float(value)


def reported(documents: Iterable[Evidence]) -> list[dict[str, Any]]:
    """Return what authors report themselves, in model cards and result files: shown, never counted."""
    keys = ("dataset", "metric", "value")
    rows = ((row, each) for row in documents for each in row.summary.get("reported", []) if isinstance(each, dict))
    return [{"document": row, **{key: each.get(key, "") for key in keys}} for row, each in islice(rows, MAX_REPORTED)]
