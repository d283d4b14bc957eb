"""Signed notes, checkpoints and proofs as text."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from audit import notes
from portal.errors import Invalid, Refused

ORIGIN = "countersign.example/ledger"
ROOT = bytes(range(32))

# The example of Go's golang.org/x/mod/sumdb/note, the first implementation of signed notes.
PETER = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
PETERS_NOTE = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
    "\n"
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)


@pytest.fixture
def private() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.generate()


def checkpoint(private: Ed25519PrivateKey, size: int = 2000, origin: str = ORIGIN) -> str:
    return notes.sign_note(notes.checkpoint_text(notes.Checkpoint(origin, size, ROOT)), origin, private)


def test_a_note_signed_by_another_implementation_opens() -> None:
    key = notes.parse_vkey(PETER)
    assert notes.open_note(PETERS_NOTE, [key]).startswith("If you think")
    assert key.vkey == PETER


def test_a_note_opens_with_its_key_only(private: Ed25519PrivateKey) -> None:
    note = checkpoint(private)
    key = notes.note_key(ORIGIN, private.public_key())
    assert notes.parse_checkpoint(notes.open_note(note, [key])) == (ORIGIN, 2000, ROOT)
    stranger = notes.note_key(ORIGIN, Ed25519PrivateKey.generate().public_key())
    with pytest.raises(Refused) as refusal:
        notes.open_note(note, [stranger])
    assert refusal.value.code == "untrusted-key"


def test_a_key_speaks_under_its_own_name_only(private: Ed25519PrivateKey) -> None:
    elsewhere = notes.note_key("other.example/ledger", private.public_key())
    with pytest.raises(Refused):
        notes.open_note(checkpoint(private), [elsewhere])


def test_an_unknown_signature_line_is_ignored(private: Ed25519PrivateKey) -> None:
    note = checkpoint(private)
    line = f"— witness.example {base64.b64encode(b'1234' + bytes(64)).decode()}\n"
    assert notes.open_note(note + line, [notes.note_key(ORIGIN, private.public_key())])


@given(st.data())
def test_a_changed_text_is_never_accepted(data: st.DataObject) -> None:
    private = Ed25519PrivateKey.from_private_bytes(bytes(32))
    note = checkpoint(private)
    text = note.partition("\n\n")[0] + "\n"
    at = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.characters(codec="ascii").filter(lambda character: character != note[at]))
    with pytest.raises((Refused, Invalid)):
        notes.open_note(note[:at] + other + note[at + 1 :], [notes.note_key(ORIGIN, private.public_key())])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no signature\n",
        "text\n\n",
        "text\n\n- name AAAA\n",
        "text\n\n— name\n",
        "text\n\n— name !!!!\n",
        "text\n\n— name AAAAAAAA",
        "te\x07xt\n\n— name AAAAAAAA\n",
        "x" * 300_000 + "\n\n— name AAAAAAAA\n",
        "text\n\n" + "— name AAAAAAAA\n" * 65,
    ],
)
def test_what_is_no_note_is_invalid(text: str) -> None:
    with pytest.raises(Invalid):
        notes.open_note(text, [notes.parse_vkey(PETER)])


@pytest.mark.parametrize(
    "text",
    ["", "PeterNeumann", PETER.replace("c74f20a3", "c74f20a4"), PETER[:-4], "Peter Neumann" + PETER[12:], PETER + "A"],
)
def test_a_verifier_key_that_contradicts_itself_is_invalid(text: str) -> None:
    with pytest.raises(Invalid):
        notes.parse_vkey(text)


@pytest.mark.parametrize(
    "text",
    [
        "origin\n1\n",
        "origin\n01\nAAAA\n",
        f"origin\n-1\n{base64.b64encode(ROOT).decode()}\n",
        f"origin\n{'9' * 30}\n{base64.b64encode(ROOT).decode()}\n",
        "origin\n1\nAAAA\n",
        f"\n1\n{base64.b64encode(ROOT).decode()}\n",
    ],
)
def test_what_is_no_checkpoint_is_invalid(text: str) -> None:
    with pytest.raises(Invalid):
        notes.parse_checkpoint(text)


def test_only_text_that_ends_in_a_newline_can_be_signed(private: Ed25519PrivateKey) -> None:
    with pytest.raises(ValueError, match="newline"):
        notes.sign_note("no end", ORIGIN, private)


@pytest.mark.parametrize("length", [0, 1, 20])
def test_a_proof_reads_back_as_it_was_written(private: Ed25519PrivateKey, length: int) -> None:
    proof = notes.Proof(7, [bytes([number]) * 32 for number in range(length)], checkpoint(private))
    text = notes.proof_text(proof)
    assert text.startswith("c2sp.org/tlog-proof@v1\nindex 7\n")
    assert notes.parse_proof(text) == proof


def test_extra_data_in_a_proof_is_skipped(private: Ed25519PrivateKey) -> None:
    text = notes.proof_text(notes.Proof(7, [ROOT], checkpoint(private)))
    assert notes.parse_proof(text.replace("index", "extra AAAA\nindex", 1)).index == 7


@pytest.mark.parametrize(
    "text",
    [
        "",
        "c2sp.org/tlog-proof@v2\nindex 0\n\nnote",
        "c2sp.org/tlog-proof@v1\n\nnote",
        "c2sp.org/tlog-proof@v1\nindex x\n\nn",
    ],
)
def test_what_is_no_proof_is_invalid(text: str) -> None:
    with pytest.raises(Invalid):
        notes.parse_proof(text)
