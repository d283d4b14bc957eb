"""Exports as work: each is in the ledger, and a worker that dies at any point loses nothing and doubles nothing."""

from __future__ import annotations

import csv
import io
from contextlib import closing
from datetime import timedelta

import pytest
import time_machine
from django.core.exceptions import PermissionDenied
from django.utils import timezone
from pytest_django import DjangoCaptureOnCommitCallbacks

from audit import log
from audit.events import Event
from audit.exports import builder, files, requests
from audit.models import Entry, Export
from audit.reports import BY_SLUG, Filters
from audit.reports.asking import Question
from audit.tasks import build_exports
from portal.celery import CLOCK
from portal.errors import Invalid, Refused
from portal.jobs import Job
from registry import people
from registry.storage import Unreadable
from tests.audit.reports.stories import MINUTE, report, window
from tests.factories import Walk

ACCESS = BY_SLUG["access"]


def content(export: Export) -> bytes:
    """Return the bytes of a built export."""
    with closing(files.open_file(export)) as stream:
        return stream.read()


def told(export: Export) -> list[tuple[str, str]]:
    """Return what the ledger says about an export, oldest first: (kind, who)."""
    return [(entry.kind, entry.actor) for entry in log.entries(subject=export).order_by("pk")]


def test_an_export_is_in_the_ledger_when_it_is_asked_for_and_when_it_is_built(walk: Walk) -> None:
    export = requests.request_table(ACCESS, "csv", actor=walk.cast.iris)
    assert (export.state, export.kind) == ("queued", "access.csv")
    assert told(export) == [("export.requested", walk.cast.iris.ledger_name)]
    assert builder.exports_due() == 1
    export.refresh_from_db()
    assert (export.state, export.progress, export.error) == ("done", 100, "")
    built = log.entries(kind=Event.EXPORT_BUILT).get()
    assert built.document["subject"]["digest"] == export.sha256 == built.details["sha256"]
    assert built.details["file"] == export.file == f"access-{requests.as_of(export):%Y%m%dT%H%M%SZ}.csv"
    rows = list(csv.reader(io.StringIO(content(export).decode())))
    assert len(rows) == 1 + built.details["rows"]
    assert rows[0] == [*(column.title for column in ACCESS.columns), "Row"]


def test_the_answer_is_the_one_of_the_instant_that_was_asked_for(walk: Walk) -> None:
    before = timezone.now()
    expected = len(list(ACCESS.rows(Filters(), before)))
    export = requests.request_table(ACCESS, "csv", actor=walk.cast.iris, as_of=before)
    people.give_seat(walk.cast.ben, "platform", actor=walk.cast.alma)
    builder.exports_due()
    export.refresh_from_db()
    assert len(content(export).decode().splitlines()) == 1 + expected


def test_only_an_auditor_may_export_and_a_refused_wish_leaves_nothing(walk: Walk) -> None:
    count = Entry.objects.count()
    for somebody in (walk.cast.mallory, walk.cast.ada, walk.cast.rhea, walk.cast.alma):
        with pytest.raises(PermissionDenied):
            requests.request_table(ACCESS, "csv", actor=somebody)
    assert not Export.objects.exists()
    assert Entry.objects.count() == count


def test_a_wish_that_cannot_be_understood_names_field_value_and_expectation(walk: Walk) -> None:
    with pytest.raises(Invalid, match="format: saw 'docx', expected one of csv, xlsx, pdf"):
        requests.request_table(ACCESS, "docx", actor=walk.cast.iris)
    with pytest.raises(Invalid, match=r"as_of: saw .*, expected an instant that has passed"):
        requests.request_table(ACCESS, "csv", actor=walk.cast.iris, as_of=timezone.now() + timedelta(days=1))
    assert not Export.objects.exists()


def test_a_small_table_is_built_at_once_and_nobody_rings_while_a_longer_one_waits_for_a_worker(
    walk: Walk, monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    hour = timezone.now().replace(minute=0, second=0, microsecond=0) - timedelta(hours=1)
    windows = [window("f0" * 32, hour, hour + timedelta(minutes=5), customer=f"c{number}") for number in range(10_001)]
    report(walk, *windows)
    serving = BY_SLUG["serving"]
    questions = [Question(serving, asked, timezone.now()) for asked in (Filters(), Filters(customer="c77"))]
    rung: list[str] = []
    monkeypatch.setattr("portal.celery.app.send_task", lambda name, **_: rung.append(name))
    with django_capture_on_commit_callbacks(execute=True):
        part = builder.answer(questions[1], "csv", actor=walk.cast.iris)
    assert (part.state, Job.BUILD_EXPORTS in rung) == ("done", False)
    with django_capture_on_commit_callbacks(execute=True):
        whole = builder.answer(questions[0], "csv", actor=walk.cast.iris)
    assert (whole.state, Job.BUILD_EXPORTS in rung) == ("queued", True)
    assert builder.exports_due() == 1
    whole.refresh_from_db()
    assert content(whole).count(b"\r\n") == 10_002


def test_two_workers_never_take_the_same_export(walk: Walk) -> None:
    export = requests.request_table(ACCESS, "csv", actor=walk.cast.iris)
    assert builder.claim(Export.objects.all()) is not None
    assert builder.claim(Export.objects.all()) is None
    assert builder.build_now(export).state == "running"


def test_a_killed_worker_is_followed_by_another_one_after_its_lease(walk: Walk) -> None:
    export = requests.request_table(ACCESS, "csv", actor=walk.cast.iris)
    killed = builder.claim(Export.objects.all())
    assert killed is not None
    assert builder.exports_due() == 0
    with time_machine.travel(timezone.now() + builder.LEASE + MINUTE):
        assert builder.exports_due() == 1
    export.refresh_from_db()
    assert (export.state, export.attempts) == ("done", 2)
    # The first one was only slow: it comes to its end now, and stores nothing.
    builder.work(killed)
    assert [kind for kind, _ in told(export)] == ["export.requested", "export.built"]
    assert Export.objects.get().attempts == 2


def test_a_small_table_whose_web_process_dies_is_built_by_a_worker_after_its_lease(
    walk: Walk, monkeypatch: pytest.MonkeyPatch
) -> None:
    question = Question(ACCESS, Filters(), timezone.now())
    with monkeypatch.context() as killed:
        killed.setattr("django.core.files.storage.default_storage.save", die)
        with pytest.raises(SystemExit):
            builder.answer(question, "csv", actor=walk.cast.iris)
    export = Export.objects.get()
    assert (export.state, export.attempts, builder.exports_due()) == ("running", 1, 0)
    with time_machine.travel(timezone.now() + builder.LEASE + MINUTE):
        assert builder.exports_due() == 1
    export.refresh_from_db()
    assert (export.state, export.attempts) == ("done", 2)


def test_the_clock_has_workers_look_for_what_nobody_rang_for(walk: Walk) -> None:
    export = requests.request_answer(
        Question(ACCESS, Filters(), timezone.now()), "csv", actor=walk.cast.iris, rings=False
    )
    job, seconds = CLOCK["exports"]
    assert (job, seconds <= 60) == (Job.BUILD_EXPORTS, True)
    build_exports()
    export.refresh_from_db()
    assert export.state == "done"


def die(*_: object, **__: object) -> None:
    """End as a process does that is told to."""
    raise SystemExit


def test_a_worker_finds_out_that_it_lost_its_lease(walk: Walk) -> None:
    requests.request_table(ACCESS, "csv", actor=walk.cast.iris)
    slow = builder.claim(Export.objects.all())
    assert slow is not None
    tick = builder.heart_of(slow, beat=0)
    tick(0.5)
    assert Export.objects.get().progress == 49
    with time_machine.travel(timezone.now() + builder.LEASE + MINUTE):
        assert builder.claim(Export.objects.all()) is not None
    with pytest.raises(builder.LeaseLost):
        tick(0.6)


def test_an_export_whose_workers_die_again_and_again_is_given_up_with_a_sentence(walk: Walk) -> None:
    export = requests.request_table(ACCESS, "csv", actor=walk.cast.iris)
    now = timezone.now()
    for attempt in range(1, builder.MAX_ATTEMPTS + 1):
        with time_machine.travel(now + attempt * (builder.LEASE + MINUTE)):
            assert builder.claim(Export.objects.all()) is not None
    with time_machine.travel(now + timedelta(hours=1)):
        assert builder.exports_due() == 1
    export.refresh_from_db()
    assert (export.state, export.error) == ("failed", "It was begun 3 times and its worker was ended each time.")
    assert builder.exports_due() == 0


def test_what_cannot_be_built_says_why_and_is_not_tried_again(walk: Walk) -> None:
    export = Export.objects.create(
        kind="bundle",
        parameters={"version": "nobody@1.0.0", "as_of": timezone.now().isoformat()},
        requested_by=walk.cast.iris.ledger_name,
        requested_at=timezone.now(),
    )
    assert builder.exports_due() == 1
    export.refresh_from_db()
    assert export.state == "failed"
    assert export.error == "version: saw 'nobody@1.0.0', expected a registered version, as name@number."
    assert builder.exports_due() == 0


def test_an_export_that_is_not_finished_can_be_cancelled_and_asked_for_again(walk: Walk) -> None:
    export = requests.request_table(ACCESS, "csv", actor=walk.cast.iris)
    running = builder.claim(Export.objects.all())
    assert running is not None
    with pytest.raises(PermissionDenied):
        builder.cancel(export, actor=walk.cast.ada)
    builder.cancel(export, actor=walk.cast.iris)
    builder.work(running)
    export.refresh_from_db()
    assert (export.state, export.error, export.file) == ("failed", "Iris Auditor cancelled it.", "")
    assert [kind for kind, _ in told(export)] == ["export.requested", "export.cancelled"]
    with pytest.raises(Refused, match="finished already"):
        builder.cancel(export, actor=walk.cast.iris)
    again = builder.build_now(requests.request_again(export, actor=walk.cast.iris))
    assert (again.state, requests.as_of(again)) == ("done", requests.as_of(export))


def test_old_files_are_removed_while_their_entries_stay_and_the_same_can_be_asked_again(walk: Walk) -> None:
    export = builder.build_now(requests.request_table(ACCESS, "csv", actor=walk.cast.iris))
    body = content(export)
    assert builder.remove_due() == 0
    with time_machine.travel(timezone.now() + timedelta(days=31)):
        assert builder.remove_due() == 1
        assert builder.remove_due() == 0
        export.refresh_from_db()
        assert (export.state, export.file, export.size) == ("done", "", None)
        with pytest.raises(Unreadable):
            content(export)
        again = builder.build_now(requests.request_again(export, actor=walk.cast.iris))
    assert (content(again), again.sha256) == (body, export.sha256)
    assert [kind for kind, _ in told(export)] == ["export.requested", "export.built"]
