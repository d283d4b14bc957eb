"""Verification of a ledger that nobody touched, and of what stands around it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.db import connection
from pytest_django import DjangoAssertNumQueries

from audit.events import Event
from audit.log import record
from audit.models import Checkpoint, Entry, Tile
from audit.sealer import seal_due
from audit.verifier import VerifyReport, verify
from portal.errors import Invalid
from registry.models import Team, User

pytestmark = pytest.mark.django_db


def test_an_empty_ledger_verifies() -> None:
    assert verify().is_sound


def test_a_ledger_that_nobody_touched_verifies(
    say: Callable[..., Entry], make_team: Callable[[str], Team], ada: User
) -> None:
    team = make_team("risk-models")
    say(300)
    seal_due()
    old = Checkpoint.objects.get().note
    with record(Event.TEAM_CHANGED, actor=ada, subject=team):
        team.name = "Risk"
        team.save()
        for number in range(80):
            Team.objects.create(slug=f"team-{number}", name="Team")
    with record(Event.TEAM_CHANGED, actor=ada, subject=team):
        Team.objects.get(slug="team-7").delete()
    seal_due(1)
    report = verify(old)
    assert report.faults == []
    assert (report.entries, report.waiting, report.leaves, report.checkpoints) == (303, 1, 302, 2)
    assert report.rows == 1 + 81 + 1
    assert report.root == bytes(Checkpoint.objects.order_by("-size")[0].root).hex()


def test_verification_reads_a_long_ledger_in_few_queries(
    say: Callable[..., Entry], django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    verify()
    say(20)
    seal_due()
    with django_assert_max_num_queries(400) as short:
        verify()
    say(200)
    seal_due()
    with django_assert_max_num_queries(len(short.captured_queries) + 3):
        verify()


@pytest.mark.parametrize("text", ["", "not a checkpoint", "origin\nmany\nroot\n"])
def test_what_is_no_checkpoint_is_refused_rather_than_ignored(text: str) -> None:
    with pytest.raises(Invalid):
        verify(text)


def test_a_checkpoint_of_another_ledger_is_told_apart(say: Callable[..., Entry]) -> None:
    say()
    seal_due()
    note = Checkpoint.objects.get().note.replace("countersign.local", "elsewhere.example")
    faults = verify(note).faults
    assert any("elsewhere.example" in fault for fault in faults)


def test_a_tile_that_no_leaf_makes_is_a_fault(say: Callable[..., Entry]) -> None:
    say(3)
    seal_due()
    Tile(level=5, index=9, width=1, hashes=bytes(32)).save()
    assert verify().faults == ["1 tiles are stored where the leaves make none."]


def test_triggers_that_were_left_off_are_a_fault() -> None:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE registry_historicalteam DISABLE TRIGGER append_only_row")
    assert verify().faults == ["The append-only triggers of registry_historicalteam are missing or switched off."]


def test_a_report_keeps_a_thousand_faults_and_counts_the_rest() -> None:
    report = VerifyReport()
    for number in range(1_200):
        report.fault(f"Fault {number}.")
    assert (len(report.faults), report.further, report.is_sound) == (1_000, 200, False)
