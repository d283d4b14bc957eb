"""Drift: what was changed behind the portal's back, compared with its own history."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from audit import drift
from audit.events import Event
from audit.log import record
from audit.models import Entry, Governed
from audit.verifier import verify
from registry.models import Asset, Team, User
from tests.audit.conftest import unguarded

pytestmark = pytest.mark.django_db


@pytest.fixture
def team(make_team: Callable[[str], Team], ada: User) -> Team:
    """A team that changed honestly, beside another one."""
    make_team("other")
    team = make_team("risk-models")
    with record(Event.TEAM_CHANGED, actor=ada, subject=team):
        team.name = "Risk"
        team.save()
    return team


def test_honest_changes_are_no_drift(team: Team, ada: User) -> None:
    with record(Event.TEAM_CHANGED, actor=ada, subject=team):
        Team.objects.get(slug="other").delete()
    assert list(drift.find()) == []


def test_a_row_that_was_updated_by_hand_is_found_with_its_fields(team: Team) -> None:
    with unguarded() as cursor:
        cursor.execute("UPDATE registry_team SET name = 'Ours', slug = 'ours' WHERE id = %s", [team.pk])
    (found,) = drift.find()
    assert (found.table, found.id, found.fields) == ("registry_team", str(team.pk), ("slug", "name"))
    assert str(found) in verify().faults


def test_a_row_that_was_added_by_hand_is_found(team: Team) -> None:
    with unguarded() as cursor:
        cursor.execute("INSERT INTO registry_team (slug, name) VALUES ('ours', 'Ours') RETURNING id")
        (identifier,) = cursor.fetchone()
    (found,) = drift.find()
    assert (found.id, "added" in found.what) == (str(identifier), True)


def test_a_row_that_was_deleted_by_hand_is_found(team: Team) -> None:
    with unguarded() as cursor:
        cursor.execute("DELETE FROM registry_team WHERE id = %s", [team.pk])
    (found,) = drift.find()
    assert (found.id, "deleted" in found.what) == (str(team.pk), True)


def test_a_deleted_row_that_was_put_back_by_hand_is_found(team: Team, ada: User) -> None:
    other = Team.objects.get(slug="other")
    with record(Event.TEAM_CHANGED, actor=ada, subject=team):
        Team.objects.get(slug="other").delete()
    with unguarded() as cursor:
        cursor.execute("INSERT INTO registry_team (id, slug, name) VALUES (%s, 'other', %s)", [other.pk, other.name])
    (found,) = drift.find()
    assert "added" in found.what


def test_a_row_changed_together_with_its_history_shows_by_the_entry(team: Team) -> None:
    with unguarded() as cursor:
        cursor.execute("UPDATE registry_team SET name = 'Ours' WHERE id = %s", [team.pk])
        cursor.execute("UPDATE registry_historicalteam SET name = 'Ours' WHERE name = 'Risk'")
    assert list(drift.find()) == []
    (fault,) = verify().faults
    assert "registry_historicalteam" in fault
    assert "is not what the entry" in fault


def test_the_number_of_reported_rows_is_bounded(team: Team) -> None:
    with unguarded() as cursor:
        cursor.execute("UPDATE registry_team SET name = 'Ours'")
    assert len(list(drift.find(limit=1))) == 1


def test_what_when_and_the_missing_entry_are_told(team: Team) -> None:
    """Without commit times the window is known: since the last entry, or since a later check that found nothing."""
    told = Entry.objects.get(event_id=Team.history.filter(id=team.pk).latest("history_date").recorded_in)
    with unguarded() as cursor:
        cursor.execute("UPDATE registry_team SET name = 'Ours' WHERE id = %s", [team.pk])
    (found,) = drift.find()
    assert found.differences == (drift.Difference("name", "“Risk”", "“Ours”"),)
    assert (found.at, found.after, found.last_entry) == (None, told.recorded_at, str(told.event_id))
    assert str(found) == (
        f"registry_team {team.pk} was changed without an entry: its newest history differs"
        f" (name is “Ours”, was “Risk”). It happened after {told.recorded_at:%Y-%m-%d %H:%M:%S} UTC."
        f" No entry tells of it; the last one about this row is {told.event_id}."
    )


def test_secrets_and_addresses_are_named_but_not_shown(ada: User) -> None:
    for column in ("secret_sha256", "url", "email", "escalation_contact_email"):
        assert str(drift.difference(column, "s3cret", "other")) == column
    assert "…" in drift.difference("description", "x" * 999, None).was


def test_every_governed_table_is_compared() -> None:
    compared = drift.governed_models()
    assert {Team, Asset} <= set(compared)
    for model in compared:
        assert issubclass(model, Governed)
        assert list(drift.find_in(model)) == []
