"""When the record was checked, against which copy, what was found, and who had asked for it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from audit import copies, log, verifications
from audit.events import Event
from audit.models import Verification
from audit.reports import BY_SLUG, Filters
from audit.sealer import seal_due
from tests.audit.conftest import unguarded
from tests.factories import Cast

pytestmark = pytest.mark.django_db

INTEGRITY = BY_SLUG["integrity"]
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    """A clock that stands at noon until it is moved."""
    with time_machine.travel(NOON, tick=False) as traveller:
        yield traveller


@pytest.fixture
def sealed(clock: time_machine.Traveller, cast: Cast) -> Cast:
    """A portal whose people are seated and whose ledger is sealed."""
    seal_due()
    return cast


def told(as_of: datetime | None = None, **asked: Any) -> list[dict[str, Any]]:
    """Return the rows of the report by their headings."""
    headings = [column.title for column in INTEGRITY.columns]
    rows = INTEGRITY.rows(Filters(**asked), as_of or timezone.now())
    return [dict(zip(headings, row, strict=True)) for row in rows]


def spoil(name: str) -> None:
    """Change a governed row at the database's own command line."""
    with unguarded() as cursor:
        cursor.execute("UPDATE registry_team SET name = %s WHERE slug = 'risk-models'", [name])


def ask_and_check(cast: Cast, clock: time_machine.Traveller) -> None:
    """Ask for a check as Iris, who gets it an hour later."""
    verifications.ask(actor=cast.iris)
    clock.shift(HOUR)
    verifications.verify_due()
    clock.shift(HOUR)


def test_each_check_says_what_was_found_against_which_copy_and_who_had_asked(
    sealed: Cast, clock: time_machine.Traveller, tmp_path: Path, settings: Settings
) -> None:
    verifications.verify_due()
    clock.shift(HOUR)
    settings.CHECKPOINT_PLACES = [f"file://{tmp_path}"]
    copies.copy_due()
    spoil("A secret name")
    ask_and_check(sealed, clock)
    asked, nightly = told()
    assert (asked["Found"], asked["Contradictions"], asked["Asked by"]) == ("contradicted", 1, "Iris Auditor")
    assert (asked["Asking account"], asked["Asked"]) == (sealed.iris.ledger_name, NOON + HOUR)
    assert asked["Copy outside"].endswith(f"folder {tmp_path}")
    assert (nightly["Found"], nightly["Contradictions"], nightly["Copy outside"]) == ("sound", 0, "none")
    assert (nightly["Asked by"], nightly["Asking account"], nightly["Asked"]) == (None, None, None)
    row = Verification.objects.get(fault_count=1)
    assert asked["Where"] == reverse("audit:verification", args=[row.pk])
    assert asked["Ledger entry"] == str(log.entries(kind=Event.LEDGER_CONTRADICTED).get().event_id)
    # What contradicts what names people and customers: it stands on the check's page, and in no file.
    assert "secret" not in str(told())


def test_an_earlier_instant_knows_only_the_checks_that_had_ended(sealed: Cast, clock: time_machine.Traveller) -> None:
    assert told(NOON - HOUR) == []
    verifications.verify_due()
    clock.shift(HOUR)
    then = told(NOON)
    ask_and_check(sealed, clock)
    assert told(NOON) == then
    assert [row["Checked"] for row in told()] == [NOON + 2 * HOUR, NOON]


def test_a_question_of_somebody_belongs_to_the_next_check_alone(sealed: Cast, clock: time_machine.Traveller) -> None:
    verifications.verify_due()
    clock.shift(HOUR)
    ask_and_check(sealed, clock)
    clock.shift(timedelta(days=1))
    verifications.verify_due()
    assert [row["Asked by"] for row in told()] == [None, "Iris Auditor", None]


def test_filters_leave_out_what_was_found_or_asked_otherwise_or_at_another_time(
    sealed: Cast, clock: time_machine.Traveller
) -> None:
    verifications.verify_due()
    clock.shift(HOUR)
    spoil("Ours")
    ask_and_check(sealed, clock)
    assert [row["Found"] for row in told(word="sound")] == ["sound"]
    assert [row["Found"] for row in told(word="contradicted")] == ["contradicted"]
    assert [row["Found"] for row in told(person="iris")] == ["contradicted"]
    assert told(person="alma") == []
    assert [row["Found"] for row in told(until=NOON + HOUR)] == ["sound"]
    assert [row["Found"] for row in told(since=NOON + HOUR)] == ["contradicted"]
    [row] = INTEGRITY.rows(Filters(word="contradicted"), timezone.now())
    assert INTEGRITY.say(row) == "The record was checked against no copy outside: contradicted"


def test_three_checks_cost_as_many_questions_as_one(sealed: Cast, clock: time_machine.Traveller) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as caught:
            told()
        return len(caught)

    ask_and_check(sealed, clock)
    one = queries()
    ask_and_check(sealed, clock)
    ask_and_check(sealed, clock)
    assert (len(told()), queries()) == (3, one)
    assert one <= 2
