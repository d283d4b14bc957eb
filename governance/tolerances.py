"""What is being tolerated at an instant: waivers, accepted findings, allowed globals, and conditions still to be met.

Read from facts that nobody can change, so the answer for a past instant stays what it was. A person sees what concerns
assets they may see. Each kind costs a fixed number of queries and gives a bounded number of rows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, Exists, OuterRef, Q, QuerySet, Subquery, Window
from django.urls import reverse

from governance import dues, waivers
from governance.models import AllowedGlobal, Decision, Finding, Obligation, Reliance, TriageStatement, Waiver
from governance.models.findings import Triage
from governance.models.waivers import WaiverState
from governance.permissions import visible
from governance.triage import sentences
from governance.triage.statements import effective_at
from registry.models import Asset, User, Version

SOON = timedelta(days=7)
# How many exceptions of one kind are shown: those that end first.
MAX_ROWS = 500
SCAN = "artifact-scan"
KINDS = {
    "waiver": "Waiver",
    "finding": "Accepted finding",
    "global": "Allowed global",
    "obligation": "Condition of an approval",
}


@dataclass(frozen=True)
class Tolerance:
    """One exception in force: of what, where, by whom, why, what makes up for it, until when, and what rests on it."""

    kind: str
    rule: str
    title: str
    url: str
    asset: Asset
    version: Version | None
    environment: str
    granted_by: User | None
    asked_by: User | None
    why: str
    control: str
    since: datetime
    until: datetime
    at: datetime
    rests: tuple[Decision, ...] = ()

    @property
    def ends_soon(self) -> bool:
        """Return whether it ends within seven days."""
        return self.until - self.at <= SOON

    @property
    def kind_words(self) -> str:
        """Return what sort of exception it is, in words."""
        return KINDS[self.kind]


@dataclass(frozen=True)
class Asked:
    """Who asks what is tolerated at an instant, and of which asset and rule; empty words mean all."""

    user: User
    at: datetime
    asset: str = ""
    rule: str = ""

    def wants(self, rule: str) -> bool:
        """Return whether a rule is among those that are asked about."""
        return self.rule in {"", rule}

    def first(self, rows: QuerySet[Any], *, ends: str, asset: str) -> tuple[list[Any], int]:
        """Return the rows this person may see that end first, and how many more there are, in one query.

        `ends` is the field with a row's end, `asset` the path from a row to its asset.
        """
        seen = visible(self.user, rows, asset=asset)
        seen = seen.filter(**{f"{asset}__slug": self.asset}) if self.asset else seen
        shown = list(seen.annotate(of=Window(Count("*"))).order_by(ends, "pk")[:MAX_ROWS])
        return shown, shown[0].of - len(shown) if shown else 0


def found(asked: Asked) -> tuple[list[Tolerance], int]:
    """Return what is tolerated, the first that ends on top, and how much more there is than is returned."""
    kinds = [by_waiver(asked), by_triage(asked), by_allowance(asked), by_condition(asked)]
    rows = sorted((row for some, _ in kinds for row in some), key=lambda row: (row.until, row.title))
    return rows, sum(more for _, more in kinds)


def by_waiver(asked: Asked) -> tuple[list[Tolerance], int]:
    """Return the waivers in force, in two queries."""
    at = asked.at
    granted = Waiver.objects.filter(
        Q(revoked_at=None) | Q(revoked_at__gt=at),
        state__in=(WaiverState.GRANTED, WaiverState.REVOKED),
        decided_at__lte=at,
        expires_at__gt=at,
        **({"rule": asked.rule} if asked.rule else {}),
    ).select_related("version__asset", "requested_by", "decided_by", "finding")
    rows, more = asked.first(granted, ends="expires_at", asset="version__asset")
    rests = resting_on(rows, at)
    return [granted_waiver(row, at, rests[row.pk]) for row in rows], more


def granted_waiver(row: Waiver, at: datetime, rests: Iterable[Decision]) -> Tolerance:
    """Return one waiver in force with the approvals that rest on it."""
    return Tolerance(
        kind="waiver",
        rule=row.rule,
        title=row.finding.vulnerability if row.finding else row.rule,
        url=waivers.where(row),
        asset=row.version.asset,
        version=row.version,
        environment=row.environment,
        granted_by=row.decided_by,
        asked_by=row.requested_by,
        why=row.reason,
        control=row.compensating_control,
        since=row.decided_at or at,
        until=row.expires_at,
        at=at,
        rests=tuple(rests),
    )


def resting_on(rows: Iterable[Waiver], at: datetime) -> dict[int, list[Decision]]:
    """Return the approvals made by an instant that rest on waivers and were not over by then, by the waivers' ids."""
    decisions: defaultdict[int, list[Decision]] = defaultdict(list)
    made = Reliance.objects.filter(waiver__in=[row.pk for row in rows], decision__made_at__lte=at)
    alive = made.filter(Q(decision__revocation=None) | Q(decision__revocation__made_at__gt=at))
    for each in alive.filter(decision__expires_at__gt=at).select_related("decision__version__asset").order_by("pk"):
        decisions[each.waiver_id].append(each.decision)
    return decisions


def by_triage(asked: Asked) -> tuple[list[Tolerance], int]:
    """Return the findings that were accepted until later, in one query."""
    at = asked.at
    counted = Q(needs_answer=False) | Q(answer__agreed=True, answer__answered_at__lte=at)
    said = TriageStatement.objects.filter(counted, status=Triage.ACCEPTED, stated_at__lte=at, until__gt=at)
    newer = said.filter(finding=OuterRef("finding"), pk__gt=OuterRef("pk"))
    states = Finding.history.filter(id=OuterRef("finding_id"), history_date__lte=at)
    newest = Subquery(states.order_by("-history_date", "-history_id").values("history_id")[:1])
    # What somebody said counts while the finding's state is of it, and while the finding was not closed.
    accepted = Finding.history.filter(Q(closed_at=None) | Q(closed_at__gt=at), history_id=OuterRef("newest"))
    rows = said.exclude(Exists(newer)).alias(newest=newest).filter(Exists(accepted.filter(triage=Triage.ACCEPTED)))
    rows = rows.select_related("finding__version__asset", "stated_by", "answer__answered_by")
    if not asked.wants(waivers.BY_FINDING):
        return [], 0
    shown, more = asked.first(rows, ends="until", asset="finding__version__asset")
    return [accepted_finding(row, at) for row in shown], more


def accepted_finding(row: TriageStatement, at: datetime) -> Tolerance:
    """Return one accepted finding; who agreed granted it, or who stated it when that counted at once."""
    given, finding = getattr(row, "answer", None), row.finding
    return Tolerance(
        kind="finding",
        rule=waivers.BY_FINDING,
        title=finding.vulnerability,
        url=sentences.address(finding.vulnerability),
        asset=finding.version.asset,
        version=finding.version,
        environment="",
        granted_by=given.answered_by if given is not None else row.stated_by,
        asked_by=row.stated_by,
        why=row.reason,
        control="",
        since=effective_at(row) or row.stated_at,
        until=row.until or at,
        at=at,
    )


def by_allowance(asked: Asked) -> tuple[list[Tolerance], int]:
    """Return the globals that scans might count on, in one query."""
    at = asked.at
    if not asked.wants(SCAN):
        return [], 0
    alive = AllowedGlobal.objects.filter(allowed_at__lte=at, expires_at__gt=at).select_related("asset", "allowed_by")
    alive = alive.filter(Q(revoked_at=None) | Q(revoked_at__gt=at))
    rows, more = asked.first(alive, ends="expires_at", asset="asset")
    return [allowed_global(row, at) for row in rows], more


def allowed_global(row: AllowedGlobal, at: datetime) -> Tolerance:
    """Return one global that scans might count on."""
    return Tolerance(
        kind="global",
        rule=SCAN,
        title=f"{row.module}.{row.name}",
        url=row.asset.get_absolute_url(),
        asset=row.asset,
        version=None,
        environment="",
        granted_by=row.allowed_by,
        asked_by=None,
        why=row.reason,
        control=row.get_use_display(),
        since=row.allowed_at,
        until=row.expires_at,
        at=at,
    )


def by_condition(asked: Asked) -> tuple[list[Tolerance], int]:
    """Return the conditions of approvals in force that were not met yet, in two queries."""
    at = asked.at
    made = approvals(at)
    rows = (
        dues.counting(at)
        .filter(Q(end=None) | Q(end__ended_at__gt=at), review__given_at__lte=at, due_at__gt=at)
        .filter(Exists(made.filter(submission=OuterRef("review__submission"))))
        .select_related("review__submission__version__asset", "review__reviewer")
    )
    rows = rows.filter(review__role=asked.rule) if asked.rule else rows
    shown, more = asked.first(rows, ends="due_at", asset="review__submission__version__asset")
    of = {row.submission_id: row for row in made.filter(submission__in=[each.review.submission_id for each in shown])}
    return [condition(row, of[row.review.submission_id], at) for row in shown], more


def approvals(at: datetime) -> QuerySet[Decision]:
    """Return the approvals in force at an instant."""
    rows = Decision.objects.filter(verdict="approved", made_at__lte=at, expires_at__gt=at)
    alive = rows.filter(Q(revocation=None) | Q(revocation__made_at__gt=at)).exclude(Exists(dues.late(at)))
    return alive.select_related("version__asset")


def condition(row: Obligation, decision: Decision, at: datetime) -> Tolerance:
    """Return one condition that is not met yet: what it asks for, and the approval that it was given with."""
    submission = row.review.submission
    return Tolerance(
        kind="obligation",
        rule=row.review.role,
        title=row.says,
        url=reverse("governance:submission", args=[submission.public_id]),
        asset=submission.version.asset,
        version=submission.version,
        environment=submission.environment,
        granted_by=row.review.reviewer,
        asked_by=None,
        why="Approved on this condition.",
        control="",
        since=row.review.given_at,
        until=row.due_at,
        at=at,
        rests=(decision,),
    )
