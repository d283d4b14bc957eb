"""How evidence comes in: read it, keep its bytes under their digest, and write down what it says.

Evidence is only ever added. The newest document of a kind counts; evaluations count all together.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

from django.db import connection
from django.db.models import Count, Q
from django.utils import timezone

from audit import log
from audit.events import Event
from portal.errors import Fault, Invalid, Refused, show
from portal.jobs import Job, ring
from registry import composition, readers, storage
from registry.models import Evaluation, Evidence, SbomComponent, User, Version
from registry.readers.reading import Part, Reading
from registry.registration import EvidencePart

DIGEST = re.compile(r"[0-9a-f]{64}")
BATCH = 2000
COPY_COMPONENTS = """
COPY registry_sbomcomponent
(recorded_in, evidence_id, type, name, version, purl, purl_type, purl_name, licences, paths) FROM STDIN
"""
# Which components of an SBOM advisories can be matched with.
IDENTIFIABLE = ~Q(purl="") & ~Q(version="")
# Under this key a summary keeps the sha256 of the other documents that a sidecar speaks for.
SPEAKS_FOR = "speaks_for"
SIGNED = "signed-evaluation"


def attach(
    version: Version,
    *,
    actor: User,
    kind: str,
    filename: str,
    body: bytes,
    identity_digest: str = "",
    reading: Reading | None = None,
) -> Evidence:
    """Attach one document to a version and return it; the same bytes again return the row that is there.

    `identity_digest` declares what an evaluation was measured on, for tools that do not record it themselves; `reading`
    is what the caller has read in the same body already.
    Raises Invalid when no reader understands the bytes or the declaration contradicts them, and Refused when the same
    bytes were declared to be about something else before.
    """
    expect_declaration(kind, identity_digest)
    name = expect_filename(filename)
    reading = reading or readers.read(body, kind=kind, filename=name)
    subjects = expect_agreement(reading, identity_digest, version)
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
        expect_one_story(version, stored.sha256, reading, subjects)
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
        summary=dict(reading.summary) | ({SPEAKS_FOR: list(reading.reports)} if reading.reports else {}),
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


def expect_agreement(reading: Reading, declared: str, version: Version) -> list[str]:
    """Return the digests a document is about. Raises Invalid when a declaration contradicts the document.

    An evaluation that names a model or a prompt by its hash contradicts every version that is made of others. Of a
    version that is nothing but one model or prompt, the one that the document names is what was measured.
    """
    named = list(reading.subject_digests)
    if declared and named and declared not in named:
        raise Invalid(Fault("identity_digest", show(declared), f"what the document itself names: {', '.join(named)}"))
    subjects = list(dict.fromkeys([declared, *named])) if declared else named
    if reading.kind != "evaluation" or not reading.named:
        return subjects
    expect_parts(reading, subjects, version)
    return subjects or lone_part(reading, version)


def expect_parts(reading: Reading, subjects: list[str], version: Version) -> None:
    """Raise Invalid when an evaluation names a part that the version it is about does not contain."""
    rows = Version.objects.filter(identity_digest__in=subjects).select_related("asset")
    about = version if version.identity_digest in subjects else rows.first() if subjects else None
    if about is None:
        return
    parts = composition.contained(about)
    prompts = [part for part in parts if part.asset.kind == "prompt"]
    for each in reading.named:
        expected = digests_of(prompts if each.what == "prompt" else parts)
        if expected and not expected & set(each.digests):
            told = ", ".join(sorted(expected)[:3]) + (", …" if len(expected) > 3 else "")
            raise Invalid(Fault(each.what, each.digests[0], f"the {each.what} of {about.label}: {told}"))


def digests_of(versions: list[Version]) -> set[str]:
    """Return the digests under which versions are known: of their artifacts, and their identity digests."""
    return {digest for each in versions for digest in (each.artifact_sha256, each.identity_digest) if digest}


def lone_part(reading: Reading, version: Version) -> list[str]:
    """Return the digest of the only model or prompt that an evaluation names, for a version that is just one."""
    if version.identity_digest != version.artifact_sha256:
        return []
    what = "prompt" if version.asset.kind == "prompt" else "model"
    found = [each.digests for each in reading.named if each.what == what]
    if len(found) != 1:
        return []
    return [version.identity_digest if version.identity_digest in found[0] else found[0][0]]


def expect_one_story(version: Version, sha256: str, reading: Reading, subjects: list[str]) -> None:
    """Raise Invalid when a sidecar and the report it speaks for are about different things, whichever came first."""
    others = version.evidence.filter(kind="evaluation").exclude(reader=SIGNED)
    if reading.kind != "evaluation" or reading.reader == SIGNED:
        return
    for row in others.filter(sha256__in=reading.reports):
        expect_overlap(row, subjects)
        expect_parts(reread(row), subjects, version)
    for row in others.filter(**{f"summary__{SPEAKS_FOR}__contains": [sha256]}):
        expect_overlap(row, subjects)
        expect_parts(reading, row.subject_digests, version)


def expect_overlap(row: Evidence, subjects: list[str]) -> None:
    """Raise Invalid unless a document that is attached is about one of these as well, or about nothing known."""
    if subjects and row.subject_digests and not set(subjects) & set(row.subject_digests):
        told = ", ".join(row.subject_digests)
        raise Invalid(Fault("identity_digest", show(subjects[0]), f"what {row.filename} is about: {told}"))


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
                direction=metric.direction,
                dataset=metric.dataset[:200],
                slice=metric.slice[:200],
                stderr=metric.stderr,
                ci_low=metric.ci_low,
                ci_high=metric.ci_high,
                sample_size=metric.n,
                measured_at=metric.measured_at or measured,
                subject_digest=subjects[0] if subjects else "",
            )
            for metric in reading.metrics
        ],
        batch_size=BATCH,
    )
    write_components(row, reading.parts)


def write_components(row: Evidence, parts: Iterable[Part]) -> None:
    """Write the components that an SBOM names, by COPY: 50,000 of them as objects take ten times as long."""
    # One component joins the recording for all of them: they belong to one entry, which names what it finds stored.
    recorded_in = SbomComponent(evidence=row).join_recording().recorded_in
    with connection.cursor() as cursor, cursor.copy(COPY_COMPONENTS) as out:
        for part in parts:
            named = (part.name[:300], part.version[:200], part.purl[:600], part.purl_type[:40], part.purl_name[:300])
            lists = (json.dumps(part.licences), json.dumps(part.paths))
            out.write_row((recorded_in, row.pk, part.type[:40], *named, *lists))


def newest(version: Version, kind: str) -> Evidence | None:
    """Return the document of a kind that counts: the one attached last."""
    return version.evidence.filter(kind=kind).first()


def coverage(row: Evidence) -> tuple[int, int]:
    """Return how many components an SBOM names, and how many of them advisories can be matched with.

    A component can be looked up by its package URL and its version; one of both alone is not enough.
    """
    counted = row.sbom_components.aggregate(all=Count("pk"), known=Count("pk", filter=IDENTIFIABLE))
    return counted["all"], counted["known"]


def reread(row: Evidence) -> Reading:
    """Read a stored document again, as a check does that needs more than its summary."""
    return readers.read(storage.read(row.sha256, max_bytes=row.size), kind=row.kind, filename=row.filename)
