"""Checking the ledger from inside: every hash is recomputed, in constant memory, and every fault is one plain sentence.

It reads what is stored and trusts none of it. Only a checkpoint that was kept elsewhere shows that the ledger was not
cut off or written anew with its own key, so `verify` compares with one. A verifier that needs neither the portal nor
its database lives in `audit.exports`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from django.conf import settings
from django.db import connection, transaction

from audit import drift, immutability, merkle, notes, sealer, tiles
from audit.models import Checkpoint, Tile
from audit.named_rows import NamedRows
from portal.errors import Invalid, Refused

BATCH = 5_000
MOST_FAULTS = 1_000
LEDGER_TABLES = ("audit_entry", "audit_leaf", "audit_tile", "audit_checkpoint", "audit_pending", "audit_servingwindow")
SEALED = """
SELECT l.leaf_index, l.leaf_hash,
    e.id, e.body, e.leaf_hash, e.event_id::text, e.kind, e.subject_kind, e.subject_label, e.subject_id, e.actor,
    to_char(e.occurred_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
FROM audit_leaf l LEFT JOIN audit_entry e ON e.id = l.entry_id
WHERE l.leaf_index >= %s ORDER BY l.leaf_index LIMIT %s
"""
WAITING = """
SELECT
    e.id, e.body, e.leaf_hash, e.event_id::text, e.kind, e.subject_kind, e.subject_label, e.subject_id, e.actor,
    to_char(e.occurred_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
FROM audit_pending p JOIN audit_entry e ON e.id = p.entry_id WHERE e.id > %s ORDER BY e.id LIMIT %s
"""
NOWHERE = """
SELECT e.id, e.kind FROM audit_entry e
WHERE NOT EXISTS (SELECT 1 FROM audit_leaf l WHERE l.entry_id = e.id)
AND NOT EXISTS (SELECT 1 FROM audit_pending p WHERE p.entry_id = e.id) ORDER BY e.id LIMIT 100
"""
LOST = "SELECT count(*) FROM audit_pending p WHERE NOT EXISTS (SELECT 1 FROM audit_entry e WHERE e.id = p.entry_id)"


@dataclass
class VerifyReport:
    """What was checked and what was found wrong. No faults means that nothing contradicts anything else."""

    entries: int = 0
    waiting: int = 0
    leaves: int = 0
    checkpoints: int = 0
    rows: int = 0
    root: str = ""
    faults: list[str] = field(default_factory=list)
    further: int = 0

    @property
    def is_sound(self) -> bool:
        """Return whether nothing was found wrong."""
        return not self.faults

    def fault(self, sentence: str) -> None:
        """Keep a fault; beyond a thousand only their number."""
        if len(self.faults) < MOST_FAULTS:
            self.faults.append(sentence)
        else:
            self.further += 1


class StoredEntry(NamedTuple):
    """One row of the entry table, as the verifier reads it."""

    id: int | None
    body: bytes
    leaf_hash: bytes
    event_id: str
    kind: str
    subject_kind: str
    subject_label: str
    subject_id: str
    actor: str
    occurred_at: str


def verify(trusted_note: str | None = None) -> VerifyReport:
    """Recompute the whole ledger and compare it with itself, with the record, and with a checkpoint kept elsewhere.

    Checked: every entry against its hash and its columns, every leaf against its entry, tiles and the root of every
    checkpoint against the leaves, every checkpoint's signature, every row that an entry names against its hash, every
    row of the record against the entries, every governed row against its newest history, and the append-only triggers.
    What was changed before it was sealed, a second or so after it happened, cannot be seen by any log.
    Raises Invalid when the given text is no checkpoint.
    """
    with transaction.atomic():
        if len(connection.savepoint_ids) == 0:
            # One snapshot for the whole walk, so that what is written meanwhile is either all seen or not at all.
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        return _Walk(trusted_note).run()


class _Stops:
    """The sizes at which the walk stops: those of the checkpoints, and that of the checkpoint kept elsewhere."""

    def __init__(self, trusted: notes.Checkpoint | None) -> None:
        self.trusted_size = trusted.size if trusted else -1
        self.newest = 0
        self._checkpoints = Checkpoint.objects.order_by("size").iterator(chunk_size=1_000)
        self._ahead = next(self._checkpoints, None)

    def due(self, size: int) -> bool:
        """Return whether the walk stops at this size."""
        return size == self.trusted_size or (self._ahead is not None and self._ahead.size <= size)

    def take(self) -> Checkpoint | None:
        """Return the next checkpoint and step on to the one after it."""
        taken, self._ahead = self._ahead, next(self._checkpoints, None)
        self.newest = taken.size if taken else self.newest
        return taken

    def at(self, size: int) -> Iterator[Checkpoint]:
        """Yield the checkpoints of this size."""
        while self._ahead is not None and self._ahead.size <= size:
            yield self._ahead
            self.take()


class _Walk:
    """One verification: a walk along the leaves that carries the tree, the tiles and the checkpoints with it."""

    def __init__(self, trusted_note: str | None) -> None:
        self.report = VerifyReport()
        self.frontier = merkle.Frontier()
        self.builder = tiles.TileBuilder()
        self.named = NamedRows(self.report.fault)
        self.keys = sealer.ledger_keys()
        self.trusted = self._trusted(trusted_note)
        self.trusted_root = b""
        self.stops = _Stops(self.trusted)

    def run(self) -> VerifyReport:
        """Walk, then look at everything that is not on the way."""
        self._stop()
        self._walk()
        self._check_tiles(list(self.builder.unfinished()))
        self._check_tail()
        self._compare_with_trusted()
        self.named.finish()
        self.report.rows = self.named.checked
        for found in drift.find():
            self.report.fault(str(found))
        for table in immutability.unprotected({*LEDGER_TABLES, *self.named.models}):
            self.report.fault(f"The append-only triggers of {table} are missing or switched off.")
        self.report.root = self.frontier.root().hex()
        return self.report

    def _trusted(self, note: str | None) -> notes.Checkpoint | None:
        """Return the checkpoint that was kept elsewhere. Raises Invalid when the text is no checkpoint."""
        if note is None:
            return None
        trusted = notes.parse_checkpoint(note)
        try:
            notes.open_note(note, self.keys)
        except Refused as error:
            self.report.fault(f"The given checkpoint of {trusted.size} entries: {error} Was the ledger's key replaced?")
        if trusted.origin != settings.LEDGER_ORIGIN:
            self.report.fault(f"The given checkpoint is of the ledger {trusted.origin}, not {settings.LEDGER_ORIGIN}.")
        return trusted

    def _compare_with_trusted(self) -> None:
        """Compare the recomputed tree with the checkpoint that was kept elsewhere."""
        if self.trusted is None:
            return
        if self.trusted.size > self.frontier.size:
            self.report.fault(
                f"The ledger was cut off: the given checkpoint has {self.trusted.size} entries,"
                f" the ledger now has {self.frontier.size} sealed ones."
            )
        elif self.trusted_root != self.trusted.root:
            self.report.fault(f"The first {self.trusted.size} entries are not those of the given checkpoint.")

    def _walk(self) -> None:
        """Follow the leaves to the last one, stopping at every checkpoint."""
        while True:
            with connection.cursor() as cursor:
                cursor.execute(SEALED, [self.frontier.size, BATCH])
                found = cursor.fetchall()
            if not found:
                return
            self.report.leaves += len(found)
            full: list[tiles.Grown] = []
            for index, leaf_hash, *columns in found:
                if not self._fill_gap(index, full):
                    return
                self._check_leaf(index, bytes(leaf_hash), StoredEntry(*columns))
                full += self._grow(bytes(leaf_hash))
            self._check_tiles(full)
            self.named.flush()

    def _fill_gap(self, index: int, full: list[tiles.Grown]) -> bool:
        """Report leaves missing before `index` and stand in for them; return whether walking on makes sense."""
        missing = index - self.frontier.size
        if missing:
            self.report.fault(f"The leaves {self.frontier.size} to {index - 1} are missing.")
        if missing > BATCH:
            return False
        for _ in range(missing):
            full += self._grow(b"\0" * merkle.HASH_SIZE)
        return True

    def _grow(self, leaf_hash: bytes) -> list[tiles.Grown]:
        """Add one leaf to the tree and return the tiles it filled."""
        self.frontier.append(leaf_hash)
        if self.stops.due(self.frontier.size):
            self._stop()
        return list(self.builder.append(leaf_hash))

    def _stop(self) -> None:
        """Check the checkpoints of the size that is reached, and remember the root that will be compared."""
        root = self.frontier.root()
        if self.frontier.size == self.stops.trusted_size:
            self.trusted_root = root
        for checkpoint in self.stops.at(self.frontier.size):
            self._check_checkpoint(checkpoint, root)

    def _check_checkpoint(self, checkpoint: Checkpoint, root: bytes) -> None:
        """Check one checkpoint's signature, and what it says against the recomputed tree."""
        self.report.checkpoints += 1
        size = checkpoint.size
        try:
            said = notes.parse_checkpoint(notes.open_note(checkpoint.note, self.keys))
        except (Invalid, Refused) as error:
            self.report.fault(f"The checkpoint of {size} entries cannot be believed: {error}")
            return
        if said != (settings.LEDGER_ORIGIN, size, bytes(checkpoint.root)):
            self.report.fault(f"The checkpoint of {size} entries says something else than its signed note.")
        if said.size != self.frontier.size or said.root != root:
            self.report.fault(f"The first {size} entries are not those that their checkpoint signed.")

    def _check_leaf(self, index: int, leaf_hash: bytes, entry: StoredEntry) -> None:
        """Check one sealed entry against its leaf."""
        if entry.id is None:
            self.report.fault(f"The entry of leaf {index} is missing.")
            return
        self.report.entries += 1
        if self._check_entry(entry) != leaf_hash:
            self.report.fault(f"Entry {entry.id} ({entry.kind}) is not what was sealed as leaf {index}.")

    def _check_entry(self, entry: StoredEntry) -> bytes:
        """Check an entry against its own hash and columns, note the rows it names, and return its recomputed hash."""
        body = bytes(entry.body)
        computed = merkle.leaf_hash(body)
        if computed != bytes(entry.leaf_hash):
            self.report.fault(f"Entry {entry.id} ({entry.kind}) does not have the hash of its body.")
        try:
            document = json.loads(body.decode())
            if _said(document) != _stored(entry):
                self.report.fault(f"The columns of entry {entry.id} say something else than its body.")
            self.named.expect(entry.event_id, document["rows"])
        except (ValueError, KeyError, TypeError, AttributeError):
            self.report.fault(f"The body of entry {entry.id} cannot be read.")
        return computed

    def _check_tiles(self, built: list[tiles.Grown]) -> None:
        """Compare stored tiles with the tiles that the leaves make."""
        for tile in built:
            hashes = b"".join(tile.hashes)
            stored = dict(Tile.objects.filter(level=tile.level, index=tile.index).values_list("width", "hashes"))
            for width, content in sorted(stored.items()):
                if bytes(content) != hashes[: width * merkle.HASH_SIZE]:
                    self.report.fault(f"Tile {tile.level}/{tile.index} of {width} hashes is not what the leaves make.")
            if (tile.is_full or tile.level) and len(tile.hashes) not in stored:
                self.report.fault(f"Tile {tile.level}/{tile.index} of {len(tile.hashes)} hashes is missing.")

    def _check_tail(self) -> None:
        """Check what stands outside the tree: late checkpoints, waiting entries, and entries that are nowhere."""
        size = self.frontier.size
        while (checkpoint := self.stops.take()) is not None:
            self.report.checkpoints += 1
            self.report.fault(f"A checkpoint has {checkpoint.size} entries, but only {size} are sealed.")
        if size > self.stops.newest:
            self.report.fault(f"The leaves {self.stops.newest} to {size - 1} stand under no checkpoint.")
        self._check_waiting()
        with connection.cursor() as cursor:
            cursor.execute(NOWHERE)
            for identifier, kind in cursor.fetchall():
                self.report.fault(f"Entry {identifier} ({kind}) is neither sealed nor waiting to be.")
            cursor.execute(LOST)
            for (lost,) in cursor.fetchall():
                if lost:
                    self.report.fault(f"{lost} entries that waited to be sealed are missing.")

    def _check_waiting(self) -> None:
        """Check the entries that wait to be sealed."""
        after = 0
        while True:
            with connection.cursor() as cursor:
                cursor.execute(WAITING, [after, BATCH])
                found = [StoredEntry(*columns) for columns in cursor.fetchall()]
            if not found:
                break
            for entry in found:
                self._check_entry(entry)
            after = found[-1].id or 0
            self.report.waiting += len(found)
            self.named.flush()
        self.report.entries += self.report.waiting


def _said(document: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what an entry's body says about what its columns repeat."""
    subject = document["subject"]
    return (
        document["eventId"],
        document["kind"],
        subject["kind"],
        subject["label"],
        subject["id"],
        document["actor"],
        document["occurredAt"],
    )


def _stored(entry: StoredEntry) -> tuple[str, ...]:
    """Return what an entry's columns say, in the same form."""
    return (
        entry.event_id,
        entry.kind,
        entry.subject_kind,
        entry.subject_label,
        entry.subject_id,
        entry.actor,
        entry.occurred_at,
    )
