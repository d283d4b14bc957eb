"""The readable history of governed rows, told by the recording."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.db import connection
from django.db.models import Value
from django.db.models.functions import Concat

from audit.events import Event
from audit.history import History
from audit.log import UnrecordedChange, record
from audit.models import Entry
from registry.models import Team, User

pytestmark = pytest.mark.django_db


class Clock:
    """The portal itself, acting."""

    ledger_name = "system:sweeps"


@pytest.fixture
def team(make_team: Callable[[str], Team]) -> Team:
    return make_team("risk-models")


def test_history_says_who_did_what_under_which_entry(team: Team, ada: User) -> None:
    row = team.history.get()
    entry = Entry.objects.get()
    assert (row.history_type, row.history_user, row.history_change_reason) == ("+", ada, "team.changed")
    assert row.recorded_in == entry.event_id


def test_the_portal_itself_is_no_user(team: Team) -> None:
    with record(Event.TEAM_CHANGED, actor=Clock(), subject=team):
        team.save()
    assert team.history.first().history_user is None


def test_history_copies_the_stored_row_not_the_object_in_memory(team: Team, ada: User) -> None:
    stale = Team.objects.get()
    with record(Event.TEAM_CHANGED, actor=ada, subject=team):
        team.name = "Risk"
        team.save()
    with record(Event.TEAM_CHANGED, actor=ada, subject=stale):
        stale.slug = "risk"
        stale.save(update_fields=["slug"])
    assert [(row.slug, row.name) for row in Team.history.order_by("history_date")] == [
        ("risk-models", "Team risk-models"),
        ("risk-models", "Risk"),
        ("risk", "Risk"),
    ]


def test_history_holds_what_an_expression_became(team: Team, ada: User) -> None:
    with record(Event.TEAM_CHANGED, actor=ada, subject=team):
        team.name = Concat("slug", Value("!"))
        team.save()
    assert team.history.first().name == "risk-models!"


def test_the_last_history_row_of_a_deleted_row_is_what_the_database_held(team: Team, ada: User) -> None:
    with record(Event.TEAM_CHANGED, actor=ada, subject=team):
        team.name = "never saved"
        team.delete()
    newest = Team.history.order_by("-history_date").first()
    assert (newest.history_type, newest.name) == ("-", "Team risk-models")


def test_history_never_runs_backwards_when_a_host_has_a_slow_clock(team: Team, ada: User) -> None:
    with (
        time_machine.travel(datetime.now(UTC) - timedelta(hours=1)),
        record(Event.TEAM_CHANGED, actor=ada, subject=team),
    ):
        team.name = "Later, by a slow clock"
        team.save()
    assert team.history.first().name == "Later, by a slow clock"


def test_two_changes_in_one_instant_keep_their_order(team: Team, ada: User) -> None:
    with time_machine.travel(datetime.now(UTC) + timedelta(hours=1), tick=False):
        for name in "abc":
            with record(Event.TEAM_CHANGED, actor=ada, subject=team):
                team.name = name
                team.save()
    assert [row.name for row in team.history.all()[:3]] == ["c", "b", "a"]


def test_history_cannot_be_changed_by_the_honest_programmer(team: Team, ada: User) -> None:
    row = team.history.get()
    row.history_change_reason = "edited"
    with record(Event.TEAM_CHANGED, actor=ada, subject=team) as told:
        told.skip()
        for change in (
            row.save,
            row.delete,
            lambda: team.history.update(history_change_reason="edited"),
            lambda: Team.history.all().delete(),
        ):
            with pytest.raises(UnrecordedChange):
                change()


def test_history_reads_as_of_then(team: Team, ada: User) -> None:
    before = datetime.now(UTC)
    with record(Event.TEAM_CHANGED, actor=ada, subject=team):
        team.name = "Now"
        team.save()
    assert team.history.as_of(before).name == "Team risk-models"
    assert Team.history.as_of(before).get(slug="risk-models").name == "Team risk-models"


def test_a_history_of_relations_or_one_that_ends_with_its_row_is_refused() -> None:
    with pytest.raises(TypeError, match="by themselves"):
        History(m2m_fields=["members"])
    with pytest.raises(TypeError, match="keep the history"):
        History(cascade_delete_history=True)


def test_an_unrecorded_field_may_change_by_itself_and_leaves_no_history(
    team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Team, "unrecorded_fields", frozenset({"name"}))
    team.name = "seen a minute ago"
    team.save(update_fields=["name"])
    assert Team.objects.filter(pk=team.pk).update(name="seen now") == 1
    assert team.history.count() == 1
    with pytest.raises(UnrecordedChange):
        team.save(update_fields=["name", "slug"])
    with pytest.raises(UnrecordedChange):
        Team.objects.update(name="x", slug="y")


def test_one_save_costs_a_read_and_an_insert_more(team: Team, ada: User) -> None:
    team.name = "Risk"
    with record(Event.TEAM_CHANGED, actor=ada, subject=team):
        before = len(connection.queries_log)
        connection.force_debug_cursor = True
        team.save()
        connection.force_debug_cursor = False
        assert len(connection.queries_log) - before == 3
