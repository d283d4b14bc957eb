"""Since when a finding counts against a policy, and against its waivers, read from its history. Writes nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db.models import Case, F, IntegerField, OuterRef, Q, QuerySet, Subquery, Value, When

from governance import advisories
from governance.models import Finding, Waiver
from governance.models.advisories import Severity
from governance.models.findings import Triage


def counts_since(history: Sequence[Any], rule: Mapping[str, Any], at: datetime) -> datetime | None:
    """Return since when a finding stands in a rule's way at its present severity or worse, or None when it does not.

    `history` are the finding's history rows, oldest first. A finding that grew worse counts anew.
    """
    began: datetime | None = None
    before: Any = None
    for row, following in zip(history, [*history[1:], None], strict=True):
        until = following.history_date if following else None
        starts = counts_from(row, rule, until or at)
        if starts is None:
            began = None
        elif began is None or starts > row.history_date or is_worse(row, before, rule):
            began = starts
        before = row
    return began


def counts_from(row: Any, rule: Mapping[str, Any], until: datetime) -> datetime | None:
    """Return the first instant at which one state of a finding stands in a rule's way, or None when it never does."""
    if row.closed_at is not None or not advisories.reaches(row.severity, rule):
        return None
    if row.triage == Triage.ACCEPTED and row.accepted_until is not None and row.accepted_until <= until:
        return max(row.history_date, row.accepted_until)
    return row.history_date if row.triage == Triage.OPEN else None


def is_worse(row: Any, before: Any, rule: Mapping[str, Any]) -> bool:
    """Return whether one state of a finding is of a worse severity than the one before it."""
    return advisories.rank(row.severity, rule) > advisories.rank(before.severity, rule)


def read_histories(findings: Iterable[Finding]) -> dict[int, list[Any]]:
    """Return the history rows of some findings, oldest first, by the findings' ids."""
    histories: defaultdict[int, list[Any]] = defaultdict(list)
    rows = Finding.history.filter(id__in=[finding.pk for finding in findings])
    for row in rows.order_by("history_date", "history_id"):
        histories[row.id].append(row)
    return histories


def not_outgrown(waivers: QuerySet[Waiver], at: datetime) -> QuerySet[Waiver]:
    """Return those of some waivers whose finding is, at an instant, no worse than when each was granted.

    What severities are worth is said by the policy under which the waiver was requested, an unknown one included. A
    waiver of a whole rule is of whatever the rule finds.
    """
    unknown = ranked("policy__content__rules__vulnerabilities__unknown", Value(list(Severity).index(Severity.HIGH)))
    rows = waivers.alias(unknown_rank=unknown)
    rows = rows.alias(granted_rank=rank_at(OuterRef("decided_at")), present_rank=rank_at(at))
    return rows.filter(Q(finding=None) | Q(present_rank__lte=F("granted_rank")))


def rank_at(at: datetime | OuterRef) -> Subquery:
    """Return how bad the finding of the waiver outside was at an instant: more is worse."""
    rows = Finding.history.filter(id=OuterRef("finding_id"), history_date__lte=at)
    rows = rows.order_by("-history_date", "-history_id")
    return Subquery(rows.annotate(rank=ranked("severity", OuterRef("unknown_rank"))).values("rank")[:1])


def ranked(name: str, unknown: Value | OuterRef) -> Case:
    """Return the expression for where a severity stands among all; an unknown one is given what it counts as."""
    known = [(place, each) for place, each in enumerate(Severity) if each != Severity.UNKNOWN]
    cases = [When(**{name: str(each)}, then=Value(place)) for place, each in known]
    return Case(*cases, default=unknown, output_field=IntegerField())
