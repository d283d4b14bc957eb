"""The sequencer: what waits gets its place under a signed checkpoint, once, whoever else is at work."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from itertools import accumulate, pairwise
from pathlib import Path

import pytest
from django.conf import settings as portal_settings
from django.db import connections
from hypothesis import given, settings
from hypothesis import strategies as st
from pytest_django import Settings

from audit import merkle, notes, seal, sealer, tiles
from audit.models import Checkpoint, Entry, Leaf, Pending, Tile
from audit.sealer import LedgerDamaged, seal_due
from audit.tasks import seal as seal_task
from audit.verifier import verify
from tests.audit.conftest import unguarded


def checkpoints() -> list[notes.Checkpoint]:
    """Return what the signed checkpoints say, oldest first."""
    keys = sealer.ledger_keys()
    stored = Checkpoint.objects.order_by("size")
    return [notes.parse_checkpoint(notes.open_note(checkpoint.note, keys)) for checkpoint in stored]


@pytest.mark.django_db
def test_waiting_entries_are_sealed_in_their_order(say: Callable[..., Entry]) -> None:
    say(3)
    assert seal_due() == 3
    say(2)
    assert seal_due() == 2
    hashes = [bytes(entry.leaf_hash) for entry in Entry.objects.order_by("id")]
    assert [bytes(leaf.leaf_hash) for leaf in Leaf.objects.order_by("leaf_index")] == hashes
    assert [leaf.leaf_index for leaf in Leaf.objects.order_by("entry_id")] == [0, 1, 2, 3, 4]
    origin = portal_settings.LEDGER_ORIGIN
    assert checkpoints() == [(origin, 3, merkle.root(hashes[:3])), (origin, 5, merkle.root(hashes))]
    assert not Pending.objects.exists()


@pytest.mark.django_db
def test_sealing_nothing_signs_nothing(say: Callable[..., Entry]) -> None:
    assert seal_due() == 0
    assert not Checkpoint.objects.exists()
    say()
    assert (seal_due(), seal_due(), Checkpoint.objects.count()) == (1, 0, 1)


@pytest.mark.django_db
def test_a_long_queue_is_sealed_batch_by_batch(say: Callable[..., Entry]) -> None:
    say(10)
    assert [seal_due(4) for _ in range(4)] == [4, 4, 2, 0]
    say(2)
    seal_task()
    assert [checkpoint.size for checkpoint in checkpoints()] == [4, 8, 10, 12]


@pytest.mark.django_db
def test_tiles_are_written_as_the_tree_grows(say: Callable[..., Entry]) -> None:
    say(520)
    for limit in (200, 100, 211, 9):
        seal_due(limit)
    assert list(Tile.objects.order_by("level", "index", "width").values_list("level", "index", "width")) == [
        (0, 0, 256),
        (0, 1, 256),
        (1, 0, 1),
        (1, 0, 2),
    ]
    assert verify().faults == []


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 300), min_size=1, max_size=6), st.integers(0, 70_000))
def test_tiles_do_not_depend_on_how_the_tree_grew(steps: list[int], start: int) -> None:
    def node(level: int, index: int) -> bytes:
        return merkle.leaf_hash(f"{level}/{index}".encode())

    def open_tile(level: int, index: int) -> list[bytes]:
        width = (start >> (tiles.HEIGHT * level)) - index * tiles.WIDTH
        return [node(level, index * tiles.WIDTH + at) for at in range(width)]

    at_once, step_by_step = tiles.TileBuilder(start, open_tile), tiles.TileBuilder(start, open_tile)
    leaves = [merkle.leaf_hash(number.to_bytes(4)) for number in range(sum(steps))]
    expected = at_once.extend(leaves)
    ends = list(accumulate(steps, initial=0))
    stepped = [tile for start, end in pairwise(ends) for tile in step_by_step.extend(leaves[start:end])]
    assert {(tile.level, tile.index): tile for tile in stepped} == {(tile.level, tile.index): tile for tile in expected}
    assert len(stepped) == len(expected)
    assert list(at_once.unfinished()) == list(step_by_step.unfinished())
    assert at_once.root() == step_by_step.root()
    assert all(len(tile.hashes) == tiles.WIDTH for tile in expected)
    assert [tile.index for tile in expected if tile.level == 0] == list(
        range(start // 256, (start + len(leaves)) // 256)
    )


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 300), min_size=1, max_size=8))
def test_the_root_may_be_asked_for_at_any_time(steps: list[int]) -> None:
    builder, leaves = tiles.TileBuilder(), list[bytes]()
    assert builder.root() == merkle.EMPTY_ROOT
    for count in steps:
        more = [merkle.leaf_hash(number.to_bytes(4)) for number in range(len(leaves), len(leaves) + count)]
        leaves += more
        builder.extend(more)
        frontier = merkle.Frontier()
        for leaf in leaves:
            frontier.append(leaf)
        assert builder.root() == frontier.root() == merkle.root(leaves)


@pytest.mark.django_db
def test_the_stored_tree_gives_the_nodes_of_the_tree(say: Callable[..., Entry]) -> None:
    say(530)
    while seal_due(77):
        pass
    hashes = [bytes(entry.leaf_hash) for entry in Entry.objects.order_by("id")]
    stored, node = tiles.StoredTree(530).node, merkle.nodes_of(hashes)
    for level in range(10):
        for index in range(530 >> level):
            assert stored(level, index) == node(level, index)
    with pytest.raises(LookupError):
        stored(0, 530)


@pytest.mark.django_db
def test_an_entry_that_was_changed_while_it_waited_without_its_hash_is_not_signed(say: Callable[..., Entry]) -> None:
    entry = say()
    with unguarded() as cursor:
        cursor.execute("UPDATE audit_entry SET body = %s WHERE id = %s", [b'{"forged":1}', entry.pk])
    with pytest.raises(LedgerDamaged, match="does not have the hash"):
        seal_due()
    assert Pending.objects.count() == 1
    assert not Checkpoint.objects.exists()


@pytest.mark.django_db
def test_an_entry_that_vanished_while_it_waited_stops_the_sealer(say: Callable[..., Entry]) -> None:
    entry = say(2)
    with unguarded() as cursor:
        cursor.execute("DELETE FROM audit_entry WHERE id = %s", [entry.pk])
    with pytest.raises(LedgerDamaged, match="deleted before"):
        seal_due()


DAMAGE = {
    "a leaf": "UPDATE audit_leaf SET leaf_hash = sha256('x') WHERE leaf_index = 3",
    "the last leaf removed": "DELETE FROM audit_leaf WHERE leaf_index = (SELECT max(leaf_index) FROM audit_leaf)",
    "a tile": "UPDATE audit_tile SET hashes = sha256('x') WHERE level = 1",
    "a checkpoint's note": "UPDATE audit_checkpoint SET note = replace(note, '300', '299')",
    "a checkpoint's size": "UPDATE audit_checkpoint SET size = 299",
}


@pytest.mark.django_db
@pytest.mark.parametrize("damage", DAMAGE)
def test_nothing_is_signed_on_top_of_a_damaged_tree(say: Callable[..., Entry], damage: str) -> None:
    say(2 if damage.endswith("leaf removed") or damage == "a leaf" else 298)
    say(2)
    seal_due()
    if damage == "a leaf":
        say(4)
        seal_due()
    with unguarded() as cursor:
        cursor.execute(DAMAGE[damage])
        assert cursor.rowcount
    say()
    before = Checkpoint.objects.count()
    with pytest.raises(LedgerDamaged):
        seal_due()
    assert (Checkpoint.objects.count(), Pending.objects.count()) == (before, 1)


@pytest.mark.django_db
def test_nothing_is_signed_with_another_key(say: Callable[..., Entry], settings: Settings, tmp_path: Path) -> None:
    say()
    seal_due()
    settings.KEYS_DIR = tmp_path
    seal.ensure_keys()
    say()
    with pytest.raises(LedgerDamaged, match="not signed by a key of this ledger"):
        seal_due()


@pytest.mark.django_db(transaction=True)
def test_sealers_and_writers_at_once_lose_and_double_nothing(say: Callable[..., Entry]) -> None:
    stop = threading.Event()
    failures: list[BaseException] = []

    def run(work: Callable[[], object]) -> None:
        try:
            while not stop.is_set():
                work()
        except BaseException as error:  # noqa: BLE001 - whatever it is fails the test below
            failures.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=(lambda: seal_due(7),)) for _ in range(3)]
    threads += [threading.Thread(target=run, args=(say,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    time.sleep(2)
    stop.set()
    for thread in threads:
        thread.join()
    while seal_due():
        pass
    assert failures == []
    count = Entry.objects.count()
    assert list(Leaf.objects.order_by("leaf_index").values_list("leaf_index", flat=True)) == list(range(count))
    assert Leaf.objects.values("entry_id").distinct().count() == count > 20
    assert verify().faults == []
