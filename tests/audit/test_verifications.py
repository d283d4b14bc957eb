"""The portal checks its own record every night and when an auditor asks, and keeps what it found."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
import time_machine
from django.core.exceptions import PermissionDenied
from django.db import connection
from pytest_django import Settings

from audit import copies, log, verifications
from audit.events import Event
from audit.models import Entry, Verification
from audit.sealer import seal_due
from governance import contradictions
from governance.models import Notice
from tests.audit.conftest import unguarded
from tests.factories import Cast

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


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


def tamper(name: str = "Ours") -> None:
    """Change a governed row at the database's own command line."""
    with unguarded() as cursor:
        cursor.execute("UPDATE registry_team SET name = %s WHERE slug = 'risk-models'", [name])


def test_a_record_that_was_never_checked_is_checked_and_that_is_an_entry(sealed: Cast) -> None:
    row = verifications.verify_due()
    assert row is not None
    assert (row.faults, row.fault_count, row.compared_with) == ([], 0, "")
    assert row.entries == row.size == Entry.objects.count() - 1
    entry = log.entries(kind=Event.LEDGER_VERIFIED).get()
    assert (row.recorded_in, entry.details["root"]) == (entry.event_id, row.root)
    assert verifications.verify_due() is None


def test_it_is_checked_once_every_night(sealed: Cast, clock: time_machine.Traveller) -> None:
    found = []
    for hours in range(50):
        clock.move_to(NOON + timedelta(hours=hours))
        if verifications.is_due():
            found.append(hours)
            verifications.verify_due()
    assert found == [0, 14, 38]


def test_an_empty_ledger_is_not_checked(db: None) -> None:
    assert not verifications.is_due()


def test_an_auditor_asks_for_a_check_and_nobody_else_does(sealed: Cast, clock: time_machine.Traveller) -> None:
    verifications.verify_due()
    clock.shift(timedelta(seconds=5))
    with pytest.raises(PermissionDenied):
        verifications.ask(actor=sealed.alma)
    assert not verifications.is_due()
    assert verifications.ask(actor=sealed.iris)
    assert not verifications.ask(actor=sealed.iris)
    assert log.entries(kind=Event.VERIFICATION_ASKED).count() == 1
    clock.shift(timedelta(seconds=5))
    assert verifications.verify_due() is not None
    assert verifications.asked() is None


def test_two_workers_do_not_check_at_once(sealed: Cast) -> None:
    settings = connection.settings_dict
    other = psycopg.connect(dbname=settings["NAME"], host=settings["HOST"], user=settings["USER"])
    with other:
        other.execute("SELECT pg_advisory_lock(%s)", [verifications.LOCK])
        assert verifications.verify_due() is None
        # Closing alone would free it a moment later: whenever the server notices.
        other.execute("SELECT pg_advisory_unlock(%s)", [verifications.LOCK])
    assert verifications.verify_due() is not None


def test_what_is_wrong_is_kept_and_told_once_to_auditors_and_administrators(
    sealed: Cast, clock: time_machine.Traveller
) -> None:
    tamper()
    for _ in range(3):
        verifications.verify_due()
        contradictions.tell_due()
        clock.shift(timedelta(days=1))
    first, *_, last = Verification.objects.order_by("started_at")
    assert "(name is “Ours”, was “Risk models”)" in first.faults[0]
    assert last.faults == first.faults
    assert log.entries(kind=Event.LEDGER_CONTRADICTED).count() == 3
    told = Notice.objects.filter(kind="record_contradicted")
    assert {row.person for row in told} == {sealed.iris, sealed.alma, sealed.abel}
    assert all(str(first.pk) in row.url and "Ours" not in row.text for row in told)
    tamper("Theirs")
    verifications.verify_due()
    assert contradictions.tell_due() == 3


def test_what_two_checks_found_before_anybody_was_told_is_still_told(
    sealed: Cast, clock: time_machine.Traveller
) -> None:
    tamper()
    for _ in range(2):
        verifications.verify_due()
        clock.shift(timedelta(days=1))
    assert contradictions.tell_due() == 3
    assert contradictions.tell_due() == 0


def test_every_copy_is_held_against_and_not_the_newest_alone(sealed: Cast, tmp_path: Path, settings: Settings) -> None:
    names = ("new", "old", "gone")
    settings.CHECKPOINT_PLACES = [f"file://{tmp_path / name}" for name in names]
    for name in names[:2]:
        (tmp_path / name).mkdir()
    copies.copy_due()
    ask_again(sealed)
    row = verifications.verify_due()
    assert row is not None
    assert row.faults == []
    assert row.compared_with.endswith("; other places: 1; places that could not be read: 1")
    first, size = (tmp_path / "old").rglob("*.checkpoint"), row.size
    (path,) = first
    path.unlink()
    text = "\n".join([settings.LEDGER_ORIGIN, "1", base64.b64encode(bytes(32)).decode()])
    path.with_name(f"{1:012d}.checkpoint").write_text(f"{text}\n\n— x AAAAAAAA\n", encoding="utf-8")
    ask_again(sealed)
    row = verifications.verify_due()
    assert row is not None
    assert row.compared_with.startswith(f"{size} entries at folder {tmp_path / 'new'}")
    assert row.faults == [f"The first 1 entries are not those of the checkpoint at folder {tmp_path / 'old'}."]


def ask_again(cast: Cast) -> None:
    """Ask for a check a little later."""
    if Verification.objects.exists():
        verifications.ask(actor=cast.iris)


def test_when_a_row_was_changed_is_known_from_the_last_check_that_found_nothing(
    sealed: Cast, clock: time_machine.Traveller
) -> None:
    clock.move_to(datetime.now(UTC) + timedelta(days=400))
    sound = verifications.verify_due()
    assert sound is not None
    tamper()
    clock.shift(timedelta(days=1))
    row = verifications.verify_due()
    assert row is not None
    assert f"It happened after {sound.started_at:%Y-%m-%d %H:%M:%S} UTC." in row.faults[0]


def test_a_silence_is_noticed(sealed: Cast, clock: time_machine.Traveller) -> None:
    assert verifications.overdue() == ""
    verifications.verify_due()
    clock.shift(timedelta(hours=35))
    assert verifications.overdue() == ""
    clock.shift(timedelta(hours=2))
    assert "last checked at 2026-11-23 12:00 UTC" in verifications.overdue()
