"""Are all required metrics present, within thresholds, fresh, and measured on exactly this identity digest?

A policy names metrics as category/metric, which means the overall value. One that was measured on several data sets is
named with its data set, quality/f1@holdout, and a slice with its name, quality/f1[EU]. Nothing is ever averaged: where
a name fits values on several data sets, the check fails and says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from governance.checks import attestations
from governance.checks.base import Answer, Dossier, failed, passed
from governance.checks.measurements import NONE, PROVEN, Measurement, gather, look_up
from governance.checks.staleness import Explainer
from governance.models.keys import Purpose
from registry.models import ReportSignature, Version
from registry.models.evaluations import Category

MAX_OTHERS = 200
ORDER = {category: place for place, category in enumerate(Category.values)}


@dataclass(frozen=True)
class Reading:
    """One metric held against its limits: the value that counts, where it comes from, and what is wrong with it.

    `measurement` is the value to show; `value` is None when it does not count, because it was measured on something
    else or nobody says on what. `until` is when time alone changes what is said here.
    """

    metric: str
    minimum: Decimal | None
    maximum: Decimal | None
    faults: tuple[str, ...]
    measurement: Measurement | None = None
    counts: bool = False
    is_required: bool = True
    until: datetime | None = None

    @property
    def within(self) -> bool:
        """Return whether the metric is fine."""
        return not self.faults

    @property
    def fault(self) -> str:
        """Return what is wrong, in words that continue a sentence which begins with the metric."""
        return "; ".join(self.faults)

    @property
    def value(self) -> Decimal | None:
        """Return the value that counts."""
        return self.measurement.row.value if self.measurement is not None and self.counts else None

    @property
    def unit(self) -> str:
        """Return the unit of the value."""
        return self.measurement.row.unit if self.measurement is not None else ""

    @property
    def measured_at(self) -> datetime | None:
        """Return when the value that counts was measured."""
        return self.measurement.row.measured_at if self.measurement is not None and self.counts else None


class Evaluations:
    """Asks each metric that the policy names; the newest value measured on this very digest counts."""

    slug = "evaluations"
    title = "Evaluations"
    asks = "Are all required metrics within thresholds, fresh, and measured on exactly this identity digest?"
    sections: tuple[str, ...] = ("artifact", "components", "evidence")

    def outside(self, version: Version) -> Mapping[str, Any]:
        """Depend on who may prove an evaluation, and on who signed the reports; age is told by `valid_until`."""
        signatures = ReportSignature.objects.filter(evidence__version=version).order_by("pk")
        return {
            "signers": attestations.depends_on(version, Purpose.EVALUATION),
            "signatures": [list(row) for row in signatures.values_list("evidence__sha256", "signed_by__username")],
        }

    def examine(self, dossier: Dossier, rule: Mapping[str, Any]) -> Answer:
        """Answer by every required metric."""
        readings = measure(dossier.version, rule, at=dossier.at)
        wrong = [reading for reading in readings if not reading.within]
        ends = [reading.until for reading in (wrong or readings) if reading.until is not None]
        facts = {
            "identity": dossier.version.identity_digest,
            "binding": rule.get("binding", "declared"),
            "metrics": [facts_of(reading) for reading in readings],
            **trust(readings),
        }
        if wrong:
            return failed(
                f"{len(wrong)} of {len(readings)} metrics: "
                + "; ".join(f"{reading.metric} {reading.fault}" for reading in wrong),
                way_out(dossier.version, wrong, rule),
                facts=facts,
                valid_until=min(ends, default=None),
            )
        return passed(
            f"All {len(readings)} metrics are within thresholds and fresh.",
            facts=facts,
            valid_until=min(ends, default=None),
        )


def measure(version: Version, rule: Mapping[str, Any], *, at: datetime) -> list[Reading]:
    """Return each required metric held against its threshold, as of an instant."""
    found = gather(version, at=at, names=rule["thresholds"])
    return required(version, rule, found, at=at)


def survey(version: Version, rule: Mapping[str, Any], *, at: datetime) -> list[Reading]:
    """Return the required metrics, then everything else that was measured, by category; at most two hundred others.

    An empty rule requires nothing.
    """
    record = look_up(version, at=at)
    asked_for = required(version, rule, record.values(rule["thresholds"]), at=at) if rule else []
    used = {each.measurement.row.pk for each in asked_for if each.measurement is not None}
    shown: dict[tuple[str, str, str], Measurement] = {}
    for each in record.values():
        key = (each.row.name, each.row.dataset, each.row.slice)
        if key not in shown or (each.subject == version.identity_digest != shown[key].subject):
            shown[key] = each
    rest = sorted(
        (each for each in shown.values() if each.row.pk not in used),
        key=lambda each: (ORDER[each.row.category], each.row.name, each.row.dataset, each.row.slice),
    )
    explainer = Explainer(version)
    return asked_for + [unasked(each, version, rule, explainer, at) for each in rest[:MAX_OTHERS]]


def required(version: Version, rule: Mapping[str, Any], found: list[Measurement], *, at: datetime) -> list[Reading]:
    """Return each required metric held against its limits, by category, among the values that were found."""
    explainer = Explainer(version)
    names = sorted(rule["thresholds"], key=lambda name: (ORDER[name.partition("/")[0]], name))
    return [hold(name, found, version, rule, explainer, at) for name in names]


def hold(
    name: str,
    found: Iterable[Measurement],
    version: Version,
    rule: Mapping[str, Any],
    explainer: Explainer,
    at: datetime,
) -> Reading:
    """Return one required metric: the newest value that counts, held against its limits and all that the rule asks."""
    low, high = limits_of(rule["thresholds"][name])
    rows, missing = choose(name, list(found))
    mine = [each for each in rows if each.subject and each.subject == version.identity_digest]
    counting = [each for each in mine if each.binding == PROVEN] if rule.get("binding") == PROVEN else mine
    if not counting:
        fault = missing or unbound(rows, mine, explainer)
        begins = [each.statement.until for each in mine if each.statement is not None]
        begin = min((each for each in begins if each is not None), default=None)
        return Reading(name, low, high, (fault,), rows[0] if rows else None, until=begin)
    age = timedelta(days=rule["max_age_days"])
    fresh = [each for each in counting if each.row.measured_at >= at - age]
    top = (fresh or counting)[0]
    until: datetime | None = ends_of(top, age)
    datasets = list(dict.fromkeys(each.row.dataset for each in fresh))
    if not fresh:
        faults, until = [f"was measured on {top.row.measured_at:%Y-%m-%d}, which is too long ago"], None
    elif len(datasets) > 1:
        faults = [ambiguous(name, datasets)]
        until = min(each.row.measured_at for each in fresh) + age
    else:
        faults = beyond(top.row.value, low, high) + unfit(top, rule)
    return Reading(name, low, high, tuple(faults), top, counts=True, until=until)


def choose(name: str, found: list[Measurement]) -> tuple[list[Measurement], str]:
    """Return the values that a policy's name means, newest first, and what to say when there is none."""
    exact = [each for each in found if each.row.name == name]
    overall = [each for each in exact if not each.row.slice]
    if overall:
        return overall, ""
    if exact:
        slices = list(dict.fromkeys(each.row.slice for each in exact))
        return [], f"was measured for {listed(slices)} only; no report has an overall value"
    return [each for each in found if name in forms(each)], ""


def forms(each: Measurement) -> set[str]:
    """Return the longer names under which a policy may ask for a value."""
    row = each.row
    sliced = f"{row.name}[{row.slice}]" if row.slice else row.name
    return {sliced, f"{sliced}@{row.dataset}"}


def listed(words: list[str], at_most: int = 3) -> str:
    """Return some words as a list people read."""
    more = f" and {len(words) - at_most} more" if len(words) > at_most else ""
    return ", ".join(word or "an unnamed one" for word in words[:at_most]) + more


def unbound(rows: list[Measurement], mine: list[Measurement], explainer: Explainer) -> str:
    """Return why no value counts: measured on something else, on nobody knows what, or proven by nobody."""
    if mine:
        return f"is not proven to be measured on this identity digest, only declared: {mine[0].why}"
    if not rows:
        return "is missing"
    return stale(rows[0], explainer)


def stale(each: Measurement, explainer: Explainer) -> str:
    """Return why a value that was measured on something else does not count."""
    if each.binding == NONE:
        return f"does not count: {each.why}"
    return f"was measured on {explainer.says(each.subject)}"


def ambiguous(name: str, datasets: list[str]) -> str:
    """Return what is wrong when values on several data sets fit one name."""
    named = next((each for each in datasets if each), "")
    way = f", and the policy has to name one, as {name}@{named}" if named else ""
    return f"was measured on several data sets ({listed(datasets)}), which are never averaged{way}"


def limits_of(limits: Mapping[str, str]) -> tuple[Decimal | None, Decimal | None]:
    """Return the least and the greatest value that a threshold of a policy allows."""
    low, high = limits.get("min"), limits.get("max")
    return None if low is None else Decimal(low), None if high is None else Decimal(high)


def beyond(value: Decimal, low: Decimal | None, high: Decimal | None) -> list[str]:
    """Return how a value is beyond its limits."""
    if low is not None and value < low:
        return [f"is {value.normalize():f}, expected at least {low}"]
    if high is not None and value > high:
        return [f"is {value.normalize():f}, expected at most {high}"]
    return []


def unfit(top: Measurement, rule: Mapping[str, Any]) -> list[str]:
    """Return what else the rule asks of a value and does not find."""
    faults = []
    least, size = rule.get("min_samples"), top.row.sample_size
    if least is not None and size is not None and size < least:
        faults.append(f"rests on {size:,} samples, expected at least {least:,}")
    if rule.get("signed") and not top.signatures:
        faults.append(f"stands in {top.report.filename}, which nobody has signed")
    return faults


def ends_of(top: Measurement, age: timedelta) -> datetime:
    """Return when a value stops to count: by its age, or with the trust in who proved it."""
    aged = top.row.measured_at + age
    trusted = top.statement.until if top.statement is not None and top.binding == PROVEN else None
    return aged if trusted is None else min(aged, trusted)


def unasked(
    each: Measurement, version: Version, rule: Mapping[str, Any], explainer: Explainer, at: datetime
) -> Reading:
    """Return a value that no policy asks for, with what would keep it from counting."""
    row = each.row
    is_mine = bool(each.subject) and each.subject == version.identity_digest
    faults: tuple[str, ...] = ()
    if not is_mine:
        faults = (stale(each, explainer),)
    elif rule and row.measured_at < at - timedelta(days=rule["max_age_days"]):
        faults = (f"was measured on {row.measured_at:%Y-%m-%d}, which is too long ago",)
    return Reading(row.name, None, None, faults, each, counts=is_mine, is_required=False)


def way_out(version: Version, wrong: list[Reading], rule: Mapping[str, Any]) -> str:
    """Return what would make the answer another one."""
    again = f"Measure {version.identity_digest[:12]}… again and attach the report."
    faults = " ".join(reading.fault for reading in wrong)
    steps = []
    if "nobody has signed" in faults:
        steps.append("Have the person responsible sign the report on the evaluations tab.")
    if "only declared" in faults:
        steps.append("Attach a statement about it, signed by a key that is trusted for evaluation results.")
    if "several data sets" in faults:
        steps.append("Name the data set in the policy.")
    only = len(steps) and all("nobody has signed" in each.fault and len(each.faults) == 1 for each in wrong)
    return " ".join(steps if only else [again, *steps])


def trust(readings: list[Reading]) -> dict[str, Any]:
    """Return the facts by which the answer is asked again when somebody is trusted, or no longer."""
    tops = [reading.measurement for reading in readings if reading.measurement is not None]
    statements = [(each.binding, each.statement) for each in tops if each.statement is not None]
    found: dict[str, Any] = {
        "fingerprints": sorted({each.fingerprint for binding, each in statements if binding == PROVEN}),
    }
    codes = [each.code for binding, each in statements if binding != PROVEN]
    return found | ({"code": codes[0]} if codes else {})


def facts_of(reading: Reading) -> dict[str, Any]:
    """Return what a recorded answer keeps of one metric, every value as text."""
    top = reading.measurement
    told = {
        "metric": reading.metric,
        "min": written(reading.minimum),
        "max": written(reading.maximum),
        "value": written(reading.value),
        "fault": reading.fault,
    }
    if top is None:
        return told
    return told | {
        "shown": written(top.row.value),
        "unit": top.row.unit,
        "direction": top.row.direction,
        "n": "" if top.row.sample_size is None else str(top.row.sample_size),
        "stderr": written(top.row.stderr),
        "measured_at": top.row.measured_at.isoformat(),
        "dataset": top.row.dataset,
        "slice": top.row.slice,
        "evidence": top.report.sha256,
        "binding": top.binding,
        "bound_by": top.why,
        "signed_by": [f"{each.signed_by.username} as {each.capacity}" for each in top.signatures],
    }


def written(value: Decimal | None) -> str:
    """Return a decimal as people write it, "" for none."""
    return "" if value is None else f"{value.normalize():f}"
