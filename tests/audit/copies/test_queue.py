"""The queue: every checkpoint comes to every place by itself, once, whoever is killed; no place waits for another."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine
from django.core import mail
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from audit import copies, log, verifier
from audit.copies import configured, naming, queue
from audit.copies.folder import Folder
from audit.events import Event
from audit.models import Checkpoint, CheckpointCopy
from governance import notices, outside
from governance.models import Notice
from portal import health, startup
from tests.audit.conftest import unguarded
from tests.audit.copies.test_places import files
from tests.web.visitors import read, visit

pytestmark = pytest.mark.django_db
Grow = Callable[..., Checkpoint]


@pytest.fixture
def folder(tmp_path: Path, settings: Settings) -> Folder:
    """Return a folder that is a place of this portal."""
    (tmp_path / "worm").mkdir()
    settings.CHECKPOINT_PLACES = [f"file://{tmp_path / 'worm'}"]
    return Folder(tmp_path / "worm")


def at(seconds: float) -> time_machine.travel:
    """Go on some seconds from now."""
    return time_machine.travel(timezone.now() + timedelta(seconds=seconds))


def test_a_folder_gets_every_checkpoint_and_none_twice(folder: Folder, grow: Grow) -> None:
    for _ in range(3):
        grow()
    assert copies.copy_due() == 3
    assert copies.copy_due() == 0
    grow()
    assert copies.copy_due() == 1
    assert [path[-17:] for path in files(folder)] == [f"{size:06d}.checkpoint" for size in (1, 2, 3, 4)]
    assert copies.newest() == (Checkpoint.objects.get(size=4).note, 4, folder.words)


def test_a_place_that_fails_is_tried_again_ever_later_and_holds_nobody_up(
    folder: Folder, grow: Grow, settings: Settings, tmp_path: Path
) -> None:
    settings.CHECKPOINT_PLACES = [*settings.CHECKPOINT_PLACES, f"file://{tmp_path / 'gone'}"]
    grow()
    assert copies.copy_due() == 1
    waits = []
    for _ in range(4):
        row = CheckpointCopy.objects.get(sent_at=None)
        waits.append((row.due_at - timezone.now()).total_seconds())
        assert row.error == "The folder is not there. Is its disk mounted?"
        with at(waits[-1] + 1):
            assert copies.copy_due() == 0
            CheckpointCopy.objects.filter(sent_at=None).update(due_at=timezone.now())
            copies.copy_due()
            shift = CheckpointCopy.objects.get(sent_at=None)
            shift.due_at -= timedelta(seconds=waits[-1] + 1)
            shift.save()
    assert waits == sorted(waits)
    (tmp_path / "gone").mkdir()
    assert copies.copy_due(at_once=True) == 1


def test_a_worker_that_is_killed_after_claiming_loses_nothing(folder: Folder, grow: Grow) -> None:
    grow()
    place = configured.places()[0]
    queue.queue(place)
    assert len(queue.claim(place)) == 1
    assert copies.copy_due() == 0
    with at(queue.LEASE.total_seconds() + 1):
        assert copies.copy_due() == 1
    assert len(files(folder)) == 1


def test_a_worker_that_is_killed_after_bringing_doubles_nothing(folder: Folder, grow: Grow) -> None:
    checkpoint = grow()
    place = configured.places()[0]
    queue.queue(place)
    queue.claim(place)
    place.bring(checkpoint)
    with at(queue.LEASE.total_seconds() + 1):
        assert copies.copy_due() == 1
    assert len(files(folder)) == 1


def test_mail_comes_once_a_day_with_the_newest(grow: Grow, settings: Settings) -> None:
    settings.CHECKPOINT_PLACES = ["mailto:auditors@example.com"]
    for _ in range(3):
        grow()
        copies.copy_due()
    assert len(mail.outbox) == 1
    assert copies.copy_due(at_once=True) == 1
    grow()
    with at(86_500):
        assert copies.copy_due() == 1
    assert [letter.subject.split()[2] for letter in mail.outbox] == ["1", "3", "4"]


def test_a_webhook_that_was_away_gets_the_newest_next(grow: Grow, settings: Settings, monkeypatch: Any) -> None:
    settings.CHECKPOINT_PLACES = ["https://127.0.0.1:1/hook"]
    grow()
    copies.copy_due()
    grow()
    grow()
    place = configured.places()[0]
    with at(60):
        (row,) = queue.claim(place)
    assert row.size == 3
    assert CheckpointCopy.objects.count() == 1


def test_what_is_wrong_is_said_on_the_health_page_and_to_administrators_once(
    folder: Folder, grow: Grow, settings: Settings, tmp_path: Path, cast: Any
) -> None:
    settings.CHECKPOINT_PLACES = [f"file://{tmp_path / 'gone'}"]
    grow()
    copies.copy_due()
    assert copies.fault() == ""
    with at(3700):
        says = f"file://{tmp_path / 'gone'} never got a checkpoint, and has been behind since"
        assert copies.alarms()[0].says.startswith(says)
        assert "Is its disk mounted?" in copies.alarms()[0].says
        assert outside.tell_due() > 0
        assert outside.tell_due() == 0
        assert copies.standings()[0].state == "behind"
    told = Notice.objects.filter(kind=notices.Kind.COPIES_MISSING)
    assert {notice.person.username for notice in told if notice.person} == {"alma", "abel"}
    assert health._faults["copies"] is copies.fault


def test_anybody_reads_that_a_copy_is_wrong_and_only_who_runs_things_which(
    folder: Folder, grow: Grow, settings: Settings, tmp_path: Path, cast: Any
) -> None:
    settings.CHECKPOINT_PLACES = [f"file://{tmp_path / 'secret-vault'}", "https://hook.secret-vault.example/x"]
    grow()
    copies.copy_due()
    with at(3700):
        public = Client().get("/healthz")
        inside = [read(visit(person).get("/audit/keys/")) for person in (cast.alma, cast.iris)]
    assert public.status_code == 503
    assert "A copy of the checkpoint is late." in public.json()["faults"]
    for secret in ("secret-vault", str(tmp_path), "disk", "hook"):
        assert secret not in public.content.decode()
    for page in inside:
        assert str(tmp_path / "secret-vault") in page
        assert "Is its disk mounted?" in page
    settings.CHECKPOINT_PLACES = ["gopher://secret-vault"]
    public = Client().get("/healthz")
    assert "The settings about copies of the checkpoint cannot be read." in public.json()["faults"]
    assert "secret-vault" not in public.content.decode()


def test_a_ledger_that_was_cut_off_is_found_by_its_copies(folder: Folder, grow: Grow) -> None:
    for _ in range(3):
        grow()
    copies.copy_due()
    with unguarded() as cursor:
        cursor.execute("DELETE FROM audit_leaf WHERE leaf_index > 0")
        cursor.execute("DELETE FROM audit_checkpoint WHERE size > 1")
        cursor.execute("DELETE FROM audit_entry WHERE id > (SELECT max(entry_id) FROM audit_leaf)")
        cursor.execute("DELETE FROM audit_checkpointcopy")
    kept = copies.newest()
    assert kept is not None
    assert any("cut off" in fault for fault in verifier.verify(kept.note).faults)
    grow()
    copies.copy_due()
    assert copies.standings()[0].contradicts
    assert copies.fault() == "A copy of the checkpoint contradicts the ledger."
    assert f"{folder.name} contradicts the ledger" in copies.alarms()[0].says


def cut_off_to_one() -> None:
    """Cut the ledger off behind its first entry, and leave the queue of copies as it is."""
    with unguarded() as cursor:
        cursor.execute("DELETE FROM audit_leaf WHERE leaf_index > 0")
        cursor.execute("DELETE FROM audit_checkpoint WHERE size > 1")
        cursor.execute("DELETE FROM audit_entry WHERE id > (SELECT max(entry_id) FROM audit_leaf)")


def test_a_ledger_that_was_cut_off_behind_what_was_sent_is_told_at_once(
    folder: Folder, grow: Grow, settings: Settings
) -> None:
    for _ in range(3):
        grow()
    copies.copy_due()
    cut_off_to_one()
    # A place that cannot be read back is remembered by its rows alone.
    settings.CHECKPOINT_PLACES = [*settings.CHECKPOINT_PLACES, hook := "https://127.0.0.1:1/hook"]
    CheckpointCopy(place=configured.read_place(hook).name, size=3, due_at=timezone.now()).save()
    copies.copy_due()
    says = [standing.error.partition(": ")[2] for standing in copies.standings()]
    assert says == [f"it {verb} a checkpoint of 3 entries, and this ledger has 1." for verb in ("holds", "was to get")]


def test_a_ledger_that_was_cut_off_and_grew_past_its_copies_brings_no_more(folder: Folder, grow: Grow) -> None:
    for _ in range(3):
        grow()
    copies.copy_due()
    held = files(folder)
    cut_off_to_one()
    CheckpointCopy.objects.all().delete()
    assert grow(4).size == 5
    for _ in range(2):
        assert copies.copy_due(at_once=True) == 0
    assert copies.standings()[0].error == f"{queue.LOUD}it holds another checkpoint of 3 entries."
    assert files(folder) == held
    assert log.entries(kind=Event.CHECKPOINT_CONTRADICTED).count() == 1


def test_a_ledger_that_was_written_anew_is_told_once_and_loudly(folder: Folder, grow: Grow) -> None:
    other = folder.path / naming.path_of(2)
    other.parent.mkdir(parents=True)
    other.write_text("countersign.local/ledger\n2\nAAAA\n\n— x AAAA\n")
    grow(2)
    for _ in range(3):
        copies.copy_due(at_once=True)
        grow()
    found = log.entries(kind=Event.CHECKPOINT_CONTRADICTED)
    assert [entry.say() for entry in found] == [
        f"{folder.name} holds another history than this ledger: it holds another checkpoint of 2 entries."
    ]
    assert copies.standings()[0].state == "contradicts"


def test_settings_that_cannot_be_read_are_an_error_at_start_and_an_alarm(settings: Settings) -> None:
    settings.CHECKPOINT_PLACES = ["gopher://old.example"]
    assert [message.id for message in startup.check_copies(None)] == ["portal.E009"]
    assert "cannot be read" in copies.fault()
    assert copies.count_waiting() == 0


def test_a_portal_without_a_place_is_warned_at_start(settings: Settings, folder: Folder) -> None:
    assert startup.check_copies(None) == []
    settings.CHECKPOINT_PLACES, settings.DEMO = [], False
    assert [message.id for message in startup.check_copies(None)] == ["portal.W009"]
    settings.DEMO = True
    assert startup.check_copies(None) == []


def test_an_auditor_sees_where_copies_are(folder: Folder, grow: Grow, cast: Any) -> None:
    grow(2)
    copies.copy_due()
    page = read(visit(cast.iris).get("/audit/"))
    assert f"Folder {folder.path}, size {Checkpoint.objects.all()[0].size}, " in page
