"""Taking batches of windows in: once for each name, row by row against what was reported before, under one entry.

A batch goes straight into the table by COPY. Only when a row of it is there already it is merged, row by row: what is
just the same is a replay, what contradicts is kept as a conflict, and nothing is ever overwritten.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import islice
from typing import Any

from django.db import connection, transaction
from django.utils import timezone
from psycopg.errors import UniqueViolation

from audit import merkle, partitions
from audit.events import Event
from audit.log import record
from audit.models import ServingBatch, ServingWindow, UnjudgedBatch
from audit.recording import Actor, Recording
from audit.serving import conflicts
from audit.serving.windows import Columns, Window, read, translated
from portal.errors import Fault, Invalid, Reason, Refused, show
from portal.jobs import Job, ring

LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]*")
TABLE = ServingWindow._meta.db_table
KEY = ServingWindow._meta.pk.field_names  # type: ignore[attr-defined]  # the stubs know no composite keys
COLUMNS = ", ".join(f'"{name}"' for name in (*Window._fields, "batch_id", "line", "row_hash"))
# A batch to be merged travels as arrays, because the application may make no table, not even a temporary one.
TYPES = {
    "start": "timestamptz",
    "end": "timestamptz",
    "requests": "bigint",
    "errors": "bigint",
    "sequence": "smallint",
    "line": "integer",
    "row_hash": "bytea",
}
SENT = tuple(TYPES) + tuple(name for name in Window._fields if name not in TYPES)
MERGE = """
INSERT INTO {table} (batch_id, {columns}) SELECT %(batch)s, {columns} FROM unnest({arrays}) AS s ({columns})
ORDER BY line ON CONFLICT DO NOTHING RETURNING line
"""
# The bounds are those of the batch: they say which days have to be looked at before anything is looked at.
SKIPPED = """
SELECT s.line, s.row_hash = w.row_hash, w.batch_id, w.line
FROM unnest({arrays}) AS s ({columns}) JOIN {table} w ON {same}
WHERE w.start >= %(since)s AND w.start < %(until)s ORDER BY s.line
"""
NAMES = {
    "table": TABLE,
    "columns": ", ".join(f'"{name}"' for name in SENT),
    "arrays": ", ".join(f"%({name})s::{TYPES.get(name, 'text')}[]" for name in SENT),
    "same": " AND ".join(f's."{name}" = w."{name}"' for name in KEY),
}
# As COPY reads rows. No text of a window holds a control character, so only backslashes are escaped.
LINE = "%s\t" * len(Window._fields) + "%s\t%s\t\\\\x%s\n"
CHUNK = 2_000


class Received:
    """A batch as it was sent: its checked windows in their order, and their hashes, which are made as they are needed.

    So the database is writing the first windows while the hashes of the last are still to be made.
    """

    def __init__(self, source: str, batch_id: str, windows: Columns) -> None:
        self.source = source
        self.batch_id = batch_id
        self.windows = windows
        self._hashes: list[bytes] = []
        self._to_hash = windows.leaf_hashes()

    def each_hash(self) -> Iterator[bytes]:
        """Yield the leaf hash of each window, and remember it."""
        yield from self._hashes[:]
        for row_hash in self._to_hash:
            self._hashes.append(row_hash)
            yield row_hash

    @property
    def hashes(self) -> list[bytes]:
        """Return the leaf hashes of all windows."""
        self._hashes.extend(self._to_hash)
        return self._hashes

    @cached_property
    def root(self) -> str:
        """Return the root over all of them, in hex."""
        return merkle.root(self.hashes).hex()


def report(*, actor: Actor, source: str, batch_id: str, windows: Iterable[Mapping[str, Any]]) -> ServingBatch:
    """Record one batch of 1 to 50,000 serving windows, and return it.

    Each window has deployment, customer, digest (sha256, hex), environment, start (ISO 8601 with a zone, on the grid
    of five minutes), requests, and perhaps end, errors, consumer, config_digest, completeness and sequence. The same
    batch again returns the recorded one. A row that another batch had just so is counted as replayed; one that
    contradicts it is recorded as a conflict, and the first one stands. The same batch id with other windows is
    recorded as a conflict and raises Refused with code `serving-conflict`. Raises Invalid naming line and field of
    everything that is wrong. Call it outside of a transaction of one's own, so that a refusal does not take the record
    of the conflict with it.
    """
    expect_names(source, batch_id)
    received = Received(source, batch_id, read(windows, source))
    with transaction.atomic():
        lock(source, batch_id)
        known = ServingBatch.objects.filter(source=source, batch_id=batch_id).first()
        if known is None:
            return store(actor, received)
        if known.received_root == received.root:
            return known
        conflicts.record_resent(actor, known, received.windows, received.hashes, received.root)
    raise Refused(
        "serving-conflict",
        f"The batch {known} was reported before with other windows; the first report stands and this one is noted.",
        reasons=[
            Reason(
                "serving",
                "A batch never changes.",
                f"{source} sends corrections as a new batch, under a new batch id, with the next `sequence`.",
            )
        ],
        expected=known.received_root,
        seen=received.root,
    )


def expect_names(source: str, batch_id: str) -> None:
    """Raise Invalid unless source and batch id are short plain names."""
    faults = [
        Fault(name, show(value), f"1 to {limit} letters, digits and . _ : / -")
        for name, value, limit in (("source", source, 80), ("batch_id", batch_id, 120))
        if not isinstance(value, str) or len(value) > limit or not LABEL.fullmatch(value)
    ]
    if faults:
        raise Invalid(*faults)


def lock(source: str, batch_id: str) -> None:
    """Make two reports of one batch wait for each other until the transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"serving {source} {batch_id}"])


def store(actor: Actor, received: Received) -> ServingBatch:
    """Insert a batch and its new windows under one entry, and its conflicts under another."""
    windows = received.windows
    batch = ServingBatch(
        source=received.source,
        batch_id=received.batch_id,
        actor=actor.ledger_name,
        received_at=timezone.now(),
        first_start=min(windows.start),
        last_end=max(windows.end),
    )
    partitions.add_days(TABLE, {start.date() for start in set(windows.start)})
    told = {"source": received.source, "batch": received.batch_id, "from": batch.first_start, "to": batch.last_end}
    with record(Event.SERVING_REPORTED, actor=actor, subject=batch, **told) as entry:
        skipped = write(batch, received)
        contradicting = [row for row in skipped if not row.is_same]
        sum_up(batch, received, skipped, entry)
        batch.conflict_count = len(contradicting)
        entry.note(conflictCount=batch.conflict_count)
        batch.save()
        UnjudgedBatch.objects.create(batch=batch)
        if contradicting:
            conflicts.record_rows(actor, batch, contradicting, windows, received.hashes)
        ring(Job.JUDGE_SERVING)
    return batch


def sum_up(batch: ServingBatch, received: Received, skipped: Sequence[conflicts.Skipped], entry: Recording) -> None:
    """Count what of a batch was new, and write the root over it into the batch and its entry."""
    left_out = {row.line - 1 for row in skipped}
    added = [place for place in range(len(received.windows)) if place not in left_out]
    batch.received_root = received.root
    batch.row_count = len(added)
    batch.replayed_count = sum(row.is_same for row in skipped)
    batch.request_count = sum(received.windows.requests[place] for place in added)
    batch.rows_root = merkle.root(received.hashes[place] for place in added).hex() if left_out else received.root
    entry.note(
        rowCount=batch.row_count,
        replayedCount=batch.replayed_count,
        requestCount=str(batch.request_count),
        rowsRoot=batch.rows_root,
    )


def write(batch: ServingBatch, received: Received) -> list[conflicts.Skipped]:
    """Write the windows that are new; return the others, with what was there before."""
    try:
        with transaction.atomic():
            copy(batch, received)
    except UniqueViolation:
        return merge(batch, received)
    return []


def copy(batch: ServingBatch, received: Received) -> None:
    """Write all windows of a batch, piece by piece, so that the database works along."""
    windows, count = received.windows, len(received.windows)
    written = {
        name: translated(getattr(windows, name), lambda text: text.replace("\\", "\\\\"))
        for name in ("customer", "deployment", "environment", "consumer")
    }
    written |= {name: translated(getattr(windows, name), str) for name in ("start", "end")}
    columns = (written.get(name) or getattr(windows, name) for name in Window._fields)
    hashes = map(bytes.hex, received.each_hash())
    lines = map(LINE.__mod__, zip(*columns, [str(batch.pk)] * count, range(1, count + 1), hashes, strict=True))
    with connection.cursor() as cursor, cursor.copy(f"COPY {TABLE} ({COLUMNS}) FROM STDIN") as out:
        while piece := "".join(islice(lines, CHUNK)):
            out.write(piece)


def merge(batch: ServingBatch, received: Received) -> list[conflicts.Skipped]:
    """Write the windows that are not there yet; return the others, with what was there before."""
    everything = range(len(received.windows))
    with connection.cursor() as cursor:
        cursor.execute(MERGE.format(**NAMES), {"batch": batch.pk, **arrays(received, everything)})
        added = {line for (line,) in cursor.fetchall()}
        left = [place for place in everything if place + 1 not in added]
        told: dict[str, Any] = {"since": batch.first_start, "until": batch.last_end, **arrays(received, left)}
        cursor.execute(SKIPPED.format(**NAMES), told)
        return [conflicts.Skipped(*row) for row in cursor.fetchall()]


def arrays(received: Received, places: Sequence[int]) -> dict[str, list[Any]]:
    """Return some windows of a batch as one array for each column."""
    columns = {name: getattr(received.windows, name) for name in Window._fields}
    columns |= {"row_hash": received.hashes, "line": range(1, len(received.windows) + 1)}
    return {name: [column[place] for place in places] for name, column in columns.items()}
