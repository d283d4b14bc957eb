"""Serving windows: reported once, never overwritten, and found again."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import IntegrityError, ProgrammingError, connection, connections, transaction
from hypothesis import given
from hypothesis import strategies as st

from audit import merkle, seal
from audit.models import Entry, ServingBatch, ServingConflict, ServingWindow
from audit.sealer import seal_due
from audit.serving import Window, report, serving_at, windows_for, windows_of
from audit.verifier import verify
from portal.errors import Invalid, Refused
from registry.models import User

DIGEST, OTHER = "ab" * 32, "cd" * 32
MORNING = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)


def window(**changed: Any) -> dict[str, Any]:
    """Return one good window: acme was served from nine to five past nine."""
    return {
        "deployment": "eu-1",
        "customer": "acme",
        "digest": f"sha256:{DIGEST}",
        "environment": "production",
        "start": "2026-11-20T09:00:00Z",
        "end": "2026-11-20T09:05:00Z",
        "requests": 12,
        **changed,
    }


def at(minutes: int) -> datetime:
    return MORNING + timedelta(minutes=minutes)


def span(first: int, last: int, **changed: Any) -> dict[str, Any]:
    """Return a window from one minute to another."""
    return window(start=at(first).isoformat(), end=at(last).isoformat(), **changed)


@pytest.fixture
def otto(db: None) -> User:
    """otto, the deployer: a service."""
    return User.objects.create(username="otto", name="otto", kind="service")


@pytest.fixture
def send(otto: User) -> Callable[..., ServingBatch]:
    def send(*windows: Any, batch_id: str = "b1", source: str = "otto") -> ServingBatch:
        return report(actor=otto, source=source, batch_id=batch_id, windows=windows)

    return send


def test_a_batch_is_recorded_under_one_entry(send: Callable[..., ServingBatch], otto: User) -> None:
    batch = send(window(), span(5, 10, customer="globex", consumer="billing", requests=30))
    assert (batch.row_count, batch.request_count) == (2, 42)
    assert (batch.first_start, batch.last_end) == (at(0), at(10))
    stored = ServingWindow.objects.order_by("line")
    assert [(row.customer, row.digest, row.consumer, row.requests) for row in stored] == [
        ("acme", DIGEST, "", 12),
        ("globex", DIGEST, "billing", 30),
    ]
    entry = Entry.objects.get()
    assert (entry.kind, entry.actor, entry.subject_label) == ("serving.reported", otto.ledger_name, "otto/b1")
    assert entry.details == {
        "source": "otto",
        "batch": "b1",
        "rowCount": 2,
        "requestCount": "42",
        "from": "2026-11-20T09:00:00.000000Z",
        "to": "2026-11-20T09:10:00.000000Z",
        "rowsRoot": batch.rows_root,
    }
    assert entry.document["subject"]["digest"] == batch.rows_root


def test_the_root_of_a_batch_proves_each_window(send: Callable[..., ServingBatch]) -> None:
    batch = send(*(span(minute, minute + 1) for minute in range(9)))
    hashes = [bytes(row.row_hash) for row in batch.windows.order_by("line")]
    assert merkle.root(hashes).hex() == batch.rows_root
    proof = merkle.inclusion_proof(4, 9, merkle.nodes_of(hashes))
    assert merkle.verify_inclusion(4, 9, hashes[4], proof, bytes.fromhex(batch.rows_root))


@given(st.text(), st.text(), st.text(), st.integers(0, 10**12))
def test_a_windows_hash_is_over_its_canonical_form(
    customer: str, deployment: str, consumer: str, requests: int
) -> None:
    made = Window(deployment, customer, DIGEST, "production", consumer, at(0), at(5), requests)
    try:
        expected = seal.canonical(seal.plain(made._asdict()))
    except Invalid:
        return
    assert made.canonical() == expected


def test_the_same_batch_again_is_the_same_batch(send: Callable[..., ServingBatch]) -> None:
    first = send(window(), span(5, 10))
    again = send(window(digest=DIGEST), span(5, 10, consumer=""))
    assert again == first
    assert (ServingWindow.objects.count(), Entry.objects.count()) == (2, 1)


def test_the_same_name_from_another_source_is_another_batch(send: Callable[..., ServingBatch]) -> None:
    assert send(window(), source="eu") != send(window(), source="us")


def test_an_altered_batch_is_a_conflict_and_the_first_report_stands(send: Callable[..., ServingBatch]) -> None:
    first = send(window(), span(5, 10), span(10, 15))
    with pytest.raises(Refused) as refusal:
        send(window(), span(5, 10, digest=OTHER))
    assert refusal.value.code == "serving-conflict"
    assert refusal.value.details["expected"] == first.rows_root
    assert [row.digest for row in ServingWindow.objects.all()] == [DIGEST] * 3
    conflict = ServingConflict.objects.get()
    assert (conflict.batch, conflict.row_count) == (first, 2)
    assert [difference["line"] for difference in conflict.differences] == [2, 3]
    assert conflict.differences[0]["first"]["digest"] == DIGEST
    assert conflict.differences[0]["second"]["digest"] == OTHER
    assert conflict.differences[1]["second"] is None
    assert list(Entry.objects.order_by("id").values_list("kind", flat=True)) == [
        "serving.reported",
        "serving.conflicted",
    ]


def test_the_same_contradiction_is_recorded_once(send: Callable[..., ServingBatch]) -> None:
    send(window())
    for altered in (window(requests=13), window(requests=13), window(requests=14)):
        with pytest.raises(Refused):
            send(altered)
    assert ServingConflict.objects.count() == 2
    assert Entry.objects.filter(kind="serving.conflicted").count() == 2


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("deployment", ""),
        ("deployment", "x" * 121),
        ("customer", None),
        ("customer", 7),
        ("customer", "ac\x00me"),
        ("customer", "ac\nme"),
        ("customer", "\ud800"),
        ("environment", "x" * 41),
        ("consumer", None),
        ("digest", "sha256:abc"),
        ("digest", "md5:" + "ab" * 32),
        ("digest", "AB" * 32),
        ("digest", DIGEST + "\n"),
        ("requests", -1),
        ("requests", True),
        ("requests", 1.0),
        ("requests", float("nan")),
        ("requests", "12"),
        ("requests", 10**12 + 1),
        ("start", "yesterday"),
        ("start", "2026-11-20T09:00:00"),
        ("start", "2026-13-20T09:00:00Z"),
        ("start", "1999-12-31T23:59:00Z"),
        ("start", 1_732_352_400),
        ("end", "2026-11-20T09:00:00Z"),
        ("end", "2026-11-20T08:59:59Z"),
        ("end", "2026-11-21T09:00:01Z"),
        ("prompt", "please"),
    ],
)
def test_a_bad_field_is_named_with_its_line(send: Callable[..., ServingBatch], field: str, value: Any) -> None:
    with pytest.raises(Invalid) as refusal:
        send(window(), window(**{field: value}))
    assert [fault.field for fault in refusal.value.faults] == [f"line 2, {field}"]
    assert not ServingBatch.objects.exists()
    assert not Entry.objects.exists()


@pytest.mark.parametrize("field", ["deployment", "customer", "digest", "environment", "start", "end", "requests"])
def test_a_missing_field_is_named(send: Callable[..., ServingBatch], field: str) -> None:
    with pytest.raises(Invalid, match=f"line 1, {field}"):
        send({key: value for key, value in window().items() if key != field})


def test_a_window_is_reported_when_it_is_over(send: Callable[..., ServingBatch]) -> None:
    now = datetime.now(UTC)
    with pytest.raises(Invalid, match="when they are over"):
        send(window(start=now.isoformat(), end=(now + timedelta(hours=1)).isoformat()))


def test_a_line_that_is_no_object_is_named(send: Callable[..., ServingBatch]) -> None:
    with pytest.raises(Invalid, match="line 2: saw 'x'"):
        send(window(), "x")


def test_an_empty_batch_and_one_that_is_too_long_are_refused(send: Callable[..., ServingBatch], otto: User) -> None:
    with pytest.raises(Invalid, match="windows: saw none"):
        send()
    endless = itertools.repeat(window())
    with pytest.raises(Invalid, match="more than 50,000"):
        report(actor=otto, source="otto", batch_id="b1", windows=endless)


def test_faults_are_bounded(send: Callable[..., ServingBatch]) -> None:
    with pytest.raises(Invalid) as refusal:
        send(*[window(customer="", digest="")] * 500)
    assert len(refusal.value.faults) == 20


@pytest.mark.parametrize("name", ["", "x" * 121, "a b", "-x", "x\n", "=cmd()", 7, None])
def test_source_and_batch_id_are_plain_names(send: Callable[..., ServingBatch], name: Any) -> None:
    with pytest.raises(Invalid, match="batch_id"):
        send(window(), batch_id=name)
    with pytest.raises(Invalid, match="source"):
        send(window(), source=name)


def test_who_served_a_customer_at_an_instant(send: Callable[..., ServingBatch]) -> None:
    send(
        span(0, 5),
        span(5, 10, digest=OTHER),
        span(0, 10, deployment="us-1"),
        span(0, 10, customer="globex"),
        span(-1430, 5, deployment="long"),
    )

    def served(minute: int, **where: Any) -> list[tuple[str, str]]:
        return [(row.deployment, row.digest) for row in serving_at("acme", at(minute), **where)]

    assert served(0) == [("eu-1", DIGEST), ("long", DIGEST), ("us-1", DIGEST)]
    assert served(4, deployment="eu-1") == [("eu-1", DIGEST)]
    assert served(5) == [("eu-1", OTHER), ("us-1", DIGEST)]
    assert served(10) == []


def test_windows_that_overlap_a_period(send: Callable[..., ServingBatch]) -> None:
    send(span(0, 5), span(5, 10, digest=OTHER), span(10, 15), span(0, 60, customer="globex"))
    assert [row.start for row in windows_for("acme", at(4), at(10))] == [at(0), at(5)]
    assert [row.start for row in windows_for("acme", at(5), at(11))] == [at(5), at(10)]
    assert [row.customer for row in windows_of(f"sha256:{DIGEST}", at(0), at(60))] == ["acme", "globex", "acme"]
    assert [row.start for row in windows_of(OTHER, at(0), at(60))] == [at(5)]


def test_windows_are_append_only_and_checked_in_the_database(send: Callable[..., ServingBatch]) -> None:
    batch = send(window())
    for statement in ("UPDATE audit_servingwindow SET digest = 'x'", "DELETE FROM audit_servingbatch"):
        with pytest.raises(ProgrammingError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement)
    long = ServingWindow(batch=batch, line=2, start=at(0), end=at(1441), requests=1, row_hash=b"")
    with pytest.raises(IntegrityError, match="serving_window_length"), transaction.atomic():
        long.save()


def test_batches_and_conflicts_are_part_of_what_verifies(send: Callable[..., ServingBatch]) -> None:
    send(window())
    with pytest.raises(Refused):
        send(window(requests=13))
    seal_due()
    report_ = verify()
    assert (report_.faults, report_.rows) == ([], 2)


@pytest.mark.django_db(transaction=True)
def test_two_reports_of_one_batch_at_once_make_one(otto: User) -> None:
    made: list[Any] = []
    together = threading.Barrier(4)

    def send() -> None:
        try:
            together.wait()
            made.append(report(actor=otto, source="otto", batch_id="b1", windows=[window()]).pk)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 4
    assert len(set(made)) == ServingBatch.objects.count() == Entry.objects.count() == ServingWindow.objects.count() == 1
