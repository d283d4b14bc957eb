"""Several clocks at once, and one that is killed between two moves: every version is moved once, and told once."""

from __future__ import annotations

import os
import signal
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.db import connection, transaction
from django.utils import timezone

from audit import sealer, verifier
from audit.models import Entry
from governance import sweeps, tasks
from governance.models import Notice, Transition
from portal.demo.cast import gather
from portal.embedded.children import Child
from registry.models import Version
from tests.factories import Walk, artifacts
from tests.governance.hygiene import publish_hygiene
from tests.governance.test_concurrency import at_once
from tests.governance.test_crashes import until

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def due(settings: Any, tmp_path: Any) -> list[Version]:
    """Return three candidates whose time has come and that were warned of, and leave one that has a day left."""
    settings.ARTIFACT_ROOTS = [tmp_path / "artifacts"]
    now = timezone.now()
    with time_machine.travel(now - timedelta(days=101)):
        walk = Walk(gather())
        walk.trust_builder()
        publish_hygiene(walk.cast)
        made = [walk.candidate("fraud-scorer", f"{seed}.0.0", artifacts.scorer(seed)) for seed in (1, 2, 3)]
    with time_machine.travel(now - timedelta(days=98)):
        walk.candidate("tagger", "1.0.0", artifacts.scorer(4))
    with time_machine.travel(now - timedelta(days=1.5)):
        sweeps.sweep_due()
    return made


def retired() -> list[str]:
    return [move.version.label for move in Transition.objects.filter(move="retire").select_related("version__asset")]


def expect_each_retired_once(versions: list[Version]) -> None:
    """Say that each version has one move, one entry and one set of notices, and that the ledger is whole."""
    labels = sorted(version.label for version in versions)
    assert sorted(retired()) == labels
    moved = [entry.document["details"]["move"] for entry in Entry.objects.filter(kind="version.moved")]
    assert moved.count("retire") == len(labels)
    done = Notice.objects.filter(kind="hygiene_done")
    assert done.count() == 3 * len(labels)
    assert sweeps.sweep_due() == 0
    while sealer.seal_due():
        pass
    assert verifier.verify().is_sound


def test_clocks_in_parallel_move_each_version_once(due: list[Version]) -> None:
    at_once(*(sweeps.sweep_due for _ in range(4)))
    expect_each_retired_once(due)


def test_a_clock_that_is_killed_between_two_moves_leaves_the_rest_to_the_next_one(
    due: list[Version], worker: Child
) -> None:
    with transaction.atomic():
        Version.objects.select_for_update().get(pk=due[1].pk)
        tasks.sweep.delay()
        until(lambda: waits_for_a_row() and len(retired()) == 1, worker)
        os.killpg(worker.process.pid, signal.SIGKILL)
        worker.process.wait()
    until(lambda: not waits_for_a_row())
    assert retired() == [due[0].label]
    sweeps.sweep_due()
    expect_each_retired_once(due)


def waits_for_a_row() -> bool:
    """Return whether another process waits for a row that this one holds."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'transactionid' AND NOT granted")
        return bool(cursor.fetchone()[0])
