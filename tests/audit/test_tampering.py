"""Tampering shows: a database superuser rewrites what happened, and verification with one older checkpoint says so."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.conf import settings as portal_settings
from django.db import transaction
from pytest_django import Settings

from audit import merkle, notes, seal, sealer, tiles
from audit.models import Checkpoint, Entry, Leaf
from audit.sealer import seal_due
from audit.verifier import verify
from registry.models import Team
from tests.audit.conftest import unguarded

pytestmark = pytest.mark.django_db

SIZE = 530
OLD = 270


@dataclass
class Ledger:
    """A sealed ledger of 530 entries with several checkpoints, and the checkpoint of 270 entries that Iris kept."""

    kept: str
    dice: random.Random

    @property
    def index(self) -> int:
        """Return one of the entries that Iris' checkpoint covers."""
        return self.dice.randrange(OLD)


@pytest.fixture
def ledger(say: Callable[..., Entry], make_team: Callable[[str], Team]) -> Ledger:
    make_team("risk-models")
    say(SIZE - 1)
    for limit in (100, OLD - 100, 200, 60):
        seal_due(limit)
    assert verify().faults == []
    return Ledger(Checkpoint.objects.get(size=OLD).note, random.Random(0))


def forged(body: bytes) -> bytes:
    """Return the body of an entry with another actor in it."""
    document = json.loads(body)
    document["actor"] = "person:mallory"
    return seal.canonical(document)


def body_at(cursor: Any, index: int) -> tuple[int, bytes]:
    """Return (id, body) of the entry at a leaf."""
    cursor.execute(
        "SELECT e.id, e.body FROM audit_leaf l JOIN audit_entry e ON e.id = l.entry_id WHERE leaf_index = %s", [index]
    )
    identifier, body = cursor.fetchone()
    return identifier, bytes(body)


def rewrite(cursor: Any, index: int, body: bytes) -> None:
    """Rewrite one entry with its hash, its columns and its leaf, as an attacker who knows the tables would."""
    identifier, _ = body_at(cursor, index)
    actor = json.loads(body)["actor"]
    leaf = merkle.leaf_hash(body)
    cursor.execute(
        "UPDATE audit_entry SET body = %s, leaf_hash = %s, actor = %s WHERE id = %s", [body, leaf, actor, identifier]
    )
    cursor.execute("UPDATE audit_leaf SET leaf_hash = %s WHERE leaf_index = %s", [leaf, index])


def rebuild(cursor: Any, key: Ed25519PrivateKey) -> None:
    """Make tiles and checkpoints anew from the leaves as they are now, signed with a key."""
    cursor.execute("SELECT leaf_hash FROM audit_leaf ORDER BY leaf_index")
    leaves = [bytes(leaf) for (leaf,) in cursor.fetchall()]
    cursor.execute("DELETE FROM audit_tile")
    cursor.execute("SELECT size FROM audit_checkpoint ORDER BY size")
    sizes = [size for (size,) in cursor.fetchall() if size <= len(leaves)]
    cursor.execute("DELETE FROM audit_checkpoint")
    builder, frontier = tiles.TileBuilder(), merkle.Frontier()
    for leaf in leaves:
        frontier.append(leaf)
        for tile in builder.append(leaf):
            store_tile(cursor, tile)
        if frontier.size in {*sizes, len(leaves)}:
            store_checkpoint(cursor, frontier, key)
    for tile in builder.unfinished():
        if tile.level:
            store_tile(cursor, tile)


def store_tile(cursor: Any, tile: tiles.Grown) -> None:
    cursor.execute(
        "INSERT INTO audit_tile (level, index, width, hashes) VALUES (%s, %s, %s, %s)",
        [tile.level, tile.index, len(tile.hashes), b"".join(tile.hashes)],
    )


def store_checkpoint(cursor: Any, frontier: merkle.Frontier, key: Ed25519PrivateKey) -> None:
    origin = portal_settings.LEDGER_ORIGIN
    text = notes.checkpoint_text(notes.Checkpoint(origin, frontier.size, frontier.root()))
    cursor.execute(
        "INSERT INTO audit_checkpoint (size, root, note) VALUES (%s, %s, %s)",
        [frontier.size, frontier.root(), notes.sign_note(text, origin, key)],
    )


def renumber(cursor: Any, gone: int) -> None:
    """Close the gap that a removed leaf left."""
    cursor.execute("UPDATE audit_leaf SET leaf_index = -leaf_index WHERE leaf_index > %s", [gone])
    cursor.execute("UPDATE audit_leaf SET leaf_index = -leaf_index - 1 WHERE leaf_index < 0")


def edit_body(cursor: Any, ledger: Ledger) -> None:
    identifier, body = body_at(cursor, ledger.index)
    cursor.execute("UPDATE audit_entry SET body = %s WHERE id = %s", [forged(body), identifier])


def edit_body_and_hash(cursor: Any, ledger: Ledger) -> None:
    identifier, body = body_at(cursor, ledger.index)
    body = forged(body)
    cursor.execute(
        "UPDATE audit_entry SET body = %s, leaf_hash = %s WHERE id = %s", [body, merkle.leaf_hash(body), identifier]
    )


def edit_everywhere(cursor: Any, ledger: Ledger) -> None:
    index = ledger.index
    rewrite(cursor, index, forged(body_at(cursor, index)[1]))


def edit_a_column(cursor: Any, ledger: Ledger) -> None:
    identifier, _ = body_at(cursor, ledger.index)
    column = ledger.dice.choice(["kind", "actor", "subject_kind", "subject_label", "subject_id"])
    cursor.execute(f"UPDATE audit_entry SET {column} = 'other' WHERE id = %s", [identifier])


def backdate_a_column(cursor: Any, ledger: Ledger) -> None:
    identifier, _ = body_at(cursor, ledger.index)
    cursor.execute("UPDATE audit_entry SET occurred_at = occurred_at - interval '1 day' WHERE id = %s", [identifier])


def flip_a_bit_of_a_leaf(cursor: Any, ledger: Ledger) -> None:
    bit = ledger.dice.randrange(256)
    cursor.execute(
        "UPDATE audit_leaf SET leaf_hash = set_bit(leaf_hash, %s, 1 - get_bit(leaf_hash, %s)) WHERE leaf_index = %s",
        [bit, bit, ledger.index],
    )


def flip_a_bit_of_a_tile(cursor: Any, ledger: Ledger) -> None:
    cursor.execute(
        "UPDATE audit_tile SET hashes = set_bit(hashes, 9, 1 - get_bit(hashes, 9)) WHERE level = 0 AND index = 1"
    )


def delete_an_entry(cursor: Any, ledger: Ledger) -> None:
    identifier, _ = body_at(cursor, ledger.index)
    cursor.execute("DELETE FROM audit_entry WHERE id = %s", [identifier])


def delete_entry_and_leaf(cursor: Any, ledger: Ledger) -> None:
    index = ledger.index
    delete_at(cursor, index)


def delete_and_renumber(cursor: Any, ledger: Ledger) -> None:
    index = ledger.index
    delete_at(cursor, index)
    renumber(cursor, index)


def delete_at(cursor: Any, index: int) -> None:
    identifier, _ = body_at(cursor, index)
    cursor.execute("DELETE FROM audit_leaf WHERE leaf_index = %s", [index])
    cursor.execute("DELETE FROM audit_entry WHERE id = %s", [identifier])


def swap_two_leaves(cursor: Any, ledger: Ledger) -> None:
    first, second = ledger.dice.sample(range(OLD), 2)
    cursor.execute(
        "WITH pair AS (SELECT leaf_index, entry_id, leaf_hash FROM audit_leaf WHERE leaf_index IN (%(a)s, %(b)s)),"
        " away AS (DELETE FROM audit_leaf WHERE leaf_index IN (%(a)s, %(b)s)) SELECT * FROM pair",
        {"a": first, "b": second},
    )
    for index, entry_id, leaf_hash in cursor.fetchall():
        other = second if index == first else first
        cursor.execute("INSERT INTO audit_leaf VALUES (%s, %s, %s)", [other, leaf_hash, entry_id])


def insert_an_entry(cursor: Any, ledger: Ledger) -> None:
    cursor.execute("SELECT max(leaf_index) FROM audit_leaf")
    body = forged(body_at(cursor, ledger.index)[1]).replace(b'"schema"', b'"schemb"')
    cursor.execute(
        "INSERT INTO audit_entry (body, leaf_hash, event_id, kind, subject_kind, subject_label, subject_id, actor,"
        " occurred_at) VALUES (%s, %s, gen_random_uuid(), 'review.given', 'x', 'x', 'x', 'person:mallory', now())"
        " RETURNING id",
        [body, merkle.leaf_hash(body)],
    )
    cursor.execute(
        "INSERT INTO audit_leaf (leaf_index, entry_id, leaf_hash) VALUES (%s, lastval(), %s)",
        [SIZE, merkle.leaf_hash(body)],
    )


def hide_an_entry(cursor: Any, ledger: Ledger) -> None:
    """An entry that was added behind the portal's back and neither waits nor is sealed."""
    body = forged(body_at(cursor, ledger.index)[1])
    cursor.execute(
        "INSERT INTO audit_entry (body, leaf_hash, event_id, kind, subject_kind, subject_label, subject_id, actor,"
        " occurred_at) VALUES (%s, %s, gen_random_uuid(), 'review.given', 'x', 'x', 'x', 'person:mallory', now())",
        [body, merkle.leaf_hash(body)],
    )


def cut_the_tail_off(cursor: Any, ledger: Ledger) -> None:
    cut_to(cursor, ledger.dice.randrange(100, OLD))


def cut_to(cursor: Any, size: int) -> None:
    cursor.execute(
        "DELETE FROM audit_entry WHERE id IN (SELECT entry_id FROM audit_leaf WHERE leaf_index >= %s)", [size]
    )
    cursor.execute("DELETE FROM audit_leaf WHERE leaf_index >= %s", [size])
    cursor.execute("DELETE FROM audit_checkpoint WHERE size > %s", [size])


def take_the_newest_checkpoint(cursor: Any, ledger: Ledger) -> None:
    cursor.execute("DELETE FROM audit_checkpoint WHERE size = %s", [SIZE])


def change_a_checkpoint(cursor: Any, ledger: Ledger) -> None:
    cursor.execute("UPDATE audit_checkpoint SET root = sha256('x') WHERE size = %s", [OLD])


def claim_more(cursor: Any, ledger: Ledger) -> None:
    cursor.execute("UPDATE audit_checkpoint SET size = 1000000000000 WHERE size = %s", [SIZE])


def move_the_end_far_away(cursor: Any, ledger: Ledger) -> None:
    cursor.execute("UPDATE audit_leaf SET leaf_index = 1000000000000 WHERE leaf_index = %s", [SIZE - 1])


def rewrite_with_another_key(cursor: Any, ledger: Ledger) -> None:
    edit_everywhere(cursor, ledger)
    rebuild(cursor, Ed25519PrivateKey.generate())


def rewrite_with_the_stolen_key(cursor: Any, ledger: Ledger) -> None:
    edit_everywhere(cursor, ledger)
    rebuild(cursor, seal.ledger_key())


def delete_with_the_stolen_key(cursor: Any, ledger: Ledger) -> None:
    delete_and_renumber(cursor, ledger)
    rebuild(cursor, seal.ledger_key())


def cut_off_with_the_stolen_key(cursor: Any, ledger: Ledger) -> None:
    cut_to(cursor, ledger.dice.randrange(100, OLD))
    rebuild(cursor, seal.ledger_key())


def empty_everything(cursor: Any, ledger: Ledger) -> None:
    for table in ("audit_entry", "audit_leaf", "audit_tile", "audit_checkpoint"):
        cursor.execute(f"DELETE FROM {table}")


def edit_history(cursor: Any, ledger: Ledger) -> None:
    cursor.execute("UPDATE registry_historicalteam SET history_change_reason = 'review.given'")


def delete_history(cursor: Any, ledger: Ledger) -> None:
    cursor.execute("DELETE FROM registry_historicalteam")


def invent_history(cursor: Any, ledger: Ledger) -> None:
    cursor.execute("CREATE TEMP TABLE copied ON COMMIT DROP AS SELECT * FROM registry_historicalteam")
    cursor.execute("UPDATE copied SET history_id = gen_random_uuid(), history_date = history_date - interval '1 day'")
    cursor.execute("INSERT INTO registry_historicalteam SELECT * FROM copied")


TAMPERINGS = [
    edit_body,
    edit_body_and_hash,
    edit_everywhere,
    edit_a_column,
    backdate_a_column,
    flip_a_bit_of_a_leaf,
    flip_a_bit_of_a_tile,
    delete_an_entry,
    delete_entry_and_leaf,
    delete_and_renumber,
    swap_two_leaves,
    insert_an_entry,
    hide_an_entry,
    cut_the_tail_off,
    take_the_newest_checkpoint,
    change_a_checkpoint,
    claim_more,
    move_the_end_far_away,
    rewrite_with_another_key,
    rewrite_with_the_stolen_key,
    delete_with_the_stolen_key,
    cut_off_with_the_stolen_key,
    empty_everything,
    edit_history,
    delete_history,
    invent_history,
]


@pytest.mark.parametrize("seed", range(2))
def test_tampering_shows(ledger: Ledger, seed: int) -> None:
    """Every tampering is tried on the same ledger and rolled back again."""
    missed = []
    for tamper in TAMPERINGS:
        ledger.dice.seed(seed)
        with transaction.atomic():
            with unguarded() as cursor:
                tamper(cursor, ledger)
            faults = verify(ledger.kept).faults
            if not faults or any("triggers" in fault for fault in faults):
                missed.append(tamper.__name__)
            transaction.set_rollback(True)
    assert missed == []
    assert verify(ledger.kept).faults == []


def test_a_rewritten_ledger_signed_with_the_stolen_key_shows_only_by_the_checkpoint_kept_elsewhere(
    ledger: Ledger,
) -> None:
    with unguarded() as cursor:
        cut_off_with_the_stolen_key(cursor, ledger)
    assert not any("cut off" in fault for fault in verify().faults)
    assert any("The ledger was cut off" in fault for fault in verify(ledger.kept).faults)


def test_a_ledger_written_anew_with_a_new_key_shows_by_the_kept_checkpoint(
    ledger: Ledger, settings: Settings, tmp_path: Path
) -> None:
    settings.KEYS_DIR = tmp_path
    seal.ensure_keys()
    with unguarded() as cursor:
        rewrite_with_the_stolen_key(cursor, ledger)
    assert verify().faults == []
    faults = verify(ledger.kept).faults
    assert any("Was the ledger's key replaced?" in fault for fault in faults)
    assert f"The first {OLD} entries are not those of the given checkpoint." in faults


def test_a_fault_names_the_entry_and_the_leaf(ledger: Ledger) -> None:
    with unguarded() as cursor:
        identifier, body = body_at(cursor, 5)
        cursor.execute("UPDATE audit_entry SET body = %s WHERE id = %s", [forged(body), identifier])
    assert verify().faults == [
        f"Entry {identifier} (person.changed) does not have the hash of its body.",
        f"The columns of entry {identifier} say something else than its body.",
        f"Entry {identifier} (person.changed) is not what was sealed as leaf 5.",
    ]


def test_the_tampered_ledger_is_not_sealed_any_further(ledger: Ledger, say: Callable[..., Entry]) -> None:
    with unguarded() as cursor:
        rewrite_with_another_key(cursor, ledger)
    say()
    with pytest.raises(sealer.LedgerDamaged):
        seal_due()
    assert Leaf.objects.count() == SIZE
