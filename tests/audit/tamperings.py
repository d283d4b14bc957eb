"""Twenty classes of tampering by a database superuser who knows the tables, each with random choices.

All of them touch what an older checkpoint covers, or what entries under it name. Whoever also holds the ledger's key
signs the result anew.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.conf import settings
from django.db import connection

from audit import drift, immutability, merkle, notes, rows, seal, tiles
from tests.audit.attacks import Attack

ENTRY = "body, leaf_hash, event_id, kind, subject_kind, subject_label, subject_id, actor, occurred_at"


def forged(body: bytes) -> bytes:
    """Return the body of an entry with another actor in it."""
    return seal.canonical({**json.loads(body), "actor": "person:mallory"})


def rewrite(attack: Attack, index: int, body: bytes) -> None:
    """Rewrite one entry with its hash, its columns and its leaf."""
    identifier, _ = attack.body_at(index)
    leaf, actor = merkle.leaf_hash(body), json.loads(body)["actor"]
    attack.run(
        "UPDATE audit_entry SET body = %s, leaf_hash = %s, actor = %s WHERE id = %s", body, leaf, actor, identifier
    )
    attack.run("UPDATE audit_leaf SET leaf_hash = %s WHERE leaf_index = %s", leaf, index)


def rebuild(attack: Attack, key: Ed25519PrivateKey) -> None:
    """Make tiles and checkpoints anew from the leaves as they are now, signed with a key."""
    leaves = [bytes(leaf) for (leaf,) in attack.run("SELECT leaf_hash FROM audit_leaf ORDER BY leaf_index")]
    sizes = [size for (size,) in attack.run("SELECT size FROM audit_checkpoint ORDER BY size") if size <= len(leaves)]
    attack.run("DELETE FROM audit_tile")
    attack.run("DELETE FROM audit_checkpoint")
    builder, done = tiles.TileBuilder(), 0
    for size in sorted({*sizes, len(leaves)}):
        for tile in builder.extend(leaves[done:size]):
            store_tile(attack, tile)
        done = size
        text = notes.checkpoint_text(notes.Checkpoint(settings.LEDGER_ORIGIN, size, builder.root()))
        note = notes.sign_note(text, settings.LEDGER_ORIGIN, key)
        attack.run("INSERT INTO audit_checkpoint (size, root, note) VALUES (%s, %s, %s)", size, builder.root(), note)
    for tile in builder.unfinished():
        if tile.level:
            store_tile(attack, tile)


def store_tile(attack: Attack, tile: tiles.Grown) -> None:
    """Insert a tile."""
    attack.run(
        "INSERT INTO audit_tile (level, index, width, hashes) VALUES (%s, %s, %s, %s)",
        *(tile.level, tile.index, len(tile.hashes), b"".join(tile.hashes)),
    )


def flip(attack: Attack, table: str, column: str, where: str, *values: object) -> None:
    """Flip one bit of one binary value."""
    [(length,)] = attack.run(f"SELECT octet_length({column}) FROM {table} WHERE {where}", *values)
    bit = attack.dice.randrange(length * 8)
    attack.run(
        f"UPDATE {table} SET {column} = set_bit({column}, %s, 1 - get_bit({column}, %s)) WHERE {where}",
        *(bit, bit, *values),
    )


def shift(attack: Attack, start: int, by: int) -> None:
    """Move all leaves from `start` on by some places."""
    attack.run("UPDATE audit_leaf SET leaf_index = -1 - leaf_index WHERE leaf_index >= %s", start)
    attack.run("UPDATE audit_leaf SET leaf_index = -1 - leaf_index + %s WHERE leaf_index < 0", by)


def edit_a_body(attack: Attack) -> None:
    identifier, body = attack.body_at(attack.index)
    body = forged(body)
    hashed = ", leaf_hash = sha256('\\x00'::bytea || %s)" if attack.dice.random() < 0.5 else ""
    values = [body, body] if hashed else [body]
    attack.run(f"UPDATE audit_entry SET body = %s{hashed} WHERE id = %s", *values, identifier)


def edit_everywhere(attack: Attack) -> None:
    index = attack.index
    rewrite(attack, index, forged(attack.body_at(index)[1]))


def edit_a_column(attack: Attack) -> None:
    identifier, _ = attack.body_at(attack.index)
    names = ["kind", "actor", "subject_kind", "subject_label", "subject_id", "event_id", "occurred_at"]
    column = attack.dice.choice(names)
    special = {"event_id": "gen_random_uuid()", "occurred_at": "occurred_at - interval '1 microsecond'"}
    forgery = special.get(column, "'other'")
    attack.run(f"UPDATE audit_entry SET {column} = {forgery} WHERE id = %s", identifier)


def flip_a_bit(attack: Attack) -> None:
    identifier, _ = attack.body_at(attack.index)
    attack.one_of(
        lambda attack: flip(attack, "audit_entry", "body", "id = %s", identifier),
        lambda attack: flip(attack, "audit_entry", "leaf_hash", "id = %s", identifier),
        lambda attack: flip(attack, "audit_leaf", "leaf_hash", "entry_id = %s", identifier),
    )


def touch_a_tile(attack: Attack) -> None:
    [(identifier,)] = attack.dice.sample(attack.run("SELECT id FROM audit_tile ORDER BY id"), 1)
    attack.one_of(
        lambda attack: flip(attack, "audit_tile", "hashes", "id = %s", identifier),
        lambda attack: attack.run("DELETE FROM audit_tile WHERE id = %s", identifier),
        lambda attack: attack.copy_a_row("audit_tile", id="id + 1000000", index="index + 7"),
    )


def touch_a_checkpoint(attack: Attack) -> None:
    sizes = [size for (size,) in attack.run("SELECT size FROM audit_checkpoint ORDER BY size")]
    size, newest = attack.dice.choice(sizes), attack.size
    other = attack.dice.choice([each for each in range(1, newest) if each not in sizes] + [10**12])
    attack.one_of(
        lambda attack: flip(attack, "audit_checkpoint", "root", "size = %s", size),
        lambda attack: change_a_note(attack, size),
        lambda attack: attack.run("DELETE FROM audit_checkpoint WHERE size = %s", newest),
        lambda attack: attack.run("UPDATE audit_checkpoint SET size = %s WHERE size = %s", other, size),
    )


def change_a_note(attack: Attack, size: int) -> None:
    """Change one character of a signed note: a letter or a digit, for a base64 text has letters that say nothing."""
    [(note,)] = attack.run("SELECT note FROM audit_checkpoint WHERE size = %s", size)
    head = note.index("\n\n")
    place = attack.dice.choice([at for at, letter in enumerate(note[:head]) if letter.isalnum()])
    letter = attack.dice.choice([each for each in "abcXYZ0189" if each != note[place]])
    attack.run("UPDATE audit_checkpoint SET note = %s WHERE size = %s", note[:place] + letter + note[place + 1 :], size)


def delete(attack: Attack) -> None:
    index = attack.index
    identifier, _ = attack.body_at(index)
    attack.run("DELETE FROM audit_entry WHERE id = %s", identifier)
    if attack.dice.random() < 0.7:
        attack.run("DELETE FROM audit_leaf WHERE leaf_index = %s", index)
        if attack.dice.random() < 0.5:
            shift(attack, index, -1)


def swap(attack: Attack) -> None:
    first, second = attack.dice.sample(range(attack.old), 2)
    whole = attack.dice.random() < 0.5
    picked = "SELECT leaf_index, entry_id, leaf_hash FROM audit_leaf WHERE leaf_index IN (%s, %s)"
    found = {index: rest for index, *rest in attack.run(picked, first, second)}
    attack.run("UPDATE audit_leaf SET entry_id = -entry_id WHERE leaf_index IN (%s, %s)", first, second)
    for index, other in ((first, second), (second, first)):
        entry, leaf = found[other]
        attack.run(
            "UPDATE audit_leaf SET entry_id = %s, leaf_hash = %s WHERE leaf_index = %s",
            *(entry, leaf if whole else found[index][1], index),
        )


def insert(attack: Attack) -> None:
    """Add an entry at the end, somewhere before it, or nowhere in the tree."""
    identifier, leaf = invent(attack)
    if attack.dice.random() < 0.7:
        put(attack, attack.dice.choice([attack.size, attack.index]), identifier, leaf)


def insert_into_the_past(attack: Attack) -> None:
    """Add an entry where the kept checkpoint covers it; at the end, under a stolen key, it would only be a new one."""
    put(attack, attack.index, *invent(attack))


def put(attack: Attack, place: int, identifier: int, leaf: bytes) -> None:
    """Give an entry a place in the tree, and move those behind it."""
    shift(attack, place, 1)
    attack.run("INSERT INTO audit_leaf (leaf_index, entry_id, leaf_hash) VALUES (%s, %s, %s)", place, identifier, leaf)


def invent(attack: Attack) -> tuple[int, bytes]:
    """Add an entry that was never written, and return its id and hash."""
    _, body = attack.body_at(attack.index)
    event = attack.run("SELECT gen_random_uuid()::text")[0][0]
    document = {**json.loads(body), "eventId": event, "actor": "person:mallory", "rows": []}
    body, subject = seal.canonical(document), document["subject"]
    leaf = merkle.leaf_hash(body)
    [(identifier,)] = attack.run(
        f"INSERT INTO audit_entry ({ENTRY}) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s) RETURNING id",
        *(body, leaf, event, document["kind"], subject["kind"], subject["label"], subject["id"], document["actor"]),
        document["occurredAt"],
    )
    # Without this it would wait to be sealed like any entry: false, but new, and in nobody's past.
    attack.run("DELETE FROM audit_pending WHERE entry_id = %s", identifier)
    return identifier, leaf


def renumber(attack: Attack) -> None:
    start, by = attack.index, attack.dice.choice([1, 2, 10, 255, 256, 6_000, 10**12])
    shift(attack, start, by)


def cut_off(attack: Attack) -> None:
    size = attack.dice.randrange(1, attack.old)
    attack.run("DELETE FROM audit_entry WHERE id IN (SELECT entry_id FROM audit_leaf WHERE leaf_index >= %s)", size)
    attack.run("DELETE FROM audit_leaf WHERE leaf_index >= %s", size)
    attack.run("DELETE FROM audit_checkpoint WHERE size > %s", size)
    attack.run("DELETE FROM audit_tile WHERE (index * 256 + width) * (1::bigint << (8 * level)) > %s", size)


def roll_everything_back(attack: Attack) -> None:
    """Take back the end of the ledger and all rows that its entries named, as restoring an old copy would."""
    cut_off(attack)
    for table in rows.recorded_models():
        unnamed = "NOT EXISTS (SELECT 1 FROM audit_entry e WHERE e.event_id = t.recorded_in)"
        attack.run(f"DELETE FROM {table} t WHERE {unnamed}")


def anew(key: Callable[[], Ed25519PrivateKey], *deeds: Callable[[Attack], None]) -> Callable[[Attack], None]:
    """Return the tampering that does one of these things and then makes the whole tree again under a key."""

    def do(attack: Attack) -> None:
        attack.one_of(*deeds)
        attack.run("DELETE FROM audit_leaf WHERE leaf_index > 1000000")
        left = attack.run("SELECT leaf_index FROM audit_leaf ORDER BY leaf_index")
        for expected, (index,) in enumerate(left):
            if index != expected:
                attack.run("UPDATE audit_leaf SET leaf_index = %s WHERE leaf_index = %s", expected, index)
        rebuild(attack, key())

    return do


def history(attack: Attack) -> None:
    tables = sorted(table for table in rows.recorded_models() if "_historical" in table and attack.columns(table))
    later = {"history_id": "gen_random_uuid()", "history_date": "history_date - interval '1 day'"}
    attack.one_of(
        lambda attack: attack.value(tables),
        lambda attack: attack.value(tables),
        lambda attack: attack.drop_a_row(*tables),
        lambda attack: attack.copy_a_row(attack.dice.choice(tables), **later),
    )


def recorded(*tables: str) -> Callable[[Attack], None]:
    """Return the tampering that changes, deletes or invents a row of some tables that entries name."""

    def do(attack: Attack) -> None:
        attack.one_of(lambda attack: attack.value(tables), lambda attack: attack.drop_a_row(*tables))

    return do


def serving(attack: Attack) -> None:
    table = "audit_servingwindow"
    attack.one_of(
        lambda attack: attack.value([table]),
        lambda attack: attack.drop_a_row(table),
        lambda attack: attack.copy_a_row(table, customer="'ghost'"),
        lambda attack: attack.run(f"UPDATE {table} SET customer = 'ghost' WHERE customer = 'acme'"),
        recorded("audit_servingbatch"),
    )


def governed(attack: Attack) -> None:
    kept = {model._meta.db_table: watched(model) for model in drift.governed_models()}
    filled = [table for table in sorted(kept) if attack.columns(table)]
    attack.one_of(
        lambda attack: attack.value(filled, kept.__getitem__),
        lambda attack: attack.value(filled, kept.__getitem__),
        lambda attack: attack.drop_a_row(*filled),
    )


def watched(model: Any) -> set[str]:
    """Return the columns of a governed table that its history keeps, but for its key."""
    history = getattr(model, model._meta.simple_history_manager_attribute).model
    kept = {field.column for field in history._meta.concrete_fields}
    return {field.column for field in model._meta.concrete_fields if field.column in kept}


def triggers(attack: Attack) -> None:
    table = attack.dice.choice(["audit_entry", "audit_leaf", "audit_checkpoint", *rows.recorded_models()])
    name = attack.dice.choice([immutability.ROW_TRIGGER, immutability.TRUNCATE_TRIGGER])
    attack.cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    ways = ["DROP TRIGGER {1} ON {0}", "ALTER TABLE {0} DISABLE TRIGGER {1}", "ALTER TABLE {0} ENABLE TRIGGER {1}"]
    attack.run(attack.dice.choice(ways).format(table, name))


CLASSES: dict[str, Callable[[Attack], None]] = {
    "a body": edit_a_body,
    "an entry with its hash, columns and leaf": edit_everywhere,
    "a column": edit_a_column,
    "a bit of an entry or a leaf": flip_a_bit,
    "a tile": touch_a_tile,
    "a checkpoint": touch_a_checkpoint,
    "an entry deleted": delete,
    "two entries swapped": swap,
    "an entry inserted": insert,
    "leaves renumbered": renumber,
    "the end cut off": cut_off,
    "everything rolled back": roll_everything_back,
    "written anew with another key": anew(Ed25519PrivateKey.generate, edit_everywhere, delete, insert, swap, cut_off),
    "written anew with the stolen key": anew(
        seal.ledger_key, edit_everywhere, delete, insert_into_the_past, swap, cut_off
    ),
    "a row of history": history,
    "a review": recorded("governance_review"),
    "a decision": recorded("governance_decision", "governance_signature", "registry_evidence", "governance_transition"),
    "a serving window": serving,
    "a governed row": governed,
    "a trigger": triggers,
}


def open_the_gates() -> None:
    """Let the triggers refuse nothing and the hash of a body be anything, for the rest of the transaction."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("ALTER TABLE audit_entry DROP CONSTRAINT entry_leaf_hash")
        cursor.execute("ALTER TABLE audit_leaf DISABLE TRIGGER contiguous")
        cursor.execute("SET CONSTRAINTS ALL DEFERRED")


def guards(cursor: Any, body: str) -> None:
    """Give the function behind all append-only triggers a body: none that refuses, or its own again."""
    cursor.execute(f"CREATE OR REPLACE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS $${body}$$")


PASSES = "BEGIN IF TG_OP = 'DELETE' THEN RETURN OLD; END IF; RETURN NEW; END"
