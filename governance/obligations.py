"""Conditions of an approval: written with it, met in time by agreement of its role, or late, which ends the decision.

That a late one ends the decision is computed at read time in `governance.standing` (by `governance.dues`); the sweep
here only writes the revocation down.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta

from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Exists, Q, QuerySet
from django.utils import timezone

from audit import log
from audit.events import Event
from governance import addressees, decisions, dues, independence, lifecycle, notices, submissions
from governance.models import Decision, Obligation, ObligationEnd, Review, Submission
from governance.models.reviews import Verdict
from governance.models.submissions import SubmissionState
from governance.notices import Kind
from governance.permissions import on_team, sits_for
from portal.errors import Fault, Invalid, Reason, Refused, show
from registry.models import User

Condition = tuple[str, datetime]
MOST, SHORTEST, LONGEST = 20, 3, 4000
# When people are told before a condition is due, in days.
WARNINGS = (7, 1)


def expect_conditions(submission: Submission, conditions: Sequence[Condition]) -> None:
    """Raise Invalid unless each condition says what has to be done, until when, while the approval would hold."""
    if not conditions:
        return
    if len(conditions) > MOST:
        raise Invalid(Fault("conditions", f"{len(conditions)} conditions", f"at most {MOST}"))
    now = timezone.now()
    end = decisions.expiry(submission, submissions.standing_verdicts(submission), now)
    faults = [fault for place, each in enumerate(conditions) for fault in faults_of(place, each, now, end)]
    if faults:
        raise Invalid(*faults)


def faults_of(place: int, condition: Condition, now: datetime, end: datetime) -> Iterator[Fault]:
    """Yield what is wrong with one condition of an approval that would end at an instant."""
    says, due_at = condition
    if len(says.strip()) < SHORTEST or len(says) > LONGEST:
        yield Fault(
            f"conditions[{place}].says", show(says), f"{SHORTEST} to {LONGEST:,} characters: what has to be done"
        )
    else:
        lifecycle.expect_text(f"conditions[{place}].says", says)
    if timezone.is_naive(due_at) or not now < due_at < end:
        expected = f"an instant with its time zone from now until before {end:%Y-%m-%d %H:%M} UTC, when it would expire"
        yield Fault(f"conditions[{place}].due_at", due_at.isoformat(), expected)


def write(review: Review, conditions: Sequence[Condition]) -> list[Obligation]:
    """Write the conditions of an approval, inside the caller's record."""
    return [
        Obligation.objects.create(review=review, says=says.strip(), due_at=due_at)
        for says, due_at in sorted(conditions, key=lambda condition: condition[1])
    ]


def expect_none_late(given: Iterable[Review], submission: Submission) -> None:
    """Raise Refused when a condition was late before all the roles had approved: such a decision would never hold."""
    now = timezone.now()
    missed = [
        each
        for each in Obligation.objects.filter(review__in=list(given)).select_related("review__reviewer", "end")
        if dues.is_late(each, now)
    ]
    if missed:
        raise Refused(
            "obligation_late",
            f"{submission} cannot be decided: a condition of an approval was due before all the roles had approved.",
            reasons=[
                Reason(
                    "obligation_late",
                    f"The condition of {each.review.role} was due on {each.due_at:%Y-%m-%d %H:%M} UTC: {each.says}",
                    f"{each.review.reviewer} takes the approval for {each.review.role} back and gives it anew.",
                    submission.get_absolute_url(),
                )
                for each in missed
            ],
        )


def meet(obligation: Obligation, *, actor: User, note: str) -> ObligationEnd:
    """Agree that a condition is met: by somebody independent in the role that set it, before it is late.

    Raises Refused when it is met already, late, or binds nothing any more; PermissionDenied outside the role.
    """
    with log.record(Event.OBLIGATION_MET, actor=actor, subject=obligation, role=obligation.review.role) as entry:
        submission = submissions.lock(obligation.review.submission)
        obligation = Obligation.objects.select_related("review__submission__version__asset", "end").get(
            pk=obligation.pk
        )
        actor.require("obligation.meet", submission)
        if not sits_for(actor, obligation.review.role, submission):
            raise PermissionDenied(f"{actor.username} does not review for {obligation.review.role} here.")
        expect_apart(submission, actor)
        lifecycle.expect_reason(note)
        expect_to_meet(obligation, submission, timezone.now())
        end = ObligationEnd.objects.create(obligation=obligation, note=note, ended_by=actor, ended_at=timezone.now())
        entry.note(review=str(obligation.review.public_id), submission=str(submission.public_id))
    return end


def expect_apart(submission: Submission, actor: User) -> None:
    """Raise Refused when the actor is on the team that had to meet the condition, or had a hand in the version."""
    found = independence.involvement(submission, actor)
    if on_team(actor, submission):
        found.append(f"{actor} is on the team of {submission.version.asset.slug}.")
    if found:
        fix = "Somebody else who reviews for the role looks whether it is met."
        reasons = [Reason("independence", says, fix, submission.get_absolute_url()) for says in found]
        raise Refused("not_independent", f"{actor} cannot agree that their own work is done.", reasons=reasons)


def expect_to_meet(obligation: Obligation, submission: Submission, now: datetime) -> None:
    """Raise Refused unless a condition is open at an instant and binds a decision, or one that is yet to be made."""
    end = getattr(obligation, "end", None)
    if end is not None:
        raise Refused("obligation_met", f"{end.ended_by} agreed that this is met already.")
    if now >= obligation.due_at:
        fix = f"Submit the version for {submission.environment} again and have it approved."
        says = f"It was due on {obligation.due_at:%Y-%m-%d %H:%M} UTC."
        raise Refused(
            "obligation_late",
            "The condition is late, and the decision that rested on it has ended.",
            reasons=[Reason("obligation_late", says, fix, submission.version.get_absolute_url())],
        )
    if not binds(obligation, submission, now):
        raise Refused("obligation_over", "The approval with this condition does not count any more.")


def binds(obligation: Obligation, submission: Submission, at: datetime) -> bool:
    """Return whether the approval with an open condition counts: for a decision in force, or while it is being made."""
    if submission.is_open:
        review = obligation.review
        taken_back = hasattr(review, "withdrawal")
        return not taken_back and review.dossier_digest == submissions.current_digest(submission)
    return dues.pending(at).filter(pk=obligation.pk).exists()


def revoke_late_due() -> int:
    """Write down the end of the decisions that a late condition has ended. Returns how many; safe to run at once."""
    sweeps = User.objects.system("sweeps")
    ended = 0
    for found in ended_by_lateness().select_related("version"):
        with transaction.atomic():
            lifecycle.lock(found.version)
            decision = ended_by_lateness().filter(pk=found.pk).first()
            if decision is None:
                continue
            missed = dues.late_of(decision, timezone.now())
            says = f"Not met by {missed.due_at:%Y-%m-%d %H:%M} UTC, as {missed.review.role} had asked: {missed.says}"
            decisions.revoke(decision, actor=sweeps, reason=says[:LONGEST], rule="sweep")
            ended += 1
    return ended


def ended_by_lateness() -> QuerySet[Decision]:
    """Return the approvals that a late condition has ended and that no revocation has been written for."""
    late = dues.late(timezone.now())
    return Decision.objects.filter(Exists(late), verdict="approved", revocation=None).order_by("pk")


def tell_due() -> int:
    """Tell owner, submitter and reviewer that a condition is due in 7 days, and in 1. Returns how many are told anew.

    After a pause only the nearest of the two is told, and nothing about what is met, late or void.
    """
    now = timezone.now()
    soon = Obligation.objects.filter(due_at__gt=now, due_at__lte=now + timedelta(days=max(WARNINGS)), end=None)
    rows = soon.filter(
        Q(review__submission__state=SubmissionState.OPEN, review__verdict=Verdict.APPROVE)
        | Q(pk__in=dues.pending(now).values("pk"))
    ).select_related("review__reviewer", "review__withdrawal", "review__submission__version__asset__owner")
    told = 0
    for obligation in rows.select_related("review__submission__policy", "review__submission__submitted_by"):
        if binds(obligation, obligation.review.submission, now):
            told += warn(obligation, min(days for days in WARNINGS if obligation.due_at <= now + timedelta(days=days)))
    return told


def warn(obligation: Obligation, days: int) -> int:
    """Tell about one condition that is due within some days."""
    review, submission = obligation.review, obligation.review.submission
    asset = submission.version.asset
    return notices.tell(
        Kind.OBLIGATION_DUE,
        cause=f"obligation:{obligation.public_id}:{days}",
        to=[*addressees.owners(asset)[:1], submission.submitted_by, review.reviewer],
        subject=f"A condition for {submission} is due",
        text=(
            f"A condition that {review.role} set for {submission} is due on {obligation.due_at:%Y-%m-%d %H:%M} UTC. "
            f"Unless {review.role} agrees before that it is met, the decision ends."
        ),
        url=submission.get_absolute_url(),
        asset=asset,
    )
