"""Are all required metrics present, within thresholds, fresh, and measured on exactly this identity digest?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from governance.checks.base import Answer, Dossier, failed, passed
from registry.models import Evaluation, Version


@dataclass(frozen=True)
class Reading:
    """One required metric held against its threshold: the value that counts, and what is wrong with it."""

    metric: str
    minimum: Decimal | None
    maximum: Decimal | None
    value: Decimal | None
    unit: str
    measured_at: datetime | None
    fault: str

    @property
    def within(self) -> bool:
        """Return whether the metric is fine."""
        return not self.fault


class Evaluations:
    """Asks each metric that the policy names; the newest value measured on this very digest counts."""

    slug = "evaluations"
    title = "Evaluations"
    asks = "Are all required metrics within thresholds, fresh, and measured on exactly this identity digest?"
    sections: tuple[str, ...] = ("artifact", "components", "evidence")

    def outside(self, version: Version) -> Mapping[str, Any]:
        """Depend on nothing; age is told by `valid_until`."""
        return {}

    def examine(self, dossier: Dossier, rule: Mapping[str, Any]) -> Answer:
        """Answer by every required metric."""
        readings = measure(dossier.version, rule, at=dossier.at)
        wrong = [reading for reading in readings if not reading.within]
        oldest = min((reading.measured_at for reading in readings if reading.measured_at), default=None)
        facts = {
            "identity": dossier.version.identity_digest,
            "metrics": [
                {
                    "metric": reading.metric,
                    "min": str(reading.minimum) if reading.minimum is not None else "",
                    "max": str(reading.maximum) if reading.maximum is not None else "",
                    "value": f"{reading.value.normalize():f}" if reading.value is not None else "",
                    "fault": reading.fault,
                }
                for reading in readings
            ],
        }
        if wrong:
            return failed(
                f"{len(wrong)} of {len(readings)} metrics: "
                + "; ".join(f"{reading.metric} {reading.fault}" for reading in wrong),
                f"Measure {dossier.version.identity_digest[:12]}… again and attach the report.",
                facts=facts,
            )
        until = oldest + timedelta(days=rule["max_age_days"]) if oldest else None
        return passed(f"All {len(readings)} metrics are within thresholds and fresh.", facts=facts, valid_until=until)


def measure(version: Version, rule: Mapping[str, Any], *, at: datetime) -> list[Reading]:
    """Return each required metric held against its threshold, as of an instant."""
    rows = (
        Evaluation.objects.filter(evidence__version=version).select_related("evidence").order_by("-measured_at", "-pk")
    )
    mine: dict[str, Evaluation] = {}
    others: dict[str, Evaluation] = {}
    for row in rows:
        bound = row.subject_digest == version.identity_digest and bool(row.subject_digest)
        (mine if bound else others).setdefault(row.name, row)
    since = at - timedelta(days=rule["max_age_days"])
    return [hold(name, limits, mine.get(name), others.get(name), since) for name, limits in rule["thresholds"].items()]


def hold(
    name: str, limits: Mapping[str, str], row: Evaluation | None, other: Evaluation | None, since: datetime
) -> Reading:
    """Return one metric held against its limits."""
    low = Decimal(limits["min"]) if "min" in limits else None
    high = Decimal(limits["max"]) if "max" in limits else None
    if row is None:
        fault = "is missing"
        if other is not None:
            measured = f"{other.subject_digest[:12]}…" if other.subject_digest else "nobody knows what"
            fault = f"was measured on {measured}, not on this identity digest"
        return Reading(name, low, high, None, "", None, fault)
    value = row.value
    fault = ""
    if row.measured_at < since:
        fault = f"was measured on {row.measured_at:%Y-%m-%d}, which is too long ago"
    elif low is not None and value < low:
        fault = f"is {value.normalize():f}, expected at least {low}"
    elif high is not None and value > high:
        fault = f"is {value.normalize():f}, expected at most {high}"
    return Reading(name, low, high, value, row.unit, row.measured_at, fault)
