"""Serving windows: reported once, checked in every field, and never overwritten."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connections
from hypothesis import given
from hypothesis import strategies as st

from audit import merkle, seal
from audit.models import Entry, ServingBatch, ServingConflict, ServingWindow
from audit.sealer import seal_due
from audit.serving import lookups, report
from audit.serving.windows import Window, canonical
from audit.verifier import verify
from portal.errors import Invalid, Refused
from registry.models import User
from tests.audit.serving.stories import DIGEST, OTHER, at, span, window


def test_a_batch_is_recorded_under_one_entry(send: Callable[..., ServingBatch], otto: User) -> None:
    batch = send(window(), span(5, customer="globex", consumer="billing", requests=30))
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
        "replayedCount": 0,
        "conflictCount": 0,
        "requestCount": "42",
        "from": "2026-11-20T09:00:00.000000Z",
        "to": "2026-11-20T09:10:00.000000Z",
        "rowsRoot": batch.rows_root,
    }
    assert entry.document["subject"]["digest"] == batch.rows_root


def test_the_root_of_a_batch_proves_each_window(send: Callable[..., ServingBatch]) -> None:
    batch = send(*(span(minute) for minute in range(0, 45, 5)))
    hashes = [bytes(row.row_hash) for row in batch.windows.order_by("line")]
    assert merkle.root(hashes).hex() == batch.rows_root
    proof = merkle.inclusion_proof(4, 9, merkle.nodes_of(hashes))
    assert merkle.verify_inclusion(4, 9, hashes[4], proof, bytes.fromhex(batch.rows_root))


@given(st.text(), st.text(), st.text(), st.integers(0, 10**12), st.sampled_from(["", OTHER]))
def test_a_windows_hash_is_over_its_canonical_form(
    customer: str, deployment: str, consumer: str, requests: int, config: str
) -> None:
    texts = (customer, deployment, DIGEST, config, "production", consumer, "otto", "sampled")
    made = Window(at(0), at(5), requests, requests // 2, 1, *texts)
    try:
        expected = seal.canonical({**seal.plain(made._asdict()), "schema": "countersign-window/v1"})
    except Invalid:
        return
    assert canonical(made) == expected


def test_the_same_batch_again_is_the_same_batch(send: Callable[..., ServingBatch]) -> None:
    first = send(window(), span(5))
    again = send(window(digest=DIGEST), span(5, consumer="", errors=0, end=at(10).isoformat()))
    assert again == first
    assert (ServingWindow.objects.count(), Entry.objects.count()) == (2, 1)


def test_the_same_name_from_another_source_is_another_batch(send: Callable[..., ServingBatch]) -> None:
    assert send(window(), source="eu") != send(window(), source="us")


def test_an_altered_batch_is_a_conflict_and_the_first_report_stands(send: Callable[..., ServingBatch]) -> None:
    first = send(window(), span(5), span(10))
    with pytest.raises(Refused) as refusal:
        send(window(), span(5, digest=OTHER))
    assert refusal.value.code == "serving-conflict"
    assert refusal.value.details["expected"] == first.received_root
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
        ("end", "2026-11-20T09:10:00Z"),
        ("start", "2026-11-20T09:01:00Z"),
        ("start", "2026-11-20T09:00:00.000001Z"),
        ("start", "2025-01-01T09:00:00Z"),
        ("start", "0001-01-01T00:00:00+14:00"),
        ("errors", 13),
        ("errors", -1),
        ("errors", "1"),
        ("sequence", -1),
        ("sequence", 1_001),
        ("sequence", True),
        ("config_digest", "prompt-7"),
        ("completeness", "mostly"),
        ("prompt", "please"),
    ],
)
def test_a_bad_field_is_named_with_its_line(send: Callable[..., ServingBatch], field: str, value: Any) -> None:
    with pytest.raises(Invalid) as refusal:
        send(window(), window(**{field: value}))
    assert [fault.field for fault in refusal.value.faults] == [f"line 2, {field}"]
    assert not ServingBatch.objects.exists()
    assert not Entry.objects.exists()


@pytest.mark.parametrize("field", ["deployment", "customer", "digest", "environment", "start", "requests"])
def test_a_missing_field_is_named(send: Callable[..., ServingBatch], field: str) -> None:
    with pytest.raises(Invalid, match=f"line 1, {field}"):
        send({key: value for key, value in window().items() if key != field})


def test_a_window_is_reported_when_it_is_over(send: Callable[..., ServingBatch]) -> None:
    soon = lookups.floor(datetime.now(UTC)) + timedelta(minutes=10)
    with pytest.raises(Invalid, match="when over"):
        send(window(start=soon.isoformat()))


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


def test_batches_and_conflicts_are_part_of_what_verifies(send: Callable[..., ServingBatch]) -> None:
    send(window())
    with pytest.raises(Refused):
        send(window(requests=13))
    seal_due()
    report_ = verify()
    # Otto's account was made without its entry, which is what else there is to be found.
    assert (report_.rows, [fault for fault in report_.faults if "audit_" in fault or "serving" in fault]) == (2, [])


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
