#!/usr/bin/env python3
"""Makes root keys and signs keysets, on a computer without a network: `roots.py new|show|sign`.

It needs Python 3.11 or newer and the package `cryptography`; no portal and no database. `manage.py keyset sign` is the
same. What a keyset is, stands in docs/decisions/0019-keyset.md of the portal.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import os
import sys
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

KEYSET = "https://countersign.dev/keyset/v1"
PAYLOAD_TYPE = "application/vnd.countersign.keyset+json"
MOST = 8 * 1024 * 1024
PEM, SPKI = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo

RootKey = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey


def new(path: Path, password: bytes | None = None) -> str:
    """Make a root key at `path`, readable by its owner alone, and its public half beside it; return the public PEM."""
    key = ed25519.Ed25519PrivateKey.generate()
    sealed = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    private = key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, sealed)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(private)
    public = key.public_key().public_bytes(PEM, SPKI).decode()
    public_file(path).write_text(public, encoding="ascii")
    return public


def public_file(path: Path) -> Path:
    """Return where the public half of a root key lies."""
    return path.with_name(f"{path.stem}.pub.pem")


def read(path: Path) -> dict[str, Any]:
    """Return the envelope in a file; a draft, which is the bare document, becomes one without signatures."""
    if path.stat().st_size > MOST:
        raise ValueError(f"{path} is too large for a keyset.")
    found = json.loads(path.read_text(encoding="utf-8"))
    if isinstance(found, dict) and found.get("type") == KEYSET:
        # The form of RFC 8785 for texts, whole numbers and names in ASCII, which is all that a keyset holds.
        exact = json.dumps(found, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
        return wrap(exact)
    if not isinstance(found, dict) or found.get("payloadType") != PAYLOAD_TYPE:
        raise ValueError(f"{path} is no keyset and no draft of one.")
    return found


def wrap(payload: bytes) -> dict[str, Any]:
    """Return an envelope that nobody has signed yet."""
    return {"payload": base64.b64encode(payload).decode(), "payloadType": PAYLOAD_TYPE, "signatures": []}


def document(envelope: dict[str, Any]) -> dict[str, Any]:
    """Return what an envelope says."""
    said: dict[str, Any] = json.loads(base64.b64decode(envelope["payload"], validate=True))
    if said.get("type") != KEYSET:
        raise ValueError("The envelope holds no keyset.")
    return said


def load(pem: bytes, password: bytes | None = None) -> RootKey:
    """Return the private key in PEM text: Ed25519, or ECDSA on P-256 or P-384."""
    key = serialization.load_pem_private_key(pem, password)
    if not isinstance(key, RootKey):
        raise TypeError(f"A root key is an Ed25519 or ECDSA key, not {type(key).__name__}.")
    return key


def sign(envelope: dict[str, Any], key: RootKey) -> dict[str, Any]:
    """Return the envelope with one more signature, over the bytes of DSSE v1; a second one by the same key replaces."""
    kind, body = envelope["payloadType"].encode(), base64.b64decode(envelope["payload"], validate=True)
    message = b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(body), body)
    if isinstance(key, ed25519.Ed25519PrivateKey):
        made = key.sign(message)
    else:
        made = key.sign(message, ec.ECDSA(hashes.SHA384() if key.key_size == 384 else hashes.SHA256()))
    name = fingerprint(key)
    others = [each for each in envelope["signatures"] if each["keyid"] != name]
    return {**envelope, "signatures": [*others, {"keyid": name, "sig": base64.b64encode(made).decode()}]}


def fingerprint(key: RootKey) -> str:
    """Return the key id: the hex sha256 of the public key's SPKI DER."""
    return hashlib.sha256(key.public_key().public_bytes(serialization.Encoding.DER, SPKI)).hexdigest()


def told(envelope: dict[str, Any]) -> str:
    """Return what a keyset says, for the eyes of whoever signs it."""
    said = document(envelope)
    digest = hashlib.sha256(base64.b64decode(envelope["payload"])).hexdigest()
    lines = [
        f"Keyset {said['version']}, issued {said['issuedAt']}, expires {said['expiresAt']}, sha256 {digest}",
        f"{said['threshold']} of {len(said['roots'])} roots have to sign; signed so far: {len(envelope['signatures'])}",
    ]
    for key in said["keys"]:
        lost = f", COMPROMISED since {key['compromisedAt']}" if key["compromisedAt"] else ""
        name = f" {key['name']}" if key["name"] else ""
        lines.append(f"  {key['purpose']}{name} {key['keyid']}: {key['validFrom']} to {key['validUntil']}{lost}")
    return "\n".join(lines)


def write(path: Path, envelope: dict[str, Any]) -> None:
    """Write an envelope, whole or not at all."""
    beside = path.with_name(f".{path.name}.part")
    beside.write_text(json.dumps(envelope, indent=2) + "\n", encoding="ascii")
    beside.replace(path)


def main(arguments: list[str] | None = None) -> int:
    """Make a key, show a keyset, or sign one; return 0, or 1 after saying what is wrong."""
    parser = argparse.ArgumentParser(description="Make root keys and sign keysets, offline.")
    parser.add_argument("what", choices=["new", "show", "sign"])
    parser.add_argument("file", type=Path, help="the key to make, or the keyset")
    parser.add_argument("--key", type=Path, help="the private root key to sign with")
    parser.add_argument("--password-env", default="ROOT_PASSWORD", help="the variable that holds the key's password")
    asked = parser.parse_args(arguments)
    password = os.environ.get(asked.password_env, "").encode() or None
    try:
        if asked.what == "new":
            sys.stdout.write(new(asked.file, password))
            return 0
        envelope = read(asked.file)
        if asked.what == "sign":
            if asked.key is None:
                parser.error("sign needs --key")
            envelope = sign(envelope, load(asked.key.read_bytes(), password))
            write(asked.file, envelope)
        sys.stdout.write(told(envelope) + "\n")
    except (OSError, ValueError, TypeError, LookupError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
