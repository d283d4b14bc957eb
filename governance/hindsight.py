"""What was so at a past instant, from append-only facts and history rows alone: nothing here reads a present state.

Whether a version could serve is `standing`'s to say. An answer of a check is shown as it was recorded by then.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Prefetch, Q

from governance import challenges, standing
from governance.models import (
    Challenge,
    CheckRun,
    ConsumerGrant,
    Decision,
    Finding,
    Obligation,
    Policy,
    Promotion,
    Review,
    Submission,
    Transition,
    Waiver,
)
from governance.models.submissions import SubmissionState
from governance.models.waivers import WaiverState
from portal.errors import Fault, Invalid
from registry.models import Asset, Evidence, State, Version


@dataclass(frozen=True)
class PastSubmission:
    """A submission as it stood: its state then, and the verdicts given by then, those taken back by then marked."""

    submission: Submission
    state: str
    verdicts: tuple[tuple[Review, bool], ...]


@dataclass(frozen=True)
class PastWaiver:
    """A waiver as it stood."""

    waiver: Waiver
    state: str


@dataclass(frozen=True)
class PastObligation:
    """A condition of an approval as it stood: open, met or late."""

    obligation: Obligation
    state: str


@dataclass(frozen=True)
class Hindsight:
    """One version, seen from one instant. `record` and `asset` carry the fields as they were."""

    version: Version
    at: datetime
    record: Any
    asset: Any
    state: str
    last_move: Transition | None
    policy: Policy | None
    standings: tuple[standing.Standing, ...]
    pointers: tuple[Promotion, ...]
    evidence: tuple[Evidence, ...]
    runs: tuple[CheckRun, ...]
    findings: tuple[Finding, ...]
    challenges: tuple[Challenge, ...]
    waivers: tuple[PastWaiver, ...]
    submissions: tuple[PastSubmission, ...]
    decisions: tuple[Decision, ...]
    obligations: tuple[PastObligation, ...]
    consumers: tuple[ConsumerGrant, ...]


def look(version: Version, at: datetime) -> Hindsight:
    """Return a version as it was at an instant. Raises Invalid for one before it was registered."""
    if at < version.registered_at:
        expected = f"an instant from {version.registered_at:%Y-%m-%d %H:%M:%S} UTC on, when it was registered"
        raise Invalid(Fault("as_of", at.isoformat(), expected))
    moves = Transition.objects.filter(version=version, at__lte=at).select_related("actor", "successor__asset")
    last = moves.order_by("-at", "-pk").first()
    rules = governing(version, at)
    return Hindsight(
        version=version,
        at=at,
        record=then(Version, version.pk, at),
        asset=then(Asset, version.asset_id, at),
        state=last.to_state if last else State.DRAFT,
        last_move=last,
        policy=rules,
        standings=tuple(standing.of(version, name, at=at) for name in (rules.environments if rules else ())),
        pointers=pointers(version.asset, at),
        evidence=tuple(version.evidence.filter(attached_at__lte=at).select_related("attached_by")),
        runs=answers(version, at),
        findings=findings(version, at),
        challenges=tuple(challenges.opened(at).filter(version=version).select_related("root__asset", "finding")),
        waivers=waivers(version, at),
        submissions=submissions(version, at),
        decisions=tuple(version.decisions.filter(made_at__lte=at).select_related("made_by", "signature", "revokes")),
        obligations=obligations(version, at),
        consumers=tuple(version.consumer_grants.filter(granted_at__lte=at).order_by("granted_at", "pk")),
    )


def then(model: Any, pk: int, at: datetime) -> Any:
    """Return a governed row as its newest history row by an instant has it, or None when it was not there yet."""
    rows = model.history.filter(**{model._meta.pk.attname: pk}, history_date__lte=at)
    return rows.order_by("-history_date", "-history_id").first()


def governing(version: Version, at: datetime) -> Policy | None:
    """Return the policy that governed a version's kind at an instant."""
    rows = Policy.objects.filter(content__applies_to__kinds__contains=version.asset.kind, published_at__lte=at)
    return rows.order_by("-published_at", "-pk").first()


def pointers(asset: Asset, at: datetime) -> tuple[Promotion, ...]:
    """Return where each environment of an asset pointed at an instant."""
    rows = Promotion.objects.filter(asset=asset, promoted_at__lte=at)
    newest = rows.order_by("environment", "-promoted_at", "-pk").distinct("environment")
    return tuple(newest.select_related("version__asset", "promoted_by", "decision"))


def answers(version: Version, at: datetime) -> tuple[CheckRun, ...]:
    """Return the newest answer to each check by an instant, under each policy that asked."""
    rows = version.check_runs.filter(ended_at__lte=at).order_by("policy_id", "check_slug", "-ended_at", "-pk")
    return tuple(rows.distinct("policy_id", "check_slug").select_related("policy"))


def findings(version: Version, at: datetime) -> tuple[Finding, ...]:
    """Return the findings that were there at an instant, each as it was triaged then."""
    rows = Finding.history.filter(version_id=version.pk, history_date__lte=at)
    newest = rows.order_by("id", "-history_date", "-history_id").distinct("id")
    known = (row.instance for row in newest)
    return tuple(each for each in known if each.closed_at is None or each.closed_at > at)


def waivers(version: Version, at: datetime) -> tuple[PastWaiver, ...]:
    """Return the waivers that had been requested by an instant, each with its state then."""
    rows = version.waivers.filter(requested_at__lte=at).select_related("requested_by", "decided_by", "finding")
    return tuple(PastWaiver(row, waiver_state(row, at)) for row in rows)


def waiver_state(waiver: Waiver, at: datetime) -> str:
    """Return what a waiver was at an instant; what has run out is expired, whatever its row says."""
    if waiver.decided_at is None or waiver.decided_at > at:
        return WaiverState.REQUESTED
    if waiver.state == WaiverState.REFUSED:
        return WaiverState.REFUSED
    if waiver.revoked_at is not None and waiver.revoked_at <= at:
        return WaiverState.REVOKED
    return WaiverState.GRANTED if at < waiver.expires_at else "expired"


def submissions(version: Version, at: datetime) -> tuple[PastSubmission, ...]:
    """Return the submissions that had been opened by an instant, each with its state and its verdicts then."""
    given = Review.objects.filter(given_at__lte=at).select_related("reviewer", "on_behalf_of", "withdrawal")
    rows = version.submissions.filter(submitted_at__lte=at).select_related("submitted_by")
    found = rows.prefetch_related(Prefetch("reviews", given.order_by("pk"), to_attr="given")).order_by("-submitted_at")
    return tuple(past_submission(row, at) for row in found)


def past_submission(row: Any, at: datetime) -> PastSubmission:
    """Return a submission, its verdicts in `given`, as it stood; overdue is lapsed, whenever it was written down."""
    state = row.state if row.closed_at is not None and row.closed_at <= at else SubmissionState.OPEN
    if state == SubmissionState.OPEN and at >= row.ends_at:
        state = SubmissionState.LAPSED
    return PastSubmission(row, state, tuple((review, was_withdrawn(review, at)) for review in row.given))


def was_withdrawn(review: Review, at: datetime) -> bool:
    """Return whether a verdict had been taken back by an instant."""
    withdrawal = getattr(review, "withdrawal", None)
    return withdrawal is not None and withdrawal.withdrawn_at <= at


def obligations(version: Version, at: datetime) -> tuple[PastObligation, ...]:
    """Return the conditions of the verdicts given by an instant, each as it stood."""
    rows = Obligation.objects.filter(review__submission__version=version, review__given_at__lte=at)
    found = rows.filter(Q(review__withdrawal=None) | Q(review__withdrawal__withdrawn_at__gt=at))
    return tuple(
        PastObligation(row, obligation_state(row, at))
        for row in found.select_related("review__reviewer", "review__submission", "end")
    )


def obligation_state(obligation: Obligation, at: datetime) -> str:
    """Return whether a condition was open, met or late at an instant."""
    end = getattr(obligation, "end", None)
    met = end.ended_at if end is not None and end.ended_at <= at else None
    if met is not None and met <= obligation.due_at:
        return "met"
    return "late" if at >= obligation.due_at else "open"
