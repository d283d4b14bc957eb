"""Rotation: a new key takes over without a moment of doubt, and what the old one has signed stays verifiable."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings as portal_settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.utils import timezone
from pytest_django import Settings

from audit import keyset, log, notes, rotation, seal, sealer
from audit.keyset import Purpose
from audit.models import Checkpoint, Entry
from audit.verifier import verify
from portal.demo.roots import publish_next
from portal.errors import Refused
from registry.models import User
from tests.audit.conftest import unguarded

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def folder(settings: Settings, tmp_path: Path) -> Path:
    """Give the portal keys of its own, because they are about to change."""
    settings.KEYS_DIR = tmp_path / "keys"
    seal.ensure_keys()
    return tmp_path / "keys"


def vkey(private: object) -> str:
    return notes.note_key(portal_settings.LEDGER_ORIGIN, private.public_key()).vkey


def signers(checkpoint: Checkpoint) -> list[str]:
    return [key.vkey for key in sealer.ledger_keys() if notes.has_signed(checkpoint.note, [key])]


def test_the_ledger_key_is_rotated(folder: Path, say: Callable[..., Entry], capsys: pytest.CaptureFixture[str]) -> None:
    old = seal.ledger_key()
    say(3)
    publish_next()
    sealer.seal_due()
    first = Checkpoint.objects.get()
    call_command("rotate_ledger_key")
    new = seal.next_ledger_key()
    say()
    sealer.seal_due()
    assert signers(Checkpoint.objects.first()) == [vkey(old)], "no keyset names the new key yet"
    with pytest.raises(CommandError, match="No published keyset names it"):
        call_command("rotate_ledger_key", switch=True)
    publish_next()
    call_command("rotate_ledger_key", switch=True)
    switched = Checkpoint.objects.first()
    assert set(signers(switched)) == {vkey(old), vkey(new)}
    assert log.entries(kind="key.rotated")[0].leaf.leaf_index == switched.size - 1
    say()
    sealer.seal_due()
    assert signers(Checkpoint.objects.first()) == [vkey(new)] == [vkey(seal.ledger_key())]
    assert signers(first) == [vkey(old)], "old checkpoints verify for ever"
    assert seal.next_ledger_key() is None
    [kept] = (folder / "retired").iterdir()
    assert str(kept) in capsys.readouterr().out
    assert verify(first.note).faults == []


def test_a_switch_that_was_killed_is_run_again(folder: Path, say: Callable[..., Entry]) -> None:
    """Killed after the entry, or between keeping the old file and putting the new one in its place."""
    say()
    rotation.prepare(Purpose.LOG)
    publish_next()
    public, keys = rotation.coming(Purpose.LOG), User.objects.system("keys")
    rotation._tell(Purpose.LOG, public, seal.public_half(seal.ledger_key()), actor=keys)
    before = seal.ledger_key().private_bytes_raw()
    (folder / "retired").mkdir()
    kept = rotation.switch_ledger_key(actor=keys)
    assert seal.public_half(seal.ledger_key()).fingerprint == public.fingerprint
    assert seal.ledger_key(f"retired/{kept.name}").private_bytes_raw() == before
    assert log.entries(kind="key.rotated").count() == 1
    with pytest.raises(Refused, match="no log key to take over"):
        rotation.switch_ledger_key(actor=keys)
    assert verify().faults == []


def test_a_coming_key_that_no_keyset_names_signs_nothing(say: Callable[..., Entry]) -> None:
    rotation.prepare(Purpose.LOG)
    say()
    sealer.seal_due()
    assert len(Checkpoint.objects.get().note.splitlines()) == 5


def test_preparing_twice_makes_one_key() -> None:
    for purpose in (Purpose.LOG, Purpose.DECISION):
        assert rotation.prepare(purpose).fingerprint == rotation.prepare(purpose).fingerprint


def test_a_checkpoint_signed_by_an_old_key_after_its_end_is_a_fault(folder: Path, say: Callable[..., Entry]) -> None:
    thief = seal.ledger_key()
    say()
    rotation.prepare(Purpose.LOG)
    publish_next()
    rotation.switch_ledger_key(actor=User.objects.system("keys"))
    say()
    sealer.seal_due()
    assert verify().faults == []
    late = timezone.now() + rotation.OVERLAP + timedelta(days=1)
    newest = Checkpoint.objects.first()
    text = notes.checkpoint_text(notes.Checkpoint(portal_settings.LEDGER_ORIGIN, newest.size, bytes(newest.root)))
    note = notes.sign_note(text, portal_settings.LEDGER_ORIGIN, thief)
    with unguarded() as cursor:
        cursor.execute(
            "UPDATE audit_checkpoint SET note = %s, created_at = %s WHERE size = %s", [note, late, newest.size]
        )
    assert [fault for fault in verify().faults if "Its key was not valid when it signed." in fault]


def test_the_decision_key_is_rotated_and_old_signatures_stay_good(folder: Path) -> None:
    publish_next()
    old = seal.sign(b"payload", "text/plain")
    rotation.prepare(Purpose.DECISION)
    with pytest.raises(Refused, match="cannot take over"):
        rotation.switch_decision_key(actor=User.objects.system("keys"))
    publish_next()
    call_command("rotate_decision_key", switch=True)
    new = seal.sign(b"payload", "text/plain")
    assert old["signatures"][0]["keyid"] != new["signatures"][0]["keyid"]
    with pytest.raises(Refused):
        seal.verify(old, [seal.decision_key()])
    for envelope in (old, new):
        assert seal.verify(envelope, keyset.decision_keys()).payload == b"payload"
    assert log.entries(kind="key.rotated").count() == 1


def test_a_key_service_is_told_to_make_the_next_key_itself(folder: Path, settings: Settings) -> None:
    settings.DECISION_SIGNER_URI = f"file2:{folder / 'decision.pem'}"
    (folder / "decision.pub.pem").write_text(seal.decision_key("decision.pem").pem)
    with pytest.raises(CommandError, match="put its public half at"):
        call_command("rotate_decision_key")
    (folder / "decision-next.pub.pem").write_text(seal.decision_key().pem)
    assert rotation.prepare(Purpose.DECISION).fingerprint == seal.decision_key().fingerprint


def test_a_service_that_signs_with_another_key_than_was_said_is_found_out(folder: Path, settings: Settings) -> None:
    seal.make_key("decision-next.pem")
    settings.DECISION_SIGNER_URI = f"file2:{folder / 'decision.pem'}"
    (folder / "decision.pub.pem").write_text(seal.decision_key("decision-next.pem").pem)
    with pytest.raises(ImproperlyConfigured, match="does not fit"):
        seal.sign(b"payload", "text/plain")


def test_a_keyset_without_a_key_that_may_sign_is_refused() -> None:
    publish_next()
    lost = {seal.decision_key().fingerprint: timezone.now()}
    with pytest.raises(Refused, match="rotate_decision_key"):
        publish_next(compromised=lost)
    rotation.prepare(Purpose.DECISION)
    assert publish_next(compromised=lost).find(*lost).compromised_at == lost[next(iter(lost))]


def test_a_lost_ledger_key_is_a_fault_until_a_sound_one_has_signed(say: Callable[..., Entry]) -> None:
    say()
    publish_next()
    lost = {seal.public_half(seal.ledger_key()).fingerprint: timezone.now()}
    say()
    sealer.seal_due()
    rotation.prepare(Purpose.LOG)
    publish_next(compromised=lost)
    assert [fault for fault in verify().faults if "lost key" in fault]
    rotation.switch_ledger_key(actor=User.objects.system("keys"))
    assert verify().faults == []
