"""Handing a role's answer over: to one named person, or back to everybody who sits in the role.

Who holds a role is computed when it is asked: a receiver who leaves, or loses the seat, holds nothing any more.
"""

from __future__ import annotations

from collections.abc import Iterable

from django.core.exceptions import PermissionDenied
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from audit import log
from audit.events import Event
from governance import addressees, independence, lifecycle, notices, submissions
from governance.models import Handover, Submission
from governance.notices import Kind
from governance.permissions import sits_for
from portal.errors import Fault, Invalid, Reason, Refused, show
from registry.models import AssetUserGrant, Seat, User

GROUP = "the group"


def hand_over(submission: Submission, *, actor: User, role: str, receiver: User | None = None, reason: str) -> Handover:
    """Pass a role's answer to a named, equally independent person who sits in the role, or back to the group.

    Whoever sits in the role may do so and had no hand in the version either: nobody picks their own reviewer. Raises
    Refused when the receiver could not answer, Invalid when it is handed to whom it is with already.
    """
    told = receiver.ledger_ref[1] if receiver else GROUP
    with log.record(Event.REVIEW_HANDED, actor=actor, subject=submission, role=role, receiver=told) as entry:
        submission = submissions.lock(submission)
        actor.require("review.hand_over", submission)
        expect_passable(submission, actor, role)
        if receiver is not None:
            expect_able(submission, receiver, role)
        lifecycle.expect_reason(reason)
        if receiver == holder(submission, role):
            raise Invalid(Fault("receiver", show(str(receiver or GROUP)), "somebody who does not hold it already"))
        made = Handover.objects.create(
            submission=submission,
            role=role,
            giver=actor,
            receiver=receiver,
            reason=reason,
            handed_at=timezone.now(),
        )
        entry.note(handover=made.pk, to=receiver.ledger_name if receiver else "")
        tell_receiver(made)
    return made


def expect_passable(submission: Submission, actor: User, role: str) -> None:
    """Raise unless an open submission needs the role, and the actor sits in it and had no hand in the version."""
    wanted = submissions.required_roles(submission)
    if role not in wanted:
        raise Invalid(Fault("role", show(role), f"one of {', '.join(wanted)}"))
    if not sits_for(actor, role, submission):
        raise PermissionDenied(f"{actor.username} does not review for {role} here.")
    submissions.expect_open(submission)
    independence.expect_independent(submission, actor)


def expect_able(submission: Submission, receiver: User, role: str) -> None:
    """Raise Refused with the reason why a receiver could not answer for a role."""
    found = independence.involvement(submission, receiver)
    if receiver.kind != "person" or not receiver.is_active or not sits_for(receiver, role, submission):
        found = [f"{receiver} does not review for {role} here."]
    digest = submissions.current_digest(submission)
    answered = submission.reviews.filter(Q(reviewer=receiver) | Q(on_behalf_of=receiver), withdrawal=None)
    found += [f"{receiver} answered for {each.role} already." for each in answered.filter(dossier_digest=digest)]
    if found:
        fix = f"Name somebody else who sits in the role {role}, or hand it back to the group."
        reasons = [Reason("hand_over", says, fix, submission.get_absolute_url()) for says in found]
        raise Refused("receiver_cannot_answer", f"{receiver} could not answer for {role} here.", reasons=reasons)


def tell_receiver(made: Handover) -> None:
    """Tell the receiver that a role's answer is wanted from them."""
    submission = made.submission
    if made.receiver is not None:
        notices.tell(
            Kind.REVIEW_WANTED,
            cause=f"handover:{made.pk}",
            to=[made.receiver],
            subject=f"{submission} was handed to you",
            text=f"{made.giver} asks you to answer for {made.role}, by {submission.ends_at:%Y-%m-%d %H:%M} UTC.",
            url=submission.get_absolute_url(),
            asset=submission.version.asset,
        )


def current(rows: QuerySet[Handover]) -> QuerySet[Handover]:
    """Return the newest handover of each role of each submission, with whether its receiver can `hold` it now."""
    granted = AssetUserGrant.objects.filter(
        user=OuterRef("user"),
        content_object=OuterRef(OuterRef("submission__version__asset")),
        permission__codename="review_asset",
    )
    sitting = Seat.objects.filter(
        Q(everywhere=True) | Exists(granted), user=OuterRef("receiver"), role=OuterRef("role"), user__is_active=True
    )
    newest = rows.order_by("submission_id", "role", "-pk").distinct("submission_id", "role")
    return newest.annotate(holds=Exists(sitting))


def holders(waiting: Iterable[Submission]) -> dict[tuple[int, str], User]:
    """Return who alone may answer, by (submission id, role), for roles that were handed over; one query for all."""
    rows = current(Handover.objects.filter(submission__in=list(waiting))).select_related("receiver")
    return {(row.submission_id, row.role): row.receiver for row in rows if row.receiver is not None and row.holds}  # type: ignore[attr-defined]


def holder(submission: Submission, role: str) -> User | None:
    """Return the person who alone may answer for a role now, or None when it is the group's."""
    return holders([submission]).get((submission.pk, role))


def expect_turn(submission: Submission, role: str, answering: Iterable[User]) -> None:
    """Raise Refused when a role is with a named person who is none of those that answer; a deputy answers for them."""
    held = holder(submission, role)
    if held is not None and held not in set(answering):
        fix = f"{held} answers, or whoever sits in the role {role} hands it over again on the submission's page."
        raise Refused(
            "handed_over",
            f"The answer for {role} on {submission} was handed to {held}.",
            reasons=[
                Reason("handed_over", f"{held} was asked to answer for {role}.", fix, submission.get_absolute_url())
            ],
        )


def asked(submission: Submission, roles: Iterable[str]) -> list[User]:
    """Return who is asked to answer for some roles now: the receiver where a role was handed over, else the group."""
    held = holders([submission])
    found: dict[int, User] = {}
    for role in roles:
        named = held.get((submission.pk, role))
        people = (
            addressees.independent_with_deputies(submission, [named], [role])
            if named
            else addressees.reviewers(submission, [role])
        )
        found |= {person.pk: person for person in people}
    return list(found.values())
