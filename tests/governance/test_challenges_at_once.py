"""Two workers match one version at the same moment, or one dies in the middle: one finding, one challenge, one end."""

from __future__ import annotations

from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from django.db import DatabaseError, connection, connections, transaction

from audit import sealer, verifier
from audit.models import Entry
from governance import challenges, findings
from governance.models import Challenge, Finding, TouchedPackage
from registry.models import User, Version
from tests.factories import Walk, artifacts, import_advisories, osv
from tests.governance.test_concurrency import at_once, fresh
from tests.governance.test_crashes import nobody_finishes, somebody_waits, until

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def family(walk: Walk) -> list[Version]:
    """Return a base and an adapter of it, both in force in staging and both with numpy in their SBOM."""
    base = walk.candidate("fraud-scorer", "1.0.0", artifacts.scorer(1))
    edges = [{"role": "base", "version": base.label}]
    changes: dict[str, Any] = {"kind": "adapter", "finetune_method": "lora", "components": edges}
    adapter = walk.candidate("fraud-lora", "1.0.0", artifacts.scorer(2), **changes)
    for version in (base, adapter):
        walk.approved(version, "staging")
    return [base, adapter]


@pytest.fixture
def touched(walk: Walk, family: list[Version], tmp_path: Path) -> list[Version]:
    """Import an advisory about numpy, which nobody has matched yet."""
    import_advisories(walk.cast, tmp_path, osv("GHSA-1111-1111-1111", "numpy", fixed="2.3.0"))
    return family


def expect_each_once() -> None:
    """Say that both versions have their own finding, and challenges by it and by the base's, each told once."""
    assert Finding.objects.count() == 2
    pairs = list(Challenge.objects.values_list("version__asset__slug", "finding__version__asset__slug"))
    assert sorted(pairs) == [
        ("fraud-lora", "fraud-lora"),
        ("fraud-lora", "fraud-scorer"),
        ("fraud-scorer", "fraud-scorer"),
    ]
    for kind, count in (("finding.opened", 2), ("version.challenged", 3)):
        assert Entry.objects.filter(kind=kind).count() == count
    assert not TouchedPackage.objects.exists()
    while sealer.seal_due():
        pass
    assert verifier.verify().is_sound


def test_workers_that_match_one_version_at_once_write_each_finding_and_challenge_once(touched: list[Version]) -> None:
    runner = User.objects.system("runner")
    acts = [lambda row=row: findings.rematch(fresh(row), actor=runner) for row in (*touched, *reversed(touched))]
    at_once(*acts, findings.rematch_due)
    findings.rematch_due()
    expect_each_once()


def test_workers_that_empty_the_queue_at_once_leave_nothing_and_do_nothing_twice(touched: list[Version]) -> None:
    at_once(*(findings.rematch_due for _ in range(4)))
    findings.rematch_due()
    expect_each_once()


def test_opening_and_ending_at_once_has_one_end(touched: list[Version]) -> None:
    runner = User.objects.system("runner")
    findings.rematch_due()
    acts = [lambda row=row: challenges.reconsider(fresh(row), actor=runner) for row in (*touched, *reversed(touched))]
    at_once(*acts, challenges.end_due, challenges.open_due)
    expect_each_once()


def test_a_worker_that_dies_in_the_middle_has_written_nothing_and_the_next_one_writes_all(
    touched: list[Version],
) -> None:
    def work() -> None:
        with pytest.raises(DatabaseError):
            findings.rematch_due()
        connections.close_all()

    worker = Thread(target=work)
    with nobody_finishes():
        worker.start()
        until(somebody_waits)
        kill_whoever_waits()
        worker.join()
    assert (Finding.objects.count(), Challenge.objects.count()) == (0, 0)
    assert TouchedPackage.objects.exists()
    findings.rematch_due()
    expect_each_once()
    assert findings.rematch_due() == 0


def kill_whoever_waits() -> None:
    """End the server's process behind a worker, as the death of the worker does."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE relation = 'audit_entry'::regclass AND NOT granted"
        )
