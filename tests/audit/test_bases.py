"""Governed and append-only tables: no change without an entry, however one tries."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.core import serializers
from django.db import connection

from audit.events import Event
from audit.identifiers import uuid7
from audit.log import UnrecordedChange, record
from audit.models import Checkpoint, Entry, ServingBatch, ServingConflict
from registry.models import Membership, Team, User

pytestmark = pytest.mark.django_db


@pytest.fixture
def team(make_team: Callable[[str], Team]) -> Team:
    return make_team("risk-models")


UNRECORDED: dict[str, Callable[[Team], object]] = {
    "save": lambda team: team.save(),
    "save of one field": lambda team: team.save(update_fields=["name"]),
    "delete": lambda team: team.delete(),
    "create": lambda team: Team.objects.create(slug="new", name="New"),
    "get_or_create": lambda team: Team.objects.get_or_create(slug="new", defaults={"name": "New"}),
    "update_or_create": lambda team: Team.objects.update_or_create(slug=team.slug, defaults={"name": "New"}),
    "async save": lambda team: asyncio.run(team.asave()),
}
BULK: dict[str, Callable[[Team], object]] = {
    "update": lambda team: Team.objects.filter(pk=team.pk).update(name="New"),
    "delete": lambda team: Team.objects.all().delete(),
    "bulk_create": lambda team: Team.objects.bulk_create([Team(slug="new", name="New")]),
    "bulk_update": lambda team: Team.objects.bulk_update([team], ["name"]),
    "update through the base manager": lambda team: Team._base_manager.filter(pk=team.pk).update(name="New"),
    "update of related rows": lambda team: team.memberships.update(user=None),
    "delete of related rows": lambda team: team.memberships.all().delete(),
    "async update": lambda team: asyncio.run(Team.objects.aupdate(name="New")),
}


@pytest.mark.parametrize("way", UNRECORDED)
def test_a_governed_row_does_not_change_outside_a_recording(team: Team, way: str) -> None:
    team.name = "New"
    with pytest.raises(UnrecordedChange):
        UNRECORDED[way](team)
    assert list(Team.objects.values_list("slug", "name")) == [("risk-models", "Team risk-models")]
    assert team.history.count() == 1


@pytest.mark.parametrize("way", BULK)
def test_governed_rows_never_change_in_bulk_even_inside_a_recording(team: Team, ada: User, way: str) -> None:
    with pytest.raises(UnrecordedChange), record(Event.TEAM_CHANGED, actor=ada, subject=team):
        BULK[way](team)
    assert list(Team.objects.values_list("slug", "name")) == [("risk-models", "Team risk-models")]


def test_a_fixture_does_not_get_around_the_record(team: Team) -> None:
    fixture = serializers.serialize("json", [team]).replace("Team risk-models", "Loaded")
    (loaded,) = serializers.deserialize("json", fixture)
    with pytest.raises(UnrecordedChange):
        loaded.save()
    assert Team.objects.get().name == "Team risk-models"


def test_the_libraries_ways_around_itself_are_closed(team: Team) -> None:
    assert not hasattr(team, "save_without_historical_record")
    team.skip_history_when_saving = True  # type: ignore[attr-defined]
    with pytest.raises(UnrecordedChange):
        team.save()


def test_a_recording_in_one_thread_does_not_cover_another(team: Team, ada: User) -> None:
    raised: list[type[BaseException]] = []

    def intrude() -> None:
        try:
            team.save()
        except UnrecordedChange as error:
            raised.append(type(error))

    with record(Event.TEAM_CHANGED, actor=ada, subject=team):
        thread = threading.Thread(target=intrude)
        thread.start()
        thread.join()
    assert raised == [UnrecordedChange]


def test_a_governed_row_changes_inside_a_recording(team: Team, ada: User) -> None:
    with record(Event.TEAM_CHANGED, actor=ada, subject=team):
        team.name = "Risk"
        team.save()
        Membership.objects.create(team=team, user=ada)
    with record(Event.TEAM_CHANGED, actor=ada, subject=team):
        Membership.objects.get().delete()
    assert Team.objects.get().name == "Risk"
    assert [row.history_type for row in Membership.history.order_by("history_date")] == ["+", "-"]


def batch(**values: Any) -> ServingBatch:
    given = {"source": "otto", "batch_id": "b1", "actor": "service:otto", "rows_root": "00" * 32, **values}
    time = "2026-11-23T09:00:00Z"
    return ServingBatch(received_at=time, first_start=time, last_end=time, row_count=1, request_count=1, **given)


def test_an_append_only_row_is_added_once_and_inside_a_recording(ada: User) -> None:
    with pytest.raises(UnrecordedChange):
        batch().save()
    with pytest.raises(UnrecordedChange):
        ServingBatch.objects.bulk_create([batch()])
    with record(Event.SERVING_REPORTED, actor=ada, subject=ada) as told:
        added = batch()
        added.save()
        (many,) = ServingBatch.objects.bulk_create([batch(batch_id="b2")])
    assert added.recorded_in == many.recorded_in == told.event_id
    assert [row["table"] for row in Entry.objects.get().document["rows"]] == ["audit_servingbatch"] * 2
    with record(Event.SERVING_REPORTED, actor=ada, subject=ada) as told:
        told.skip()
        for change in (
            added.save,
            added.delete,
            ServingBatch.objects.get(batch_id="b1").save,
            lambda: ServingBatch.objects.update(source="other"),
            lambda: ServingBatch.objects.all().delete(),
            lambda: ServingBatch.objects.bulk_update([added], ["source"]),
            lambda: added.conflicts.update(row_count=7),
        ):
            with pytest.raises(UnrecordedChange, match="append-only"):
                change()
        with pytest.raises(UnrecordedChange, match="append-only"):
            ServingBatch.objects.bulk_create(
                [batch()], update_conflicts=True, unique_fields=["source", "batch_id"], update_fields=["actor"]
            )
    assert not ServingConflict.objects.exists()


def test_the_ledgers_own_rows_are_inserted_once(say: Callable[..., Entry]) -> None:
    entry = say()
    with pytest.raises(UnrecordedChange):
        entry.save()
    with pytest.raises(UnrecordedChange):
        entry.delete()
    with pytest.raises(UnrecordedChange):
        Entry.objects.update(kind="asset.changed")
    with pytest.raises(UnrecordedChange):
        Checkpoint.objects.all().delete()


def test_identifiers_are_version_7_and_strictly_increase() -> None:
    made = [uuid7() for _ in range(5_000)]
    assert made == sorted(set(made))
    assert {(identifier.version, identifier.variant) for identifier in made} == {(7, "specified in RFC 4122")}


def test_history_needs_no_sequence_of_its_own(team: Team) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT data_type FROM information_schema.columns WHERE column_name = 'history_id' LIMIT 1")
        assert cursor.fetchone() == ("uuid",)
    assert team.history.get().pk.version == 7
