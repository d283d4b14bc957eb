"""Everything a gate without a portal needs, made by hand: roots, keyset, decision, revocation list, ledger, witness.

It follows the documents (in-toto, DSSE, RFC 6962, C2SP), so that gate and portal are held against something third.
"""

from __future__ import annotations

import base64
import copy
import hashlib
import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from audit import merkle
from audit.exports.gatekeeping import Gate, Local
from audit.exports.papers import read_key

NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
ORIGIN, WITNESS_NAME = "portal.example/ledger", "witness.example/w1"
PEM, SPKI = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
DIGEST, OTHER_DIGEST = hashlib.sha256(b"model").hexdigest(), hashlib.sha256(b"another model").hexdigest()
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
Private = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


def instant(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def canonical(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def pem(key: Private) -> str:
    return key.public_key().public_bytes(PEM, SPKI).decode()


def keyid(key: Private) -> str:
    return hashlib.sha256(key.public_key().public_bytes(serialization.Encoding.DER, SPKI)).hexdigest()


def sign(key: Private, message: bytes) -> bytes:
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign(message)
    return key.sign(message, ec.ECDSA(hashes.SHA256()))


def envelope(payload: bytes, kind: str, *keys: Private) -> dict[str, Any]:
    """Return a DSSE envelope of exactly these bytes."""
    message = b"DSSEv1 %d %b %d %b" % (len(kind), kind.encode(), len(payload), payload)
    signatures = [{"keyid": keyid(key), "sig": text(sign(key, message))} for key in keys]
    return {"payload": text(payload), "payloadType": kind, "signatures": signatures}


def note_line(name: str, key: ed25519.Ed25519PrivateKey, body: str, at: datetime | None = None) -> str:
    """Return the signature line of a ledger or, with a time, of a witness."""
    raw = key.public_key().public_bytes_raw()
    kind, stamp, head = b"\x01", b"", ""
    if at is not None:
        seconds = int(at.timestamp())
        kind, stamp, head = b"\x04", seconds.to_bytes(8), f"cosignature/v1\ntime {seconds}\n"
    mark = hashlib.sha256(name.encode() + b"\n" + kind + raw).digest()[:4]
    return f"— {name} {text(mark + stamp + key.sign((head + body).encode()))}\n"


def vkey(name: str, key: ed25519.Ed25519PrivateKey, kind: bytes) -> str:
    raw = kind + key.public_key().public_bytes_raw()
    mark = hashlib.sha256(name.encode() + b"\n" + raw).hexdigest()[:8]
    return f"{name}+{mark}+{text(raw)}"


def new_ed25519() -> ed25519.Ed25519PrivateKey:
    return ed25519.Ed25519PrivateKey.generate()


@dataclass
class Ceremony:
    """One portal's keys and documents. `papers()` makes what a gate is given; every part can be changed before."""

    roots: list[ed25519.Ed25519PrivateKey] = field(default_factory=lambda: [new_ed25519() for _ in range(3)])
    decider: Private = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    ledger: ed25519.Ed25519PrivateKey = field(default_factory=new_ed25519)
    witness: ed25519.Ed25519PrivateKey = field(default_factory=new_ed25519)
    leaves: list[bytes] = field(default_factory=list)

    def keyset(self, version: int = 7, signers: int = 2, **changes: dict[str, Any]) -> dict[str, Any]:
        """Return the keyset's envelope; `changes` name a purpose and what its key says otherwise."""
        keys = [
            {
                "keyid": keyid(key),
                "scheme": "ed25519" if isinstance(key, ed25519.Ed25519PrivateKey) else "ecdsa-sha2-nistp256",
                "public": pem(key),
                "purpose": purpose,
                "name": name,
                "validFrom": instant(NOW - 30 * DAY),
                "validUntil": instant(NOW + 300 * DAY),
                "compromisedAt": None,
                **changes.get(purpose, {}),
            }
            for purpose, name, key in (
                ("decision", None, self.decider),
                ("log", ORIGIN, self.ledger),
                ("witness", WITNESS_NAME, self.witness),
            )
        ]
        document = {
            "type": "https://countersign.dev/keyset/v1",
            "version": version,
            "issuedAt": instant(NOW - DAY),
            "expiresAt": instant(NOW + 90 * DAY),
            "threshold": 2,
            "roots": [pem(root) for root in self.roots],
            "keys": keys,
            **changes.get("document", {}),
        }
        return envelope(canonical(document), "application/vnd.countersign.keyset+json", *self.roots[:signers])

    def revocations(
        self, *revoked: str, number: int = 812, signer: Private | None = None, **said: Any
    ) -> dict[str, Any]:
        """Return the revocation list's envelope."""
        document = {
            "type": "https://countersign.dev/revocations/v1",
            "number": number,
            "issuedAt": instant(NOW - HOUR / 4),
            "nextUpdate": instant(NOW + HOUR / 4 * 3),
            "revoked": [
                {"decisionId": each, "at": instant(NOW - HOUR), "reason": "A leak was found."} for each in revoked
            ],
            **said,
        }
        return envelope(canonical(document), "application/vnd.countersign.revocations+json", signer or self.decider)

    def decision(self, statement: dict[str, Any], signer: Private | None = None) -> dict[str, Any]:
        """Return a decision's envelope and append the entry about it to the ledger."""
        signed = envelope(canonical(statement), "application/vnd.in-toto+json", signer or self.decider)
        self.leaves.append(entry(statement, signed))
        return signed

    def checkpoint(self, *, size: int = 0, at: datetime | None = NOW - HOUR) -> str:
        """Return the signed checkpoint of the first `size` leaves, by default all; cosigned unless `at` is None."""
        size = size or len(self.leaves)
        root = merkle.root(merkle.leaf_hash(leaf) for leaf in self.leaves[:size])
        body = f"{ORIGIN}\n{size}\n{text(root)}\n"
        cosigned = note_line(WITNESS_NAME, self.witness, body, at) if at else ""
        return f"{body}\n{note_line(ORIGIN, self.ledger, body)}{cosigned}"

    def proof(self, index: int, *, size: int = 0, at: datetime | None = NOW - HOUR) -> bytes:
        """Return the tlog-proof of a leaf, which carries the leaf itself."""
        size = size or len(self.leaves)
        node = merkle.nodes_of([merkle.leaf_hash(leaf) for leaf in self.leaves[:size]])
        path = "".join(f"{text(each)}\n" for each in merkle.inclusion_proof(index, size, node))
        head = f"c2sp.org/tlog-proof@v1\nextra {text(self.leaves[index])}\nindex {index}\n{path}"
        return f"{head}\n{self.checkpoint(size=size, at=at)}".encode()

    def consistency(self, old: int, new: int) -> bytes:
        node = merkle.nodes_of([merkle.leaf_hash(leaf) for leaf in self.leaves[:new]])
        path = "".join(f"{text(each)}\n" for each in merkle.consistency_proof(old, new, node))
        return f"old {old}\n{path}\n{self.checkpoint(size=new)}".encode()

    def local(self, **changes: Any) -> Local:
        """Return what a gate in production knows by itself."""
        local = Local(DIGEST, {"environment": "production"}, NOW, [read_key(pem(root).encode()) for root in self.roots])
        return replace(local, **changes)


def statement(name: str = "1", **predicate: Any) -> dict[str, Any]:
    """Return what a decision says: an approval of DIGEST for production."""
    number = f"00000000-0000-4000-8000-{name:0>12}"
    digest = predicate.pop("digest", DIGEST)
    said = {
        "decisionId": number,
        "verdict": "APPROVED",
        "reason": "",
        "supersedes": None,
        "verifier": {"id": "https://portal.example"},
        "scope": {"environment": "production"},
        "issuedAt": instant(NOW - DAY),
        "notBefore": instant(NOW - DAY),
        "expiresAt": instant(NOW + 30 * DAY),
        "policy": {"name": "default", "version": 1, "digest": {"sha256": "a" * 64}},
        "dossier": {"sha256": "b" * 64},
        "checks": [{"id": "sbom", "result": "PASSED", "run": None, "tool": None, "inputs": None, "at": None}],
        "approvals": [
            {"role": "security", "verdict": "APPROVE", "principal": "person:1", "at": instant(NOW - DAY), "review": "1"}
        ],
        "conditions": [],
        "exceptions": [],
        "configuration": [],
        **predicate,
    }
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "fraud-scorer@2.1.0", "digest": {"sha256": digest}}],
        "predicateType": "https://countersign.dev/attestation/promotion-decision/v1",
        "predicate": said,
    }


def entry(statement: dict[str, Any], signed: dict[str, Any]) -> bytes:
    """Return the ledger's entry about a signed decision."""
    decision, digest = statement["predicate"]["decisionId"], statement["subject"][0]["digest"]["sha256"]
    details = {"keyid": signed["signatures"][0]["keyid"], "envelope": hashlib.sha256(canonical(signed)).hexdigest()}
    return canonical(
        {
            "schema": "countersign-entry/v1",
            "eventId": f"1{decision[1:]}",
            "kind": "decision.signed",
            "occurredAt": instant(NOW - DAY),
            "actor": "system:signer",
            "subject": {"kind": "decision", "label": "fraud-scorer@2.1.0", "id": decision, "digest": digest},
            "details": details,
            "rows": [],
        }
    )


def bundle(signed: dict[str, Any]) -> bytes:
    """Return an envelope as a Sigstore bundle."""
    material = {"publicKey": {"hint": signed["signatures"][0]["keyid"]}, "tlogEntries": []}
    kind = "application/vnd.dev.sigstore.bundle.v0.3+json"
    return canonical({"mediaType": kind, "verificationMaterial": material, "dsseEnvelope": signed})


def filler(count: int, name: str = "review.given") -> list[bytes]:
    """Return entries about other things."""
    return [
        canonical({"schema": "countersign-entry/v1", "kind": name, "eventId": str(index)}) for index in range(count)
    ]


def papers(made: Ceremony, said: dict[str, Any] | None = None, **changes: bytes) -> dict[str, bytes]:
    """Return the files of one decision that stands in a ledger of nine entries."""
    made.leaves = filler(5)
    signed = made.decision(said or statement())
    made.leaves += filler(3, "check.run")
    found = {
        "bundle": bundle(signed),
        "keyset": canonical(made.keyset()),
        "revocations": canonical(made.revocations()),
        "proof": made.proof(5),
    }
    return {**found, **changes}


def ask(
    made: Ceremony, given: dict[str, bytes], memory: dict[str, Any] | None = None, **local: Any
) -> tuple[bool, str]:
    """Return the gate's answer and its reasons as one text."""
    gate = Gate(given, made.local(**local), memory if memory is not None else {})
    allowed = gate.allows()
    assert allowed == (gate.reasons == [])
    return allowed, " ".join(f"{each.rule}: {each.says} {each.fix}" for each in gate.reasons)


def changed(value: dict[str, Any], path: str, to: Any) -> dict[str, Any]:
    """Return a deep copy in which the member at a dotted path is another one."""
    copied = copy.deepcopy(value)
    *parents, last = path.split(".")
    place = copied
    for name in parents:
        place = place[int(name)] if isinstance(place, list) else place[name]
    place[last] = to
    return copied
