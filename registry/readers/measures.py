"""The bounds that every evaluation reader shares: how large a value may be, how many metrics one document may hold."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from portal.errors import show
from registry.readers.documents import fail, number_text
from registry.readers.reading import Metric

CATEGORIES = ("quality", "toxicity", "jailbreak", "bias", "latency", "cost")
MAX_METRICS = 2000
MAX_NAME = 120
LARGEST = Decimal(10) ** 12
# The record keeps twelve decimals; a reading shows what will be stored, so that no page and check differ.
_STEP = Decimal("1e-12")


def measure(value: int | Decimal, at: str) -> Decimal:
    """Return a measured value rounded to twelve decimals, without trailing zeros. Raises Invalid beyond ±1e12."""
    number = Decimal(value)
    if not number.is_finite() or abs(number) > LARGEST:
        fail(at, show(str(value)), "a finite number between -1e12 and 1e12")
    text = f"{number.quantize(_STEP):f}".rstrip("0").rstrip(".")
    return Decimal(0) if text == "-0" else Decimal(text)


def checked(metrics: Iterable[Metric]) -> tuple[Metric, ...]:
    """Return the metrics of one document. Raises Invalid for none, too many, long names, and one name twice."""
    found: dict[tuple[str, str], Metric] = {}
    for metric in metrics:
        key = (metric.category, metric.name)
        if key in found:
            fail("metrics", f"{show('/'.join(key))} more than once", "every category and name once")
        if len(metric.name) > MAX_NAME:
            fail("metrics", f"a name of {len(metric.name)} characters", f"names of at most {MAX_NAME} characters")
        found[key] = metric
        if len(found) > MAX_METRICS:
            fail("metrics", f"more than {MAX_METRICS:,} metrics", f"at most {MAX_METRICS:,} metrics")
    if not found:
        fail("metrics", "no metric", "at least one measured value")
    return tuple(found.values())


def shown(metrics: tuple[Metric, ...]) -> list[dict[str, str]]:
    """Return the first hundred metrics as texts for a summary."""
    return [
        {"name": f"{metric.category}/{metric.name}", "value": number_text(metric.value), "unit": metric.unit}
        for metric in metrics[:100]
    ]
