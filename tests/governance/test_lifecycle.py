"""The table of states and moves: every pair, who may ask, what is written down, and what cannot be undone."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from datetime import timedelta
from typing import NamedTuple

import pytest
from django.core.exceptions import PermissionDenied
from django.utils import timezone
from pytest_django import DjangoDbBlocker

from audit import log
from audit.models import Entry
from governance import lifecycle
from governance.lifecycle import MOVES, TABLE
from governance.models import Transition
from portal.errors import Invalid, Refused
from registry.models import State, User, Version
from tests.factories import Walk, artifacts
from tests.scene import staged

PAIRS = [(state, move.name) for state in State for move in TABLE]
PEOPLE = ("ada", "ben", "carl", "petra", "rhea", "iris", "alma", "mallory")
SUNSET = timedelta(days=30)


class Life(NamedTuple):
    """A walk, and one version of fraud-scorer in each state."""

    walk: Walk
    versions: dict[str, Version]


@pytest.fixture(scope="module")
def lived(
    django_db_setup: None, django_db_blocker: DjangoDbBlocker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Life]:
    """Walk one version into each state, once for the whole module."""
    with django_db_blocker.unblock(), staged(tmp_path_factory.mktemp("life")) as walk:
        ada = walk.cast.ada
        versions = {"draft": walk.register("fraud-scorer", "0.1.0", artifacts.scorer(1))}
        for seed, state in enumerate(("candidate", "approved", "deprecated", "retired"), 2):
            versions[state] = walk.candidate("fraud-scorer", f"{seed}.0.0", artifacts.scorer(seed))
        walk.approved(versions["approved"])
        sunset = timezone.now() + SUNSET
        lifecycle.deprecate(versions["deprecated"], actor=ada, successor=None, sunset_at=sunset, reason="Old.")
        lifecycle.retire(versions["retired"], actor=ada, reason="Nobody uses it.")
        yield Life(walk, {state: Version.objects.get(pk=row.pk) for state, row in versions.items()})


@pytest.fixture
def life(lived: Life, db: None) -> Life:
    """Return versions that a test may change as it likes."""
    return deepcopy(lived)


def test_the_walk_reached_every_state(life: Life) -> None:
    assert {state: row.state for state, row in life.versions.items()} == {state.value: state.value for state in State}


def test_the_state_is_the_cache_of_the_newest_transition(life: Life) -> None:
    for state, version in life.versions.items():
        newest = version.transitions.last()
        assert (newest.to_state if newest else "draft") == state


@pytest.mark.parametrize(("state", "name"), PAIRS)
def test_every_move_from_every_state(life: Life, state: str, name: str) -> None:
    version, sweeps = life.versions[state], User.objects.system("sweeps")
    before = Transition.objects.count(), Entry.objects.count()
    if state in MOVES[name].sources:
        written = lifecycle.move(version, name, actor=sweeps, reason="A test moves it.")
        version.refresh_from_db()
        assert version.state == MOVES[name].target
        assert (written.from_state, written.to_state, written.move) == (state, MOVES[name].target, name)
        entry = Entry.objects.get(event_id=written.recorded_in)
        assert entry.kind == "version.moved"
        assert entry.details == {"move": name, "from_state": state, "to_state": MOVES[name].target}
    else:
        with pytest.raises(Refused, match=f"is {state}; to {name} it, it has to be") as refusal:
            lifecycle.move(version, name, actor=sweeps, reason="A test tries to move it.")
        assert refusal.value.code == "wrong_state"
        version.refresh_from_db()
        assert version.state == state
        assert (Transition.objects.count(), Entry.objects.count()) == before


def test_the_table_is_whole() -> None:
    assert len(MOVES) == len(TABLE)
    named = {state for move in TABLE for state in (*move.sources, move.target)}
    assert named == set(State)
    assert {move.name for move in TABLE if State.RETIRED in move.sources} == set()
    assert {move.name for move in TABLE if move.target == State.DRAFT} == set()


@pytest.mark.parametrize("state", State)
def test_buttons_are_the_moves_by_hand_that_somebody_may_ask_for(life: Life, state: str) -> None:
    version = life.versions[state]
    for name in PEOPLE:
        person = User.objects.get(username=name)
        expected = {move.name for move in TABLE if move.by_hand and state in move.sources and name in {"ada", "ben"}}
        assert {move.name for move in lifecycle.open_to(person, version)} == expected, name


@pytest.mark.parametrize("name", [name for name in PEOPLE if name not in {"ada", "ben"}])
def test_others_than_the_team_neither_deprecate_nor_retire(life: Life, name: str) -> None:
    person, version = User.objects.get(username=name), life.versions["approved"]
    with pytest.raises(PermissionDenied):
        lifecycle.retire(version, actor=person, reason="Because I can.")
    with pytest.raises(PermissionDenied):
        lifecycle.deprecate(
            version, actor=person, successor=None, sunset_at=timezone.now() + SUNSET, reason="Because I can."
        )
    version.refresh_from_db()
    assert version.state == "approved"


def test_a_deprecation_names_its_successor_and_its_sunset(life: Life) -> None:
    version, newer = life.versions["approved"], life.versions["candidate"]
    sunset = timezone.now() + SUNSET
    lifecycle.deprecate(version, actor=life.walk.cast.ada, successor=newer, sunset_at=sunset, reason="A better one.")
    newest = version.transitions.last()
    assert newest is not None
    assert (newest.successor, newest.sunset_at, newest.reason) == (newer, sunset, "A better one.")
    [entry] = log.entries(kind="version.moved", subject=version)[:1]
    assert entry.details["successor"] == newer.label


@pytest.mark.parametrize("reason", ["", "  ", "ok"])
def test_nobody_ends_a_version_without_saying_why(life: Life, reason: str) -> None:
    version, ada = life.versions["approved"], life.walk.cast.ada
    with pytest.raises(Invalid, match="reason"):
        lifecycle.retire(version, actor=ada, reason=reason)
    with pytest.raises(Invalid, match="reason"):
        lifecycle.deprecate(version, actor=ada, successor=None, sunset_at=timezone.now() + SUNSET, reason=reason)
    version.refresh_from_db()
    assert version.state == "approved"


def test_a_sunset_lies_in_the_future(life: Life) -> None:
    told = {"successor": None, "sunset_at": timezone.now(), "reason": "A better one."}
    with pytest.raises(Invalid, match="sunset_at"):
        lifecycle.deprecate(life.versions["approved"], actor=life.walk.cast.ada, **told)  # type: ignore[arg-type]


def test_a_successor_is_another_version_of_the_same_asset(life: Life) -> None:
    version, ada = life.versions["approved"], life.walk.cast.ada
    stranger = life.walk.register("churn-embedder", "1.0.0", artifacts.embedder(1), suffix="onnx")
    for successor in (version, stranger):
        with pytest.raises(Invalid, match="successor"):
            lifecycle.deprecate(
                version, actor=ada, successor=successor, sunset_at=timezone.now() + SUNSET, reason="A better one."
            )


def test_what_is_retired_stays_so(life: Life) -> None:
    version, ada = life.versions["retired"], life.walk.cast.ada
    with pytest.raises(Refused, match="is retired"):
        lifecycle.retire(version, actor=ada, reason="Once more.")
    with pytest.raises(Refused, match="is retired"):
        lifecycle.deprecate(version, actor=ada, successor=None, sunset_at=timezone.now() + SUNSET, reason="Once more.")
    assert version.transitions.count() == 2


def test_a_stale_object_in_memory_does_not_decide(life: Life) -> None:
    """The verbs lock and read the row again, whatever the caller holds."""
    version, ada = life.versions["candidate"], life.walk.cast.ada
    held = deepcopy(version)
    lifecycle.retire(version, actor=ada, reason="Nobody uses it.")
    assert held.state == "candidate"
    with pytest.raises(Refused, match="is retired"):
        lifecycle.retire(held, actor=ada, reason="Nobody uses it.")
