"""How the facts look as JSON: one class for each answer, one function that makes it."""

from __future__ import annotations

from ninja import Schema

from audit import seal
from registry import completeness
from registry.intake import Registered
from registry.models import Evidence
from registry.web.doors import absolute, prefixed


class DocumentAnswer(Schema):
    """One attached document: what was understood, and the sha256 (hex) and size (bytes) of what is kept."""

    id: str
    kind: str
    filename: str
    reader: str
    sha256: str
    size: int
    attached_at: str
    about: list[str]
    warnings: list[str]


class RegistrationAnswer(Schema):
    """The outcome of a registration. `missing` says what nomination would still ask for."""

    version: str
    created: bool
    state: str
    identity_digest: str | None
    url: str
    evidence: list[DocumentAnswer]
    missing: list[str]


def document(row: Evidence) -> DocumentAnswer:
    """Return one attached document."""
    return DocumentAnswer(
        id=str(row.public_id),
        kind=row.kind,
        filename=row.filename,
        reader=row.reader,
        sha256=row.sha256,
        size=row.size,
        attached_at=seal.instant(row.attached_at),
        about=[f"sha256:{digest}" for digest in row.subject_digests],
        warnings=row.warnings,
    )


def registration(outcome: Registered) -> RegistrationAnswer:
    """Return the outcome of a registration."""
    version = outcome.version
    return RegistrationAnswer(
        version=version.label,
        created=outcome.created,
        state=version.state,
        identity_digest=prefixed(version.identity_digest),
        url=absolute(version.get_absolute_url()),
        evidence=[document(row) for row in version.evidence.all()],
        missing=[str(fault) for fault in completeness.measure(version).faults],
    )
