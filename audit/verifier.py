"""Checking the ledger from inside: every hash is recomputed, in constant memory, and every fault is one plain sentence.

It reads what is stored and trusts none of it. Only a checkpoint that was kept elsewhere shows that the ledger was not
cut off or written anew with its own key, so `verify` compares with one. A verifier that needs neither the portal nor
its database lives in `audit.exports`.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from pydantic_core import from_json

from audit import binary, bulk, drift, immutability, keyset, merkle, notes, tiles
from audit.bulk import UNREADABLE
from audit.models import Checkpoint, Tile
from audit.named_rows import NamedRows
from audit.serving import verification
from portal.errors import Invalid, Refused

Tick = Callable[[int], None]
BATCH = 5_000
MOST_FAULTS = 1_000
LEDGER_TABLES = ("audit_entry", "audit_leaf", "audit_tile", "audit_checkpoint", "audit_pending", "audit_servingwindow")
# What is beyond the years that Python knows is no time of an entry, and differs from every body.
ENTRY = """
    e.id, e.body, e.leaf_hash, e.event_id::text, e.kind, e.subject_kind, e.subject_label, e.subject_id, e.actor,
    CASE WHEN e.occurred_at BETWEEN '1900-01-01' AND '9000-01-01' THEN e.occurred_at END
"""
SEALED = f"""
SELECT l.leaf_index, l.leaf_hash, {ENTRY} FROM audit_leaf l LEFT JOIN audit_entry e ON e.id = l.entry_id
WHERE l.leaf_index >= %s ORDER BY l.leaf_index LIMIT %s
"""  # noqa: S608 -- of constants
WAITING = f"""
SELECT NULL::bigint, NULL::bytea, {ENTRY} FROM audit_pending p JOIN audit_entry e ON e.id = p.entry_id
WHERE e.id > %s ORDER BY e.id LIMIT %s
"""  # noqa: S608 -- of constants
NOWHERE = """
SELECT e.id, e.kind FROM audit_entry e
WHERE NOT EXISTS (SELECT 1 FROM audit_leaf l WHERE l.entry_id = e.id)
AND NOT EXISTS (SELECT 1 FROM audit_pending p WHERE p.entry_id = e.id) ORDER BY e.id LIMIT 100
"""
TILES = "SELECT index, width, hashes FROM audit_tile WHERE level = %s AND index BETWEEN %s AND %s"
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


def verify(trusted_note: str | None = None, tick: Tick = lambda _: None) -> VerifyReport:
    """Recompute the whole ledger and compare it with itself, with the record, and with a checkpoint kept elsewhere.

    Checked: every entry against its hash and its columns, every leaf against its entry, tiles and the root of every
    checkpoint against the leaves, every checkpoint's signature, every row that an entry names against its hash, every
    row of the record against the entries, every governed row against its newest history, every serving window against
    its batch, and the append-only triggers.
    What was changed before it was sealed, a second or so after it happened, cannot be seen by any log.
    `tick` hears how many sealed entries are checked. Raises Invalid when the given text is no checkpoint.
    """
    with transaction.atomic():
        with connection.cursor() as cursor:
            if len(connection.savepoint_ids) == 0:
                # One snapshot for the whole walk, so that what is written meanwhile is either all seen or not at all.
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            # For each batch anew the server would start helpers that take longer to start than the batch takes to read.
            cursor.execute("SET LOCAL max_parallel_workers_per_gather = 0")
        return _Walk(trusted_note, tick).run()


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

    def after(self, size: int) -> int:
        """Return the next size at which the walk stops."""
        ahead = self._ahead.size if self._ahead is not None else sys.maxsize
        return min(ahead, self.trusted_size) if self.trusted_size > size else ahead

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

    def __init__(self, trusted_note: str | None, tick: Tick) -> None:
        self.report, self.tick = VerifyReport(), tick
        self.size = 0
        self.tiles = 0
        self.builder = tiles.TileBuilder()
        self.named = NamedRows(self.report.fault)
        self.keys = keyset.log_keys()
        self.unsound = 0
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
        self._examine("keysets", keyset.faults)
        self._examine("governed rows", drift.find)
        self._examine("serving windows", verification.find)
        for table in immutability.unprotected({*LEDGER_TABLES, *self.named.models}):
            self.report.fault(f"The append-only triggers of {table} are missing or switched off.")
        self.report.root = self.builder.root().hex()
        return self.report

    def _examine(self, what: str, find: Callable[[], Iterable[object]]) -> None:
        """Keep the faults that a comparison finds; that it stumbles over what was forged is a fault, and no way out."""
        try:
            for found in find():
                self.report.fault(str(found))
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            self.report.fault(f"The {what} cannot be compared any further, for something cannot be read: {error!r}")

    def _trusted(self, note: str | None) -> notes.Checkpoint | None:
        """Return the checkpoint that was kept elsewhere. Raises Invalid when the text is no checkpoint."""
        if note is None:
            return None
        trusted = notes.parse_checkpoint(note)
        try:
            notes.open_note(note, [key.note for key in self.keys])
        except Refused as error:
            self.report.fault(f"The given checkpoint of {trusted.size} entries: {error} Was the ledger's key replaced?")
        if trusted.origin != settings.LEDGER_ORIGIN:
            self.report.fault(f"The given checkpoint is of the ledger {trusted.origin}, not {settings.LEDGER_ORIGIN}.")
        return trusted

    def _compare_with_trusted(self) -> None:
        """Compare the recomputed tree with the checkpoint that was kept elsewhere."""
        if self.trusted is None:
            return
        if self.trusted.size > self.size:
            self.report.fault(
                f"The ledger was cut off: the given checkpoint has {self.trusted.size} entries,"
                f" the ledger now has {self.size} sealed ones."
            )
        elif self.trusted_root != self.trusted.root:
            self.report.fault(f"The first {self.trusted.size} entries are not those of the given checkpoint.")

    def _walk(self) -> None:
        """Follow the leaves to the last one, stopping at every checkpoint."""
        while (plain := bulk.read_plain(self.size, BATCH)) or self._search():
            if plain:
                leaves, named = plain
                self.report.leaves += len(leaves)
                self.report.entries += len(leaves)
                for event_id, names in named:
                    self._expect(event_id, names)
                self._grow(leaves)
            self.named.flush()
            self.tick(self.report.leaves)

    def _search(self) -> bool:
        """Check the next leaves one by one, because not all of them are plain; return whether there is a next step."""
        found = binary.read(SEALED, [self.size, BATCH])
        self.report.leaves += len(found)
        hashes: list[bytes] = []
        for row in found:
            if row[0] != self.size + len(hashes) and not self._fill_gap(row[0], hashes):
                return False
            self._check_leaf(row)
            hashes.append(row[1])
        self._grow(hashes)
        return bool(found)

    def _fill_gap(self, index: int, hashes: list[bytes]) -> bool:
        """Report leaves missing before `index` and stand in for them; return whether walking on makes sense."""
        expected = self.size + len(hashes)
        self.report.fault(f"The leaves {expected} to {index - 1} are missing.")
        if index - expected > BATCH:
            self._grow(hashes)
            return False
        hashes += [b"\0" * merkle.HASH_SIZE] * (index - expected)
        return True

    def _grow(self, hashes: Sequence[bytes]) -> None:
        """Add leaves to the tree, stopping where a root is to be compared, and check the tiles that they fill."""
        full, start, end = [], self.size, self.size + len(hashes)
        while self.size < end:
            upto = min(self.stops.after(self.size), end)
            full += self.builder.extend(hashes[self.size - start : upto - start])
            self.size = upto
            if self.stops.due(upto):
                self._stop()
        self._check_tiles(full)

    def _stop(self) -> None:
        """Check the checkpoints of the size that is reached, and remember the root that will be compared."""
        root = self.builder.root()
        if self.size == self.stops.trusted_size:
            self.trusted_root = root
        for checkpoint in self.stops.at(self.size):
            self._check_checkpoint(checkpoint, root)

    def _check_checkpoint(self, checkpoint: Checkpoint, root: bytes) -> None:
        """Check one checkpoint's signature, and what it says against the recomputed tree."""
        self.report.checkpoints += 1
        size = checkpoint.size
        try:
            said = notes.parse_checkpoint(notes.open_note(checkpoint.note, self._keys_of(checkpoint)))
        except (Invalid, Refused) as error:
            said_of = [key.note for key in self.keys if not key.signs_at(checkpoint.created_at)]
            late = " Its key was not valid when it signed." if notes.has_signed(checkpoint.note, said_of) else ""
            self.report.fault(f"The checkpoint of {size} entries cannot be believed: {error}{late}")
            return
        if said != (settings.LEDGER_ORIGIN, size, bytes(checkpoint.root)):
            self.report.fault(f"The checkpoint of {size} entries says something else than its signed note.")
        if said.size != self.size or said.root != root:
            self.report.fault(f"The first {size} entries are not those that their checkpoint signed.")

    def _keys_of(self, checkpoint: Checkpoint) -> list[notes.NoteKey]:
        """Return the keys that could sign when a checkpoint was made; note when those that are sound did not."""
        valid = [key for key in self.keys if key.signs_at(checkpoint.created_at)]
        sound = [key.note for key in valid if key.is_sound_at(checkpoint.created_at)]
        lost = len(sound) < len(valid) and not notes.has_signed(checkpoint.note, sound)
        self.unsound = checkpoint.size if lost else 0
        return [key.note for key in valid]

    def _check_leaf(self, row: tuple[Any, ...]) -> None:
        """Check one sealed entry against its leaf."""
        if row[2] is None:
            self.report.fault(f"The entry of leaf {row[0]} is missing.")
            return
        self.report.entries += 1
        if self._check_entry(row) != row[1]:
            self.report.fault(f"{_name(row)} is not what was sealed as leaf {row[0]}.")

    def _check_entry(self, row: tuple[Any, ...]) -> bytes:
        """Check an entry against its own hash and columns, note the rows it names, and return its recomputed hash."""
        body = row[3]
        computed = merkle.leaf_hash(body)
        if computed != row[4]:
            self.report.fault(f"{_name(row)} does not have the hash of its body.")
        try:
            document = from_json(body)
            if _said(document) != row[5:]:
                self.report.fault(f"The columns of entry {row[2]} say something else than its body.")
            if (named := document["rows"]) != []:
                self._expect(row[5], named)
        except UNREADABLE:
            self.report.fault(f"The body of entry {row[2]} cannot be read.")
        return computed

    def _expect(self, event_id: str, names: Iterable[Mapping[str, Any]]) -> None:
        """Note the rows that an entry names."""
        try:
            self.named.expect(event_id, names)
        except UNREADABLE:
            self.report.fault(f"The rows that the entry {event_id} names cannot be read.")

    def _check_tiles(self, built: list[tiles.Grown]) -> None:
        """Compare stored tiles with the tiles that the leaves make."""
        stored: defaultdict[tuple[int, int], dict[int, bytes]] = defaultdict(dict)
        for level, run in groupby(sorted(built, key=_place), key=lambda tile: tile.level):
            indexes = [tile.index for tile in run]
            for index, width, content in binary.read(TILES, [level, indexes[0], indexes[-1]]):
                stored[level, index][width] = content
                self.tiles += 1
        for tile in built:
            widths, hashes = stored[_place(tile)], b"".join(tile.hashes)
            for width, content in sorted(widths.items()):
                if content != hashes[: width * merkle.HASH_SIZE]:
                    self.report.fault(f"Tile {tile.level}/{tile.index} of {width} hashes is not what the leaves make.")
            if (tile.is_full or tile.level) and len(tile.hashes) not in widths:
                self.report.fault(f"Tile {tile.level}/{tile.index} of {len(tile.hashes)} hashes is missing.")

    def _check_tail(self) -> None:
        """Check what stands outside the tree: late checkpoints, waiting entries, and entries that are nowhere."""
        size = self.size
        while (checkpoint := self.stops.take()) is not None:
            self.report.checkpoints += 1
            self.report.fault(f"A checkpoint has {checkpoint.size} entries, but only {size} are sealed.")
        if size > self.stops.newest:
            self.report.fault(f"The leaves {self.stops.newest} to {size - 1} stand under no checkpoint.")
        if (kept := Tile.objects.count()) != self.tiles:
            self.report.fault(f"{kept - self.tiles} tiles are stored where the leaves make none.")
        if self.unsound:
            self.report.fault(
                f"The newest checkpoint, of {self.unsound} entries, has the signature of a lost key alone."
            )
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
        while found := binary.read(WAITING, [after, BATCH]):
            for entry in found:
                self._check_entry(entry)
            after = found[-1][2]
            self.report.waiting += len(found)
            self.named.flush()
        self.report.entries += self.report.waiting


def _said(document: Mapping[str, Any]) -> tuple[object, ...]:
    """Return what an entry's body says about what its columns repeat."""
    subject = document["subject"]
    return (
        document["eventId"],
        document["kind"],
        subject["kind"],
        subject["label"],
        subject["id"],
        document["actor"],
        datetime.fromisoformat(document["occurredAt"]),
    )


def _name(row: tuple[Any, ...]) -> str:
    """Return how a fault calls an entry."""
    return f"Entry {row[2]} ({row[6]})"


def _place(tile: tiles.Grown) -> tuple[int, int]:
    """Return where a tile stands."""
    return tile.level, tile.index
