"""What will happen to versions by itself: the moves of hygiene, and what ends or falls due without moving anything.

Decisions, waivers, submissions, conditions and challenges have their own dates; nothing here writes or warns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Exists, OuterRef, QuerySet
from django.db.models.functions import Coalesce, Least

from governance import challenges, doubts, dues, hygiene, lifecycle, standing
from governance.hygiene.dates import with_due
from governance.models import Challenge, Decision, Obligation, Submission, Waiver
from governance.models.challenges import Cause
from governance.models.submissions import SubmissionState
from governance.models.waivers import WaiverState
from registry.models import State, Version

SOON = timedelta(days=30)
# What can be foreseen, with what a filter calls it.
WORDS = {
    "stale": "Stale",
    "vulnerable": "Vulnerable",
    "unowned": "Unowned",
    "sunset": "Sunset",
    "decision": "Decision ends",
    "waiver": "Waiver ends",
    "submission": "Submission lapses",
    "obligation": "Condition due",
    "challenge": "Challenge due",
}
PEOPLE = ("asset__team", "asset__owner", "asset__backup_owner")


def coming(
    rows: QuerySet[Version], *, at: datetime, until: datetime, at_most: int | None = None
) -> list[hygiene.Foreseen]:
    """Return everything that is foreseen for some versions between two instants, the first on top.

    The number of queries does not depend on how many versions there are; `at_most` bounds how many of a kind are read.
    """
    found = hygiene.coming(rows, at=at, until=until, at_most=at_most)
    mine = rows.order_by().values("pk")
    others = [each for look in SOURCES for each in look(mine, at, until, at_most)]
    told = hygiene.addressees(version.asset for _, version, *_ in others)
    found += [
        hygiene.Foreseen(version, what, when, why, told[version.asset_id], target)
        for what, version, when, why, target in others
    ]
    return sorted(found, key=lambda each: (each.at, each.version.pk, each.what))


def soon(version: Version, *, at: datetime) -> list[hygiene.Foreseen]:
    """Return what happens to one version within thirty days, the first on top."""
    return coming(Version.objects.filter(pk=version.pk), at=at, until=at + SOON)


def moves_soon(rows: QuerySet[Version], *, at: datetime, at_most: int) -> list[hygiene.Foreseen]:
    """Return the moves that the clock makes with some versions within thirty days, the first on top."""
    return hygiene.coming(rows, at=at, until=at + SOON, at_most=at_most)[:at_most]


Other = tuple[str, Version, datetime, str, str]


def read(rows: QuerySet[Any], mine: QuerySet[Any], path: str, at_most: int | None) -> Iterable[Any]:
    """Return the rows about some versions, with the people of their assets."""
    found = rows.filter(**{f"{path}__in": mine})
    return found.select_related(*(f"{path}__{name}" for name in PEOPLE))[:at_most]


def decisions_ending(mine: QuerySet[Any], at: datetime, until: datetime, at_most: int | None) -> list[Other]:
    """Return the approvals that end without another one that lasts longer."""
    longer = Decision.objects.filter(
        version=OuterRef("version"),
        environment=OuterRef("environment"),
        verdict="approved",
        revocation=None,
        expires_at__gt=OuterRef("until"),
    )
    rows = standing.expiring(until, at=at).filter(~Exists(longer))
    return [
        ("decision", row.version, row.until, say_decision(row), target_of(row))
        for row in read(rows, mine, "version", at_most)
    ]


def say_decision(row: Decision) -> str:
    """Return what the end of a decision brings about."""
    return f"The decision for {row.environment} ends. Without a new one it may not serve there."


def target_of(row: Decision) -> str:
    """Return the state that the end of a decision brings a version back to."""
    is_approved = row.environment == lifecycle.PRODUCTION and row.version.state == State.APPROVED
    return State.CANDIDATE if is_approved else ""


def waivers_ending(mine: QuerySet[Any], at: datetime, until: datetime, at_most: int | None) -> list[Other]:
    """Return the waivers in force that end."""
    rows = Waiver.objects.filter(
        state=WaiverState.GRANTED, decided_at__lte=at, expires_at__gt=at, expires_at__lte=until
    )
    return [
        ("waiver", row.version, row.expires_at, f"The waiver of {row.rule} in {row.environment} ends.", "")
        for row in read(rows.order_by("expires_at", "pk"), mine, "version", at_most)
    ]


def submissions_lapsing(mine: QuerySet[Any], at: datetime, until: datetime, at_most: int | None) -> list[Other]:
    """Return the open submissions that nobody has answered yet."""
    ends = Least("due_at", Coalesce("policy_until", "due_at"))
    rows = Submission.objects.filter(state=SubmissionState.OPEN).annotate(ends=ends).filter(ends__lte=until)
    return [
        ("submission", row.version, row.ends, f"Unanswered, the submission for {row.environment} lapses to no.", "")
        for row in read(rows.order_by("ends", "pk"), mine, "version", at_most)
    ]


def conditions_due(mine: QuerySet[Any], at: datetime, until: datetime, at_most: int | None) -> list[Other]:
    """Return the open conditions of decisions in force."""
    rows: QuerySet[Obligation] = dues.pending(at).filter(due_at__lte=until).select_related("review")
    return [
        ("obligation", row.review.submission.version, row.due_at, say_condition(row), "")
        for row in read(rows, mine, "review__submission__version", at_most)
    ]


def say_condition(row: Obligation) -> str:
    """Return what a condition asks for, and what its delay brings about."""
    says = row.says if len(row.says) <= 200 else f"{row.says[:199]}…"
    environment = row.review.submission.environment
    return f"{row.review.role} asked for this until then: {says} Late, the decision for {environment} ends."


def challenges_due(mine: QuerySet[Any], at: datetime, until: datetime, at_most: int | None) -> list[Other]:
    """Return the challenges whose time runs out."""
    found: list[Other] = []
    for cause in Cause:
        rows = with_due(challenges.worded(challenges.opened(at)), cause).filter(due__gt=at, due__lte=until)
        rows = rows.exclude(version__state=State.RETIRED).select_related("root__asset", "finding")
        found += [
            ("challenge", row.version, row.due, say_challenge(row), "") for row in read(rows, mine, "version", at_most)
        ]
    return found


def say_challenge(row: Challenge) -> str:
    """Return what challenges a version."""
    return f"{doubts.of(row).says}: unanswered, it may not serve from then on."


SOURCES: tuple[Callable[[QuerySet[Any], datetime, datetime, int | None], list[Other]], ...] = (
    decisions_ending,
    waivers_ending,
    submissions_lapsing,
    conditions_due,
    challenges_due,
)
