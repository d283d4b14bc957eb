"""What served a customer between two instants: stretch by stretch, judged by the decisions of that time, with gaps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from audit.reports.base import Column, Filters, Picture, Report, Row
from audit.reports.judging import WORDS, Judgement, judge
from audit.reports.stretches import Stretch, Stretches, told_meanwhile
from portal import charts, timelines
from registry.models import Version

# What is looked at when a question names neither customer nor asset nor beginning.
USUALLY = timedelta(days=7)
MOST_DRAWN = 400
GAP = "gap"
TONES = {"governed": "ok", "partly governed": "warn", GAP: "neutral"}


class ServedBetween(Report):
    """Each stretch of time in which a digest served a customer, and each gap in what was reported."""

    slug = "served"
    title = "Served"
    question = "What served which customer between two instants, and was it governed?"
    note = (
        "A question without customer, asset and beginning covers the seven days before its end. A gap is a time for "
        "which no window was reported between two that were. A stretch ends where a fact about its version changed."
    )
    filters = ("customer", "deployment", "asset", "environment", "since", "until")
    columns = (
        Column("From", "time", brief=True),
        Column("To", "time", brief=True),
        Column("Customer", brief=True),
        Column("Deployment", brief=True),
        Column("Environment", brief=True),
        Column("Consumer"),
        Column("Version", "version", brief=True),
        Column("Identity digest", "digest"),
        Column("Configuration digest", "digest"),
        Column("Judgement", "word", brief=True),
        Column("Why", "note", brief=True),
        Column("Decision in force", "decision"),
        Column("Requests", "number", brief=True),
        Column("Errors", "number"),
        Column("Share of requests", brief=True),
        Column("Beside it", "note", brief=True),
        Column("Windows", "number"),
        Column("Counted"),
    )

    def select(self, filters: Filters, as_of: datetime) -> Stretches:
        """Return the stretches that overlap the period, by environment, deployment, customer and beginning."""
        if not (filters.customer or filters.asset or filters.since):
            filters = replace(filters, since=min(as_of, filters.until or as_of) - USUALLY)
        return Stretches(filters, as_of)

    def tell(self, found: Sequence[Stretch], as_of: datetime) -> Iterator[Row]:
        """Yield a row for each stretch and each gap."""
        labels = labels_of({digest for stretch in found for digest in stretch.others}, as_of)
        for stretch, said in zip(found, judged(found, as_of), strict=True):
            yield (
                stretch.start,
                stretch.end,
                stretch.customer,
                stretch.deployment,
                stretch.environment,
                stretch.consumer,
                said.version or None,
                stretch.digest or None,
                stretch.config_digest or None,
                said.verdict,
                said.why,
                said.decision or None,
                stretch.requests,
                stretch.errors,
                None if stretch.is_gap else f"{share(stretch):.1f} %",
                beside(stretch, labels),
                stretch.windows,
                stretch.completeness or None,
            )

    def key(self, thing: Any) -> str:
        """Return what names a stretch: whom it served with what, from where, and since when."""
        return str(thing.key)

    def say(self, row: Row) -> str:
        """Return "acme was served by fraud-scorer@2.1.0 (governed)", or what is missing."""
        customer, version, digest = (self.cell(row, title) for title in ("Customer", "Version", "Identity digest"))
        if digest is None:
            return str(self.cell(row, "Why")).rstrip(".")
        return f"{customer} was served by {version or str(digest)[:12]} ({self.cell(row, 'Judgement')})"

    def picture(self, filters: Filters, as_of: datetime) -> Picture | None:
        """Return the stretches over time, one line for each deployment and customer, and the requests by judgement."""
        found = self.select(filters, as_of)[: MOST_DRAWN + 1]
        drawn = found[:MOST_DRAWN]
        if not drawn:
            return None
        said = judged(drawn, as_of)
        spans = [span_of(stretch, each) for stretch, each in zip(drawn, said, strict=True)]
        context = {
            "timeline": timelines.timeline(spans, ends=(filters.since, filters.until)),
            "bar": charts.stacked_bar(totals(zip(drawn, said, strict=True))),
            "gaps": sum(stretch.is_gap for stretch in drawn),
            "shared": sum(bool(stretch.others) for stretch in drawn),
            "is_cut": len(found) > MOST_DRAWN,
        }
        return Picture("audit/_served_picture.html", context)


def judged(found: Sequence[Stretch], as_of: datetime) -> list[Judgement]:
    """Return the judgement on each stretch, and what is known about each gap."""
    gaps = [stretch for stretch in found if stretch.is_gap]
    answers = iter(judge([stretch for stretch in found if not stretch.is_gap]))
    meanwhile = iter(told_meanwhile(gaps, as_of))
    return [said_of(gap, next(meanwhile)) if gap.is_gap else next(answers) for gap in found]


def said_of(gap: Stretch, has_others: bool) -> Judgement:
    """Return what is known about a gap."""
    said = "reported others meanwhile" if has_others else "reported nothing at all meanwhile"
    return Judgement(GAP, why=f"No window for {gap.customer} was reported; {gap.deployment} {said}.")


def share(stretch: Stretch) -> float:
    """Return which share of the requests of its windows a stretch answered, in per cent."""
    return float(100 * (stretch.requests or 0) / stretch.slot_requests) if stretch.slot_requests else 100.0


def beside(stretch: Stretch, labels: Mapping[str, str]) -> str:
    """Return what served the same windows beside a stretch."""
    return ", ".join(labels.get(digest, f"{digest[:12]}…") for digest in sorted(stretch.others))


def labels_of(digests: set[str], as_of: datetime) -> dict[str, str]:
    """Return the version that was registered under each digest by then, the newest where there are several."""
    rows = Version.objects.filter(identity_digest__in=digests, registered_at__lte=as_of).select_related("asset")
    return {row.identity_digest: row.label for row in rows.order_by("registered_at", "pk")}


def span_of(stretch: Stretch, said: Judgement) -> timelines.Span:
    """Return a stretch as it is drawn."""
    name = "" if stretch.is_gap else said.version or f"{stretch.digest[:12]}…"
    line = f"{stretch.customer} · {stretch.deployment} · {stretch.environment}"
    tone = TONES.get(said.verdict, "bad")
    return timelines.Span(line, name, stretch.start, stretch.end, tone, said.verdict, hollow=stretch.is_gap)


def totals(told: Iterable[tuple[Stretch, Judgement]]) -> list[charts.Part]:
    """Return how many requests were answered under each judgement."""
    counted: Counter[str] = Counter()
    for stretch, said in told:
        counted[said.verdict] += stretch.requests or 0
    return [charts.Part(word.capitalize(), counted[word], TONES.get(word, "bad")) for word in WORDS if counted[word]]
