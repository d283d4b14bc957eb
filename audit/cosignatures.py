"""Cosignatures of witnesses (C2SP tlog-cosignature, version 1): how they are read, and how checkpoints carry them.

Getting them is done in `audit.copies`. Verifiers that know no witness ignore the lines (C2SP signed-note).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from audit.models import Checkpoint, Cosignature
from portal.errors import Fault, Invalid, Refused, show

COSIGNER = b"\x04"
RAW_LENGTH = 4 + 8 + 64
MAX_TIME = 2**63 - 1
# Notes hold at most 64 signatures; the ledger's own come first, two while its key is replaced.
MOST_LINES = 32


class WitnessKey(NamedTuple):
    """A witness's verifier key: its name, the four-byte id, and the Ed25519 public key."""

    name: str
    key_id: bytes
    public: Ed25519PublicKey


def parse_witness_key(text: str) -> WitnessKey:
    """Return the key written as name+id+base64(0x04 || public key). Raises Invalid for another id."""
    name, _, rest = text.strip().partition("+")
    stated, _, encoded = rest.partition("+")
    raw = _base64(encoded)
    if raw[:1] != COSIGNER or len(raw) != 33 or not name or any(each.isspace() for each in name):
        raise Invalid(Fault("witness", show(text), "name+8 hex digits+base64 of an Ed25519 cosigner key (type 0x04)"))
    key_id = hashlib.sha256(name.encode() + b"\n" + raw).digest()[:4]
    if key_id.hex() != stated:
        raise Invalid(Fault("witness", f"key id {show(stated)}", f"key id {key_id.hex()!r}"))
    return WitnessKey(name, key_id, Ed25519PublicKey.from_public_bytes(raw[1:]))


def verify(line: str, key: WitnessKey, note: str) -> int:
    """Return when the witness cosigned this checkpoint, in Unix seconds, by one signature line.

    Raises Refused with code `not-its-line` for a line of another key, `bad-cosignature` for one that does not fit.
    """
    dash, _, rest = line.partition(" ")
    name, _, encoded = rest.partition(" ")
    raw = _base64(encoded)
    if dash != "—" or name != key.name or len(raw) != RAW_LENGTH or raw[:4] != key.key_id:
        raise Refused("not-its-line", f"This is no cosignature of version 1 by {key.name}.")
    at = int.from_bytes(raw[4:12])
    text = note.rpartition("\n\n")[0] + "\n"
    try:
        key.public.verify(raw[12:], f"cosignature/v1\ntime {at}\n{text}".encode())
    except InvalidSignature as error:
        raise Refused("bad-cosignature", f"The cosignature by {key.name} does not fit the checkpoint.") from error
    if at > MAX_TIME:
        raise Refused("bad-cosignature", f"The cosignature by {key.name} bears no possible time.")
    return at


def cosigned(checkpoint: Checkpoint) -> str:
    """Return a checkpoint's signed note with the lines of the witnesses that have cosigned it."""
    lines = Cosignature.objects.filter(size=checkpoint.size).order_by("witness").values_list("line", flat=True)
    return checkpoint.note + "".join(f"{line}\n" for line in lines[:MOST_LINES])


def best_over(leaf_index: int) -> Checkpoint | None:
    """Return the newest checkpoint over a leaf that a witness has cosigned, else the newest of all that cover it."""
    over = Checkpoint.objects.filter(size__gt=leaf_index)
    witnessed = Cosignature.objects.filter(size__gt=leaf_index).order_by("-size").values_list("size", flat=True)[:1]
    return over.filter(size__in=list(witnessed)).first() or over.first()


def _base64(text: str) -> bytes:
    """Return the bytes of base64 text, or nothing when it is none."""
    try:
        return base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        return b""
