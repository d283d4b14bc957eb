"""Real workers are killed at the worst moment. Rows are the queue: nothing is lost, and nothing happens twice."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine
from django.db import connection, transaction
from django.utils import timezone

from audit import sealer, verifier
from audit.models import Entry
from governance import decisions, policy, reviews, standing, submissions, sweeps, tasks
from governance.checks import runner
from governance.models import CheckRequest, CheckRun, Decision, Signature, Transition
from portal.embedded.children import Child
from registry.models import Version
from tests.factories import Walk, artifacts, make_walk
from tests.governance.test_concurrency import at_once
from tests.governance.test_sweeps import AFTERWARDS, a_quarter, states
from tests.processes import children_of, gone
from tests.scene import Scene

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def shared(settings: Any, tmp_path: Path) -> Walk:
    """Return a walk whose artifacts are where a worker finds them too."""
    settings.ARTIFACT_ROOTS = [Path(settings.VAR_DIR) / "artifacts"]
    return make_walk(tmp_path)


@pytest.fixture
def nominated(shared: Walk) -> Version:
    """Return a draft whose checks wait for a worker."""
    draft = shared.attach_all(shared.register("fraud-scorer", "1.0.0", artifacts.scorer(1)))
    return submissions.nominate(draft, actor=shared.cast.cee_i)


@pytest.fixture
def decided(shared: Walk) -> Decision:
    """Return an approval for production that waits for the signer."""
    submission = shared.submit(shared.candidate("fraud-scorer", "1.0.0", artifacts.scorer(1)), "production")
    people = {"platform": shared.cast.petra, "product": shared.cast.dana, "security": shared.cast.rhea}
    for role, person in people.items():
        reviews.approve(submission, actor=person, role=role, proof=shared.proof())
    return Decision.objects.get()


@contextmanager
def nobody_finishes() -> Iterator[None]:
    """Hold the door to the ledger. Entries are a verb's last statement: who waits there has written all the rest."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("LOCK TABLE audit_entry IN EXCLUSIVE MODE")
        yield


def somebody_waits() -> bool:
    """Return whether another process waits at the door."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE relation = 'audit_entry'::regclass AND NOT granted")
        return bool(cursor.fetchone()[0])


def until(holds: Callable[[], bool], worker: Child | None = None, *, seconds: float = 60) -> None:
    """Wait for something that another process does."""
    deadline = time.monotonic() + seconds
    while not holds():
        said = worker.last_lines(40) if worker else ""
        assert time.monotonic() < deadline, f"The other process did not get there in time.\n{said}"
        time.sleep(0.05)


def kill_pool(worker: Child) -> None:
    """Kill the processes that do the work, with whatever they started; their parent replaces them."""
    doing = children_of(worker.process.pid)
    assert doing
    for pid in doing:
        os.kill(pid, signal.SIGKILL)
    assert gone(doing)


def a_quarter_of_an_hour_later() -> None:
    """End every lease, as time would."""
    CheckRequest.objects.update(lease_until=timezone.now() - timedelta(seconds=1))


def expect_all_answered_once(version: Version) -> None:
    """Say that every check has one answer, one entry, and the version one move; and that the ledger is whole."""
    asked = runner.slugs_of(policy.governing(version))
    assert Counter(CheckRun.objects.values_list("check_slug", flat=True)) == dict.fromkeys(asked, 1)
    assert Entry.objects.filter(kind="check.answered").count() == len(asked)
    assert [move.to_state for move in version.transitions.all()] == ["candidate"]
    while sealer.seal_due():
        pass
    assert verifier.verify().is_sound


def test_a_worker_killed_at_its_last_statement_has_answered_nothing_and_answers_once(
    nominated: Version, worker: Child
) -> None:
    with nobody_finishes():
        tasks.run_checks.delay()
        until(somebody_waits, worker)
        kill_pool(worker)
    until(lambda: not somebody_waits())
    held = CheckRequest.objects.exclude(lease_until=None).order_by("pk").first()
    assert held is not None
    assert not CheckRun.objects.filter(check_slug=held.check_slug).exists()
    tasks.run_checks.delay()
    until(lambda: CheckRequest.objects.count() == 1, worker)
    a_quarter_of_an_hour_later()
    tasks.run_checks.delay()
    until(Transition.objects.exists, worker)
    assert not CheckRequest.objects.exists()
    expect_all_answered_once(nominated)


def test_workers_killed_twice_at_any_moment_still_answer_everything_once(nominated: Version, worker: Child) -> None:
    for moment in (0.35, 0.8):
        tasks.run_checks.delay()
        time.sleep(moment)
        kill_pool(worker)
        a_quarter_of_an_hour_later()
    tasks.run_checks.delay()
    until(Transition.objects.exists, worker)
    expect_all_answered_once(nominated)


def test_a_host_that_dies_while_signing_has_signed_nothing_and_another_signs_once(
    decided: Decision, worker: Child
) -> None:
    with nobody_finishes():
        tasks.sign_decisions.delay()
        until(somebody_waits, worker)
        os.killpg(worker.process.pid, signal.SIGKILL)
        worker.process.wait()
    assert not Signature.objects.exists()
    assert standing.of(decided.version, "production").reasons[0].rule == "unsigned"
    # Another host does what is due; it waits for whatever the dead one still holds.
    assert (decisions.sign_due(), decisions.sign_due()) == (1, 0)
    assert Entry.objects.filter(kind="decision.signed").count() == Signature.objects.count() == 1
    assert Transition.objects.filter(move="sign").count() == 1
    assert standing.of(decided.version, "production").allow
    while sealer.seal_due():
        pass
    assert verifier.verify().is_sound


def test_clocks_in_parallel_do_everything_once(shared: Walk) -> None:
    version = shared.candidate("fraud-scorer", "1.0.0", artifacts.scorer(1))
    begun = a_quarter(Scene(shared, version))
    moves, entries = Transition.objects.count(), Entry.objects.count()
    # On the first day they warn of the sunset, which they had slept through, and on the next one they act on it.
    for day in (91, 92):
        with time_machine.travel(begun + timedelta(days=day), tick=False):
            at_once(*(sweeps.sweep_due for _ in range(4)))
    assert states() == AFTERWARDS
    assert Transition.objects.count() == moves + 2
    assert Entry.objects.count() == entries + 3
