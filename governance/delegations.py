"""Deputies: one person answers reviews for another in one role, from one instant to another. Never passed on.

Whether a delegation counts is asked at the instant of the answer; the verdict itself is given in `governance.reviews`.
A deputy answers reviews and nothing else: waivers, findings and decisions to revoke stay with whoever sits in the role.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Q, QuerySet
from django.urls import reverse
from django.utils import timezone

from audit import log
from audit.events import Event
from governance import lifecycle, notices
from governance.models import Delegation
from governance.permissions import READERS, covers
from portal.errors import Fault, Invalid, Reason, Refused, show
from registry.models import Seat, User

MAX_LENGTH = timedelta(days=90)
MAX_AHEAD = timedelta(days=365)


def make(
    *,
    actor: User,
    role: str,
    deputy: User,
    ends_at: datetime,
    starts_at: datetime | None = None,
    reason: str = "",
) -> Delegation:
    """Name a deputy for a role in which the actor sits, from an instant (by default now) to another.

    Lasts at most 90 days and begins within a year. Raises Invalid for times or people that do not fit, and Refused when
    the actor does not sit in the role themselves or has named a deputy for that time already.
    """
    now = timezone.now()
    delegation = Delegation(
        role=role, giver=actor, deputy=deputy, starts_at=starts_at or now, ends_at=ends_at, reason=reason, made_at=now
    )
    expect_times(delegation)
    lifecycle.expect_text("reason", reason)
    told = {"role": role, "deputy": deputy.ledger_name, "until": ends_at}
    with log.record(Event.DELEGATION_MADE, actor=actor, subject=delegation, **told):
        # Both accounts are locked, so that neither is closed and no other delegation is made meanwhile.
        people = User.objects.select_for_update(no_key=True).filter(pk__in=(actor.pk, deputy.pk)).order_by("pk")
        found = {person.pk: person for person in people}
        actor.require("delegation.make")
        expect_sits(actor, role)
        expect_fit(found[deputy.pk], actor)
        expect_free(delegation)
        delegation.save()
        tell(delegation, "made", f"{deputy} stands in for {actor} as {role}", terms(delegation))
    return delegation


def expect_times(delegation: Delegation) -> None:
    """Raise Invalid unless a delegation begins neither in the past nor too far away, and ends in time."""
    start, end, now = delegation.starts_at, delegation.ends_at, delegation.made_at
    for name, at in {"starts_at": start, "ends_at": end}.items():
        if timezone.is_naive(at):
            raise Invalid(Fault(name, show(at.isoformat()), "an instant with its time zone"))
    if not now <= start <= now + MAX_AHEAD:
        raise Invalid(Fault("starts_at", start.isoformat(), "an instant from now on, within a year"))
    if not start < end <= start + MAX_LENGTH:
        raise Invalid(Fault("ends_at", end.isoformat(), f"an instant at most {MAX_LENGTH.days} days after the start"))


def expect_sits(actor: User, role: str) -> None:
    """Raise Refused unless a person sits in a reviewing role themselves: what is lent cannot be lent on."""
    if role in READERS or not Seat.objects.filter(user=actor, role=role).exists():
        mine = actor.seats.exclude(role__in=READERS).values_list("role", flat=True)
        raise Refused(
            "not_your_role",
            f"{actor} does not sit in the role {show(role)}. A deputy cannot pass a role on.",
            reasons=[Reason("delegation", f"{actor} sits in {', '.join(mine) or 'no role that reviews'}.")],
        )


def expect_fit(deputy: User, giver: User) -> None:
    """Raise unless somebody can be a deputy: another active person, who neither audits nor administers."""
    if deputy.pk == giver.pk or not deputy.is_active or deputy.kind != "person":
        raise Invalid(Fault("deputy", show(deputy.username), "another person, whose account is active"))
    if only_reads(deputy):
        raise Refused(
            "deputy_reads",
            f"{deputy} audits or administers: whoever does so answers for nobody.",
            reasons=[Reason("delegation", "Auditors change nothing, and administrators seat the reviewers.")],
        )


def only_reads(person: User) -> bool:
    """Return whether somebody audits or administers, and so is nobody's deputy."""
    return Seat.objects.filter(user=person, role__in=READERS).exists()


def expect_free(delegation: Delegation) -> None:
    """Raise Refused when the giver has a deputy in the role already at some instant of the delegation."""
    start, end = delegation.starts_at, delegation.ends_at
    others = Delegation.objects.filter(
        Q(ended_at=None) | Q(ended_at__gt=start),
        giver=delegation.giver,
        role=delegation.role,
        starts_at__lt=end,
        ends_at__gt=start,
    )
    other = others.select_related("deputy").first()
    if other is not None:
        raise Refused(
            "delegation_overlaps",
            f"{other.deputy} stands in for {delegation.giver} as {other.role} from {said(other.starts_at)} "
            f"to {said(other.ends_at)} already.",
            reasons=[
                Reason("delegation", "One deputy at a time.", "End that one first.", reverse("governance:deputies"))
            ],
        )


def end(delegation: Delegation, *, actor: User) -> Delegation:
    """End a delegation from now on, by its giver, its deputy or an administrator; ending one that is over does nothing.

    What the deputy has answered stays valid.
    """
    with log.record(Event.DELEGATION_ENDED, actor=actor, subject=delegation, role=delegation.role) as entry:
        rows = Delegation.objects.select_for_update(of=("self",)).select_related("giver", "deputy")
        delegation = rows.get(pk=delegation.pk)
        actor.require("delegation.end", delegation)
        now = timezone.now()
        if delegation.ended_at is not None or now >= delegation.ends_at:
            entry.skip()
            return delegation
        delegation.ended_at = now
        delegation.save(update_fields=["ended_at"])
        words = f"{delegation.deputy} no longer stands in for {delegation.giver} as {delegation.role}"
        tell(delegation, "ended", words, f"Ended by {actor} on {said(now)}. What was answered until then stays valid.")
    return delegation


def tell(delegation: Delegation, what: str, subject: str, text: str) -> None:
    """Tell deputy and giver what became of a delegation."""
    notices.tell(
        notices.Kind.DELEGATION,
        cause=f"delegation:{delegation.public_id}:{what}",
        to=[delegation.deputy, delegation.giver],
        subject=subject,
        text=text,
        url=reverse("governance:deputies"),
    )


def terms(delegation: Delegation) -> str:
    """Return what a delegation means, for both sides."""
    return (
        f"From {said(delegation.starts_at)} to {said(delegation.ends_at)}, {delegation.deputy} may answer reviews for "
        f"{delegation.role} on behalf of {delegation.giver}, who may go on answering too. Both have to be independent "
        "of what is reviewed. A deputy grants no waivers and passes nothing on."
    )


def said(at: datetime) -> str:
    """Return an instant as sentences name it."""
    return f"{at.astimezone(timezone.get_default_timezone()):%Y-%m-%d %H:%M} UTC"


def expect_deputy(deputy: User, giver: User, role: str, subject: Any) -> None:
    """Raise Refused unless one person stands in for another in a role at this very instant, for the subject's asset."""
    why = obstacle(deputy, giver, role, subject, timezone.now())
    if why:
        fix = f"{giver} can name a deputy, or somebody who sits in the role answers."
        raise Refused(
            "not_a_deputy",
            f"{deputy} does not stand in for {giver} as {role} here.",
            reasons=[Reason("delegation", why, fix, reverse("governance:deputies"))],
        )


def obstacle(deputy: User, giver: User, role: str, subject: Any, at: datetime) -> str:
    """Return why one person may not answer for another at an instant, read afresh; empty when they may."""
    seat = Seat.objects.filter(user=giver, role=role).select_related("user").first()
    if not User.objects.filter(pk=giver.pk, is_active=True).exists():
        return f"The account of {giver} is closed, and their delegations ended with it."
    if seat is None or role in READERS or not covers(seat, seat.user, subject):
        return f"{giver} does not sit in the role {role} for this asset."
    if deputy.kind != "person" or only_reads(deputy):
        return f"{deputy} is a service, audits or administers: none of those answers for somebody."
    rows = list(Delegation.objects.filter(deputy=deputy, giver=giver, role=role))
    return "" if any(row.is_in_force(at) for row in rows) else over(rows, deputy, giver, role, at)


def over(rows: Iterable[Delegation], deputy: User, giver: User, role: str, at: datetime) -> str:
    """Return in words why none of some delegations, newest first, is in force at an instant."""
    for row in rows:
        if row.ended_at is not None and row.ended_at <= at:
            return f"That delegation was ended on {said(row.ended_at)}."
        if at >= row.ends_at:
            return f"That delegation ran out on {said(row.ends_at)}."
        return f"That delegation begins on {said(row.starts_at)}."
    return f"{giver} has not named {deputy} as deputy for {role}."


def concerning(user: User) -> QuerySet[Delegation]:
    """Return the delegations that a person gave or received, the latest first."""
    return Delegation.objects.filter(Q(giver=user) | Q(deputy=user)).select_related("giver", "deputy")


def open_of(user: User, at: datetime) -> QuerySet[Delegation]:
    """Return the delegations that a person gave or received and that are not over at an instant."""
    return concerning(user).filter(Q(ended_at=None) | Q(ended_at__gt=at), ends_at__gt=at)
