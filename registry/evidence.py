"""How evidence comes in: read it, keep its bytes under their digest, and write down what it says.

Evidence is only ever added. The newest document of a kind counts; evaluations count all together.
"""

from __future__ import annotations

import re

from django.utils import timezone

from audit import log
from audit.events import Event
from portal.errors import Fault, Invalid, Refused, show
from portal.jobs import Job, ring
from registry import readers, storage
from registry.models import Evaluation, Evidence, SbomComponent, User, Version
from registry.readers.reading import Reading
from registry.registration import EvidencePart

DIGEST = re.compile(r"[0-9a-f]{64}")
BATCH = 2000


def attach(
    version: Version, *, actor: User, kind: str, filename: str, body: bytes, identity_digest: str = ""
) -> Evidence:
    """Attach one document to a version and return it; the same bytes again return the row that is there.

    `identity_digest` declares what an evaluation was measured on, for tools that do not record it themselves.
    Raises Invalid when no reader understands the bytes or the declaration contradicts them, and Refused when the same
    bytes were declared to be about something else before.
    """
    expect_declaration(kind, identity_digest)
    name = expect_filename(filename)
    reading = readers.read(body, kind=kind, filename=name)
    subjects = expect_agreement(reading, identity_digest)
    with log.record(Event.EVIDENCE_ATTACHED, actor=actor, subject=version, kind=kind) as entry:
        version = Version.objects.select_for_update(of=("self",)).select_related("asset").get(pk=version.pk)
        actor.require("evidence.attach", version)
        if version.state == "retired":
            raise Refused("version_retired", f"{version.label} is retired: its record is closed.")
        stored = storage.put(body)
        known = Evidence.objects.filter(version=version, kind=kind, sha256=stored.sha256).first()
        if known is not None:
            expect_same_subject(known, subjects)
            entry.skip()
            return known
        row = keep(version, reading, stored, kind=kind, filename=name, subjects=subjects, actor=actor)
        entry.note(sha256=stored.sha256, reader=reading.reader)
        ring(Job.RUN_CHECKS)
    return row


def keep(
    version: Version,
    reading: Reading,
    stored: storage.Stored,
    *,
    kind: str,
    filename: str,
    subjects: list[str],
    actor: User,
) -> Evidence:
    """Write down a document whose bytes are stored, with everything it says; the caller has asked and is recording."""
    row = Evidence.objects.create(
        version=version,
        kind=kind,
        reader=reading.reader,
        media_type=reading.media_type,
        filename=filename,
        sha256=stored.sha256,
        size=stored.size,
        summary=dict(reading.summary),
        warnings=list(reading.warnings),
        subject_digests=subjects,
        author=reading.author[:200],
        attached_by=actor,
        attached_at=timezone.now(),
    )
    write_parts(row, reading, subjects)
    return row


def attach_once(version: Version, part: EvidencePart, *, actor: User) -> Evidence:
    """Attach a document that came inside a registration."""
    try:
        body = part.body()
    except ValueError as error:
        raise Invalid(Fault("evidence.content_base64", show(part.content_base64, 20), str(error))) from error
    return attach(
        version,
        actor=actor,
        kind=part.kind,
        filename=part.filename,
        body=body,
        identity_digest=part.identity_digest,
    )


def expect_declaration(kind: str, identity_digest: str) -> None:
    """Raise Invalid unless a declared digest is well-formed and belongs to an evaluation."""
    if identity_digest and kind != "evaluation":
        raise Invalid(Fault("identity_digest", show(identity_digest), "nothing, except for an evaluation report"))
    if identity_digest and not DIGEST.fullmatch(identity_digest):
        raise Invalid(Fault("identity_digest", show(identity_digest), "64 lower-case hexadecimal digits"))


def expect_filename(filename: str) -> str:
    """Return the last part of a file name without control characters. Raises Invalid when nothing is left."""
    name = "".join(char for char in filename.replace("\\", "/").rsplit("/", 1)[-1] if char.isprintable())[:255]
    if not name.strip(". "):
        raise Invalid(Fault("filename", show(filename), "a file name"))
    return name


def expect_agreement(reading: Reading, declared: str) -> list[str]:
    """Return the digests a document is about. Raises Invalid when a declaration contradicts the document."""
    named = list(reading.subject_digests)
    if declared and named and declared not in named:
        raise Invalid(Fault("identity_digest", show(declared), f"what the document itself names: {', '.join(named)}"))
    return named or ([declared] if declared else [])


def expect_same_subject(known: Evidence, subjects: list[str]) -> None:
    """Raise Refused when a document that is attached already is declared to be about something else."""
    if subjects and subjects != known.subject_digests:
        attached, declared = ", ".join(known.subject_digests) or "nobody knows what", ", ".join(subjects)
        raise Refused(
            "declaration_differs",
            f"{known.filename} is attached as a document about {attached}, and this request says {declared}. "
            "A document is never changed: write a new one that names what it is about.",
            expected=attached,
            seen=declared,
        )


def write_parts(row: Evidence, reading: Reading, subjects: list[str]) -> None:
    """Write the metrics and the SBOM components that a document names, one row each."""
    measured = reading.measured_at or row.attached_at
    Evaluation.objects.bulk_create(
        [
            Evaluation(
                evidence=row,
                category=metric.category,
                metric=metric.name[:120],
                value=metric.value,
                unit=metric.unit[:40],
                sample_size=metric.n,
                measured_at=metric.measured_at or measured,
                subject_digest=subjects[0] if subjects else "",
            )
            for metric in reading.metrics
        ],
        batch_size=BATCH,
    )
    SbomComponent.objects.bulk_create(
        [
            SbomComponent(
                evidence=row,
                type=part.type[:40],
                name=part.name[:300],
                version=part.version[:200],
                purl=part.purl[:600],
                purl_type=part.purl_type[:40],
                purl_name=part.purl_name[:300],
                licences=list(part.licences),
                paths=list(part.paths),
            )
            for part in reading.parts
        ],
        batch_size=BATCH,
    )


def newest(version: Version, kind: str) -> Evidence | None:
    """Return the document of a kind that counts: the one attached last."""
    return version.evidence.filter(kind=kind).first()


def reread(row: Evidence) -> Reading:
    """Read a stored document again, as a check does that needs more than its summary."""
    return readers.read(storage.read(row.sha256, max_bytes=row.size), kind=row.kind, filename=row.filename)
