"""Signed envelopes: what is signed, with which key, and how it is verified. Canonical bytes are handed on from below.

Signing goes through securesystemslib, so the decision key may live in a file or in a key service. Verification is our
own few lines on `cryptography`, because key ids are only hints and one key must never count twice. The signed notes
of the ledger live in `audit.notes`; nothing here knows what a decision or an attestation says.
"""

from __future__ import annotations

import base64
import binascii
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from securesystemslib.exceptions import KeyMismatchError
from securesystemslib.signer import CryptoSigner, Signer, SSlibKey  # type: ignore[attr-defined]  # exported, not listed

from audit.canonical import MAX_DEPTH, MAX_INTEGER, canonical, digest, instant, plain
from portal.errors import Fault, Invalid, Refused, show

__all__ = [
    "MAX_DEPTH",
    "MAX_INTEGER",
    "PublicKey",
    "canonical",
    "digest",
    "instant",
    "plain",
]  # what is canonical is asked for here, because what is sealed always is

MAX_PAYLOAD = 8 * 1024 * 1024
MAX_SIGNATURES = 16
MIN_RSA_BITS = 3072
BUNDLE_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
DECISION_KEY, DECISION_PUBLIC_KEY, LEDGER_KEY = "decision.pem", "decision.pub.pem", "ledger.pem"
# What a key is called between the keyset that announces it and the moment it takes over.
COMING = {
    DECISION_KEY: "decision-next.pem",
    DECISION_PUBLIC_KEY: "decision-next.pub.pem",
    LEDGER_KEY: "ledger-next.pem",
}
RETIRED = "retired"
MISMATCH = f"What DECISION_SIGNER_URI signs does not fit {DECISION_PUBLIC_KEY}."

Envelope = dict[str, Any]
AnyPublicKey = ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey | rsa.RSAPublicKey


@dataclass(frozen=True)
class PublicKey:
    """A public key with the one algorithm it may be used with; `fingerprint` is the hex sha256 of its SPKI DER."""

    key: AnyPublicKey
    scheme: str
    fingerprint: str

    @property
    def pem(self) -> str:
        """Return the key as SPKI PEM text."""
        spki = serialization.PublicFormat.SubjectPublicKeyInfo
        return self.key.public_bytes(serialization.Encoding.PEM, spki).decode()

    def verifies(self, signature: bytes, message: bytes) -> bool:
        """Return whether the signature over exactly these bytes was made by this key."""
        try:
            if isinstance(self.key, ed25519.Ed25519PublicKey):
                self.key.verify(signature, message)
            elif isinstance(self.key, ec.EllipticCurvePublicKey):
                hashing = hashes.SHA384() if self.scheme.endswith("p384") else hashes.SHA256()
                self.key.verify(signature, message, ec.ECDSA(hashing))
            else:
                pss = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.AUTO)
                self.key.verify(signature, message, pss, hashes.SHA256())
        except InvalidSignature:
            return False
        return True


def load_public_key(pem: str | bytes) -> PublicKey:
    """Return the public key in SPKI PEM text.

    Accepts Ed25519, ECDSA on P-256 or P-384, and RSA (PSS, SHA-256) of at least 3072 bits; raises Invalid otherwise.
    """
    data = pem.encode() if isinstance(pem, str) else pem
    expected = f"one PEM public key: Ed25519, ECDSA P-256 or P-384, or RSA of at least {MIN_RSA_BITS} bits"
    try:
        key = serialization.load_pem_public_key(data)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise Invalid(Fault("public_key", show(data[:60]), expected)) from error
    return pinned(key, expected)


def pinned(key: object, expected: str = "a supported key") -> PublicKey:
    """Return a public key with its algorithm pinned. Raises Invalid for one of another kind."""
    match key:
        case ed25519.Ed25519PublicKey():
            scheme = "ed25519"
        case ec.EllipticCurvePublicKey() if isinstance(key.curve, ec.SECP256R1):
            scheme = "ecdsa-p256"
        case ec.EllipticCurvePublicKey() if isinstance(key.curve, ec.SECP384R1):
            scheme = "ecdsa-p384"
        case rsa.RSAPublicKey() if key.key_size >= MIN_RSA_BITS:
            scheme = "rsa-pss"
        case _:
            raise Invalid(Fault("public_key", type(key).__name__, expected))
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return PublicKey(key, scheme, digest(der))


def pae(payload_type: str, payload: bytes) -> bytes:
    """Return the DSSE v1 pre-authentication encoding: the bytes that are really signed."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def sign(payload: bytes, payload_type: str) -> Envelope:
    """Return a DSSE envelope of the payload, signed with the decision key.

    Raises ImproperlyConfigured when there is no decision key yet; see `ensure_keys`.
    """
    message, public = pae(payload_type, payload), decision_key()
    try:
        signature = _decision_signer(public).sign(message)
    except KeyMismatchError as error:
        raise ImproperlyConfigured(MISMATCH) from error
    if not public.verifies(bytes.fromhex(signature.signature), message):
        raise ImproperlyConfigured(MISMATCH)
    return {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": payload_type,
        "signatures": [
            {"keyid": signature.keyid, "sig": base64.b64encode(bytes.fromhex(signature.signature)).decode()}
        ],
    }


@dataclass(frozen=True)
class VerifiedEnvelope:
    """The payload of an envelope together with the fingerprints of the distinct keys that signed it."""

    payload: bytes
    payload_type: str
    fingerprints: frozenset[str]


def verify(envelope: Mapping[str, Any], keys: Sequence[PublicKey], *, threshold: int = 1) -> VerifiedEnvelope:
    """Return the envelope's payload once at least `threshold` of the given keys have signed it.

    Every signature is tried with every key: the key id is only a hint, and a key counts once however often it is
    named. Raises Invalid for a malformed envelope, Refused with code `bad-signature` when a key that is named and given
    does not verify, and with code `untrusted-key` when none of the given keys is named.
    """
    payload, payload_type, signatures = _open(envelope)
    message = pae(payload_type, payload)
    signers = {key.fingerprint for key in keys for _, signature in signatures if key.verifies(signature, message)}
    if len(signers) >= threshold > 0:
        return VerifiedEnvelope(payload, payload_type, frozenset(signers))
    if signers or {hint for hint, _ in signatures} & {key.fingerprint for key in keys}:
        raise Refused(
            "bad-signature",
            f"Of the {threshold} signatures by trusted keys that are needed, {len(signers)} fit the content.",
        )
    raise Refused("untrusted-key", "No signature on the envelope was made by a trusted key.")


def _open(envelope: Mapping[str, Any]) -> tuple[bytes, str, list[tuple[str, bytes]]]:
    """Return payload, payload type and (hint, signature) pairs of a well-formed DSSE envelope."""
    payload, payload_type, listed = (envelope.get(name) for name in ("payload", "payloadType", "signatures"))
    if not isinstance(payload_type, str) or not 0 < len(payload_type) <= 200:
        raise Invalid(Fault("payloadType", show(payload_type), "the media type of the payload"))
    if not isinstance(listed, list) or not 0 < len(listed) <= MAX_SIGNATURES:
        raise Invalid(Fault("signatures", show(listed), f"a list of 1 to {MAX_SIGNATURES} signatures"))
    signatures = []
    for index, member in enumerate(listed):
        if not isinstance(member, Mapping):
            raise Invalid(Fault(f"signatures[{index}]", show(member), "an object with `sig`"))
        signature = _decode(member.get("sig"), f"signatures[{index}].sig", 16_384)
        signatures.append((str(member.get("keyid") or ""), signature))
    return _decode(payload, "payload", MAX_PAYLOAD), payload_type, signatures


def payload_of(envelope: Mapping[str, Any], payload_type: str) -> bytes:
    """Return the payload of a well-formed envelope of one type, without believing it. Raises Invalid."""
    payload, found, _ = _open(envelope)
    if found != payload_type:
        raise Invalid(Fault("payloadType", show(found), payload_type))
    return payload


def _decode(text: object, field: str, limit: int) -> bytes:
    """Return the bytes of standard or URL-safe base64 text; DSSE allows both."""
    if isinstance(text, str) and len(text) <= limit * 4 // 3 + 4:
        try:
            return base64.b64decode(text.replace("-", "+").replace("_", "/").encode("ascii"), validate=True)
        except (binascii.Error, UnicodeEncodeError):
            pass
    raise Invalid(Fault(field, show(text), f"base64 text of at most {limit:,} bytes"))


def bundle(envelope: Envelope) -> dict[str, Any]:
    """Return the envelope as a Sigstore bundle v0.3, as cosign and other verifiers with a known key read it."""
    return {
        "mediaType": BUNDLE_TYPE,
        "verificationMaterial": {
            "publicKey": {"hint": envelope["signatures"][0]["keyid"]},
            "tlogEntries": [],
            "timestampVerificationData": {},
        },
        "dsseEnvelope": envelope,
    }


def ensure_keys() -> None:
    """Create the ledger key and the decision key under settings.KEYS_DIR where they are missing, readable by us only.

    Run it once when a portal is set up. It is never called implicitly, because a portal that loses its keys must stop
    and say so instead of signing with new ones. With DECISION_SIGNER_URI set only the ledger key is created.
    """
    for name in key_files():
        make_key(name)


def key_files() -> list[str]:
    """Return the names of the private keys that are files here: with DECISION_SIGNER_URI only the ledger's."""
    return [LEDGER_KEY] if settings.DECISION_SIGNER_URI else [LEDGER_KEY, DECISION_KEY]


def make_key(name: str) -> None:
    """Create one private key file under settings.KEYS_DIR where it is missing: Ed25519 for ledgers, else P-256."""
    path = Path(settings.KEYS_DIR) / name
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.exists():
        return
    is_ledger = name in (LEDGER_KEY, COMING[LEDGER_KEY])
    _store(path, ed25519.Ed25519PrivateKey.generate() if is_ledger else ec.generate_private_key(ec.SECP256R1()))


def install_coming(name: str) -> Path:
    """Let the coming key take the place of a key file, and return where the old one was put for its owner to destroy.

    Killed at any point, it can be run again; there is never a moment without a key.
    """
    path = Path(settings.KEYS_DIR) / name
    kept = path.parent / RETIRED / f"{path.stem}-{digest(path.read_bytes())[:12]}{path.suffix}"
    kept.parent.mkdir(mode=0o700, exist_ok=True)
    if not kept.exists():
        os.link(path, kept)
    (path.parent / COMING[name]).replace(path)
    return kept


def _store(path: Path, key: ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey) -> None:
    """Write a private key with mode 0600, whole or not at all; the first of two writers wins."""
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
        os.link(name, path)
    except FileExistsError:
        pass
    finally:
        Path(name).unlink()


def _read(name: str) -> bytes:
    """Return the content of a key file, or say how to create it."""
    path = Path(settings.KEYS_DIR) / name
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise ImproperlyConfigured(
            f"There is no key at {path}. Restore it, or create the keys of a new portal with `manage.py ensure_keys`."
        ) from error


def ledger_key(name: str = LEDGER_KEY) -> ed25519.Ed25519PrivateKey:
    """Return the Ed25519 key that signs checkpoints; raises ImproperlyConfigured when there is none."""
    key = serialization.load_pem_private_key(_read(name), None)
    if not isinstance(key, ed25519.Ed25519PrivateKey):
        raise ImproperlyConfigured(f"{name} holds a {type(key).__name__}; expected an Ed25519 private key.")
    return key


def next_ledger_key() -> ed25519.Ed25519PrivateKey | None:
    """Return the key that will sign checkpoints, while a rotation is prepared."""
    return ledger_key(COMING[LEDGER_KEY]) if (Path(settings.KEYS_DIR) / COMING[LEDGER_KEY]).exists() else None


def decision_file() -> str:
    """Return the name of the file that holds the decision key: its public half where a key service has the other."""
    return DECISION_PUBLIC_KEY if settings.DECISION_SIGNER_URI else DECISION_KEY


def decision_key(name: str = "") -> PublicKey:
    """Return the public key that verifies decisions; raises ImproperlyConfigured when there is none."""
    name = name or decision_file()
    if name.endswith(".pub.pem"):
        return load_public_key(_read(name))
    return pinned(serialization.load_pem_private_key(_read(name), None).public_key())


def public_half(private: ed25519.Ed25519PrivateKey) -> PublicKey:
    """Return the public half of a ledger key with its fingerprint."""
    return pinned(private.public_key())


def next_decision_key() -> PublicKey | None:
    """Return the public key that will verify decisions, while a rotation is prepared."""
    name = COMING[decision_file()]
    return decision_key(name) if (Path(settings.KEYS_DIR) / name).exists() else None


def _decision_signer(public: PublicKey) -> Signer:
    """Return the signer of the decision key: the key service at DECISION_SIGNER_URI, or the key file."""
    known = SSlibKey.from_crypto(public.key, public.fingerprint)
    if settings.DECISION_SIGNER_URI:
        return Signer.from_priv_key_uri(settings.DECISION_SIGNER_URI, known)
    return CryptoSigner(serialization.load_pem_private_key(_read(DECISION_KEY), None), known)
