"""A real witness and this portal: cosigned by itself, carried on proofs, and loud when the ledger is another one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pytest_django import Settings

from audit import copies, cosignatures, log, merkle, notes, sealer
from audit.copies import configured
from audit.events import Event
from audit.models import Checkpoint, Cosignature, Entry
from portal.errors import Invalid, Refused
from tests.audit.conftest import unguarded
from tests.audit.copies.conftest import Host

pytestmark = pytest.mark.django_db
Grow = Callable[..., Checkpoint]


@pytest.fixture
def witness(host: Host, settings: Settings) -> Host:
    """Return a running witness of this portal's ledger, which the portal knows."""
    host.start(sealer.ledger_keys()[0].vkey)
    settings.CHECKPOINT_PLACES, settings.WITNESSES = [], [host.setting]
    return host


def forget_cosignatures() -> None:
    """Lose what the witness answered, as a restored backup would."""
    with unguarded() as cursor:
        cursor.execute("ALTER TABLE audit_cosignature DISABLE TRIGGER USER")
        cursor.execute("DELETE FROM audit_cosignature")
        cursor.execute("ALTER TABLE audit_cosignature ENABLE ALWAYS TRIGGER append_only_row")
        cursor.execute("ALTER TABLE audit_cosignature ENABLE ALWAYS TRIGGER append_only_truncate")
        cursor.execute("DELETE FROM audit_checkpointcopy")


def cut_off(size: int) -> None:
    """Cut the ledger off behind a size, as the database's superuser."""
    with unguarded() as cursor:
        cursor.execute("DELETE FROM audit_leaf WHERE leaf_index >= %s", [size])
        cursor.execute("DELETE FROM audit_checkpoint WHERE size > %s", [size])
        cursor.execute("DELETE FROM audit_tile WHERE level > 0")
        cursor.execute("DELETE FROM audit_entry WHERE id > (SELECT max(entry_id) FROM audit_leaf)")
        cursor.execute("DELETE FROM audit_pending")


def test_checkpoints_are_cosigned_and_carry_it(witness: Host, grow: Grow) -> None:
    for size in (1, 3, 4):
        grow(size - Entry.objects.count())
        assert copies.copy_due() == 1
    assert list(Cosignature.objects.values_list("size", flat=True)) == [4, 3, 1]
    key = cosignatures.parse_witness_key(witness.vkey)
    for row in Cosignature.objects.all():
        assert cosignatures.verify(row.line, key, Checkpoint.objects.get(size=row.size).note) > 1_700_000_000
    entry = Entry.objects.order_by("id")[0]
    grow(2)
    proof = notes.parse_proof(log.proof(entry))
    checkpoint = notes.parse_checkpoint(notes.open_note(proof.note, sealer.ledger_keys()))
    assert (checkpoint.size, proof.note.count("\n— ")) == (4, 2)
    leaf = merkle.leaf_hash(bytes(entry.body))
    assert merkle.verify_inclusion(proof.index, 4, leaf, proof.path, checkpoint.root)
    assert copies.newest().where.startswith("witness witness.example/w1")


def test_an_answer_that_was_lost_is_asked_for_again(witness: Host, grow: Grow) -> None:
    grow(3)
    copies.copy_due()
    forget_cosignatures()
    assert copies.copy_due() == 1
    forget_cosignatures()
    grow(2)
    assert copies.copy_due() == 1
    assert Cosignature.objects.get().size == 5


def test_a_witness_that_saw_more_is_a_loud_alarm(witness: Host, grow: Grow) -> None:
    for _ in range(3):
        grow(2)
        copies.copy_due()
    forget_cosignatures()
    cut_off(2)
    grow(2)
    assert copies.copy_due() == 0
    assert "it saw 6 entries, and this ledger has 4" in copies.alarms()[0].says
    witness.kill()
    copies.copy_due(at_once=True)
    assert copies.standings()[0].contradicts
    (entry,) = log.entries(kind=Event.CHECKPOINT_CONTRADICTED)
    assert "witness:witness.example/w1" in entry.say()


def test_a_ledger_written_anew_up_to_the_same_size_is_a_loud_alarm(witness: Host, grow: Grow) -> None:
    for _ in range(2):
        grow(2)
        copies.copy_due()
    forget_cosignatures()
    cut_off(2)
    grow(2)
    assert copies.copy_due() == 0
    assert "it saw other entries among the first 4" in copies.alarms()[0].says
    grow(3)
    copies.copy_due(at_once=True)
    assert "the 4 entries it saw are not the first 4 of this ledger" in copies.alarms()[0].says
    evidence = list((witness.state / "evidence").iterdir())
    assert len(evidence) == 2


def test_a_witness_that_is_away_or_knows_nobody_is_no_contradiction(witness: Host, grow: Grow, tmp_path: Path) -> None:
    grow()
    witness.kill()
    assert copies.copy_due() == 0
    assert copies.standings()[0].error == "The connection failed: ConnectionRefusedError."
    (tmp_path / "other").mkdir()
    stranger = Host(tmp_path / "other", port=witness.port)
    stranger.keygen("stranger.example/w2")
    stranger.start(notes.note_key("other.example", sealer.ledger_keys()[0].public).vkey)
    try:
        assert copies.copy_due(at_once=True) == 0
        assert "does not know this ledger (404)" in copies.standings()[0].error
    finally:
        stranger.kill()
    assert not log.entries(kind=Event.CHECKPOINT_CONTRADICTED).exists()


def test_a_line_by_somebody_else_does_not_count(witness: Host, grow: Grow, tmp_path: Path, settings: Settings) -> None:
    """The address answers, and answers well, but not with the key that was configured."""
    (tmp_path / "other").mkdir()
    other = Host(tmp_path / "other", port=witness.port)
    other.keygen()
    settings.WITNESSES = [other.setting]
    grow()
    assert copies.copy_due() == 0
    assert "without a cosignature by witness.example/w1" in copies.standings()[0].error
    assert not Cosignature.objects.exists()


@pytest.mark.parametrize("text", ["w1+00000000+AAAA+http://x.example", "w1", "w1+x+http://h", "+http://h"])
def test_a_witness_of_another_form_is_refused(settings: Settings, text: str) -> None:
    settings.WITNESSES = [text]
    with pytest.raises(Invalid, match="expected"):
        copies.places()


def test_a_cosignature_is_over_one_time_and_one_checkpoint(witness: Host, grow: Grow) -> None:
    checkpoint = grow()
    copies.copy_due()
    line, key = Cosignature.objects.get().line, cosignatures.parse_witness_key(witness.vkey)
    name, raw = line.rsplit(" ", 1)
    spoiled: list[Any] = [f"{name} {raw[:6]}{'A' if raw[6] != 'A' else 'B'}{raw[7:]}", f"{name} {raw[:-8]}", name, ""]
    for each in [*spoiled, f"{name} {raw[:10]}{'A' if raw[10] != 'A' else 'B'}{raw[11:]}", line.replace("w1", "w2")]:
        with pytest.raises(Refused):
            cosignatures.verify(each, key, checkpoint.note)
    assert configured.read_witness(witness.setting).words.endswith(f"127.0.0.1:{witness.port}")


def test_a_cosignature_of_more_than_the_ledger_has_tells_that_it_was_cut_off(witness: Host, grow: Grow) -> None:
    grow(1)
    grow(2)
    copies.copy_due()
    cut_off(1)
    with unguarded() as cursor:
        cursor.execute("DELETE FROM audit_checkpointcopy")
    grow(1)
    assert copies.copy_due() == 0
    assert copies.standings()[0].error.endswith("it saw 3 entries, and this ledger has 2.")
