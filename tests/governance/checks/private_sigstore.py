"""A whole private Sigstore instance in memory: certificate authority, certificate log and transparency log.

It signs as the public one does (certificates of ten minutes with a certificate timestamp, log entries with inclusion
proof, checkpoint and promise), so that what is refused is refused for the reason a test means.
"""

from __future__ import annotations

import base64
import hashlib
import json
import struct
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import rfc8785
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from audit import seal

ISSUER = "https://token.actions.example"
WORKFLOW = "https://git.example.com/ml/fraud-scorer/.github/workflows/train.yml@refs/heads/main"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
SHA256 = hashes.SHA256()
Key = ec.EllipticCurvePrivateKey


def new_key() -> Key:
    return ec.generate_private_key(ec.SECP256R1())


def spki(key: Key) -> bytes:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.DER, form)


def der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.DER)


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def octets(data: bytes, tag: int = 0x04) -> bytes:
    """Return DER of one value of at most 65,535 bytes."""
    length = bytes([len(data)]) if len(data) < 128 else b"\x82" + struct.pack("!H", len(data))
    return bytes([tag]) + length + data


@dataclass
class Instance:
    """One private Sigstore; every instance has keys of its own, and so trusts no other."""

    authority: Key = field(default_factory=new_key)
    certificate_log: Key = field(default_factory=new_key)
    transparency_log: Key = field(default_factory=new_key)
    founded: datetime = field(default_factory=lambda: datetime.now(UTC) - timedelta(days=30))

    def __post_init__(self) -> None:
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "private authority")])
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        self.root = (
            x509.CertificateBuilder(name, name, self.authority.public_key(), x509.random_serial_number())
            .not_valid_before(self.founded)
            .not_valid_after(self.founded + timedelta(days=3650))
            .add_extension(x509.BasicConstraints(True, 1), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self.authority.public_key()), critical=False)
            .sign(self.authority, SHA256)
        )

    def trusted_root(self, **changes: Any) -> str:
        """Return the trusted_root.json of the instance."""
        window = {"start": self.founded.isoformat(), **changes.pop("log_window", {})}
        document = {
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": [self.log_of(self.transparency_log, "rekor", window)],
            "certificateAuthorities": [
                {
                    "subject": {"organization": "private", "commonName": "private authority"},
                    "uri": "https://fulcio.example",
                    "certChain": {"certificates": [{"rawBytes": encoded(der(self.root))}]},
                    "validFor": {"start": self.founded.isoformat()},
                }
            ],
            "ctlogs": [self.log_of(self.certificate_log, "ct", window)],
            **changes,
        }
        return json.dumps(document)

    def log_of(self, key: Key, name: str, window: dict[str, str]) -> dict[str, Any]:
        """Return how a trust root names a log."""
        return {
            "baseUrl": f"https://{name}.example",
            "hashAlgorithm": "SHA2_256",
            "publicKey": {
                "rawBytes": encoded(spki(key)),
                "keyDetails": "PKIX_ECDSA_P256_SHA_256",
                "validFor": window,
            },
            "logId": {"keyId": encoded(hashlib.sha256(spki(key)).digest())},
        }

    def certify(self, key: Key, at: datetime, identity: str, issuer: str) -> x509.Certificate:
        """Return a certificate of ten minutes for an identity, with the timestamp of the certificate log in it."""
        usage = x509.KeyUsage(True, False, False, False, False, False, False, False, False)
        names = x509.UniformResourceIdentifier(identity) if "://" in identity else x509.RFC822Name(identity)
        builder = (
            x509.CertificateBuilder(self.root.subject, x509.Name([]), key.public_key(), x509.random_serial_number())
            .not_valid_before(at)
            .not_valid_after(at + timedelta(minutes=10))
            .add_extension(usage, critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.authority.public_key()), critical=False
            )
            .add_extension(x509.SubjectAlternativeName([names]), critical=True)
            .add_extension(extension("1.3.6.1.4.1.57264.1.1", issuer.encode()), critical=False)
            .add_extension(extension("1.3.6.1.4.1.57264.1.8", octets(issuer.encode(), 0x0C)), critical=False)
        )
        stamp = self.stamp(builder.sign(self.authority, SHA256).tbs_certificate_bytes, at)
        return builder.add_extension(extension("1.3.6.1.4.1.11129.2.4.2", stamp), critical=False).sign(
            self.authority, SHA256
        )

    def stamp(self, certificate: bytes, at: datetime) -> bytes:
        """Return the list with one certificate timestamp over a precertificate (RFC 6962 §3.2, §3.3)."""
        moment = int(at.timestamp() * 1000)
        entry = hashlib.sha256(spki(self.authority)).digest() + len(certificate).to_bytes(3, "big") + certificate
        signed = struct.pack("!BBQH", 0, 0, moment, 1) + entry + struct.pack("!H", 0)
        signature = self.certificate_log.sign(signed, ec.ECDSA(SHA256))
        timestamp = b"\x00" + hashlib.sha256(spki(self.certificate_log)).digest() + struct.pack("!QH", moment, 0)
        timestamp += struct.pack("!BBH", 4, 3, len(signature)) + signature
        listed = struct.pack("!H", len(timestamp)) + timestamp
        return octets(struct.pack("!H", len(listed)) + listed)

    def sign(
        self,
        payload: bytes,
        *,
        at: datetime | None = None,
        logged_at: datetime | None = None,
        identity: str = WORKFLOW,
        issuer: str = ISSUER,
        payload_type: str = PAYLOAD_TYPE,
    ) -> dict[str, Any]:
        """Return the Sigstore bundle of a payload, signed at one instant and logged at the same or another."""
        at = (at or datetime.now(UTC) - timedelta(minutes=1)).replace(microsecond=0)
        key = new_key()
        certificate = self.certify(key, at, identity, issuer)
        signature = encoded(key.sign(seal.pae(payload_type, payload), ec.ECDSA(SHA256)))
        return {
            "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
            "verificationMaterial": {
                "certificate": {"rawBytes": encoded(der(certificate))},
                "tlogEntries": [self.enter(payload, signature, certificate, logged_at or at)],
            },
            "dsseEnvelope": {
                "payload": encoded(payload),
                "payloadType": payload_type,
                "signatures": [{"sig": signature}],
            },
        }

    def enter(self, payload: bytes, signature: str, certificate: x509.Certificate, at: datetime) -> dict[str, Any]:
        """Return the entry of the transparency log (dsse 0.0.1), the second of a log with two."""
        pem = certificate.public_bytes(serialization.Encoding.PEM)
        body = rfc8785.dumps(
            {
                "apiVersion": "0.0.1",
                "kind": "dsse",
                "spec": {
                    "envelopeHash": {"algorithm": "sha256", "value": "00" * 32},
                    "payloadHash": {"algorithm": "sha256", "value": hashlib.sha256(payload).hexdigest()},
                    "signatures": [{"signature": signature, "verifier": encoded(pem)}],
                },
            }
        )
        first = hashlib.sha256(b"\x00an older entry").digest()
        top = hashlib.sha256(b"\x01" + first + hashlib.sha256(b"\x00" + body).digest()).digest()
        log_id, seconds = hashlib.sha256(spki(self.transparency_log)).digest(), int(at.timestamp())
        promised = {"body": encoded(body), "integratedTime": seconds, "logID": log_id.hex(), "logIndex": 1}
        note = f"rekor.example - 1\n2\n{encoded(top)}\n"
        line = encoded(log_id[:4] + self.vouch(note.encode()))
        return {
            "logIndex": "1",
            "logId": {"keyId": encoded(log_id)},
            "kindVersion": {"kind": "dsse", "version": "0.0.1"},
            "integratedTime": str(seconds),
            "inclusionPromise": {"signedEntryTimestamp": encoded(self.vouch(rfc8785.dumps(promised)))},
            "inclusionProof": {
                "logIndex": "1",
                "rootHash": encoded(top),
                "treeSize": "2",
                "hashes": [encoded(first)],
                "checkpoint": {"envelope": f"{note}\n— rekor.example {line}\n"},
            },
            "canonicalizedBody": encoded(body),
        }

    def vouch(self, data: bytes) -> bytes:
        """Return the transparency log's signature."""
        return self.transparency_log.sign(data, ec.ECDSA(SHA256))


def extension(oid: str, value: bytes) -> x509.UnrecognizedExtension:
    """Return an extension that cryptography has no type for."""
    return x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), value)
