"""Reads provenance: an in-toto Statement v1 in a DSSE envelope, bare or inside a Sigstore bundle v0.3.

Two predicates are understood: SLSA provenance v1 and OpenSSF model-signing v1.0. This is structure only: whether a
signature is good and a builder is trusted is asked by the provenance check, with the envelope kept in the Statement.

Sources: DSSE protocol v1.0.2, in-toto attestation Statement v1, https://slsa.dev/spec/v1.0/provenance,
https://github.com/sigstore/model-transparency (model_signing/signature/v1.0).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
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
        document = fields.as_mapping(parse(body, max_bytes=self.max_bytes), "")
        envelope, at, media_type = _envelope(document)
        signatures = _signatures(envelope, at)
        payload = _payload(envelope, at)
        statement = _statement(envelope, payload, signatures)
        digests = [digest for _, digest in statement.resources or statement.subjects]
        return Reading(
            kind=self.kind,
            reader=self.slug,
            media_type=media_type,
            summary=_summary(statement, media_type),
            warnings=() if statement.resources else slsa.warnings_of(statement),
            statement=statement,
            suggestions=_suggestions(statement),
            subject_digests=tuple(dict.fromkeys(digests)),
            measured_at=statement.finished_at,
        )


def _envelope(document: dict[str, Any]) -> tuple[dict[str, Any], str, str]:
    """Return (envelope, its path, media type of the document)."""
    if "payloadType" in document and "dsseEnvelope" in document:
        # Two readers could verify one envelope and show the other.
        fail("document", "two envelopes, a bare one and one in a bundle", "one envelope")
    if "payloadType" in document:
        return document, "", "application/vnd.dsse.envelope.v1+json"
    media_type = fields.text(document, "mediaType", limit=200, required=True)
    if media_type not in BUNDLE_TYPES:
        fail("mediaType", f"unsupported {picture(media_type)}", f"a Sigstore bundle v0.3, {BUNDLE_TYPES[0]}")
    if "dsseEnvelope" not in document:
        fail("dsseEnvelope", "a bundle over a bare signature", "a bundle with a dsseEnvelope")
    fields.mapping(document, "verificationMaterial", required=True)
    return fields.mapping(document, "dsseEnvelope", required=True), "dsseEnvelope", media_type


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


def _statement(envelope: dict[str, Any], payload: bytes, signatures: tuple[tuple[str, bytes], ...]) -> Statement:
    """Return the statement inside the signed bytes."""
    statement = fields.as_mapping(parse(payload, max_bytes=MAX_BYTES), "payload")
    if (seen := statement.get("_type")) != STATEMENT_TYPE:
        fail("payload._type", f"unsupported {picture(seen)}", STATEMENT_TYPE)
    predicate_type = fields.text(statement, "predicateType", "payload", required=True)
    predicate = fields.mapping(statement, "predicate", "payload", required=True)
    understood: dict[str, Any]
    if predicate_type == SLSA_V1:
        understood = slsa.read_predicate(predicate)
    elif predicate_type == MODEL_SIGNING_V1:
        understood = {"resources": _resources(predicate)}
    else:
        fail("payload.predicateType", f"unsupported {picture(predicate_type)}", f"{SLSA_V1} or {MODEL_SIGNING_V1}")
    subjects = _subjects(statement)
    if predicate_type == MODEL_SIGNING_V1:
        _expect_root(subjects, understood["resources"])
    return Statement(
        subjects=subjects,
        predicate_type=predicate_type,
        predicate=predicate,
        envelope=envelope,
        payload=payload,
        signatures=signatures,
        **understood,
    )


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


def _summary(statement: Statement, media_type: str) -> dict[str, Any]:
    """Return what pages show of a statement."""
    materials = [{"uri": material.uri, "digests": dict(material.digests)} for material in statement.materials]
    return {
        "format": "DSSE envelope" if "dsse" in media_type else "Sigstore bundle v0.3",
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
