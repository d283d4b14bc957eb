"""Tampering shows: a database superuser rewrites what happened, and verification with one older checkpoint says so."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.db import connection, transaction
from pytest_django import DjangoDbBlocker

from audit import immutability, log, seal, sealer, serving
from audit.events import Event
from audit.models import Checkpoint, Entry, Leaf
from audit.sealer import seal_due
from audit.verifier import VerifyReport, verify
from registry.models import User
from tests.audit import tamperings
from tests.audit.attacks import Attack
from tests.audit.serving.stories import span
from tests.factories import artifacts
from tests.scene import staged

pytestmark = pytest.mark.django_db

# The kept checkpoint is over more than one tile of leaves, and a quarter of the ledger came after it.
OLD, LATER = 300, 100
ROUNDS, LONG_ROUNDS = 3, 100
NO_TRIGGER = "append-only triggers"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Do few rounds of each class, or, for `make bench-long`, a hundred."""
    if "rounds" in metafunc.fixturenames:
        metafunc.parametrize("rounds", [LONG_ROUNDS if metafunc.config.getoption("long") else ROUNDS])


@dataclass
class Ledger:
    """A sealed ledger with a story in it, several checkpoints, and the older one that Iris kept."""

    kept: str
    size: int
    ada: User


@pytest.fixture(scope="module")
def ledger(
    django_db_setup: None, django_db_blocker: DjangoDbBlocker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Ledger]:
    """Approve, promote and serve a version, and seal it all; each test undoes what it does to it."""
    seal.ensure_keys()
    with django_db_blocker.unblock(), staged(tmp_path_factory.mktemp("ledger")) as walk:
        version = walk.candidate("fraud-scorer", "1.0.0", artifacts.scorer(1))
        walk.approved(version)
        walk.promote(version)
        walk.cast.otto.token_scopes = frozenset({"serving"})  # type: ignore[attr-defined]
        windows = [span(first, customer=customer) for first in (0, 5, 10) for customer in ("acme", "beta")]
        serving.report(actor=walk.cast.otto, source="eu", batch_id="first", windows=windows)
        size = fill(walk.cast.ada)
        tamperings.open_the_gates()
        yield Ledger(Checkpoint.objects.get(size=OLD).note, size, walk.cast.ada)


def fill(ada: User) -> int:
    """Write entries that change nothing, seal all in several steps, and return how many are sealed."""
    written = Entry.objects.count()
    assert written < OLD
    for _ in range(OLD + LATER - written):
        say(ada)
    for size in (OLD - 40, OLD, OLD + 60, OLD + LATER):
        seal_due(size - Leaf.objects.count())
    assert verify().faults == []
    return OLD + LATER


def say(actor: User) -> None:
    with log.record(Event.PERSON_CHANGED, actor=actor, subject=actor):
        pass


def tampered(ledger: Ledger, name: str, seed: int, kept: str | None) -> VerifyReport:
    """Return what verification says after one tampering, which is undone."""
    with transaction.atomic(), connection.cursor() as cursor:
        tamperings.guards(cursor, tamperings.PASSES)
        cursor.execute("SET CONSTRAINTS ALL DEFERRED")
        tamperings.CLASSES[name](Attack(cursor, random.Random(f"{name} {seed}"), ledger.size, OLD))
        tamperings.guards(cursor, immutability.REFUSAL)
        report = verify(kept)
        transaction.set_rollback(True)
    return report


@pytest.mark.parametrize("name", tamperings.CLASSES)
def test_every_tampering_shows(ledger: Ledger, name: str, rounds: int) -> None:
    """Many random tamperings of each class are done to the same ledger, one after another."""
    missed = []
    for seed in range(rounds):
        faults = tampered(ledger, name, seed, ledger.kept).faults
        shown = [fault for fault in faults if name == "a trigger" or NO_TRIGGER not in fault]
        if not shown:
            missed.append(seed)
    assert missed == []


def test_what_was_not_tampered_with_shows_no_fault(ledger: Ledger) -> None:
    assert verify(ledger.kept).faults == []


def test_there_are_twenty_classes() -> None:
    assert len(tamperings.CLASSES) == 20


@pytest.fixture
def attack(ledger: Ledger) -> Iterator[Attack]:
    """Be at work on the ledger, with everything out of the way, until the test ends."""
    with transaction.atomic(), connection.cursor() as cursor:
        tamperings.guards(cursor, tamperings.PASSES)
        cursor.execute("SET CONSTRAINTS ALL DEFERRED")
        yield Attack(cursor, random.Random(0), ledger.size, OLD)
        transaction.set_rollback(True)


def sentences(attack: Attack, kept: str | None) -> list[str]:
    tamperings.guards(attack.cursor, immutability.REFUSAL)
    return verify(kept).faults


def test_a_tail_cut_off_with_the_stolen_key_shows_only_by_the_checkpoint_kept_elsewhere(
    ledger: Ledger, attack: Attack
) -> None:
    tamperings.anew(seal.ledger_key, tamperings.roll_everything_back)(attack)
    found = sentences(attack, None)
    assert not any("cut off" in fault or "checkpoint" in fault for fault in found)
    assert any("The ledger was cut off" in fault for fault in verify(ledger.kept).faults)


def test_entries_rewritten_with_the_stolen_key_show_only_by_the_checkpoint_kept_elsewhere(
    ledger: Ledger, attack: Attack
) -> None:
    # An entry that nothing else depends on: the last one that the kept checkpoint covers changed nothing.
    tamperings.rewrite(attack, OLD - 1, tamperings.forged(attack.body_at(OLD - 1)[1]))
    tamperings.rebuild(attack, seal.ledger_key())
    assert sentences(attack, None) == []
    assert verify(ledger.kept).faults == [f"The first {OLD} entries are not those of the given checkpoint."]


def test_a_fault_names_the_entry_and_the_leaf(ledger: Ledger, attack: Attack) -> None:
    identifier, body = attack.body_at(OLD - 1)
    attack.run("UPDATE audit_entry SET body = %s WHERE id = %s", tamperings.forged(body), identifier)
    assert sentences(attack, None) == [
        f"Entry {identifier} (person.changed) does not have the hash of its body.",
        f"The columns of entry {identifier} say something else than its body.",
        f"Entry {identifier} (person.changed) is not what was sealed as leaf {OLD - 1}.",
    ]


def test_a_time_that_python_does_not_know_is_a_fault_like_any_other(ledger: Ledger, attack: Attack) -> None:
    identifier, _ = attack.body_at(OLD - 1)
    for time in ("infinity", "0044-03-15 BC"):
        tamperings.guards(attack.cursor, tamperings.PASSES)
        attack.run("UPDATE audit_entry SET occurred_at = %s::timestamptz WHERE id = %s", time, identifier)
        assert f"The columns of entry {identifier} say something else than its body." in sentences(attack, None)


def test_the_tampered_ledger_is_not_sealed_any_further(ledger: Ledger, attack: Attack) -> None:
    tamperings.rewrite(attack, 5, tamperings.forged(attack.body_at(5)[1]))
    tamperings.rebuild(attack, Ed25519PrivateKey.generate())
    before: datetime | None = log.unsealed().since
    say(ledger.ada)
    with pytest.raises(sealer.LedgerDamaged):
        seal_due()
    assert before is None
    assert Leaf.objects.count() == ledger.size
