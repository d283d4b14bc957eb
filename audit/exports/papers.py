"""What the gate reads, strictly: bounded JSON, envelopes, keys, checkpoints and the paths of a Merkle tree.

Nothing here is believed by being read, and nothing of ours is imported: `kit` joins this module and `gate` to the one
file that runs without the portal. From DSSE v1, RFC 6962, RFC 9162 and C2SP signed-note, tlog-checkpoint,
tlog-cosignature and tlog-proof. What makes a yes stands in `gate`.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import itertools
import json
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

try:
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
except ImportError:
    sys.stderr.write("The gate needs the Python package cryptography: python3 -m pip install cryptography\n")
    sys.exit(2)

STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://countersign.dev/attestation/promotion-decision/v1"
PAYLOAD, BUNDLE = "application/vnd.in-toto+json", "application/vnd.dev.sigstore.bundle.v0.3+json"
KEYSET = ("application/vnd.countersign.keyset+json", "https://countersign.dev/keyset/v1")
REVOCATIONS = ("application/vnd.countersign.revocations+json", "https://countersign.dev/revocations/v1")
PROOF = "c2sp.org/tlog-proof@v1"
LOG, WITNESS = b"\1", b"\4"
MAX_FILE, MAX_DEPTH, MAX_NUMBER, MIN_RSA_BITS = 4 * 1024 * 1024, 32, 2**53 - 1, 3072
BROKEN = (ValueError, LookupError, TypeError, AttributeError, RecursionError, OverflowError, UnsupportedAlgorithm)
ALWAYS = (datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC))
Public = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | rsa.RSAPublicKey

# A shape is a pattern for a text, int for a number from 1 on, (shape, None) for what may be null, a list with the shape
# of every item, or an object with the members that have to be there.
TEXT, NAME, HASH = "(?s).*", "(?s).+", "[0-9a-f]{64}"
TIME = r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?Z"
ENVELOPE_SHAPE = {"payload": NAME, "payloadType": NAME, "signatures": [{"keyid": TEXT, "sig": NAME}]}
STATEMENT_SHAPE = {
    "_type": NAME, "subject": [{"name": NAME, "digest": {"sha256": HASH}}], "predicateType": NAME,
    "predicate": {
        "decisionId": NAME, "verdict": NAME, "supersedes": (NAME, None), "scope": {"environment": NAME},
        "issuedAt": TIME, "notBefore": TIME, "expiresAt": (TIME, None), "dossier": {"sha256": HASH},
        "policy": {"name": NAME, "version": int, "digest": {"sha256": HASH}},
        "checks": [{"id": NAME, "result": NAME}], "exceptions": [{"id": NAME, "expiresAt": TIME}],
        "approvals": [{"role": NAME, "verdict": NAME, "principal": NAME, "at": TIME}],
    },
}  # fmt: skip
KEYSET_SHAPE = {
    "type": NAME, "version": int, "issuedAt": TIME, "expiresAt": TIME,
    "keys": [{"keyid": HASH, "scheme": NAME, "public": NAME, "purpose": NAME, "name": (NAME, None),
              "validFrom": TIME, "validUntil": TIME, "compromisedAt": (TIME, None)}],
}  # fmt: skip
REVOCATIONS_SHAPE = {
    "type": NAME, "number": int, "issuedAt": TIME, "nextUpdate": TIME,
    "revoked": [{"decisionId": NAME, "at": TIME, "reason": TEXT}],
}  # fmt: skip
ENTRY_SHAPE = {
    "schema": "countersign-entry/v1", "kind": r"decision\.signed", "details": {"envelope": HASH},
    "subject": {"kind": "decision", "id": NAME, "digest": HASH},
}  # fmt: skip


class Refusal(Exception):
    """One reason for a no: the rule, what was seen, and what would make it a yes."""

    def __init__(self, rule: str, says: str, fix: str) -> None:
        super().__init__(says)
        self.rule, self.says, self.fix = rule, says, fix


def need(holds: bool, rule: str, says: str, fix: str) -> None:
    """Raise Refusal unless something holds."""
    if not holds:
        raise Refusal(rule, says, fix)


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse an object in which a key stands twice: two readers could see two things."""
    if len(dict(pairs)) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return dict(pairs)


def no_number(text: str) -> Any:
    """Refuse fractions, NaN and infinities: these documents have none."""
    raise ValueError(f"{text[:20]} is no whole number")


def load(raw: bytes) -> Any:
    """Return bounded, strict JSON: UTF-8, every key once, whole numbers, at most 32 levels. Raises ValueError."""
    if len(raw) > MAX_FILE:
        raise ValueError(f"it has {len(raw):,} bytes, more than {MAX_FILE:,}")
    value = json.loads(raw.decode(), object_pairs_hook=unique, parse_float=no_number, parse_constant=no_number)
    level = [value]
    for _ in range(MAX_DEPTH):
        inner = (each.values() if isinstance(each, dict) else each for each in level if isinstance(each, (dict, list)))
        level = list(itertools.chain.from_iterable(inner))
    if level:
        raise ValueError(f"it nests more than {MAX_DEPTH} levels deep")
    json.dumps(value, ensure_ascii=False).encode()
    return value


def fit(value: Any, shape: Any, where: str) -> Any:
    """Return a value that has its shape. Raises ValueError naming the first place that has not."""
    match shape, value:
        case dict(), dict():
            if missing := shape.keys() - value.keys():
                raise ValueError(f"{where} has no {min(missing)}")
            for name, inner in shape.items():
                fit(value[name], inner, f"{where}.{name}")
        case list(), list():
            for index, each in enumerate(value):
                fit(each, shape[0], f"{where}[{index}]")
        case (inner, None), _:
            return value if value is None else fit(value, inner, where)
        case str(), str() if re.fullmatch(shape, value):
            return when(value) and value if shape is TIME else value
        case type(), int() if type(value) is int and 0 < value <= MAX_NUMBER:
            return value
        case _:
            raise ValueError(f"{where} is {json.dumps(value)[:60]}, which does not belong there")
    return value


def when(text: str) -> datetime:
    """Return the instant that a text says. Raises ValueError."""
    return datetime.fromisoformat(text)


def decode(text: str) -> bytes:
    """Return the bytes of base64 text in its one standard form. Raises ValueError for every other form."""
    raw = base64.b64decode(text.encode("ascii"), validate=True)
    if base64.b64encode(raw).decode() != text:
        raise ValueError("base64 in another form than the standard one")
    return raw


@dataclass(frozen=True)
class Key:
    """A public key, and what a keyset says of it; one that was pinned by hand counts at any time."""

    public: Public
    keyid: str
    scheme: str
    purpose: str = ""
    name: str = ""
    start: datetime = ALWAYS[0]
    end: datetime = ALWAYS[1]
    stolen: datetime | None = None

    def counts(self, at: datetime, proved: datetime | None) -> bool:
        """Return whether a signature of an instant counts; of a stolen key's, only what is proved to be older."""
        return self.start <= at < self.end and (self.stolen is None or (proved is not None and proved < self.stolen))

    def verifies(self, signature: bytes, message: bytes) -> bool:
        """Return whether this key made the signature over exactly these bytes."""
        with contextlib.suppress(InvalidSignature):
            match self.public:
                case ed25519.Ed25519PublicKey():
                    self.public.verify(signature, message)
                case rsa.RSAPublicKey():
                    pss = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.AUTO)
                    self.public.verify(signature, message, pss, hashes.SHA256())
                case _:
                    hashing = hashes.SHA384() if self.scheme.endswith("384") else hashes.SHA256()
                    self.public.verify(signature, message, ec.ECDSA(hashing))
            return True
        return False


def read_key(pem: bytes, **said: Any) -> Key:
    """Return a public key in PEM with its id, the sha256 of its SPKI DER, and its scheme. Raises ValueError."""
    public = serialization.load_pem_public_key(pem)
    match public:
        case ed25519.Ed25519PublicKey():
            scheme = "ed25519"
        case ec.EllipticCurvePublicKey() if public.curve.name in ("secp256r1", "secp384r1"):
            scheme = f"ecdsa-sha2-nistp{public.curve.key_size}"
        case rsa.RSAPublicKey() if public.key_size >= MIN_RSA_BITS:
            scheme = "rsassa-pss-sha256"
        case _:
            raise ValueError("a key that is neither Ed25519, P-256, P-384, nor RSA of at least 3072 bits")
    der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return Key(public, hashlib.sha256(der).hexdigest(), scheme, **said)


def read_vkey(line: str, kind: bytes) -> Key:
    """Return the verifier key of a ledger or a witness (C2SP signed-note, tlog-cosignature). Raises ValueError."""
    name, stated, encoded = line.split("+", 2)
    raw = decode(encoded)
    if raw[:1] != kind or stated != hashlib.sha256(name.encode() + b"\n" + raw).hexdigest()[:8]:
        raise ValueError(f"{line[:80]!r} is no verifier key of type {kind[0]}")
    public = ed25519.Ed25519PublicKey.from_public_bytes(raw[1:])
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return read_key(pem, name=name)


@dataclass(frozen=True)
class Envelope:
    """A DSSE envelope: what was signed, not yet believed, and the sha256 of its canonical form."""

    kind: str
    payload: bytes
    signatures: list[bytes]
    digest: str

    def signers(self, keys: Iterable[Key]) -> list[Key]:
        """Return the keys that have signed, each once; the ids beside signatures are only hints (DSSE v1)."""
        kind = self.kind.encode()
        message = b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(self.payload), self.payload)
        distinct = {key.keyid: key for key in keys}.values()
        return [key for key in distinct if any(key.verifies(each, message) for each in self.signatures)]


def open_envelope(value: Any, kind: str) -> Envelope:
    """Return a DSSE envelope that has exactly the members it should and a payload of a kind. Raises ValueError."""
    listed = fit(value, ENVELOPE_SHAPE, "the envelope")["signatures"]
    if len(value) != 3 or not 0 < len(listed) <= 16 or any(len(each) != 2 for each in listed):
        raise ValueError("an envelope has payload, payloadType and 1 to 16 signatures, and nothing else")
    if value["payloadType"] != kind:
        raise ValueError(f"its payloadType is {value['payloadType'][:80]!r}, not {kind}")
    # For texts such as these, members in order without spaces are the canonical form of RFC 8785.
    plain = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    signatures = [decode(each["sig"]) for each in listed]
    return Envelope(kind, decode(value["payload"]), signatures, hashlib.sha256(plain).hexdigest())


@dataclass(frozen=True)
class Checkpoint:
    """A signed note that says how large a ledger is and what its root is (C2SP tlog-checkpoint)."""

    note: str
    text: str
    origin: str
    size: int
    root: bytes
    lines: list[tuple[str, bytes]]

    def stamps(self, key: Key, kind: bytes) -> list[int]:
        """Return the times of a key's signatures, 0 for a ledger's. Raises ValueError when one of them does not fit."""
        raw, found = b"".join([kind, key.public.public_bytes_raw()]), []  # type: ignore[union-attr]
        mark = hashlib.sha256(key.name.encode() + b"\n" + raw).digest()[:4]
        for signature in (each[4:] for name, each in self.lines if (name, each[:4]) == (key.name, mark)):
            stamp = int.from_bytes(signature[:8]) if kind == WITNESS else 0
            head = f"cosignature/v1\ntime {stamp}\n" if kind == WITNESS else ""
            if not key.verifies(signature[8:] if kind == WITNESS else signature, (head + self.text).encode()):
                raise ValueError(f"the signature by {key.name} does not fit the checkpoint")
            found.append(stamp)
        return found


def read_checkpoint(note: str) -> Checkpoint:
    """Return what a checkpoint says; it is not believed by reading it. Raises ValueError."""
    text, _, tail = note.rpartition("\n\n")
    origin, size, root, *more = text.split("\n")
    lines = [re.fullmatch("— ([^ +]+) ([^ ]+)", line) for line in tail.removesuffix("\n").split("\n")]
    clean = all(each >= " " or each == "\n" for each in note) and all([origin, *more]) and tail.endswith("\n")
    if not clean or not all(lines) or len(lines) > 64 or not re.fullmatch("[1-9][0-9]{0,17}", size):
        raise ValueError("no signed checkpoint")
    signatures = [(each[1], decode(each[2])) for each in lines if each]
    return Checkpoint(note, f"{text}\n", origin, int(size), read_hash(root), signatures)


def read_hash(text: str) -> bytes:
    """Return one SHA-256 hash in base64. Raises ValueError."""
    if len(raw := decode(text)) != 32:
        raise ValueError(f"{text[:60]!r} is no SHA-256 hash in base64")
    return raw


def above(left: bytes, right: bytes) -> bytes:
    """Return the hash of an inner node (RFC 6962 §2.1)."""
    return hashlib.sha256(b"\1" + left + right).digest()


def climb(index: int, last: int, path: list[bytes], folded: bytes) -> tuple[bytes, bytes, bool]:
    """Fold a path; return the newer root, the older root, and whether it ended at the top (RFC 9162 §2.1.3, §2.1.4)."""
    older = newer = folded
    for sibling in path:
        if last == 0:
            return newer, older, False
        if index & 1 or index == last:
            older, newer = above(sibling, older), above(sibling, newer)
            while not index & 1 and index:
                index, last = index >> 1, last >> 1
        else:
            newer = above(newer, sibling)
        index, last = index >> 1, last >> 1
    return newer, older, last == 0


def is_consistent(small: Checkpoint, large: Checkpoint, path: list[bytes]) -> bool:
    """Return whether a path shows that a ledger only grew from one checkpoint to a larger one (RFC 9162 §2.1.4.2)."""
    index, last = small.size - 1, large.size - 1
    if index == last:
        return small.root == large.root
    hashed = path if small.size & index else [small.root, *path]
    while index & 1:
        index, last = index >> 1, last >> 1
    newer, older, ended = climb(index, last, hashed[1:], hashed[0]) if path else (b"", b"", False)
    return ended and (newer, older) == (large.root, small.root)


def read_proof(raw: bytes, entry: bytes | None) -> tuple[bytes, Checkpoint]:
    """Return an entry and the checkpoint that its audit path leads to (C2SP tlog-proof). Raises ValueError otherwise.

    The entry's exact bytes are in the proof's `extra` line unless they are given; either way only the path vouches.
    """
    if len(raw) > MAX_FILE:
        raise ValueError(f"it has {len(raw):,} bytes, more than {MAX_FILE:,}")
    head, _, note = raw.decode().partition("\n\n")
    first, *lines = head.split("\n")
    extra = decode(lines.pop(0).removeprefix("extra ")) if lines[0].startswith("extra ") else None
    place = re.fullmatch("index (0|[1-9][0-9]{0,17})", lines.pop(0))
    entry = extra if entry is None else entry
    if first != PROOF or place is None or len(lines) > 63 or entry is None:
        raise ValueError(f"no {PROOF} with an index, a path and the entry that it is about")
    checkpoint, index = read_checkpoint(note), int(place[1])
    leaf = hashlib.sha256(b"\0" + entry).digest()
    root, _, ended = climb(index, checkpoint.size - 1, [read_hash(line) for line in lines], leaf)
    if index >= checkpoint.size or not ended or root != checkpoint.root:
        raise ValueError("the path does not lead from this entry to the root of the checkpoint")
    return entry, checkpoint
