"""When entries are sealed: verdicts right after their commit, and an alarm when anything waits for too long."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.test import Client
from django.utils import timezone

from audit import log
from audit.events import Event
from audit.models import Checkpoint, Entry, Leaf
from audit.sealer import seal_due
from governance import unsealed
from governance.models import Notice
from registry.models import Seat, Team, User
from tests.audit.conftest import unguarded
from tests.factories import Walk
from tests.web.visitors import visit


@pytest.mark.django_db(transaction=True)
def test_a_verdict_is_sealed_when_its_verb_returns_and_other_entries_by_the_clock(
    say: Callable[..., Entry], ada: User
) -> None:
    waiting = say()
    assert not Leaf.objects.exists()
    with log.record(Event.REVIEW_GIVEN, actor=ada, subject=ada, role="security", verdict="approve"):
        pass
    assert Leaf.objects.count() == 2 == Checkpoint.objects.get().size
    assert Leaf.objects.filter(entry=waiting).exists()


@pytest.mark.django_db(transaction=True)
def test_a_verdict_stands_also_where_it_cannot_be_sealed_at_once(
    say: Callable[..., Entry], ada: User, make_team: Callable[[str], Team]
) -> None:
    say()
    seal_due()
    with unguarded() as cursor:
        cursor.execute("UPDATE audit_checkpoint SET size = 7")
    with log.record(Event.DECISION_MADE, actor=ada, subject=make_team("risk"), verdict="approved"):
        pass
    assert Entry.objects.filter(kind="decision.made").exists()
    assert Leaf.objects.count() == 1


def a_minute_later() -> Any:
    return time_machine.travel(timezone.now() + timedelta(seconds=75), tick=False)


@pytest.mark.django_db
def test_nobody_is_alarmed_while_sealing_goes_on(say: Callable[..., Entry]) -> None:
    assert log.sealing_fault() == ""
    say()
    assert log.sealing_fault() == ""
    seal_due()
    with a_minute_later():
        assert log.sealing_fault() == ""
        assert unsealed.tell_due() == 0


@pytest.mark.django_db
def test_an_entry_that_waits_for_over_a_minute_alarms_the_health_page(say: Callable[..., Entry]) -> None:
    say(2)
    with a_minute_later():
        answer = Client().get("/healthz")
        assert answer.status_code == 503
        assert any("2 entries wait to be sealed" in fault for fault in answer.json()["faults"])
    seal_due()
    with a_minute_later():
        assert not any("sealed" in fault for fault in Client().get("/healthz").json()["faults"])


@pytest.mark.django_db
def test_an_entry_that_was_deleted_while_it_waited_alarms_at_once(say: Callable[..., Entry]) -> None:
    entry = say()
    with unguarded() as cursor:
        cursor.execute("DELETE FROM audit_entry WHERE id = %s", [entry.pk])
    assert "waits to be sealed" in log.sealing_fault()


def test_administrators_are_told_once_for_each_time_that_sealing_stops(walk: Walk) -> None:
    while seal_due():
        pass
    administrators = Seat.objects.filter(role="administrator").count()
    entry_in(walk.cast.ada)
    with a_minute_later():
        assert (unsealed.tell_due(), unsealed.tell_due()) == (administrators, 0)
        entry_in(walk.cast.ada)
        assert unsealed.tell_due() == 0
        told = Notice.objects.get(kind="sealing_stopped", person=walk.cast.alma)
        assert "wait" in told.text
        seal_due()
        entry_in(walk.cast.ada)
    with time_machine.travel(timezone.now() + timedelta(seconds=300), tick=False):
        assert unsealed.tell_due() == administrators


def test_pages_warn_administrators_and_auditors_and_nobody_else(walk: Walk) -> None:
    while seal_due():
        pass
    entry_in(walk.cast.ada)
    with a_minute_later():
        for person, sees in {walk.cast.alma: True, walk.cast.iris: True, walk.cast.ada: False}.items():
            page = visit(person).get("/catalogue/").content.decode()
            assert ("The ledger is not being sealed." in page) is sees, person


def entry_in(actor: User) -> None:
    """Append one entry that changes nothing."""
    with log.record(Event.PERSON_CHANGED, actor=actor, subject=actor):
        pass
