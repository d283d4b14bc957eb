"""Serving windows in the database: found again, corrected, proven, and guarded."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import uuid4

import pytest
import time_machine
from django.db import IntegrityError, ProgrammingError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from audit import merkle, partitions
from audit.immutability import unprotected
from audit.models import Entry, ServingBatch, ServingConflict, ServingWindow
from audit.sealer import seal_due
from audit.serving import lookups, prove, serving_at, verification, windows_for, windows_of
from audit.tasks import prepare_days
from audit.verifier import verify
from portal.errors import Refused
from tests.audit.conftest import unguarded
from tests.audit.serving.stories import DIGEST, MORNING, OTHER, at, span, window


def test_who_served_a_customer_at_an_instant(send: Callable[..., ServingBatch]) -> None:
    send(span(0), span(0, digest=OTHER), span(5, digest=OTHER), span(0, deployment="us-1"), span(0, customer="globex"))

    def served(minutes: float, **where: Any) -> list[tuple[str, str]]:
        found = serving_at("acme", MORNING + timedelta(minutes=minutes), **where)
        return [(row.deployment, row.digest) for row in found]

    assert served(0) == served(4.999) == [("eu-1", DIGEST), ("eu-1", OTHER), ("us-1", DIGEST)]
    assert served(4, deployment="us-1") == [("us-1", DIGEST)]
    assert served(5) == [("eu-1", OTHER)]
    assert served(-0.001) == served(10) == []


def test_a_look_up_reads_one_day_by_the_beginning_of_the_primary_key(send: Callable[..., ServingBatch]) -> None:
    send(*(span(24 * 60 * day) for day in range(-3, 1)))
    with CaptureQueriesContext(connection) as asked:
        serving_at("acme", at(1))
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN {asked[0]['sql']}")
        plan = str(cursor.fetchall())
    assert "audit_servingwindow_20261120" in plan
    assert "audit_servingwindow_20261119" not in plan


def test_windows_that_overlap_a_period(send: Callable[..., ServingBatch]) -> None:
    send(span(0), span(5, digest=OTHER), span(10), span(0, customer="globex"))
    assert [row.start for row in windows_for("acme", at(4), at(10))] == [at(0), at(5)]
    assert [row.start for row in windows_for("acme", at(5), at(11))] == [at(5), at(10)]
    assert [row.customer for row in windows_of(f"sha256:{DIGEST}", at(0), at(60))] == ["acme", "globex", "acme"]
    assert [row.start for row in windows_of(OTHER, at(0), at(60))] == [at(5)]


def test_a_correction_is_a_row_of_its_own_and_the_highest_counts(send: Callable[..., ServingBatch]) -> None:
    send(window(), batch_id="first")
    before = timezone.now()
    send(window(sequence=2, requests=30), batch_id="third")
    send(window(sequence=1, requests=20), batch_id="late")
    assert ServingWindow.objects.count() == 3
    assert [row.requests for row in serving_at("acme", at(1))] == [30]
    assert [row.requests for row in windows_for("acme", at(0), at(5))] == [30]
    known_then = lookups.current(ServingWindow.objects.filter(batch__received_at__lte=before), as_of=before)
    assert [row.requests for row in known_then] == [12]


def test_rows_that_another_batch_had_just_so_are_replays(send: Callable[..., ServingBatch]) -> None:
    send(span(0), span(5), batch_id="a")
    again = send(span(5), span(10), span(0), span(10), batch_id="b")
    assert (again.row_count, again.replayed_count, again.conflict_count, again.request_count) == (1, 3, 0, 12)
    assert ServingWindow.objects.count() == 3
    assert again.rows_root != again.received_root
    [added] = again.windows.all()
    assert (added.line, merkle.root([bytes(added.row_hash)]).hex()) == (2, again.rows_root)
    assert send(span(5), span(10), span(0), span(10), batch_id="b") == again
    nothing_new = send(span(0), batch_id="c")
    assert (nothing_new.row_count, nothing_new.rows_root) == (0, merkle.EMPTY_ROOT.hex())
    seal_due()
    assert list(verification.find()) == []


def test_rows_that_contradict_another_batch_are_kept_aside_and_never_written(send: Callable[..., ServingBatch]) -> None:
    send(span(0), span(5), batch_id="a")
    second = send(span(5, requests=99), span(10), span(0), span(10, requests=1), batch_id="b")
    assert (second.row_count, second.replayed_count, second.conflict_count) == (1, 1, 2)
    assert list(windows_for("acme", at(0), at(60)).values_list("requests", flat=True)) == [12, 12, 12]
    conflict = ServingConflict.objects.get()
    assert (conflict.batch, conflict.is_resent, conflict.row_count) == (second, False, 2)
    told = [(each["line"], each["first"]["batch"], each["first"]["requests"]) for each in conflict.differences]
    assert told == [(1, "otto/a", 12), (4, "otto/b", 12)]
    assert [each["second"]["requests"] for each in conflict.differences] == [99, 1]
    assert list(Entry.objects.order_by("id").values_list("kind", flat=True)) == [
        "serving.reported",
        "serving.reported",
        "serving.contradicted",
    ]
    seal_due()
    assert list(verification.find()) == []


def test_sources_do_not_contradict_each_other(send: Callable[..., ServingBatch]) -> None:
    send(window(), source="eu")
    other = send(window(requests=13), source="us")
    assert (other.row_count, other.conflict_count) == (1, 0)


def test_a_window_proves_itself_without_the_portal(send: Callable[..., ServingBatch]) -> None:
    send(span(10), batch_id="a")
    batch = send(*(span(minute, customer=f'c-{minute}\\"é') for minute in range(0, 35, 5)), span(10), batch_id="b")
    seal_due()
    for window_ in batch.windows.order_by("line"):
        proof = prove(window_).as_dict()
        # As docs/serving.md describes it, with nothing of ours.
        rows, entry = proof["rowsProof"], json.loads(proof["entry"])
        assert entry["kind"] == "serving.reported"
        assert (entry["details"]["rowsRoot"], entry["details"]["rowCount"]) == (rows["root"], rows["size"])
        assert climb(proof["row"], rows["index"], rows["size"], map(bytes.fromhex, rows["path"])) == rows["root"]
        _, index, *lines = proof["tlogProof"].split("\n")
        path = [base64.b64decode(line) for line in lines[: lines.index("")]]
        _, size, root, *_ = lines[lines.index("") + 1 :]
        top = climb(proof["entry"], int(index.removeprefix("index ")), int(size), path)
        assert top == base64.b64decode(root).hex()
        assert json.loads(proof["row"])["customer"] == window_.customer


def climb(text: str, index: int, size: int, path: Iterable[bytes]) -> str:
    """Return the root that a leaf and its path lead to, by the recursion of RFC 6962 §2.1.1."""
    hashes = list(path)

    def root(index: int, size: int) -> bytes:
        if size == 1:
            return sha256(b"\0" + text.encode()).digest()
        half = 1 << (size - 1).bit_length() - 1
        sibling = hashes.pop()
        if index < half:
            return sha256(b"\1" + root(index, half) + sibling).digest()
        return sha256(b"\1" + sibling + root(index - half, size - half)).digest()

    found = root(index, size).hex()
    assert hashes == []
    return found


def test_no_proof_is_handed_out_before_sealing_or_for_damaged_rows(send: Callable[..., ServingBatch]) -> None:
    batch = send(window(), span(5))
    with pytest.raises(Refused) as refusal:
        prove(batch.windows.get(line=1))
    assert refusal.value.code == "unsealed"
    seal_due()
    with unguarded() as cursor:
        cursor.execute("UPDATE audit_servingwindow_20261120 SET requests = 13 WHERE line = 1")
    with pytest.raises(Refused) as refusal:
        prove(batch.windows.get(line=1))
    assert refusal.value.code == "damaged"


TAMPERINGS = {
    "UPDATE audit_servingwindow SET digest = 'x' WHERE line = 1": "is not what was reported: acme in eu-1",
    "UPDATE audit_servingwindow SET row_hash = '' WHERE line = 1": "is not what was reported",
    "DELETE FROM audit_servingwindow WHERE line = 2": "are not the 3 that its entry names",
    "UPDATE audit_servingwindow SET line = 4 - line": "are not the 3 that its entry names",
    "INSERT INTO audit_servingwindow SELECT (jsonb_populate_record(w, jsonb_build_object('customer', 'eve'"
    ", 'batch_id', gen_random_uuid()))).* FROM audit_servingwindow w WHERE line = 1": "No batch added the window of",
    "DROP TABLE audit_servingwindow_20261120": "are not the 3 that its entry names",
}


@pytest.mark.parametrize("statement", TAMPERINGS)
def test_what_a_superuser_does_to_windows_is_found(send: Callable[..., ServingBatch], statement: str) -> None:
    send(span(0), span(5), span(10))
    seal_due()
    with unguarded() as cursor:
        cursor.execute(statement)
    assert [TAMPERINGS[statement] in fault for fault in verify().faults].count(True) == 1


def test_windows_are_append_only_and_checked_in_the_database(send: Callable[..., ServingBatch]) -> None:
    batch = send(window())
    partition = "audit_servingwindow_20261120"
    for statement in (
        "UPDATE audit_servingwindow SET digest = 'x'",
        f"UPDATE {partition} SET digest = 'x'",
        f"DELETE FROM {partition}",
        f"TRUNCATE {partition}",
        "TRUNCATE audit_servingwindow",
        "DELETE FROM audit_servingbatch",
    ):
        with pytest.raises(ProgrammingError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement)
    good = {"batch": batch, "line": 2, "start": at(5), "end": at(10), "requests": 1, "row_hash": b""}
    for wrong, name in (
        ({"start": at(1), "end": at(6)}, "serving_window_grid"),
        ({"end": at(11)}, "serving_window_length"),
        ({"errors": 2}, "serving_window_counts"),
        ({"completeness": "x"}, "serving_window_complete"),
    ):
        with pytest.raises(IntegrityError, match=name), transaction.atomic():
            ServingWindow(**{**good, **wrong}).save()


def test_a_day_that_nobody_prepared_takes_no_window(db: None) -> None:
    far = datetime(2150, 1, 1, tzinfo=UTC)
    with pytest.raises(IntegrityError, match="no partition"), transaction.atomic():
        ServingWindow(
            line=1, batch_id=uuid4(), start=far, end=far + timedelta(minutes=5), requests=1, row_hash=b""
        ).save()


def test_days_are_made_once_ahead_and_on_demand(send: Callable[..., ServingBatch]) -> None:
    table, day = "audit_servingwindow", date(2026, 8, 1)
    assert partitions.add_days(table, [day, day]) == 1
    assert partitions.add_days(table, [day]) == 0
    assert "audit_servingwindow_20260801" in partitions.days_of(table)
    partitions.add_days_ahead(table, date(2030, 1, 1))
    assert partitions.add_days_ahead(table, date(2030, 1, 2)) == 1
    assert unprotected([table]) == []
    for strange in (date(1999, 12, 31), date(2200, 1, 1)):
        with pytest.raises(IntegrityError, match="no serving windows on"), transaction.atomic():
            partitions.add_days(table, [strange])


def test_the_clock_makes_the_days_to_come(db: None) -> None:
    with time_machine.travel(datetime(2040, 5, 1, 12, tzinfo=UTC)):
        prepare_days()
    assert [name for name in partitions.days_of("audit_servingwindow") if "_2040" in name] == [
        f"audit_servingwindow_2040050{number}" for number in range(1, 9)
    ]
