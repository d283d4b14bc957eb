"""Answering a violation, and for whom it waits."""

from __future__ import annotations

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from audit import log
from audit.events import Event
from governance import lifecycle
from governance.models import Violation
from governance.models.violations import ViolationState
from governance.permissions import roles_of, seats_of
from portal.errors import Fault, Invalid, Refused, show
from registry.models import AccessToken, AssetUserGrant, User

SHORTEST = 10
REVIEWING = ("platform", "security")


def answer(violation: Violation, *, actor: User, text: str) -> Violation:
    """Record what is done about a violation; it is for everything that was served until now.

    Raises Invalid for a text too short to say anything, Refused when somebody has answered already.
    """
    with transaction.atomic():
        rows = Violation.objects.select_for_update(of=("self",)).select_related("version__asset")
        found = rows.get(pk=violation.pk)
        actor.require("violation.answer", found)
        lifecycle.expect_text("answer", text)
        if len(text.strip()) < SHORTEST:
            raise Invalid(
                Fault("answer", show(text), f"at least {SHORTEST} characters: why, and what is done about it")
            )
        if found.state != ViolationState.OPEN:
            raise Refused("violation_answered", f"{found.answered_by} has answered it already.")
        with log.record(Event.VIOLATION_ANSWERED, actor=actor, subject=found):
            found.state = ViolationState.ANSWERED
            found.answer, found.answered_by, found.answered_at = text.strip(), actor, timezone.now()
            found.save()
    return found


def answerable(user: User) -> QuerySet[Violation]:
    """Return the open violations that a person may answer, the latest window on top."""
    rows = Violation.objects.filter(waits_for(user), state=ViolationState.OPEN)
    return rows.select_related("version__asset").order_by("-last_window", "-pk")


def concerning(user: User) -> Q:
    """Return which violations a person has to be able to look at: to answer, as answered, or because they were told."""
    kept = Q(version__asset__owner=user) | Q(version__asset__backup_owner=user)
    issued = AccessToken.objects.filter(issued_by=user, revoked_at=None)
    reported = Q(version=None, source__in=issued.values("user__username"))
    return waits_for(user) | Q(answered_by=user) | kept | reported


def waits_for(user: User) -> Q:
    """Return which violations a person may answer while they are open, as the permission table says of each."""
    if user.kind != "person":
        return Q(pk__in=())
    seats = [seat for seat in seats_of(user) if seat.role in REVIEWING]
    granted = AssetUserGrant.objects.filter(user=user, permission__codename="contribute_asset")
    mine = Q(version__asset__team__in=user.memberships.values("team_id"))
    mine |= Q(version__asset__in=granted.values("content_object_id"))
    if any(seat.everywhere for seat in seats):
        mine |= Q(version__isnull=False)
    elif seats:
        reviewed = AssetUserGrant.objects.filter(user=user, permission__codename="review_asset")
        mine |= Q(version__asset__in=reviewed.values("content_object_id"))
    if seats or "administrator" in roles_of(user):
        mine |= Q(version=None)
    return mine
