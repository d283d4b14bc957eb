"""The clock's work: run twice, late or by a second process, it comes to the same end, and no answer waits for it."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
import time_machine
from django.core.exceptions import PermissionDenied
from django.utils import timezone

from audit.models import Entry
from governance import decisions, lifecycle, standing, submissions, sweeps
from governance.checks import runner
from governance.models import CheckRequest, CheckRun, Submission, Transition
from portal.errors import Refused
from registry.models import User, Version
from tests.factories import Walk, artifacts
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
    [[*range(7, 92, 14)], [9, 11, 13, 15, 89, 91], [91], [91, 91]],
    ids=["now and then", "around the ends", "once, late", "twice at once"],
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
    with time_machine.travel(begun + timedelta(days=91), tick=False):
        sweeps.sweep_due()
    assert answers() == asked
    assert asked.count(True) == 4 + 2


def test_what_the_clock_did_is_told_under_the_portals_own_name(scene: Scene) -> None:
    begun = a_quarter(scene)
    before = Entry.objects.latest("pk").pk
    with time_machine.travel(begun + timedelta(days=91), tick=False):
        sweeps.sweep_due()
    told = Entry.objects.filter(pk__gt=before)
    assert sorted(told.values_list("kind", flat=True)) == ["submission.closed", "version.moved", "version.moved"]
    assert set(told.values_list("actor", flat=True)) == {User.objects.system("sweeps").ledger_name}
    move = Transition.objects.get(move="retire")
    assert (move.reason, move.cause) == ("Its announced sunset has passed.", "sunset")


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
