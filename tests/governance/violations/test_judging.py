"""Judging what was reported as served: by the time of the windows, once, and into one task for each stretch."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.db import connections, transaction
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audit.models import Entry, UnjudgedBatch
from audit.models.serving import GRID
from audit.reports.judging import judge as report_judge
from audit.serving.lookups import floor
from governance import decisions, lifecycle, promotions, standing, violations
from governance.models import Decision, Notice, Violation
from governance.over_time import StandingsOverTime
from governance.violations import judging
from tests.governance.violations.stories import judged, report, steps, window
from tests.scene import Scene

STRANGER = "f0" * 32


@pytest.fixture
def start(scene: Scene) -> datetime:
    """An instant on the grid, after the version was registered."""
    return floor(timezone.now()) + 2 * GRID


def approve(scene: Scene, at: datetime) -> Decision:
    """Have the version approved for staging at an instant."""
    with time_machine.travel(at):
        return scene.walk.approved(scene.version, "staging")


def revoke(scene: Scene, decision: Decision, at: datetime) -> None:
    with time_machine.travel(at, tick=False):
        decisions.revoke(decision, actor=scene.walk.cast.rhea, reason="A leak was found.")
    with time_machine.travel(at):
        scene.walk.work()


def kinds(found: list[Violation]) -> list[str]:
    return [each.kind for each in found]


def test_what_was_in_force_accuses_nobody(scene: Scene, start: datetime) -> None:
    approve(scene, start)
    with time_machine.travel(start + 10 * GRID):
        assert judged(scene.walk, *(window(scene.version.identity_digest, at) for at in steps(start + GRID, 5))) == []
    assert not UnjudgedBatch.objects.exists()


def test_many_windows_are_one_task(scene: Scene, start: datetime) -> None:
    digest = scene.version.identity_digest
    rows = [window(digest, at, customer=who) for at in steps(start, 4) for who in ("acme", "globex")]
    with time_machine.travel(start + 20 * GRID):
        [found] = judged(scene.walk, *rows)
        assert (found.kind, found.version, found.rule) == ("undecided", scene.version, "no_decision")
        assert (found.windows, found.requests, found.customers.count()) == (8, 56, 2)
        assert (found.first_window, found.last_window) == (start, start + 3 * GRID)
        [same] = judged(scene.walk, window(digest, start + 4 * GRID, customer="initech"), batch="2")
        assert (same.pk, same.windows, same.customers.count()) == (found.pk, 9, 3)
        assert same.last_window == start + 4 * GRID
        assert Entry.objects.filter(kind="violation.opened").count() == 1
        elsewhere = judged(scene.walk, window(digest, start, deployment="desk-us"), batch="3")
        assert [each.deployment for each in elsewhere] == ["desk-eu", "desk-us"]


def test_revoked_retired_expired_and_unknown_are_different_tasks(scene: Scene, start: datetime) -> None:
    digest = scene.version.identity_digest
    decision = approve(scene, start)
    revoke(scene, decision, start + 3 * GRID)
    second = approve(scene, start + 6 * GRID)
    assert second.expires_at is not None
    ended = floor(second.expires_at) + 2 * GRID
    with time_machine.travel(ended + GRID):
        lifecycle.retire(scene.version, actor=scene.walk.cast.ada, reason="2.0.0 is out.")
    with time_machine.travel(ended + 9 * GRID):
        found = judged(
            scene.walk,
            window(digest, start + 4 * GRID),
            window(digest, ended),
            window(digest, ended + 3 * GRID),
            window(STRANGER, start),
        )
    assert sorted(kinds(found)) == ["expired", "retired", "revoked", "unknown"]
    assert {each.kind: each.version for each in found} == {
        "expired": scene.version,
        "retired": scene.version,
        "revoked": scene.version,
        "unknown": None,
    }


def test_late_data_is_judged_by_its_own_time(scene: Scene, start: datetime) -> None:
    digest = scene.version.identity_digest
    decision = approve(scene, start)
    revoke(scene, decision, start + 5 * GRID)
    with time_machine.travel(start + timedelta(days=30)):
        assert judged(scene.walk, window(digest, start + 3 * GRID)) == []
        [found] = judged(scene.walk, window(digest, start + 5 * GRID), batch="2")
        assert (found.kind, found.first_window) == ("revoked", start + 5 * GRID)


@pytest.mark.parametrize(("seconds", "expected"), [(0, 1), (1, 0), (299, 0), (300, 0)])
def test_the_window_in_which_a_decision_was_revoked_accuses_nobody(
    scene: Scene, start: datetime, seconds: int, expected: int
) -> None:
    decision = approve(scene, start)
    place = start + 4 * GRID
    revoke(scene, decision, place + timedelta(seconds=seconds))
    with time_machine.travel(start + 9 * GRID):
        found = judged(scene.walk, window(scene.version.identity_digest, place))
    assert len(found) == expected


def test_the_window_in_which_it_was_approved_accuses_nobody(scene: Scene, start: datetime) -> None:
    approve(scene, start + timedelta(seconds=200))
    with time_machine.travel(start + 9 * GRID):
        assert judged(scene.walk, window(scene.version.identity_digest, start)) == []
        assert kinds(judged(scene.walk, window(scene.version.identity_digest, start - GRID), batch="2")) == [
            "undecided"
        ]


def test_a_new_consumer_of_a_deprecated_version_is_a_violation_and_a_known_one_is_not(
    scene: Scene, start: datetime
) -> None:
    decision, otto = approve(scene, start), scene.walk.cast.otto
    otto.token_scopes = frozenset({"gate"})  # type: ignore[attr-defined]
    digest = scene.version.identity_digest
    with time_machine.travel(start + GRID):
        promotions.ask_gate(decision.identity_digest, "staging", "billing", actor=otto)
        end = start + timedelta(days=9)
        lifecycle.deprecate(scene.version, actor=scene.walk.cast.ada, successor=None, sunset_at=end, reason="Old.")
    with time_machine.travel(start + 9 * GRID):
        told = [window(digest, start + 4 * GRID, consumer=name) for name in ("billing", "card-desk")]
        [found] = judged(scene.walk, *told)
    assert (found.kind, found.windows) == ("new_consumer", 1)


def test_windows_without_requests_accuse_nobody(scene: Scene, start: datetime) -> None:
    with time_machine.travel(start + 9 * GRID):
        assert judged(scene.walk, window(STRANGER, start, requests=0, completeness="gap")) == []


def test_a_correction_counts_instead_of_what_it_corrects_in_any_order(scene: Scene, start: datetime) -> None:
    rows = [window(STRANGER, start, sequence=number, requests=10 * number + 1) for number in range(4)]
    with time_machine.travel(start + 9 * GRID):
        [found] = judged(scene.walk, rows[1])
        assert (found.windows, found.requests) == (1, 11)
        [found] = judged(scene.walk, rows[3], rows[2], batch="2")
        assert (found.windows, found.requests) == (1, 31)
        [found] = judged(scene.walk, rows[0], batch="3")
        assert (found.windows, found.requests) == (1, 31)
        [found] = judged(scene.walk, window(STRANGER, start, sequence=4, requests=0), batch="4")
        assert (found.windows, found.requests) == (0, 0)


def test_a_batch_whose_windows_are_not_over_waits(scene: Scene, start: datetime) -> None:
    with time_machine.travel(start + GRID - timedelta(minutes=2), tick=False):
        assert judged(scene.walk, window(STRANGER, start)) == []
        assert UnjudgedBatch.objects.count() == 1
    with time_machine.travel(start + GRID):
        assert violations.judge_due() == 1
        assert Violation.objects.count() == 1


def test_more_different_violations_than_anybody_reads_become_few(scene: Scene, start: datetime) -> None:
    rows = [window(f"{number:064x}", start, deployment=f"d-{number}") for number in range(judging.MOST_APART + 1)]
    with time_machine.travel(start + 9 * GRID):
        [found] = judged(scene.walk, *rows)
    assert (found.digest, found.deployment, found.windows) == ("", "", len(rows))
    assert "many digests served in many places" in str(found)


def test_killed_at_any_statement_a_batch_is_judged_once(scene: Scene, start: datetime) -> None:
    class Killed(BaseException):
        pass

    with time_machine.travel(start + 9 * GRID):
        report(scene.walk, window(STRANGER, start))
        statements, survived = 0, False
        while not survived:
            statements += 1
            left = statements

            def kill(execute: Callable[..., Any], *args: Any) -> Any:
                nonlocal left
                left -= 1
                if left == 0:
                    raise Killed
                return execute(*args)

            try:
                with transaction.atomic(), connections["default"].execute_wrapper(kill):
                    survived = violations.judge_due() == 1
            except Killed:
                assert UnjudgedBatch.objects.count() == 1
                assert not Violation.objects.exists()
                assert not Notice.objects.filter(kind="violation").exists()
    assert statements > 10
    assert [each.windows for each in Violation.objects.all()] == [1]
    assert violations.judge_due() == 0


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(-900, 3_300), min_size=1, max_size=3), st.data())
def test_a_window_is_a_violation_when_no_instant_of_it_was_allowed(
    scene: Scene, eventful: dict[str, Any], offsets: list[int], data: st.DataObject
) -> None:
    """The judge asks at few instants; here every second edge and many instants between are asked one by one."""
    base, edges = eventful["start"], eventful["edges"]
    for offset in offsets:
        start = floor(base + timedelta(seconds=offset))
        end = start + GRID
        inside = [edge for edge in edges if start <= edge < end]
        between = [start + timedelta(seconds=data.draw(st.integers(0, 299))) for _ in range(2)]
        asked = [start, end - timedelta(microseconds=1), *inside, *between]
        asked += [edge - timedelta(microseconds=1) for edge in inside if edge > start]
        digest = scene.version.identity_digest
        expected = not any(standing.of_digest(digest, "staging", at=at).allow for at in asked)
        group = judging.Group(digest, "staging", "desk-eu", "", start)
        assert bool(list(judging.offences([group]))) == expected
        # The auditor's report says of the same window that it was not governed, and not even in part.
        [said] = report_judge([group])
        assert (said.verdict not in {"governed", "partly governed"}) == expected


@pytest.fixture
def eventful(scene: Scene, start: datetime) -> dict[str, Any]:
    """A version that is approved, revoked, approved again and retired within an hour, at odd seconds."""
    first = approve(scene, start + timedelta(seconds=433))
    revoke(scene, first, start + timedelta(seconds=1_211))
    approve(scene, start + timedelta(seconds=1_500))
    with time_machine.travel(start + timedelta(seconds=2_345)):
        lifecycle.retire(scene.version, actor=scene.walk.cast.ada, reason="Done.")
    known = StandingsOverTime([judging.Group(scene.version.identity_digest, "staging", "", "", start)])
    return {"start": start, "edges": known._edges}


def told(kind: str = "violation") -> set[str]:
    return {notice.person.username for notice in Notice.objects.filter(kind=kind) if notice.person is not None}


def test_the_right_people_are_told_once(scene: Scene, start: datetime) -> None:
    with time_machine.travel(start + 9 * GRID):
        judged(scene.walk, window(scene.version.identity_digest, start))
        assert told() == {"ada", "ben", "petra"}
        judged(scene.walk, window(scene.version.identity_digest, start + GRID), batch="2")
        count = Notice.objects.filter(kind="violation").count()
        judged(scene.walk, window(STRANGER, start), batch="3")
    assert {"alma", "petra"} <= told()
    new = Notice.objects.filter(kind="violation").order_by("pk")[count:]
    assert "mallory" not in {notice.person.username for notice in new if notice.person}


def test_contradictions_are_told_once_a_day(scene: Scene, start: datetime) -> None:
    with time_machine.travel(start + 9 * GRID):
        report(scene.walk, window(STRANGER, start), batch="1")
        for number in range(2, 5):
            report(scene.walk, window(STRANGER, start, requests=number), batch=str(number))
        assert violations.tell_conflicts_due() > 0
        assert violations.tell_conflicts_due() == 0
    assert {"alma", "petra"} <= told("serving_conflict")
