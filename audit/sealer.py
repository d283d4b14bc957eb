"""The sequencer: gives waiting entries their place in the Merkle tree and signs a checkpoint over them.

One transaction does it all under one lock, so it may be killed at any point and run in any number. It recomputes
everything it is about to sign: one flipped bit under a signature could never be taken back.
"""

from __future__ import annotations

from typing import NamedTuple

from django.conf import settings
from django.db import connection, transaction

from audit import binary, keyset, merkle, notes, tiles
from audit.models import Checkpoint, Pending
from portal.errors import Invalid, Refused

SEALER_LOCK = 0x5EA1_1ED6
# The planner knows nothing of a queue that is filled and emptied every second. Left alone it reads the whole ledger to
# find the few entries at its end, here and in the trigger that checks the leaves.
BEGIN = """
SELECT pg_advisory_xact_lock(%s),
    set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true),
    set_config('enable_seqscan', 'off', true)
"""
TAKE = """
WITH taken AS (
    DELETE FROM audit_pending WHERE entry_id <= (
        SELECT max(entry_id) FROM (SELECT entry_id FROM audit_pending ORDER BY entry_id LIMIT %s) AS first
    )
    RETURNING entry_id
)
SELECT taken.entry_id, e.body, e.leaf_hash FROM taken LEFT JOIN audit_entry e ON e.id = taken.entry_id
ORDER BY taken.entry_id
"""


class LedgerDamaged(Exception):
    """The stored ledger contradicts itself, so nothing more is signed. `verify_ledger` says what and where."""


class Taken(NamedTuple):
    """One entry to be sealed, with the hash recomputed from its body."""

    entry_id: int
    leaf_hash: bytes


def ledger_keys() -> list[notes.NoteKey]:
    """Return the keys whose signatures on checkpoints this portal believes: the present one first, then older ones."""
    return [key.note for key in keyset.log_keys()]


def seal_due(limit: int = 5_000) -> int:
    """Seal up to `limit` waiting entries under one signed checkpoint, and return how many.

    Raises LedgerDamaged, and leaves everything as it was, when the stored ledger contradicts its newest checkpoint or
    an entry does not have the hash of its body.
    """
    if not Pending.objects.exists():
        return 0
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(BEGIN, [SEALER_LOCK])
        taken = _take(limit)
        if not taken:
            return 0
        head = _signed_head()
        leaves = [leaf for _, leaf in taken]
        _store_leaves(head.size, taken)
        _store_tiles(tiles.growth(head.size, leaves))
        _sign(head, head.size + len(leaves))
    return len(taken)


def seal_at_once() -> None:
    """Seal what waits in the process that has just committed it, unless another sealer is busy for over two seconds."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL lock_timeout = '2s'")
        seal_due()


def _take(limit: int) -> list[Taken]:
    """Take waiting entries off the queue, in the order of their rows, and recompute their hashes."""
    taken = []
    for entry_id, body, stored in binary.read(TAKE, [limit]):
        if body is None:
            raise LedgerDamaged(f"Entry {entry_id} was deleted before it was sealed.")
        computed = merkle.leaf_hash(body)
        if computed != stored:
            raise LedgerDamaged(f"Entry {entry_id} does not have the hash of its body.")
        taken.append(Taken(entry_id, computed))
    return taken


def _signed_head() -> notes.Checkpoint:
    """Return the newest checkpoint, after checking its signature and that the stored tree still has its root."""
    newest = Checkpoint.objects.first()
    if newest is None:
        return notes.Checkpoint(settings.LEDGER_ORIGIN, 0, merkle.EMPTY_ROOT)
    try:
        head = notes.parse_checkpoint(notes.open_note(newest.note, ledger_keys()))
    except (Invalid, Refused) as error:
        raise LedgerDamaged(f"The newest checkpoint, of {newest.size} entries, cannot be believed: {error}") from error
    try:
        stored = merkle.frontier_at(head.size, tiles.StoredTree(head.size).node).root()
    except LookupError as error:
        raise LedgerDamaged(str(error)) from error
    if (head.origin, head.size, head.root) != (settings.LEDGER_ORIGIN, newest.size, stored):
        raise LedgerDamaged(f"The stored tree of {newest.size} entries does not have the root that was signed.")
    return head


def _store_leaves(size: int, taken: list[Taken]) -> None:
    """Insert the leaves; a trigger refuses gaps, overlaps and hashes that are not those of the entries."""
    with (
        connection.cursor() as cursor,
        cursor.copy("COPY audit_leaf (leaf_index, entry_id, leaf_hash) FROM STDIN (FORMAT BINARY)") as out,
    ):
        out.set_types(["int8", "int8", "bytea"])
        for index, (entry_id, leaf_hash) in enumerate(taken, size):
            out.write_row((index, entry_id, leaf_hash))


def _store_tiles(grown: list[tiles.Grown]) -> None:
    """Insert the tiles that the new leaves filled or widened."""
    with connection.cursor() as cursor, cursor.copy("COPY audit_tile (level, index, width, hashes) FROM STDIN") as out:
        for tile in grown:
            out.write_row((tile.level, tile.index, len(tile.hashes), b"".join(tile.hashes)))


def _sign(head: notes.Checkpoint, size: int) -> None:
    """Sign the tree as it is stored now, once it is proved to begin with the tree that was signed before."""
    node = tiles.StoredTree(size).node
    root = merkle.frontier_at(size, node).root()
    proof = merkle.consistency_proof(head.size, size, node) if head.size else []
    if not merkle.verify_consistency(head.size, size, proof, head.root, root):
        raise LedgerDamaged(f"The tree of {size} entries does not begin with the signed tree of {head.size} entries.")
    text = notes.checkpoint_text(notes.Checkpoint(settings.LEDGER_ORIGIN, size, root))
    note = notes.sign_note(text, settings.LEDGER_ORIGIN, *keyset.log_signers())
    Checkpoint(size=size, root=root, note=note).save()
