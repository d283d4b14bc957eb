"""Reads provenance: an in-toto Statement v1 in a DSSE envelope, bare or inside a Sigstore bundle v0.3.

Two predicates are understood: SLSA provenance v1 and OpenSSF model-signing v1.0; `unwrap` reads the statement around
any other. This is structure only: whether a signature is good and a builder is trusted is asked by the provenance
check, with envelope and bundle kept in the statement.

Sources: DSSE protocol v1.0.2, in-toto attestation Statement v1, https://slsa.dev/spec/v1.0/provenance,
https://github.com/sigstore/model-transparency (model_signing/signature/v1.0), sigstore_bundle.proto of
https://github.com/sigstore/protobuf-specs (v0.3).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from registry.readers import fields, slsa
from registry.readers.documents import fail, parse, picture
from registry.readers.reading import Reading, Statement

MAX_BYTES = 1024 * 1024
MAX_SIGNATURES = 16
MAX_SUBJECTS = 10_000
PAYLOAD_TYPE = "application/vnd.in-toto+json"
BUNDLE_TYPES = (
    "application/vnd.dev.sigstore.bundle.v0.3+json",
    "application/vnd.dev.sigstore.bundle+json;version=0.3",
)
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
SLSA_V1 = "https://slsa.dev/provenance/v1"
MODEL_SIGNING_V1 = "https://model_signing/signature/v1.0"
ENVELOPE_TYPE = "application/vnd.dsse.envelope.v1+json"


@dataclass(frozen=True)
class BundledStatement(Statement):
    """A statement with the Sigstore bundle it came in, as it was parsed; the bundle of a bare envelope is empty."""

    bundle: Mapping[str, Any] = field(default_factory=dict)

    @property
    def media_type(self) -> str:
        """Return the media type of the document."""
        return str(self.bundle.get("mediaType", ENVELOPE_TYPE))

    @property
    def material(self) -> Mapping[str, Any]:
        """Return what the bundle says it is to be verified with: a key's hint, or a certificate and log entries."""
        found: Mapping[str, Any] = self.bundle.get("verificationMaterial", {})
        return found


class InToto:
    """The reader of in-toto attestations."""

    slug = "in-toto"
    title = "in-toto Statement v1 (SLSA v1 or OpenSSF model-signing v1.0) in a DSSE envelope or a Sigstore bundle v0.3"
    kind = "provenance"
    max_bytes = MAX_BYTES

    def recognises(self, body: bytes) -> bool:
        """Say whether the body has an envelope in it, or is a Sigstore bundle of whatever version and content."""
        return b'"payloadType"' in body or b"application/vnd.dev.sigstore.bundle" in body

    def read(self, body: bytes) -> Reading:
        """Return the statement, its subjects and who was behind it. Raises Invalid; verifies no signature."""
        statement = _understand(unwrap(body))
        digests = [digest for _, digest in statement.resources or statement.subjects]
        return Reading(
            kind=self.kind,
            reader=self.slug,
            media_type=statement.media_type,
            summary=_summary(statement),
            warnings=() if statement.resources else slsa.warnings_of(statement),
            statement=statement,
            suggestions=_suggestions(statement),
            subject_digests=tuple(dict.fromkeys(digests)),
            measured_at=statement.finished_at,
        )


def unwrap(body: bytes) -> BundledStatement:
    """Return the statement in an envelope or a bundle, whatever its predicate says; that is left unread.

    Raises Invalid for anything but an in-toto Statement v1 in a well-formed DSSE envelope or Sigstore bundle v0.3.
    Verifies no signature.
    """
    document = fields.as_mapping(parse(body, max_bytes=MAX_BYTES), "")
    bundle = {} if "payloadType" in document else document
    envelope, at = _envelope(document)
    signatures = _signatures(envelope, at)
    payload = _payload(envelope, at)
    statement = fields.as_mapping(parse(payload, max_bytes=MAX_BYTES), "payload")
    if (seen := statement.get("_type")) != STATEMENT_TYPE:
        fail("payload._type", f"unsupported {picture(seen)}", STATEMENT_TYPE)
    return BundledStatement(
        subjects=_subjects(statement),
        predicate_type=fields.text(statement, "predicateType", "payload", required=True),
        predicate=fields.mapping(statement, "predicate", "payload", required=True),
        envelope=envelope,
        payload=payload,
        signatures=signatures,
        bundle=bundle,
    )


def _understand(statement: BundledStatement) -> BundledStatement:
    """Return the statement with the fields that its predicate fills. Raises Invalid for a predicate nobody knows."""
    predicate = dict(statement.predicate)
    if statement.predicate_type == SLSA_V1:
        return replace(statement, **slsa.read_predicate(predicate))
    if statement.predicate_type != MODEL_SIGNING_V1:
        seen = f"unsupported {picture(statement.predicate_type)}"
        fail("payload.predicateType", seen, f"{SLSA_V1} or {MODEL_SIGNING_V1}")
    resources = _resources(predicate)
    _expect_root(statement.subjects, resources)
    return replace(statement, resources=resources)


def _envelope(document: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """Return (envelope, its path) of a bare envelope, or of a bundle that is what it says it is."""
    if "payloadType" in document and "dsseEnvelope" in document:
        # Two readers could verify one envelope and show the other.
        fail("document", "two envelopes, a bare one and one in a bundle", "one envelope")
    if "payloadType" in document:
        return document, ""
    media_type = fields.text(document, "mediaType", limit=200, required=True)
    if media_type not in BUNDLE_TYPES:
        fail("mediaType", f"unsupported {picture(media_type)}", f"a Sigstore bundle v0.3, {BUNDLE_TYPES[0]}")
    if "dsseEnvelope" not in document or "messageSignature" in document:
        fail("dsseEnvelope", "a bundle over a bare signature", "a bundle with a dsseEnvelope and nothing beside it")
    _expect_material(fields.mapping(document, "verificationMaterial", required=True))
    envelope = fields.mapping(document, "dsseEnvelope", required=True)
    if len(signatures := fields.array(envelope, "signatures", "dsseEnvelope", required=True)) != 1:
        fail("dsseEnvelope.signatures", f"{len(signatures)} signatures", "exactly one signature in a bundle")
    return envelope, "dsseEnvelope"


def _expect_material(material: dict[str, Any]) -> None:
    """Raise Invalid unless a bundle is to be verified in exactly one way: with a known key, or with a certificate.

    A bundle v0.3 holds the one certificate of its signer; what stands above that comes from the verifier's own root.
    """
    at = "verificationMaterial"
    ways = [name for name in ("publicKey", "certificate", "x509CertificateChain") if name in material]
    if ways == ["publicKey"]:
        key = fields.mapping(material, "publicKey", at, required=True)
        fields.text(key, "hint", f"{at}.publicKey", limit=1000)
    elif ways == ["certificate"]:
        certificate = fields.mapping(material, "certificate", at, required=True)
        _base64(certificate, "rawBytes", f"{at}.certificate", limit=64 * 1024)
    else:
        fail(at, ", ".join(ways) or "neither a key nor a certificate", "either a publicKey or a certificate")
    fields.mappings(material, "tlogEntries", at)
    fields.mapping(material, "timestampVerificationData", at)


def _signatures(envelope: dict[str, Any], at: str) -> tuple[tuple[str, bytes], ...]:
    """Return (keyid, signature) for each signature of the envelope; the keyid may be absent (DSSE v1.0.2)."""
    entries = fields.mappings(envelope, "signatures", at, required=True)
    if not 1 <= len(entries) <= MAX_SIGNATURES:
        fail(fields.below(at, "signatures"), f"{len(entries)} signatures", f"1 to {MAX_SIGNATURES} signatures")
    return tuple(
        (fields.text(entry, "keyid", place, limit=1000), _base64(entry, "sig", place, limit=8000))
        for place, entry in entries
    )


def _payload(envelope: dict[str, Any], at: str) -> bytes:
    """Return the signed bytes, after checking what they claim to be."""
    payload_type = fields.text(envelope, "payloadType", at, required=True)
    if payload_type != PAYLOAD_TYPE:
        fail(fields.below(at, "payloadType"), picture(payload_type), PAYLOAD_TYPE)
    return _base64(envelope, "payload", at, limit=MAX_BYTES)


def _base64(holder: dict[str, Any], key: str, at: str, *, limit: int) -> bytes:
    """Return bytes written in base64, in the standard or the URL alphabet (both are allowed by DSSE)."""
    written = fields.text(holder, key, at, limit=limit, required=True)
    try:
        return base64.b64decode(written.replace("-", "+").replace("_", "/"), validate=True)
    except (binascii.Error, ValueError):
        fail(fields.below(at, key), picture(written), "base64")


def _subjects(statement: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    """Return (name, sha256) of each subject. Every subject needs a sha256: it is what evidence is matched by."""
    entries = fields.mappings(statement, "subject", "payload", required=True)
    if not 1 <= len(entries) <= MAX_SUBJECTS:
        fail("payload.subject", f"{len(entries):,} subjects", f"1 to {MAX_SUBJECTS:,} subjects")
    subjects = []
    for place, entry in entries:
        digest = fields.mapping(entry, "digest", place, required=True)
        sha256 = fields.sha256(digest, "sha256", fields.below(place, "digest"), required=True)
        subjects.append((fields.text(entry, "name", place), sha256))
    return tuple(subjects)


def _resources(predicate: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    """Return (name, sha256) of each file of a signed model (OpenSSF model-signing v1.0)."""
    at = "payload.predicate"
    how = fields.mapping(predicate, "serialization", at, required=True)
    if (method := how.get("method")) != "files":
        fail(f"{at}.serialization.method", f"unsupported {picture(method)}", "files")
    if (algorithm := how.get("hash_type")) != "sha256":
        fail(f"{at}.serialization.hash_type", f"unsupported {picture(algorithm)}", "sha256")
    entries = fields.mappings(predicate, "resources", at, required=True)
    if not 1 <= len(entries) <= MAX_SUBJECTS:
        fail(f"{at}.resources", f"{len(entries):,} resources", f"1 to {MAX_SUBJECTS:,} resources")
    resources = []
    for place, entry in entries:
        if (algorithm := entry.get("algorithm")) != "sha256":
            fail(f"{place}.algorithm", f"unsupported {picture(algorithm)}", "sha256")
        name = fields.text(entry, "name", place, required=True)
        resources.append((name, fields.sha256(entry, "digest", place, required=True)))
    if len({name for name, _ in resources}) != len(resources):
        fail(f"{at}.resources", "one file name more than once", "every file once")
    return tuple(resources)


def _expect_root(subjects: tuple[tuple[str, str], ...], resources: tuple[tuple[str, str], ...]) -> None:
    """Raise Invalid unless the one subject's digest is the sha256 of the files' digests one after the other."""
    root = hashlib.sha256(b"".join(bytes.fromhex(digest) for _, digest in resources)).hexdigest()
    if [digest for _, digest in subjects] != [root]:
        fail("payload.subject", picture([digest for _, digest in subjects]), f"one subject with the sha256 {root}")


def _summary(statement: BundledStatement) -> dict[str, Any]:
    """Return what pages show of a statement."""
    materials = [{"uri": material.uri, "digests": dict(material.digests)} for material in statement.materials]
    return {
        "format": "Sigstore bundle v0.3" if statement.bundle else "DSSE envelope",
        "verified_with": "certificate" if "certificate" in statement.material else "key",
        "predicate_type": statement.predicate_type,
        "subjects": [{"name": name, "sha256": digest} for name, digest in statement.subjects[:100]],
        "resources": [{"name": name, "sha256": digest} for name, digest in statement.resources[:100]],
        "subject_count": len(statement.resources or statement.subjects),
        "builder": statement.builder_id,
        "build_type": statement.build_type,
        "source_repository": statement.source_uri,
        "source_commit": statement.source_commit,
        "materials": materials[:100],
        "invocation": statement.invocation_id,
        "started_at": statement.started_at.isoformat() if statement.started_at else "",
        "finished_at": statement.finished_at.isoformat() if statement.finished_at else "",
        "people": list(statement.people),
        "signatures": len(statement.signatures),
        "keyids": [keyid for keyid, _ in statement.signatures if keyid],
    }


def _suggestions(statement: Statement) -> dict[str, str | list[str]]:
    """Return what the statement offers to the registration form."""
    offered: dict[str, str | list[str]] = {
        "artifact_sha256": statement.subjects[0][1] if len(statement.subjects) == 1 and not statement.resources else "",
        "source_repository": statement.source_uri,
        "source_commit": statement.source_commit,
        "build_id": statement.invocation_id,
        "authors": list(statement.people),
    }
    if len(statement.resources) == 1:
        offered["artifact_sha256"] = statement.resources[0][1]
    return {key: value for key, value in offered.items() if value}
