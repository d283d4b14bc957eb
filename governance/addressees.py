"""Who is told about submissions, decisions and conditions: reviewers who may answer, owners, and the services' owners.

What is said and when stands in the verbs; whether somebody wants mail about it, in `governance.notices`.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from governance import independence
from governance.models import ConsumerGrant, Delegation, Submission
from registry.models import AccessToken, Asset, AssetUserGrant, Seat, User


def reviewers(submission: Submission, roles: Iterable[str]) -> list[User]:
    """Return the people who may answer for some roles: independent, seated for the asset, or deputy of one who is."""
    sitting = seated(submission.version.asset, roles)
    return independent_with_deputies(submission, {seat.user for seat in sitting}, roles)


def independent_with_deputies(submission: Submission, people: Iterable[User], roles: Iterable[str]) -> list[User]:
    """Return those of some people who had no hand in a submission, and their deputies of whom the same is true."""
    free = independence.independent(submission, people)
    deputies = {each.deputy for each in lending(free, roles, timezone.now())}
    return sorted({*free, *independence.independent(submission, deputies)}, key=lambda person: person.pk)


def seated(asset: Asset, roles: Iterable[str]) -> QuerySet[Seat]:
    """Return the seats in some roles that cover an asset, of people whose account is open."""
    granted = AssetUserGrant.objects.filter(
        user=OuterRef("user"), content_object=asset, permission__codename="review_asset"
    )
    rows = Seat.objects.filter(role__in=list(roles), user__is_active=True, user__kind="person")
    return rows.filter(Q(everywhere=True) | Exists(granted)).select_related("user").order_by("role", "user")


def lending(givers: Iterable[User], roles: Iterable[str], at: datetime) -> QuerySet[Delegation]:
    """Return the delegations in force at an instant by which some people lend a seat in some roles."""
    rows = Delegation.objects.filter(giver__in=list(givers), role__in=list(roles), deputy__is_active=True)
    in_force = rows.filter(Q(ended_at=None) | Q(ended_at__gt=at), starts_at__lte=at, ends_at__gt=at)
    return in_force.select_related("deputy")


def owners(asset: Asset) -> list[User]:
    """Return an asset's owner and backup owner, as far as it has them."""
    return [each for each in (asset.owner, asset.backup_owner) if each is not None]


def keepers(asset: Asset) -> list[User | str]:
    """Return the owner, the backup owner and the escalation contact of an asset."""
    return [*owners(asset), *filter(None, [asset.escalation_contact])]


def service_owners(submission: Submission) -> list[User]:
    """Return the people who issued the tokens of the services that use a version where it was submitted for.

    A consumer is a name that the gate was told; those that are accounts here have somebody to tell.
    """
    consumers = ConsumerGrant.objects.filter(version=submission.version, environment=submission.environment)
    tokens = AccessToken.objects.filter(user__username__in=consumers.values("consumer"), revoked_at=None)
    return list(User.objects.filter(pk__in=tokens.values("issued_by"), kind="person", is_active=True))
