"""Reads signed evaluations: an in-toto statement in a DSSE envelope or a Sigstore bundle that vouches for measurements.

Two predicates are understood. `https://countersign.dev/attestation/evaluation/v1` is a whole evaluation package (see
`native`) and carries its metrics itself. `https://in-toto.io/attestation/test-result/v0.1` names the raw reports it
speaks for in `reports`, resource descriptors with a sha256 (an added field, which in-toto's parsing rules allow):

    "predicate": {"result": "PASSED", "configuration": [], "reports": [{"name": "garak.report.jsonl",
                  "digest": {"sha256": "…64 hex digits…"}}]}

The subjects are the identity digests that were measured. This is structure only: whether the signature is good and by
whom is asked by the evaluations check, which then holds the measurements to be proven.

Source: in-toto attestation predicates, test-result v0.1.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from registry.readers import fields, in_toto
from registry.readers.documents import fail, picture, plain
from registry.readers.native import read_package
from registry.readers.reading import Reading, Statement

TEST_RESULT = "https://in-toto.io/attestation/test-result/v0.1"
EVALUATION = "https://countersign.dev/attestation/evaluation/v1"
RESULTS = ("PASSED", "WARNED", "FAILED")
MAX_SUBJECTS = 100
MAX_REPORTS = 100


class SignedEvaluation:
    """The reader of signed evaluations."""

    slug = "signed-evaluation"
    title = "signed evaluation (in-toto test-result v0.1 or evaluation v1 in a DSSE envelope or Sigstore bundle)"
    kind = "evaluation"
    max_bytes = in_toto.MAX_BYTES

    def recognises(self, body: bytes) -> bool:
        """Say whether the body has an envelope in it, or is a Sigstore bundle of whatever version and content."""
        return b'"payloadType"' in body or b"application/vnd.dev.sigstore.bundle" in body

    def read(self, body: bytes) -> Reading:
        """Return the metrics or the reports that the statement vouches for. Raises Invalid; verifies no signature."""
        statement = in_toto.unwrap(body)
        subjects = tuple(dict.fromkeys(digest for _, digest in statement.subjects))
        if len(subjects) > MAX_SUBJECTS:
            fail("payload.subject", f"{len(subjects):,} subjects", f"at most {MAX_SUBJECTS} subjects")
        if statement.predicate_type == EVALUATION:
            reading = carried(statement, subjects)
        elif statement.predicate_type == TEST_RESULT:
            reading = vouched(statement, subjects)
        else:
            seen = f"unsupported {picture(statement.predicate_type)}"
            fail("payload.predicateType", seen, f"{TEST_RESULT} or {EVALUATION}")
        told = {"format": self.title, "predicate_type": statement.predicate_type, **origin(statement)}
        return replace(
            reading,
            reader=self.slug,
            media_type=statement.media_type,
            summary={**reading.summary, **told},
            statement=statement,
        )


def carried(statement: Statement, subjects: tuple[str, ...]) -> Reading:
    """Return the package that the predicate is. Raises Invalid when it is about something else than the statement."""
    reading = read_package(dict(statement.predicate))
    (identity,) = reading.subject_digests
    if identity not in subjects:
        seen = picture(identity)
        fail("payload.predicate.subject.identity_digest", seen, f"one of the statement's subjects, {subjects[0]}")
    return replace(reading, subject_digests=(identity, *(each for each in subjects if each != identity)))


def vouched(statement: Statement, subjects: tuple[str, ...]) -> Reading:
    """Return the reports that a test result vouches for."""
    at = "payload.predicate"
    predicate = dict(statement.predicate)
    result = fields.text(predicate, "result", at, limit=20, required=True).upper()
    if result not in RESULTS:
        fail(f"{at}.result", picture(predicate["result"]), f"one of {', '.join(RESULTS)}")
    reports = reports_of(predicate, at)
    warnings = (f"The signer's own verdict on the tests is {result}.",) if result != "PASSED" else ()
    return Reading(
        kind=SignedEvaluation.kind,
        reader=SignedEvaluation.slug,
        media_type="",
        summary={
            "result": result,
            "reports": [{"name": name, "sha256": digest} for name, digest in reports],
            "configuration": plain(fields.array(predicate, "configuration", at)[:20]),
        },
        warnings=warnings,
        subject_digests=subjects,
        reports=tuple(dict.fromkeys(digest for _, digest in reports)),
    )


def reports_of(predicate: dict[str, Any], at: str) -> list[tuple[str, str]]:
    """Return (name, sha256) of each raw report that a test result names. Raises Invalid for none and too many."""
    entries = fields.mappings(predicate, "reports", at)
    if not 1 <= len(entries) <= MAX_REPORTS:
        expected = f"1 to {MAX_REPORTS} raw reports with their sha256, because a test result has no values itself"
        fail(f"{at}.reports", f"{len(entries):,} reports", expected)
    found = []
    for place, entry in entries:
        digest = fields.mapping(entry, "digest", place, required=True)
        sha256 = fields.sha256(digest, "sha256", fields.below(place, "digest"), required=True)
        found.append((fields.text(entry, "name", place, limit=300), sha256))
    return found


def origin(statement: Statement) -> dict[str, Any]:
    """Return what a summary shows of subjects and signatures."""
    return {
        "subjects": [{"name": name, "sha256": digest} for name, digest in statement.subjects[:MAX_SUBJECTS]],
        "signatures": len(statement.signatures),
        "keyids": [keyid for keyid, _ in statement.signatures if keyid],
    }
