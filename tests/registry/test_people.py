"""Accounts, teams and seats: who is here, told by administrators, and never by oneself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied

from audit.models import Entry
from portal.errors import Invalid, Refused
from registry import people
from registry.models import Membership, Seat, User
from tests.factories import Walk
from tests.web.services import count_rows

SECRET = "a long and unusual sentence"


def test_only_administrators_and_the_portal_change_people(walk: Walk) -> None:
    cast, before = walk.cast, count_rows()
    acts: list[Callable[[User], Any]] = [
        lambda actor: people.open_account("eve", actor=actor, name="Eve"),
        lambda actor: people.close_account(cast.petra, actor=actor),
        lambda actor: people.set_password(cast.petra, SECRET, actor=actor),
        lambda actor: people.found_team("fakes", actor=actor, name="Fakes"),
        lambda actor: people.join_team(cast.assistants, cast.mallory, actor=actor),
        lambda actor: people.leave_team(Membership.objects.get(user=cast.ada), actor=actor),
        lambda actor: people.give_seat(cast.mallory, "security", actor=actor),
        lambda actor: people.take_seat(Seat.objects.get(user=cast.petra), actor=actor),
    ]
    for actor in (cast.mallory, cast.ada, cast.rhea, cast.iris, cast.cee_i):
        for act in acts:
            with pytest.raises(PermissionDenied):
                act(actor)
    assert count_rows() == before


def test_nobody_gives_themselves_a_role_not_even_an_administrator(walk: Walk) -> None:
    with pytest.raises(Refused) as refusal:
        people.give_seat(walk.cast.alma, "security", actor=walk.cast.alma)
    assert refusal.value.code == "own_seat"
    assert not Seat.objects.filter(user=walk.cast.alma, role="security").exists()


def test_a_seat_is_given_once_to_a_person_and_can_be_taken(walk: Walk) -> None:
    seat = people.give_seat(walk.cast.ben, "platform", actor=walk.cast.alma, everywhere=False)
    assert not seat.everywhere
    with pytest.raises(Refused) as refusal:
        people.give_seat(walk.cast.ben, "platform", actor=walk.cast.alma)
    assert refusal.value.code == "seat_taken"
    with pytest.raises(Invalid, match="services act by the scopes of their tokens"):
        people.give_seat(walk.cast.otto, "platform", actor=walk.cast.alma)
    for role in ("", "Platform", "a b", "x" * 41, "a\x00"):
        with pytest.raises(Invalid, match="role"):
            people.give_seat(walk.cast.ben, role, actor=walk.cast.alma)
    people.take_seat(seat, actor=walk.cast.alma)
    assert not walk.cast.ben.seats.exists()
    assert [row.history_type for row in Seat.history.filter(role="platform", user_id=walk.cast.ben.pk)] == ["-", "+"]


def test_an_administrators_seat_opens_the_admin_and_taking_it_closes_it(walk: Walk) -> None:
    seat = people.give_seat(walk.cast.ben, "administrator", actor=walk.cast.alma)
    assert User.objects.get(username="ben").is_staff
    people.take_seat(seat, actor=walk.cast.alma)
    assert not User.objects.get(username="ben").is_staff


def test_an_account_has_its_own_name_and_its_own_address(walk: Walk) -> None:
    before = count_rows()
    with pytest.raises(Refused) as refusal:
        people.open_account("ada", actor=walk.cast.alma, name="Another Ada")
    assert refusal.value.code == "username_taken"
    with pytest.raises(Refused, match=r"has the address ADA@Example\.com"):
        people.open_account("ada2", actor=walk.cast.alma, name="Another Ada", email="ADA@Example.com")
    right: dict[str, Any] = {"username": "eve", "actor": walk.cast.alma, "name": "Eve"}
    for field, value in {"username": "Ada Lovelace", "name": "", "email": "ada", "kind": "robot"}.items():
        with pytest.raises(Invalid) as complaint:
            people.open_account(**{**right, field: value})
        assert [fault.field for fault in complaint.value.faults] == [field]
    assert count_rows() == before


def test_passwords_are_for_people_and_not_weak_and_never_told(walk: Walk) -> None:
    for weak in ("short", "elevenchars", "qwerty123456"):
        with pytest.raises(Invalid, match="password: saw a password"):
            people.set_password(walk.cast.ben, weak, actor=walk.cast.alma)
    with pytest.raises(Invalid, match="services have tokens instead"):
        people.set_password(walk.cast.otto, SECRET, actor=walk.cast.alma)
    assert people.set_password(walk.cast.ben, SECRET, actor=walk.cast.alma).check_password(SECRET)
    assert not [entry for entry in Entry.objects.all() if SECRET in bytes(entry.body).decode()]


def test_a_closed_account_stays_and_can_do_nothing(walk: Walk) -> None:
    gone = people.close_account(walk.cast.petra, actor=walk.cast.alma)
    assert User.objects.get(username="petra").seats.exists()
    assert not gone.has_perm("policy.read")
    with pytest.raises(PermissionDenied):
        people.found_team("more", actor=people.close_account(walk.cast.alma, actor=walk.cast.abel), name="More")


def test_an_account_that_must_stay_is_not_closed(walk: Walk) -> None:
    cast, setup = walk.cast, User.objects.system("setup")
    for account, actor, code in (
        (cast.alma, cast.alma, "own_account"),
        (setup, cast.alma, "system_account"),
    ):
        with pytest.raises(Refused) as refusal:
            people.close_account(account, actor=actor)
        assert refusal.value.code == code
    people.close_account(cast.abel, actor=cast.alma)
    with pytest.raises(Refused, match="last active administrator"):
        people.close_account(cast.alma, actor=setup)
    assert User.objects.get(username="alma").is_active


def test_closing_it_once_more_changes_nothing(walk: Walk) -> None:
    gone = people.close_account(walk.cast.otto, actor=walk.cast.alma)
    assert not gone.tokens.filter(revoked_at=None).exists()
    before = count_rows()
    assert people.close_account(gone, actor=walk.cast.alma).left_at == gone.left_at
    assert count_rows() == before


def test_a_team_is_founded_once_and_joined_once(walk: Walk) -> None:
    team = people.found_team("vision", actor=walk.cast.alma, name="Vision")
    with pytest.raises(Refused) as refusal:
        people.found_team("vision", actor=walk.cast.alma, name="Vision again")
    assert refusal.value.code == "team_taken"
    with pytest.raises(Invalid, match="slug"):
        people.found_team("../vision", actor=walk.cast.alma, name="Vision")
    membership = people.join_team(team, walk.cast.ben, actor=walk.cast.alma)
    before = count_rows()
    assert people.join_team(team, walk.cast.ben, actor=walk.cast.alma) == membership
    assert count_rows() == before
    people.leave_team(membership, actor=walk.cast.alma)
    assert not team.memberships.exists()


@pytest.mark.parametrize(
    ("written", "is_ada"),
    [
        ("ada", True),
        ("ADA", True),
        ("ada@example.com", True),
        ("Ada Lovelace <Ada@Example.com>", True),
        (" ada@example.com ", True),
        ("ada@example.com.evil.org", False),
        ("adam", False),
        ("", False),
        ("<>", False),
        ("Ada <mallory@example.com>", False),
        ("NAME", True),
        ("NAME <ada@at-home.example>", True),
    ],
)
def test_commit_authors_are_recognised_by_name_or_address(walk: Walk, written: str, is_ada: bool) -> None:
    assert walk.cast.ada.is_known_as(written.replace("NAME", walk.cast.ada.name)) is is_ada
    assert not walk.cast.otto.is_known_as("")
