"""Statements and envelopes as builders, signers and forgers write them."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from django.utils import timezone

from audit import seal
from governance import keys
from governance.models import TrustedKey
from portal.demo import documents
from portal.demo.walk import COMMIT
from registry import readers
from registry.models import Version
from registry.readers.reading import Statement
from tests.factories import Walk

PAYLOAD_TYPE = "application/vnd.in-toto+json"
SHA256 = hashes.SHA256()
PSS = padding.PSS(padding.MGF1(SHA256), padding.PSS.MAX_LENGTH)


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def pem(key: Any) -> str:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return str(key.public_key().public_bytes(serialization.Encoding.PEM, form).decode())


def sign(key: Any, message: bytes) -> bytes:
    """Return a signature as the key's own algorithm makes it."""
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign(message)
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(message, PSS, SHA256)
    return bytes(key.sign(message, ec.ECDSA(hashes.SHA384() if key.key_size == 384 else SHA256)))


def envelope(
    statement: Any, *signers: Any, hints: Sequence[str] = (), payload_type: str = PAYLOAD_TYPE
) -> dict[str, Any]:
    """Return a DSSE envelope over a statement, signed by some keys under some key ids."""
    payload = statement if isinstance(statement, bytes) else json.dumps(statement).encode()
    named = [*hints, *[""] * len(signers)]
    return {
        "payloadType": payload_type,
        "payload": base64.b64encode(payload).decode(),
        "signatures": [
            {"keyid": hint, "sig": base64.b64encode(sign(key, seal.pae(payload_type, payload))).decode()}
            for key, hint in zip(signers, named, strict=False)
        ],
    }


def bundle(statement: Any, key: Any) -> dict[str, Any]:
    """Return a Sigstore bundle v0.3 over a statement, to be verified with a known key."""
    return {
        "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "verificationMaterial": {"publicKey": {"hint": ""}, "tlogEntries": []},
        "dsseEnvelope": envelope(statement, key),
    }


def read(document: Any) -> Statement:
    """Return the statement that the portal reads out of a document."""
    found = readers.read(json.dumps(document).encode(), kind="provenance").statement
    assert found is not None
    return found


def build(version: Version, **changes: Any) -> dict[str, Any]:
    """Return the SLSA statement of the build that made a version, with parts of it replaced.

    Keywords are subject, sources, dependencies, external, internal, builder, build_type, metadata, byproducts, commit.
    """
    at, uri = datetime.now(UTC) - timedelta(minutes=2), f"git+{version.source_repository}"
    commit = changes.get("commit", COMMIT)
    times = {"startedOn": at - timedelta(minutes=9), "finishedOn": at}
    source = {"uri": uri, "digest": {"gitCommit": commit}}
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "model", "digest": {"sha256": changes.get("subject", version.artifact_sha256)}}],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": changes.get("build_type", "https://builds.example/train/v1"),
                "externalParameters": changes.get("sources", {"source": source}) | changes.get("external", {}),
                "internalParameters": changes.get("internal", {}),
                "resolvedDependencies": changes.get("dependencies", [source]),
            },
            "runDetails": {
                "builder": {"id": changes.get("builder", documents.BUILDER)},
                "metadata": {name: moment.isoformat() for name, moment in times.items()} | changes.get("metadata", {}),
                "byproducts": changes.get("byproducts", []),
            },
        },
    }


def model(files: dict[str, str], **how: Any) -> dict[str, Any]:
    """Return the OpenSSF model-signing statement over files and their sha256."""
    root = hashlib.sha256(b"".join(bytes.fromhex(digest) for digest in files.values())).hexdigest()
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "model", "digest": {"sha256": root}}],
        "predicateType": "https://model_signing/signature/v1.0",
        "predicate": {
            "serialization": {"method": "files", "hash_type": "sha256", "allow_symlinks": False, **how},
            "resources": [{"name": name, "algorithm": "sha256", "digest": digest} for name, digest in files.items()],
        },
    }


def trusted(walk: Walk, key: Any, name: str = "Second key", **changes: Any) -> TrustedKey:
    """Have an administrator trust a key, by default for provenance of everything by the demo's builder."""
    now = timezone.now()
    facts: dict[str, Any] = {
        "purposes": ["provenance"],
        "builders": [documents.BUILDER],
        "valid_from": now - timedelta(days=1),
        "valid_until": now + timedelta(days=30),
        **changes,
    }
    return keys.trust(name, pem(key), actor=walk.cast.alma, owner=walk.cast.petra, **facts)
