"""The clock's work: run twice, late or by a second process, it comes to the same end, and no answer waits for it."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
import time_machine
from django.core.exceptions import PermissionDenied
from django.utils import timezone

from audit.models import Entry
from audit.serving.lookups import floor
from governance import decisions, lifecycle, standing, submissions, sweeps
from governance.checks import runner
from governance.models import CheckRequest, CheckRun, Notice, Submission, Transition
from portal.errors import Refused
from registry import people
from registry.models import User, Version
from tests.factories import Walk, artifacts
from tests.governance.hygiene import foreseen, publish_hygiene, served, waive
from tests.scene import Scene
from tests.web.services import count_rows


def states() -> dict[str, str]:
    """Return where every version and every submission stands."""
    versions = {row.label: row.state for row in Version.objects.select_related("asset")}
    asked = {str(row): row.state for row in Submission.objects.select_related("version__asset")}
    return {**versions, **asked}


def a_quarter(scene: Scene) -> datetime:
    """Let a decision, a sunset and an unanswered submission run towards their ends; return the instant it begins."""
    walk, version = scene
    walk.approved(version)
    old = walk.candidate("tagger", "1.0.0", artifacts.scorer(2))
    walk.approved(old)
    lifecycle.deprecate(
        old, actor=walk.cast.ada, successor=None, sunset_at=timezone.now() + timedelta(days=10), reason="Newer one."
    )
    walk.submit(version, "staging")
    return timezone.now()


AFTERWARDS = {
    "fraud-scorer@1.0.0": "candidate",
    "tagger@1.0.0": "retired",
    "fraud-scorer@1.0.0 for production": "approved",
    "tagger@1.0.0 for production": "approved",
    "fraud-scorer@1.0.0 for staging": "lapsed",
}


@pytest.mark.parametrize(
    "days",
    [[*range(7, 92, 14), 92], [9, 11, 13, 15, 89, 91], [91, 92], [91, 91, 92, 92]],
    ids=["now and then", "around the ends", "late", "twice at once"],
)
def test_however_often_the_clock_came_the_end_is_the_same(scene: Scene, days: list[int]) -> None:
    begun = a_quarter(scene)
    before = Transition.objects.count()
    for day in days:
        with time_machine.travel(begun + timedelta(days=day), tick=False):
            sweeps.sweep_due()
    assert states() == AFTERWARDS
    assert Transition.objects.count() == before + 2
    with time_machine.travel(begun + timedelta(days=days[-1]), tick=False):
        before_again = count_rows()
        assert sweeps.sweep_due() == 0
        assert count_rows() == before_again


def test_no_answer_waits_for_the_clock(scene: Scene) -> None:
    begun = a_quarter(scene)
    rows = list(Version.objects.all())

    def answers() -> list[bool]:
        days = (1, 9, 11, 89, 91, 400)
        return [standing.of(row, "production", at=begun + timedelta(days=day)).allow for row in rows for day in days]

    asked = answers()
    for day in (91, 92):
        with time_machine.travel(begun + timedelta(days=day), tick=False):
            sweeps.sweep_due()
    assert answers() == asked
    assert asked.count(True) == 4 + 2


def test_what_the_clock_did_is_told_under_the_portals_own_name(scene: Scene) -> None:
    begun = a_quarter(scene)
    before = Entry.objects.latest("pk").pk
    for day in (91, 92):
        with time_machine.travel(begun + timedelta(days=day), tick=False):
            sweeps.sweep_due()
    told = Entry.objects.filter(pk__gt=before)
    assert sorted(told.values_list("kind", flat=True)) == ["submission.closed", "version.moved", "version.moved"]
    assert set(told.values_list("actor", flat=True)) == {User.objects.system("sweeps").ledger_name}
    move = Transition.objects.get(move="retire")
    assert move.cause == "sunset"
    assert move.reason.startswith(f"Its sunset was announced for {begun + timedelta(days=10):%Y-%m-%d}")


def test_a_version_with_another_decision_in_force_does_not_lapse(scene: Scene) -> None:
    walk, version = scene
    first = walk.approved(version)
    assert first.expires_at is not None
    with time_machine.travel(timezone.now() + timedelta(days=20)):
        walk.submit(version, "production")
        walk.approve(version.submissions.get(state="open"))
    with time_machine.travel(first.expires_at, tick=False):
        assert sweeps.lapse_approvals_due() == 0
    version.refresh_from_db()
    assert version.state == "approved"


def test_nobody_else_may_do_the_clocks_work(scene: Scene) -> None:
    walk, version = scene
    for actor in (walk.cast.alma, walk.cast.rhea, walk.cast.cee_i):
        with pytest.raises(PermissionDenied):
            lifecycle.retire(version, actor=actor, reason="Pretending to be the clock.", rule="sweep")


def queued(walk: Walk) -> Version:
    """Return a nominated draft whose checks wait."""
    draft = walk.attach_all(walk.register("tagger", "1.0.0", artifacts.scorer(2)))
    return submissions.nominate(draft, actor=walk.cast.cee_i)


def test_a_check_that_a_worker_holds_is_left_to_it_until_its_lease_is_over(scene: Scene) -> None:
    version = queued(scene.walk)
    held = runner.claim()
    assert held is not None
    sweeps.answer_checks_due()
    assert [each.pk for each in CheckRequest.objects.all()] == [held.pk]
    version.refresh_from_db()
    assert version.state == "draft"
    with time_machine.travel(timezone.now() + runner.LEASE + timedelta(seconds=1)):
        sweeps.answer_checks_due()
    version.refresh_from_db()
    assert version.state == "candidate"
    assert CheckRun.objects.filter(version=version, check_slug=held.check_slug).count() == 1


def test_a_worker_that_comes_back_after_its_lease_records_nothing(scene: Scene) -> None:
    version = queued(scene.walk)
    late = runner.claim()
    assert late is not None
    with time_machine.travel(timezone.now() + runner.LEASE + timedelta(seconds=1)):
        sweeps.answer_checks_due()
        before = count_rows()
        assert runner.answer_request(late) is None
    assert count_rows() == before
    assert CheckRun.objects.filter(version=version, check_slug=late.check_slug).count() == 1


def test_a_check_that_ends_its_worker_again_and_again_becomes_an_error_and_never_green(scene: Scene) -> None:
    version = queued(scene.walk)
    CheckRequest.objects.filter(check_slug="checksum").update(attempts=runner.MAX_ATTEMPTS)
    sweeps.answer_checks_due()
    answer = version.check_runs.get(check_slug="checksum")
    assert (answer.outcome, answer.says) == (
        "error",
        "The check did not finish in 3 attempts: its worker was ended each time.",
    )
    version.refresh_from_db()
    assert version.state == "draft"
    submissions.nominate(version, actor=scene.walk.cast.cee_i)
    sweeps.answer_checks_due()
    version.refresh_from_db()
    assert version.state == "candidate"


def test_admitting_signing_and_lapsing_twice_is_once(scene: Scene) -> None:
    walk, _ = scene
    version = queued(walk)
    runner.run_due()
    assert (submissions.admit_due(), submissions.admit_due()) == (1, 0)
    submission = walk.submit(version, "staging")
    walk.approve(submission)
    assert decisions.sign_due() == 0
    assert submissions.lapse_due() == 0
    with pytest.raises(Refused):
        submissions.withdraw(submission, actor=walk.cast.ada)


@pytest.fixture
def still(scene: Scene) -> Scene:
    """Return the scene under a policy that retires what is still for a hundred days, or unowned for twenty."""
    publish_hygiene(scene.walk.cast)
    return scene


def sweep_at(begun: datetime, *at: float) -> list[int]:
    """Let the clock come on some days, and return what it changed each time."""
    done = []
    for day in at:
        with time_machine.travel(begun + timedelta(days=day), tick=False):
            done.append(sweeps.sweep_due())
    return done


def warnings_of(version: Version) -> list[tuple[str, str]]:
    """Return which warnings about a version were written to whom, by the day before the move that each is for."""
    rows = Notice.objects.filter(kind="hygiene_warning", cause__startswith=f"hygiene:{version.pk}:").order_by("pk")
    return [(row.cause.rpartition(":")[2], row.receiver.partition(":")[0]) for row in rows]


def test_owner_backup_and_escalation_are_warned_at_30_7_and_1_days_and_then_it_is_retired(still: Scene) -> None:
    version, begun = still.version, timezone.now()
    sweep_at(begun, 69, 70, 70, 71, 92, 93, 94, 98, 99, 99.5)
    everybody = ["person", "person", "address"]
    assert warnings_of(version) == [(day, kind) for day in ("30", "7", "1") for kind in everybody]
    assert state_of(version) == "candidate"
    sweep_at(begun, 100)
    move = Transition.objects.get(version=version, move="retire")
    assert (move.cause, move.actor, state_of(version)) == ("stale", User.objects.system("sweeps"), "retired")
    assert "100 days (hygiene.stale_days)" in move.reason
    assert Notice.objects.filter(kind="hygiene_done", text=move.reason).count() == 3
    assert sweep_at(begun, 100, 101) == [0, 0]


def state_of(version: Version) -> str:
    return Version.objects.get(pk=version.pk).state


def test_after_a_pause_one_late_warning_is_written_and_the_move_waits_a_day_for_it(still: Scene) -> None:
    version, begun = still.version, timezone.now()
    sweep_at(begun, 70)
    sweep_at(begun, 110)
    assert [day for day, kind in warnings_of(version) if kind == "address"] == ["30", "1"]
    with time_machine.travel(begun + timedelta(days=110.5), tick=False):
        assert foreseen(version)[0].at == begun + timedelta(days=111)
        assert foreseen(version)[0].is_late
    sweep_at(begun, 110.9)
    assert state_of(version) == "candidate"
    sweep_at(begun, 111)
    assert state_of(version) == "retired"


def test_after_a_weeks_pause_only_the_nearest_warning_is_written(still: Scene) -> None:
    sweep_at(timezone.now(), 69, 95)
    assert [day for day, kind in warnings_of(still.version) if kind == "address"] == ["7"]


def test_a_sign_of_life_after_the_last_warning_saves_it(still: Scene) -> None:
    walk, version = still
    begun = timezone.now()
    sweep_at(begun, 70, 93, 99)
    with time_machine.travel(begun + timedelta(days=99.5), tick=False):
        served(walk, version.identity_digest, timezone.now())
    sweep_at(begun, 100, 101)
    assert state_of(version) == "candidate"
    with time_machine.travel(begun + timedelta(days=102), tick=False):
        assert foreseen(version)[0].due == floor(begun + timedelta(days=99.5)) + timedelta(days=100)


def test_a_waiver_keeps_the_clock_from_moving_a_version_and_its_end_lets_it(still: Scene) -> None:
    walk, version = still
    begun = timezone.now()
    other = walk.candidate("tagger", "1.0.0", artifacts.scorer(2))
    with time_machine.travel(begun + timedelta(days=80), tick=False):
        waive(walk, version, "stale", 40)
    sweep_at(begun, 71, 99, 101, 119)
    assert (state_of(version), state_of(other)) == ("candidate", "retired")
    sweep_at(begun, 121)
    assert state_of(version) == "retired"


def test_an_unowned_version_in_force_is_deprecated_first_and_served_for_thirty_days_more(still: Scene) -> None:
    walk, version = still
    walk.approved(version)
    begun = timezone.now()
    for person in (walk.cast.ada, walk.cast.ben):
        people.close_account(person, actor=walk.cast.alma)
    sweep_at(begun, 0, 13, 29, 30)
    assert state_of(version) == "deprecated"
    move = Transition.objects.get(move="deprecate")
    assert (move.cause, move.sunset_at) == ("unowned", begun + timedelta(days=60))
    assert standing.of(version, "production", at=begun + timedelta(days=59)).allow
    sweep_at(begun, 31, 53, 59, 60)
    assert state_of(version) == "retired"


def test_retiring_takes_back_what_a_version_still_asks_for_and_nothing_else(still: Scene) -> None:
    walk, version = still
    other = walk.submit(walk.candidate("tagger", "1.0.0", artifacts.scorer(2)), "staging")
    mine = walk.submit(version, "staging")
    submissions.retire(version, actor=walk.cast.ada, reason="It is wrong about weekends.")
    mine.refresh_from_db()
    assert (mine.state, mine.closed_because) == (
        "withdrawn",
        "fraud-scorer@1.0.0 was retired: It is wrong about weekends.",
    )
    other.refresh_from_db()
    assert other.is_open
    with pytest.raises(PermissionDenied):
        submissions.retire(other.version, actor=walk.cast.mallory, reason="Because I can.")
    assert Submission.objects.get(pk=other.pk).is_open


def test_the_clock_does_not_move_what_changed_after_it_looked(still: Scene) -> None:
    begun, version = timezone.now(), still.version
    sweep_at(begun, 70, 93, 99)
    with time_machine.travel(begun + timedelta(days=100), tick=False):
        seen = foreseen(version, within=1)[0]
        assert seen.at <= timezone.now()
        served(still.walk, version.identity_digest, timezone.now())
        assert not sweeps.act(seen)
    assert state_of(version) == "candidate"
