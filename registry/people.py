"""Who is here: accounts, teams and seats. Signing in is allauth's; what people may do is governance.permissions'."""

from __future__ import annotations

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db.models import Q
from django.utils import timezone

from audit import log
from audit.events import Event
from portal.errors import Fault, Invalid, Refused
from registry import tokens
from registry.drafts import validated
from registry.models import Membership, Seat, Team, User

ADMINISTRATOR = "administrator"


def open_account(
    username: str,
    *,
    actor: User,
    name: str,
    email: str = "",
    kind: str = "person",
    password: str = "",
    admin: bool = False,
) -> User:
    """Open an account for a person or a service. Only people have passwords."""
    user = User(username=username, name=name, email=email, kind=kind, is_staff=admin)
    if password:
        choose_password(user, password)
    else:
        user.set_unusable_password()
    validated(user, exclude=("password",))
    with log.record(Event.PERSON_CHANGED, actor=actor, subject=user, change="opened", account=kind):
        actor.require("people.change")
        if User.objects.filter(username=username).exists():
            raise Refused("username_taken", f"An account named {username} is there already.")
        expect_free_address(user)
        user.save()
    return user


def expect_free_address(user: User) -> None:
    """Raise Refused when another account has the address: one address names one person."""
    if user.email and User.objects.filter(email__iexact=user.email).exclude(pk=user.pk).exists():
        raise Refused("address_taken", f"Another account has the address {user.email} already.")


def choose_password(user: User, password: str) -> None:
    """Put a password on an account that the caller saves. Raises Invalid for a weak one, and for services."""
    if user.kind != "person":
        raise Invalid(Fault("password", "a password", "none: services have tokens instead"))
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise Invalid(Fault("password", "a password", " ".join(error.messages))) from error
    user.set_password(password)


def set_password(user: User, password: str, *, actor: User) -> User:
    """Give a person a new password, which ends the sessions that the old one opened."""
    with log.record(Event.PERSON_CHANGED, actor=actor, subject=user, change="password"):
        user = User.objects.select_for_update().get(pk=user.pk)
        actor.require("people.change")
        choose_password(user, password)
        user.save(update_fields=["password"])
    return user


def choose_own_password(user: User, password: str) -> None:
    """Let a person change their own password. The door has asked for the old one, or for a link in a mail."""
    with log.record(Event.PERSON_CHANGED, actor=user, subject=user, change="own password"):
        choose_password(user, password)
        user.save(update_fields=["password"])


def change_account(user: User, *, actor: User, name: str, email: str) -> User:
    """Change a person's name and address. Reviews recognise authors by the address, so people cannot do this alone."""
    with log.record(Event.PERSON_CHANGED, actor=actor, subject=user, change="name or address") as entry:
        user = User.objects.select_for_update().get(pk=user.pk)
        actor.require("people.change")
        if (user.name, user.email) == (name, email):
            entry.skip()
            return user
        user.name, user.email = name, email
        validated(user, exclude=("password",))
        expect_free_address(user)
        user.save(update_fields=["name", "email"])
    return user


def close_account(user: User, *, actor: User) -> User:
    """Deactivate an account: it cannot sign in or act any more, and its tokens end. Accounts are never deleted.

    What else ends with a person is done by `governance.departures`. Raises Refused for one's own account, for one of
    the portal's, and for that of the last administrator. Closing it again changes nothing.
    """
    with log.record(Event.PERSON_CHANGED, actor=actor, subject=user, change="closed") as entry:
        administrators = lock_administrators(user)
        user = User.objects.get(pk=user.pk)
        actor.require("people.change")
        expect_closable(user, actor, administrators)
        if not user.is_active:
            entry.skip()
            return user
        user.is_active, user.left_at = False, timezone.now()
        user.save(update_fields=["is_active", "left_at"])
        tokens.end_all(user, actor=actor)
    return user


def lock_administrators(user: User) -> list[User]:
    """Lock an account and those of all administrators, always in one order, and return the active administrators."""
    seated = Seat.objects.filter(role=ADMINISTRATOR).values("user")
    rows = User.objects.select_for_update(no_key=True).filter(Q(pk=user.pk) | Q(pk__in=seated)).order_by("pk")
    locked = {row.pk: row for row in rows}
    now_seated = set(Seat.objects.filter(role=ADMINISTRATOR, user__in=locked).values_list("user", flat=True))
    return [row for row in locked.values() if row.pk in now_seated and row.is_active]


def expect_closable(user: User, actor: User, administrators: list[User]) -> None:
    """Raise Refused for an account that must stay: one's own, one of the portal's, the last administrator's."""
    if user.pk == actor.pk:
        raise Refused("own_account", "Nobody closes their own account: ask another administrator.")
    if user.kind == "system":
        raise Refused("system_account", f"{user} is the portal itself; its accounts stay.")
    expect_another_administrator(user, administrators)


def expect_another_administrator(user: User, administrators: list[User]) -> None:
    """Raise Refused when nobody would administer the portal without this person."""
    if [each.pk for each in administrators] == [user.pk]:
        raise Refused(
            "last_administrator",
            f"{user} is the last active administrator: without one, nobody could seat another. Seat another one first.",
        )


def found_team(slug: str, *, actor: User, name: str) -> Team:
    """Found a team."""
    team = Team(slug=slug, name=name)
    validated(team)
    with log.record(Event.TEAM_CHANGED, actor=actor, subject=team, change="founded"):
        actor.require("people.change")
        if Team.objects.filter(slug=slug).exists():
            raise Refused("team_taken", f"A team named {slug} is there already.")
        team.save()
    return team


def join_team(team: Team, user: User, *, actor: User) -> Membership:
    """Put somebody on a team; once more changes nothing."""
    with log.record(Event.TEAM_CHANGED, actor=actor, subject=team, change="joined", account=user.ledger_name) as entry:
        actor.require("people.change")
        known = Membership.objects.filter(team=team, user=user).first()
        if known is not None:
            entry.skip()
            return known
        return Membership.objects.create(team=team, user=user)


def leave_team(membership: Membership, *, actor: User) -> None:
    """Take somebody off a team."""
    told = {"change": "left", "account": membership.user.ledger_name}
    with log.record(Event.TEAM_CHANGED, actor=actor, subject=membership.team, **told):
        actor.require("people.change")
        membership.delete()


def give_seat(user: User, role: str, *, actor: User, everywhere: bool = True) -> Seat:
    """Give a person a role, everywhere or only for assets granted one by one. Nobody gives themselves one.

    An administrator's seat opens the admin as well; taking it away closes it.
    """
    if user.kind != "person":
        raise Invalid(Fault("user", user.username, "a person: services act by the scopes of their tokens"))
    seat = Seat(user=user, role=role, everywhere=everywhere)
    validated(seat, exclude=("user",))
    with log.record(Event.SEAT_GIVEN, actor=actor, subject=user, role=role, everywhere=everywhere):
        actor.require("people.change")
        if user.pk == actor.pk:
            raise Refused("own_seat", "Nobody gives themselves a role: ask another administrator.")
        if Seat.objects.filter(user=user, role=role).exists():
            raise Refused("seat_taken", f"{user.username} sits in the role {role} already.")
        seat.save()
        if role == ADMINISTRATOR:
            user.is_staff = True
            user.save(update_fields=["is_staff"])
    return seat


def take_seat(seat: Seat, *, actor: User) -> None:
    """Take a role away. Verdicts given in it stay valid and readable. The last administrator keeps theirs."""
    with log.record(Event.SEAT_TAKEN, actor=actor, subject=seat.user, role=seat.role):
        actor.require("people.change")
        if seat.role == ADMINISTRATOR:
            expect_another_administrator(seat.user, lock_administrators(seat.user))
        seat.delete()
        if seat.role == ADMINISTRATOR:
            seat.user.is_staff = False
            seat.user.save(update_fields=["is_staff"])
