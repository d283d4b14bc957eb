"""Answering a violation: by those whose task it is, once, for everything served until then."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
import time_machine
from django.core.exceptions import PermissionDenied
from django.utils import timezone

from audit.models import Entry
from audit.models.serving import GRID
from audit.serving.lookups import floor
from governance import violations
from governance.models import Violation
from governance.permissions import may
from portal.errors import Invalid, Refused
from registry.models import User
from tests.governance.violations.stories import judged, steps, window
from tests.scene import Scene

STRANGER = "f0" * 32
TEXT = "The roll-out began a day early; it is switched off."


@pytest.fixture
def start(scene: Scene) -> datetime:
    return floor(timezone.now()) + 2 * GRID


@pytest.fixture
def served(scene: Scene, start: datetime) -> Violation:
    """A version without a decision that served three windows."""
    with time_machine.travel(start + 9 * GRID):
        [found] = judged(scene.walk, *(window(scene.version.identity_digest, at) for at in steps(start, 3)))
    return found


@pytest.fixture
def unknown(scene: Scene, start: datetime) -> Violation:
    """A digest that nobody registered."""
    with time_machine.travel(start + 9 * GRID):
        judged(scene.walk, window(STRANGER, start), batch="unknown")
    return Violation.objects.get(kind="unknown")


def test_an_answer_closes_the_task_and_is_on_the_record(scene: Scene, served: Violation) -> None:
    answered = violations.answer(served, actor=scene.walk.cast.ada, text=f" {TEXT} ")
    assert (answered.state, answered.answer, answered.answered_by) == ("answered", TEXT, scene.walk.cast.ada)
    entry = Entry.objects.get(kind="violation.answered")
    assert {row["table"] for row in entry.document["rows"]} == {"governance_historicalviolation"}
    with pytest.raises(Refused, match="has answered it already"):
        violations.answer(served, actor=scene.walk.cast.petra, text=TEXT)


@pytest.mark.parametrize("text", ["", "  ok  ", "a\x00 long enough", "x" * 100_000])
def test_an_answer_says_something(scene: Scene, served: Violation, text: str) -> None:
    with pytest.raises(Invalid):
        violations.answer(served, actor=scene.walk.cast.ada, text=text)
    served.refresh_from_db()
    assert served.state == "open"


def test_an_answer_is_for_everything_served_until_then(scene: Scene, served: Violation, start: datetime) -> None:
    digest = scene.version.identity_digest
    with time_machine.travel(start + 20 * GRID):
        violations.answer(served, actor=scene.walk.cast.ada, text=TEXT)
    with time_machine.travel(start + 40 * GRID):
        [same] = judged(scene.walk, window(digest, start + 10 * GRID), batch="late")
        assert (same.state, same.windows) == ("answered", 4)
        _, again = judged(scene.walk, window(digest, start + 21 * GRID), batch="after")
        assert (again.state, again.windows) == ("open", 1)
        _, again = judged(scene.walk, window(digest, start - GRID), batch="before")
        assert (again.windows, again.first_window) == (2, start - GRID)


def test_who_may_answer_and_whose_page_shows_it_agree(scene: Scene, served: Violation, unknown: Violation) -> None:
    expected = {
        "ada": {served},
        "ben": {served},
        "petra": {served, unknown},
        "rhea": {served, unknown},
        "alma": {unknown},
        "iris": set(),
        "mallory": set(),
        "dana": set(),
        "otto": set(),
    }
    for name, mine in expected.items():
        user = User.objects.get(username=name)
        assert set(violations.answerable(user)) == mine, name
        for violation in (served, unknown):
            assert may(user, "violation.answer", violation) == (violation in mine), (name, violation)


def test_others_are_refused(scene: Scene, served: Violation, unknown: Violation) -> None:
    for name, violation in (("mallory", served), ("iris", served), ("ada", unknown), ("otto", served)):
        with pytest.raises(PermissionDenied):
            violations.answer(violation, actor=User.objects.get(username=name), text=TEXT)


def test_one_open_task_for_one_thing(scene: Scene, served: Violation, start: datetime) -> None:
    with time_machine.travel(start + timedelta(days=2)):
        judged(scene.walk, window(scene.version.identity_digest, start + timedelta(days=1)), batch="next")
    assert Violation.objects.filter(state="open").count() == 1
