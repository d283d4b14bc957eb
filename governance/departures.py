"""People who leave: what ends with them, what goes back to the group, and which assets nobody answers for any more.

Verdicts of people who left stay valid and readable. Who has left is read from accounts whenever it is asked, so that
nothing here has to be swept; an asset is orphaned the moment its last owner leaves.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.db.models import BooleanField, Case, Q, QuerySet, Value, When
from django.urls import reverse
from django.utils import timezone

from audit import log
from audit.events import Event
from governance import delegations, handovers, notices
from governance.models import Delegation, Handover, Submission, TrustedKey, TrustedRoot
from governance.models.submissions import SubmissionState
from portal.errors import Reason, Refused
from registry import people, tokens
from registry.models import AccessToken, Asset, Membership, Seat, User


@dataclass(frozen=True)
class Departure:
    """What hangs on one account, and so ends, goes back or is left without anybody when it is closed."""

    person: User
    tokens: list[AccessToken]
    delegations: list[Delegation]
    seats: list[Seat]
    memberships: list[Membership]
    handed: list[Handover]
    submissions: list[Submission]
    trust: list[TrustedKey | TrustedRoot]
    assets: list[Asset]

    @property
    def orphans(self) -> list[Asset]:
        """Return the assets that nobody answers for once this person has left."""
        return [asset for asset in self.assets if not self.others(asset)]

    def others(self, asset: Asset) -> list[User]:
        """Return who answers for an asset besides this person."""
        named = [asset.owner, asset.backup_owner]
        return [each for each in named if each and is_here(each) and each.pk != self.person.pk]


def leave(user: User, *, actor: User) -> Departure:
    """Close an account and end what hangs on it, in one transaction: tokens, sessions, delegations, seats, memberships.

    Reviews that were handed to this person go back to the group; submissions they opened stay open, for their team.
    Returns what hung on the account. Raises Refused for accounts that must stay (see `people.close_account`).
    """
    with transaction.atomic():
        actor.require("people.change")
        # Locked first, so that nothing is given to the account between looking and closing.
        people.lock_administrators(user)
        found = preview(user)
        people.close_account(user, actor=actor)
        for token in found.tokens:
            tokens.revoke(token, actor=actor)
        for delegation in found.delegations:
            delegations.end(delegation, actor=actor)
        for handed in found.handed:
            hand_back(handed, actor=actor)
        for seat in found.seats:
            people.take_seat(seat, actor=actor)
        for membership in found.memberships:
            people.leave_team(membership, actor=actor)
        for asset in found.assets:
            tell(asset, found)
    return found


def preview(user: User) -> Departure:
    """Return what hangs on an account now."""
    named = Q(owner=user) | Q(backup_owner=user)
    related = ("team", "owner", "backup_owner")
    return Departure(
        person=user,
        tokens=tokens_of(user),
        delegations=list(delegations.open_of(user, timezone.now())),
        seats=list(Seat.objects.filter(user=user).select_related("user")),
        memberships=list(Membership.objects.filter(user=user).select_related("team", "user")),
        handed=handed_to(user),
        submissions=list(
            Submission.objects.filter(submitted_by=user, state=SubmissionState.OPEN).select_related("version__asset")
        ),
        trust=[
            *TrustedKey.objects.filter(owner=user, revoked_at=None),
            *TrustedRoot.objects.filter(owner=user, revoked_at=None),
        ],
        assets=list(Asset.objects.filter(named).select_related(*related)),
    )


def tokens_of(user: User) -> list[AccessToken]:
    """Return the living tokens of an account, and those of services that it issued: it has seen their secrets."""
    rows = AccessToken.objects.filter(Q(user=user) | Q(issued_by=user), revoked_at=None, expires_at__gt=timezone.now())
    return list(rows.select_related("user").order_by("pk"))


def handed_to(user: User) -> list[Handover]:
    """Return the answers on open submissions that were handed to a person last."""
    rows = Handover.objects.filter(submission__state=SubmissionState.OPEN)
    newest = rows.order_by("submission_id", "role", "-pk").distinct("submission_id", "role")
    return [row for row in newest.select_related("submission__version__asset") if row.receiver_id == user.pk]


def hand_back(handed: Handover, *, actor: User) -> None:
    """Give a role's answer back to everybody who sits in the role, because its receiver leaves."""
    told = {"role": handed.role, "receiver": handovers.GROUP}
    with log.record(Event.REVIEW_HANDED, actor=actor, subject=handed.submission, **told) as entry:
        made = Handover.objects.create(
            submission=handed.submission,
            role=handed.role,
            giver=actor,
            receiver=None,
            reason=f"{handed.receiver} has left.",
            handed_at=timezone.now(),
        )
        entry.note(handover=made.pk, to="")


def tell(asset: Asset, departure: Departure) -> None:
    """Tell team, escalation contact and administrators that somebody who answered for an asset has left."""
    others = departure.others(asset)
    administrators = User.objects.filter(seats__role=people.ADMINISTRATOR, is_active=True)
    team = User.objects.filter(memberships__team=asset.team_id, is_active=True)
    left = f"{asset.slug} needs another owner" if others else f"{asset.slug} has no owner any more"
    stays = (
        f"{others[0]} answers for it meanwhile." if others else "Nothing new of it can be promoted until one is named."
    )
    notices.tell(
        notices.Kind.ORPHANED,
        cause=f"orphaned:{asset.pk}:{departure.person.ledger_id}",
        to=[*team, *administrators, asset.escalation_contact],
        subject=left,
        text=f"{departure.person} has left. {stays} {who_helps(asset)}",
        url=asset.get_absolute_url(),
        asset=asset,
    )


def who_helps(asset: Asset) -> str:
    """Return who can give an asset an owner again, and how."""
    return (
        f"Somebody of the team {asset.team} names an owner and a backup owner on the asset's page; an administrator "
        "puts somebody on the team, if nobody is left there."
    )


def is_here(person: User | None) -> bool:
    """Return whether somebody is named whose account is open."""
    return person is not None and person.is_active


def gone(name: str, at: datetime) -> Q:
    """Return the condition that nobody who is here at an instant is named in a field."""
    closed = Q(**{f"{name}__is_active": False})
    still_here = Q(**{f"{name}__left_at__gt": at})
    return Q(**{name: None}) | (closed & ~still_here)


def unattended(at: datetime | None = None) -> QuerySet[Asset]:
    """Return the assets whose owner or backup owner is not here at an instant, with `lacks_owner` and `lacks_backup`.

    Counts who is named now; the orphaned ones come first.
    """
    at = at or timezone.now()
    owner, backup = gone("owner", at), gone("backup_owner", at)
    rows = Asset.objects.filter(owner | backup).annotate(lacks_owner=flag(owner), lacks_backup=flag(backup))
    return rows.select_related("team", "owner", "backup_owner").order_by("-lacks_owner", "-lacks_backup", "slug")


def flag(condition: Q) -> Case:
    """Return a condition as a column."""
    return Case(When(condition, then=Value(True)), default=Value(False), output_field=BooleanField())


def orphaned(at: datetime | None = None) -> QuerySet[Asset]:
    """Return the assets that have neither an owner nor a backup owner who is here at an instant."""
    at = at or timezone.now()
    return unattended(at).filter(gone("owner", at), gone("backup_owner", at))


def expect_owned(asset: Asset) -> None:
    """Raise Refused when nobody who is still here owns an asset: nothing new of it goes anywhere."""
    named = User.objects.filter(pk__in=(asset.owner_id or 0, asset.backup_owner_id or 0))
    if any(person.is_active for person in named):
        return
    seen = " and ".join(f"{person} has left" for person in named) or "nobody was ever named"
    raise Refused(
        "orphaned",
        f"{asset.slug} is orphaned: nobody who is still here owns it, so nothing new of it can be promoted.",
        reasons=[
            Reason("owners", f"{seen}.", who_helps(asset), reverse("registry:asset-edit", args=[asset.slug])),
        ],
    )


def consequences(departure: Departure) -> list[str]:
    """Return in sentences what a departure does, for whoever is about to do it."""
    person = departure.person
    told = [
        f"{person} can no longer sign in; open sessions end at once. Verdicts given stay valid and readable.",
        *listed("Tokens that end", departure.tokens),
        *listed("Roles that are taken away", [seat.role for seat in departure.seats]),
        *listed("Teams that are left", [each.team.slug for each in departure.memberships]),
        *listed("Delegations that end", departure.delegations),
        *listed(
            "Reviews that go back to the group", [f"{each.role} on {each.submission}" for each in departure.handed]
        ),
        *listed("Submissions that stay open, for the team to follow or withdraw", departure.submissions),
        *listed("Trusted keys and roots that need another owner; they stay trusted", departure.trust),
    ]
    kept = [asset for asset in departure.assets if asset not in departure.orphans]
    told += listed("Assets that are orphaned, so that nothing new of them can be promoted", departure.orphans)
    return told + listed("Assets that need another owner or backup owner", kept)


def listed(title: str, rows: Iterable[object]) -> list[str]:
    """Return one sentence that names some rows, or none when there are none."""
    names = [str(row) for row in rows]
    return [f"{title}: {', '.join(names)}."] if names else []
