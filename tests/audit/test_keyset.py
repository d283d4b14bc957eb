"""Keysets: what they say is read strictly, and believed when enough roots have signed and nothing is taken back."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from django.core.management import CommandError, call_command
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st
from pytest_django import Settings

from audit import keyset, rotation, seal
from audit.exports import roots
from audit.keyset import Document, Purpose
from audit.models import Entry, Keyset
from audit.verifier import verify
from portal.demo.roots import publish_next
from portal.errors import Invalid, Refused
from registry.models import User

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)


@pytest.fixture
def root_files(tmp_path: Path) -> list[Path]:
    """Three root keys, each in a file of its own, with the public half beside it."""
    files = [tmp_path / f"root{number}.pem" for number in (1, 2, 3)]
    for file in files:
        roots.new(file)
    return files


def public(files: list[Path]) -> list[str]:
    return [roots.public_file(file).read_text() for file in files]


def document(files: list[Path], **changed: Any) -> Document:
    """Return the first keyset of a portal, without a database."""
    private = seal.ledger_key()
    keys = (
        keyset.ListedKey(seal.public_half(private), Purpose.LOG, "countersign.test/ledger", NOW, NOW + timedelta(700)),
        keyset.ListedKey(seal.decision_key(), Purpose.DECISION, None, NOW, NOW + timedelta(365)),
    )
    trusted = tuple(map(seal.load_public_key, public(files)))
    return replace(Document(1, NOW, NOW + timedelta(365), 2, trusted, keys), **changed)


def signed(said: Document, files: list[Path]) -> dict[str, Any]:
    envelope = roots.wrap(seal.canonical(said.as_json()))
    for file in files:
        envelope = roots.sign(envelope, roots.load(file.read_bytes()))
    return envelope


def test_what_is_written_is_read_again(root_files: list[Path]) -> None:
    said = document(root_files)
    assert keyset.parse(seal.canonical(said.as_json())).as_json() == said.as_json()
    assert keyset.opened(signed(said, root_files[:2]), None).as_json() == said.as_json()


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_roots_than_the_threshold_are_not_enough(root_files: list[Path], count: int) -> None:
    with pytest.raises((Invalid, Refused)):
        keyset.opened(signed(document(root_files), root_files[:count]), None)


def test_one_root_does_not_count_twice_and_a_stranger_not_at_all(root_files: list[Path], tmp_path: Path) -> None:
    envelope = signed(document(root_files), root_files[:1])
    with pytest.raises(Refused, match="needed, 1 fit"):
        keyset.opened({**envelope, "signatures": envelope["signatures"] * 2}, None)
    roots.new(tmp_path / "stranger.pem")
    with pytest.raises(Refused):
        keyset.opened(roots.sign(envelope, roots.load((tmp_path / "stranger.pem").read_bytes())), None)


def test_a_changed_word_breaks_the_signatures(root_files: list[Path]) -> None:
    envelope = signed(document(root_files), root_files)
    other = roots.wrap(seal.canonical(document(root_files, threshold=1).as_json()))
    with pytest.raises(Refused):
        keyset.opened({**envelope, "payload": other["payload"]}, None)


def test_new_roots_are_believed_when_the_old_ones_say_so(root_files: list[Path], tmp_path: Path) -> None:
    others = [tmp_path / f"other{number}.pem" for number in (1, 2, 3)]
    for file in others:
        roots.new(file)
    before = document(root_files)
    after = document(others, version=2)
    with pytest.raises(Refused):
        keyset.opened(signed(after, others), before)
    with pytest.raises(Refused):
        keyset.opened(signed(after, root_files), before)
    assert keyset.opened(signed(after, [*others[:2], *root_files[1:]]), before).version == 2


def take_back(name: str) -> Callable[[Document], Document]:
    """Return a change of the second key, or of the document."""

    def change(said: Document) -> Document:
        log_key, decision = said.keys
        changed = {
            "missing": (log_key,),
            "purpose": (log_key, replace(decision, purpose=Purpose.WITNESS, name="somebody")),
            "start": (log_key, replace(decision, valid_from=NOW - timedelta(days=1))),
            "found": (log_key, replace(decision, compromised_at=None)),
            "later": (log_key, replace(decision, compromised_at=NOW + timedelta(days=2))),
        }
        return replace(said, keys=changed[name])

    return change


def test_other_roots_are_believed_when_whoever_runs_the_portal_says_so(
    root_files: list[Path], tmp_path: Path, settings: Settings
) -> None:
    """Two of three roots are lost: nothing that they would have to sign can be published any more."""
    before = keyset.opened(signed(document(root_files), root_files[:2]), None)
    (tmp_path / "anew").mkdir()
    others = [tmp_path / "anew" / f"root{number}.pem" for number in (4, 5, 6)]
    for file in others:
        roots.new(file)
    envelope = signed(document(others, version=2), others[:2])
    with pytest.raises(Refused):
        keyset.opened(envelope, before)
    settings.KEYSET_NEW_ROOTS = [seal.digest(seal.payload_of(envelope, keyset.PAYLOAD_TYPE))]
    assert keyset.opened(envelope, before).version == 2
    for unsigned in (signed(document(others, version=2), others[:1]), signed(document(others, version=3), others[:2])):
        with pytest.raises(Refused):
            keyset.opened(unsigned, before)


@pytest.mark.parametrize("name", ["missing", "start", "found", "later"])
def test_nothing_is_taken_back(root_files: list[Path], name: str) -> None:
    first = document(root_files)
    lost = replace(first.keys[1], compromised_at=NOW + timedelta(days=1))
    before = replace(first, keys=(first.keys[0], lost))
    after = take_back(name)(replace(before, version=2))
    with pytest.raises(Refused) as refusal:
        keyset.opened(signed(after, root_files), before)
    assert refusal.value.code == "keyset_order"
    assert "keyset draft" in refusal.value.reasons[0].fix


@pytest.mark.parametrize("version", [1, 3])
def test_numbers_follow_each_other(root_files: list[Path], version: int) -> None:
    with pytest.raises(Refused, match="after 1 comes 2"):
        keyset.opened(signed(document(root_files, version=version), root_files), document(root_files))


def test_an_ended_key_does_not_come_back(root_files: list[Path]) -> None:
    before = document(root_files)
    after = replace(before, version=2, issued_at=NOW + timedelta(400), expires_at=NOW + timedelta(800))
    longer = replace(before.keys[1], valid_until=NOW + timedelta(900))
    with pytest.raises(Refused, match="cannot come back"):
        keyset.opened(signed(replace(after, keys=(before.keys[0], longer)), root_files), before)


@pytest.mark.parametrize(
    "change",
    [
        {"threshold": 0},
        {"threshold": 4},
        {"threshold": True},
        {"version": 0},
        {"roots": []},
        {"keys": []},
        {"keys": [None]},
        {"expiresAt": "2026-11-23T09:00:00"},
        {"expiresAt": "2020-01-01T00:00:00Z"},
        {"issuedAt": 7},
        {"extra": 1},
        {"type": "https://countersign.dev/keyset/v2"},
    ],
)
def test_what_cannot_be_a_keyset_is_invalid(root_files: list[Path], change: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        keyset.parse(seal.canonical({**document(root_files).as_json(), **change}))


@pytest.mark.parametrize(
    "change",
    [
        {"keyid": "0" * 64},
        {"scheme": "ed25519"},
        {"purpose": "everything"},
        {"name": "a name"},
        {"compromisedAt": "soon"},
        {"public": "PEM"},
        {"validUntil": "2026-11-23T09:00:00Z"},
        {"extra": 1},
    ],
)
def test_a_key_that_is_wrong_is_invalid(root_files: list[Path], change: dict[str, Any]) -> None:
    said = document(root_files).as_json()
    said["keys"][1] |= change
    with pytest.raises(Invalid, match=r"keys\[1\]|public_key"):
        keyset.parse(seal.canonical(said))


def test_one_key_or_root_does_not_stand_there_twice(root_files: list[Path]) -> None:
    said = document(root_files).as_json()
    for name in ("keys", "roots"):
        with pytest.raises(Invalid, match="a key twice"):
            keyset.parse(seal.canonical({**said, name: [*said[name], said[name][0]]}))


def test_another_form_of_the_same_document_is_invalid(root_files: list[Path]) -> None:
    said = document(root_files).as_json()
    with pytest.raises(Invalid, match="RFC 8785"):
        keyset.parse(json.dumps(said, indent=1).encode())
    with pytest.raises(Invalid):
        keyset.parse(seal.canonical(said).replace(b'"version":1', b'"version":1,"version":1'))


@given(st.binary(max_size=300))
@effort(max_examples=60)
def test_any_bytes_are_a_keyset_or_invalid(payload: bytes) -> None:
    with pytest.raises(Invalid):
        keyset.parse(payload)


def test_a_key_counts_from_its_start_to_its_end_and_never_after_it_was_lost(root_files: list[Path]) -> None:
    key = document(root_files).keys[1]
    day = timedelta(days=1)
    assert [key.counts_at(NOW + days * day) for days in (-1, 0, 364, 365)] == [False, True, True, False]
    lost = replace(key, compromised_at=NOW + day)
    assert [lost.counts_at(NOW + days * day) for days in (0, 1, 2)] == [True, False, False]


def test_the_offline_tool_signs_what_the_portal_drafts(root_files: list[Path], tmp_path: Path) -> None:
    """It is one file: it runs where there is no portal, in a Python that is told to see nothing of ours."""
    file, tool = tmp_path / "keyset.json", Path(roots.__file__)
    file.write_text(json.dumps(document(root_files).as_json(), indent=2))
    for key in root_files[1:]:
        command = [sys.executable, "-I", tool, "sign", file, "--key", key]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, env={})
        assert "Keyset 1, issued 2026-11-23T09:00:00.000000Z" in done.stdout
    assert "signed so far: 2" in done.stdout
    assert keyset.opened(json.loads(file.read_text()), None).version == 1


def test_the_offline_tool_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "other.json"
    file.write_text('{"type": "something else"}')
    assert roots.main(["show", str(file)]) == 1
    assert "no keyset and no draft" in capsys.readouterr().err
    assert roots.main(["new", str(file)]) == 1
    assert file.read_text() == '{"type": "something else"}'


def test_a_root_key_may_have_a_password(tmp_path: Path) -> None:
    roots.new(tmp_path / "root.pem", b"correct horse")
    assert (tmp_path / "root.pem").stat().st_mode & 0o077 == 0
    with pytest.raises(TypeError):
        roots.load((tmp_path / "root.pem").read_bytes())
    assert roots.load((tmp_path / "root.pem").read_bytes(), b"correct horse")


@pytest.mark.django_db
def test_the_commands_lead_from_nothing_to_a_published_keyset(
    root_files: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(CommandError, match="public root keys"):
        call_command("keyset", "draft")
    named = [argument for file in root_files for argument in ("--root", str(roots.public_file(file)))]
    call_command("keyset", "draft", *named)
    file = tmp_path / "keyset.json"
    file.write_text(capsys.readouterr().out)
    with pytest.raises(CommandError):
        call_command("keyset", "publish", str(file))
    call_command("keyset", "sign", str(file), "--key", str(root_files[0]))
    with pytest.raises(CommandError, match="Of the 2 signatures"):
        call_command("keyset", "publish", str(file))
    assert not Keyset.objects.exists()
    call_command("keyset", "sign", str(file), "--key", str(root_files[2]))
    call_command("keyset", "publish", str(file))
    with pytest.raises(CommandError, match="after 1 comes 2"):
        call_command("keyset", "publish", str(file))
    call_command("keyset", "show")
    assert "decision " + seal.decision_key().fingerprint in capsys.readouterr().out
    assert Entry.objects.filter(kind="keyset.published").count() == 1
    assert verify().faults == []


@pytest.mark.django_db
def test_witnesses_of_the_settings_are_named_in_the_draft(
    root_files: list[Path], settings: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = [ed25519.Ed25519PrivateKey.generate().public_key().public_bytes_raw() for _ in range(2)]
    vkeys = []
    for name, key in zip(("witness.example/w1", "witness.example/w2"), keys, strict=True):
        stated = hashlib.sha256(name.encode() + b"\n\x04" + key).hexdigest()[:8]
        encoded = base64.b64encode(b"\x04" + key).decode()
        vkeys.append(f"{name}+{stated}+{encoded}")
    settings.WITNESSES = [f"{vkeys[0]}+https://witness.example"]
    named = [argument for file in root_files for argument in ("--root", str(roots.public_file(file)))]
    call_command("keyset", "draft", *named, "--witness", vkeys[1])
    said = keyset.parse(seal.canonical(json.loads(capsys.readouterr().out)))
    assert {key.name: key.public.key.public_bytes_raw() for key in said.of(Purpose.WITNESS)} == {
        "witness.example/w1": keys[0],
        "witness.example/w2": keys[1],
    }


@pytest.mark.django_db
def test_a_keyset_that_this_portal_could_not_work_with_is_refused(
    root_files: list[Path], settings: Any, tmp_path: Path
) -> None:
    said = rotation.draft(at=datetime.now(UTC), roots=public(root_files))
    settings.KEYS_DIR = tmp_path / "others"
    seal.ensure_keys()
    with pytest.raises(Refused) as refusal:
        rotation.publish(signed(said, root_files), actor=User.objects.system("keys"))
    assert refusal.value.code == "keyset_unusable"
    assert len(refusal.value.reasons) == 4
    assert not Keyset.objects.exists()


@pytest.mark.django_db
def test_a_keyset_from_behind_the_portals_back_is_a_fault() -> None:
    publish_next()
    assert verify().faults == []
    forged = Keyset.objects.get()
    row = Keyset(number=2, envelope=forged.envelope, sha256=forged.sha256, issued_at=NOW, expires_at=NOW)
    row.recorded_in = forged.recorded_in
    Keyset.objects.model.save_base(row, force_insert=True)
    assert any("Keyset 2 cannot be believed" in fault for fault in verify().faults)
