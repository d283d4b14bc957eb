"""Signed notes, checkpoints and proofs as text, after the C2SP specifications signed-note, tlog-checkpoint, tlog-proof.

Text in, text out, with Ed25519 keys given by the caller. Where keys and checkpoints are kept lives elsewhere.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from portal.errors import Fault, Invalid, Refused, show

ED25519 = b"\x01"
MAX_NOTE = 256 * 1024
MAX_SIGNATURES = 64
HASH_SIZE = 32
PROOF_HEADER = "c2sp.org/tlog-proof@v1"


class NoteKey(NamedTuple):
    """A verifier key: the name it signs under, its four-byte id and the Ed25519 public key."""

    name: str
    key_id: bytes
    public: Ed25519PublicKey

    @property
    def vkey(self) -> str:
        """Return the key as one line of text: name+id+base64(0x01 || public key)."""
        encoded = base64.b64encode(ED25519 + self.public.public_bytes_raw()).decode()
        return f"{self.name}+{self.key_id.hex()}+{encoded}"


class Checkpoint(NamedTuple):
    """What a checkpoint says: whose log, how many entries, and the root over them."""

    origin: str
    size: int
    root: bytes


@dataclass(frozen=True)
class Proof:
    """What a proof file says: the entry's index, the audit path, and the checkpoint it leads to."""

    index: int
    path: list[bytes]
    note: str


def note_key(name: str, public: Ed25519PublicKey) -> NoteKey:
    """Return the verifier key of a public key that signs under this name (signed-note, "Signatures")."""
    if not name or "+" in name or any(character.isspace() for character in name):
        raise Invalid(Fault("name", show(name), "a key name without spaces and plus signs"))
    fingerprint = hashlib.sha256(name.encode() + b"\n" + ED25519 + public.public_bytes_raw()).digest()
    return NoteKey(name, fingerprint[:4], public)


def parse_vkey(text: str) -> NoteKey:
    """Return the verifier key written as name+id+base64; raises Invalid when the id does not belong to the key."""
    expected = "name+8 hex digits+base64 of an Ed25519 verifier key"
    name, _, rest = text.strip().partition("+")
    stated, _, encoded = rest.partition("+")
    raw = _base64(encoded)
    if raw[:1] != ED25519 or len(raw) != 1 + HASH_SIZE:
        raise Invalid(Fault("vkey", show(text), expected))
    key = note_key(name, Ed25519PublicKey.from_public_bytes(raw[1:]))
    if key.key_id.hex() != stated:
        raise Invalid(Fault("vkey", f"key id {show(stated)}", f"key id {key.key_id.hex()!r}"))
    return key


def sign_note(text: str, name: str, *privates: Ed25519PrivateKey) -> str:
    """Return the text, which must end in a newline, as a note signed under this name, one line for each key."""
    if not privates or not text.endswith("\n") or any(ord(letter) < 0x20 and letter != "\n" for letter in text):
        raise ValueError("The text of a note ends in a newline, holds no other control character, and is signed.")
    lines = []
    for private in privates:
        key = note_key(name, private.public_key())
        signature = base64.b64encode(key.key_id + private.sign(text.encode())).decode()
        lines.append(f"— {name} {signature}\n")
    return f"{text}\n{''.join(lines)}"


def open_note(note: str, keys: Sequence[NoteKey]) -> str:
    """Return the text of a note that at least one of the keys has signed.

    Signatures by unknown keys are ignored. Raises Invalid for text that is no note, Refused with code
    `untrusted-key` when no known key has signed and `bad-signature` when a known key's signature does not fit.
    """
    text, signatures = _split(note)
    known = {(key.name, key.key_id): key for key in keys}
    verified = False
    for name, raw in signatures:
        key = known.get((name, raw[:4]))
        if key is None:
            continue
        try:
            key.public.verify(raw[4:], text.encode())
        except InvalidSignature as error:
            raise Refused("bad-signature", f"The signature by {name} does not fit the text of the note.") from error
        verified = True
    if not verified:
        raise Refused("untrusted-key", "The note is not signed by a key of this ledger.")
    return text


def has_signed(note: str, keys: Sequence[NoteKey]) -> bool:
    """Return whether at least one of the keys has signed a note."""
    try:
        open_note(note, keys)
    except (Invalid, Refused):
        return False
    return True


def _split(note: str) -> tuple[str, list[tuple[str, bytes]]]:
    """Return the text of a note, newline included, and its (name, id || signature) pairs."""
    expected = "a signed note: text, an empty line, and signature lines"
    if len(note) > MAX_NOTE or any(ord(character) < 0x20 and character != "\n" for character in note):
        raise Invalid(Fault("note", show(note), f"{expected}, of at most {MAX_NOTE:,} characters"))
    text, gap, tail = note.rpartition("\n\n")
    lines = tail.splitlines() if tail.endswith("\n") else []
    if not gap or not text or not 0 < len(lines) <= MAX_SIGNATURES:
        raise Invalid(Fault("note", show(note), expected))
    signatures = []
    for line in lines:
        dash, _, rest = line.partition(" ")
        name, _, encoded = rest.partition(" ")
        raw = _base64(encoded)
        if dash != "—" or not name or len(raw) < 4:
            raise Invalid(Fault("note", show(line), "a line of em dash, key name and base64 signature"))
        signatures.append((name, raw))
    return text + "\n", signatures


def checkpoint_text(checkpoint: Checkpoint) -> str:
    """Return the text of a checkpoint, ready to be signed."""
    return f"{checkpoint.origin}\n{checkpoint.size}\n{base64.b64encode(checkpoint.root).decode()}\n"


def parse_checkpoint(text: str) -> Checkpoint:
    """Return what the text of a checkpoint, or a whole signed one, says; it is not believed by parsing it."""
    lines = text.split("\n")
    if len(lines) < 4 or not all(lines[:3]):
        raise Invalid(Fault("checkpoint", show(text), "the lines origin, size and root"))
    origin, size = lines[0], _decimal(lines[1], "checkpoint.size")
    return Checkpoint(origin, size, _hash(lines[2], "checkpoint.root"))


def _base64(text: str) -> bytes:
    """Return the bytes of base64 text, or nothing when it is none."""
    try:
        return base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        return b""


def _decimal(text: str, field: str) -> int:
    """Return a decimal number without leading zeroes."""
    if not (text.isascii() and text.isdigit() and len(text) <= 18) or (text[0] == "0" and text != "0"):
        raise Invalid(Fault(field, show(text), "a decimal number without leading zeroes"))
    return int(text)


def _hash(text: str, field: str) -> bytes:
    """Return one base64 SHA-256 hash."""
    raw = _base64(text)
    if len(raw) != HASH_SIZE:
        raise Invalid(Fault(field, show(text), "a base64 SHA-256 hash"))
    return raw


def proof_text(proof: Proof) -> str:
    """Return a proof file: header, index, audit path, an empty line, and the signed checkpoint."""
    path = "".join(f"{base64.b64encode(hash_).decode()}\n" for hash_ in proof.path)
    return f"{PROOF_HEADER}\nindex {proof.index}\n{path}\n{proof.note}"


def parse_proof(text: str) -> Proof:
    """Return what a proof file says; unauthenticated `extra` data is skipped. Raises Invalid for anything else."""
    head, gap, note = text.partition("\n\n")
    lines = head.split("\n")
    if len(text) > MAX_NOTE or not gap or lines.pop(0) != PROOF_HEADER:
        raise Invalid(Fault("proof", show(text), f"a file that begins with {PROOF_HEADER}"))
    if lines and lines[0].startswith("extra "):
        lines.pop(0)
    if not lines or not lines[0].startswith("index ") or len(lines) > 64:
        raise Invalid(Fault("proof", show(head), "an `index` line and at most 63 hashes"))
    index = _decimal(lines.pop(0).removeprefix("index "), "proof.index")
    return Proof(index, [_hash(line, "proof.path") for line in lines], note)
