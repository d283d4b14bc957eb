"""Owners: two active people and an address that is not a person."""

from __future__ import annotations

import pytest

from governance.checks import BY_SLUG
from registry import intake, people
from tests.governance.checks.conftest import Ask
from tests.scene import Scene


def test_active_people_and_an_address_pass(ask: Ask) -> None:
    answer = ask("owners")
    assert answer.outcome == "passed"
    assert answer.says == "Ada Owner owns it, Ben Backup stands in, ml-on-call@example.com is told."


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("owner", "no owner is named"),
        ("backup_owner", "no backup owner is named"),
        ("escalation_contact", "no escalation contact is set"),
    ],
)
def test_whoever_is_missing_is_named(ask: Ask, scene: Scene, name: str, said: str) -> None:
    nothing = "" if name == "escalation_contact" else None
    intake.change_asset(scene.version.asset, actor=scene.walk.cast.ada, **{name: nothing})
    answer = ask("owners")
    assert answer.outcome == "failed"
    assert said in answer.says


def test_an_owner_who_has_left_does_not_count(ask: Ask, scene: Scene) -> None:
    people.close_account(scene.walk.cast.ben, actor=scene.walk.cast.alma)
    answer = ask("owners")
    assert answer.outcome == "failed"
    assert "the backup owner ben is no longer active" in answer.says
    assert answer.fix == "On the page of fraud-scorer, name another backup owner, whose account is active."


def test_everything_that_is_missing_is_said_at_once(ask: Ask, scene: Scene) -> None:
    asset, ada = scene.version.asset, scene.walk.cast.ada
    intake.change_asset(asset, actor=ada, owner=None, backup_owner=None, escalation_contact="")
    answer = ask("owners")
    assert answer.says.count(",") == 2
    assert answer.fix.count(";") == 2


def test_the_answer_depends_on_who_is_here() -> None:
    """The check looks at no part of the dossier, so people alone have to make it stale."""
    assert BY_SLUG["owners"].sections == ()
