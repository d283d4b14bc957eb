"""What every evaluation reader shares: the bounds of values, counts and names, and how a summary shows metrics.

Values are never averaged here: the same metric on another data set or slice is another metric.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, TypeGuard

from portal.errors import show
from registry.readers import fields
from registry.readers.documents import fail, number_text, picture
from registry.readers.reading import Metric, Named

CATEGORIES = ("quality", "toxicity", "jailbreak", "bias", "latency", "cost")
MAX_METRICS = 2000
MAX_NAME = 120
MAX_PLACE = 200
MAX_COUNT = 10**12
MAX_WARNINGS = 20
LARGEST = Decimal(10) ** 12
# The record keeps twelve decimals; a reading shows what will be stored, so that no page and check differ.
_STEP = Decimal("1e-12")
# The keys under which tools let people write down what they measured, by the part that they name.
_WRITTEN = {
    "identity": ("identity_digest",),
    "model": ("model_digest", "model_sha256", "artifact_sha256"),
    "prompt": ("prompt_digest", "prompt_hash", "prompt_sha256"),
}


def is_number(value: Any) -> TypeGuard[int | Decimal]:
    """Say whether a parsed value is a number; JSON's true and false are none."""
    return isinstance(value, int | Decimal) and not isinstance(value, bool)


def measure(value: int | Decimal, at: str) -> Decimal:
    """Return a measured value rounded to twelve decimals, without trailing zeros. Raises Invalid beyond ±1e12."""
    number = Decimal(value)
    if not number.is_finite() or abs(number) > LARGEST:
        fail(at, show(str(value)), "a finite number between -1e12 and 1e12")
    text = f"{number.quantize(_STEP):f}".rstrip("0").rstrip(".")
    return Decimal(0) if text == "-0" else Decimal(text)


def number(holder: Mapping[str, Any], key: str, at: str = "") -> Decimal | None:
    """Return a measured value, None when the key is absent. Raises Invalid for anything but a finite number."""
    value = holder.get(key)
    if value is None:
        return None
    if not is_number(value):
        fail(fields.below(at, key), picture(value), "a number")
    return measure(value, fields.below(at, key))


def count(holder: Mapping[str, Any], key: str, at: str = "", *, required: bool = False) -> int | None:
    """Return a whole number from 0 to 1e12, None when the key is absent. Raises Invalid for a negative one."""
    value = holder.get(key)
    if value is None and not required:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_COUNT:
        fail(fields.below(at, key), picture(value), "a whole number from 0 to 1,000,000,000,000")
    return value


def share(part: int, whole: int) -> Decimal:
    """Return a part of a whole, which is at least one, as a measured value."""
    return measure(Decimal(part) / Decimal(whole), "share")


def percentile(values: Iterable[Decimal], percent: int) -> Decimal:
    """Return the smallest of at least one value that this many per cent do not exceed (the nearest-rank method)."""
    ranked = sorted(values)
    return ranked[max(0, -(-len(ranked) * percent // 100) - 1)]


def expect_spread(metric: Metric, at: str) -> Metric:
    """Return a metric whose error and interval make sense; otherwise raise Invalid."""
    if metric.stderr is not None and metric.stderr < 0:
        fail(f"{at}.stderr", number_text(metric.stderr), "a standard error that is not negative")
    low, high = metric.ci_low, metric.ci_high
    if (low is None) != (high is None):
        fail(f"{at}.ci_low", "one end of an interval", "both ends of the confidence interval, ci_low and ci_high")
    if low is not None and high is not None and low > high:
        fail(f"{at}.ci_high", number_text(high), f"at least ci_low, {number_text(low)}")
    return metric


def checked(metrics: Iterable[Metric], *, or_else: Mapping[str, str] | None = None) -> tuple[Metric, ...]:
    """Return the metrics of one document. Raises Invalid for none, too many, long names, and one metric twice.

    There may be none when something was found outside our six categories, which `or_else` holds afterwards.
    """
    found: dict[tuple[str, str, str, str], Metric] = {}
    for metric in metrics:
        key = (metric.category, metric.name, metric.dataset, metric.slice)
        if key in found:
            fail("metrics", f"{show(label(metric))} more than once", "every metric once for a data set and slice")
        if not metric.name.strip() or len(metric.name) > MAX_NAME:
            fail("metrics", f"a name of {len(metric.name)} characters", f"names of at most {MAX_NAME} characters")
        if max(len(metric.dataset), len(metric.slice)) > MAX_PLACE:
            fail("metrics", f"a long data set or slice of {show(metric.name)}", f"at most {MAX_PLACE} characters")
        found[key] = expect_spread(metric, "metrics")
        if len(found) > MAX_METRICS:
            fail("metrics", f"more than {MAX_METRICS:,} metrics", f"at most {MAX_METRICS:,} metrics")
    if not found and not or_else:
        fail("metrics", "no metric", "at least one measured value")
    return tuple(found.values())


def label(metric: Metric) -> str:
    """Return a metric's name with its slice and data set, as policies may name it: quality/f1[EU]@holdout."""
    sliced = f"[{metric.slice}]" if metric.slice else ""
    return f"{metric.category}/{metric.name}{sliced}" + (f"@{metric.dataset}" if metric.slice else "")


def shown(metrics: tuple[Metric, ...]) -> list[dict[str, str]]:
    """Return the first hundred metrics as texts for a summary."""
    rows = []
    for metric in metrics[:100]:
        row = {"name": f"{metric.category}/{metric.name}", "value": number_text(metric.value), "unit": metric.unit}
        row |= {"dataset": metric.dataset, "slice": metric.slice, "n": "" if metric.n is None else str(metric.n)}
        rows.append({key: text for key, text in row.items() if text or key == "unit"})
    return rows


def written(holder: Mapping[str, Any], warnings: list[str]) -> tuple[tuple[str, ...], tuple[Named, ...]]:
    """Return (identity digests, parts) that people wrote into a tool's own metadata; no sha256 is only a warning."""
    found: dict[str, list[str]] = {what: [] for what in _WRITTEN}
    for what, keys in _WRITTEN.items():
        for key in keys:
            value = holder.get(key)
            bare = value.strip().lower().removeprefix("sha256:") if isinstance(value, str) else ""
            if fields.is_sha256(bare):
                found[what].append(bare)
            elif value not in (None, ""):
                warnings.append(f"metadata.{key} is {picture(value)}, which is no sha256, and was not compared.")
    parts = [Named(what, (digest,)) for what in ("model", "prompt") for digest in dict.fromkeys(found[what])]
    return tuple(dict.fromkeys(found["identity"])), tuple(parts)
