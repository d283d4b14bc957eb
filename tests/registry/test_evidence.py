"""How documents come in: kept by their digest, understood or refused, only ever added, about what they name."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied
from django.utils import timezone

from audit.models import Entry
from governance import lifecycle
from portal.errors import Invalid, Refused
from registry import evidence, storage
from registry.models import Evidence, Version
from tests.factories import Walk, artifacts, documents
from tests.web.services import count_rows

SAMPLES = Path(__file__).parents[1] / "samples"
LM_EVAL = (SAMPLES / "lm-eval-results.json").read_bytes()
OTHER = "cd" * 32


@pytest.fixture
def version(walk: Walk) -> Version:
    return walk.register("fraud-scorer", "1.0.0", artifacts.scorer(1))


def attach(walk: Walk, version: Version, kind: str, body: bytes, name: str = "document.json", **more: Any) -> Evidence:
    return evidence.attach(version, actor=walk.cast.cee_i, kind=kind, filename=name, body=body, **more)


def test_the_exact_bytes_come_back_under_their_digest(walk: Walk, version: Version) -> None:
    body = documents.sbom("fraud-scorer", "1.0.0", version.artifact_sha256)
    row = attach(walk, version, "sbom", body)
    assert row.sha256 == hashlib.sha256(body).hexdigest()
    assert (row.size, row.reader, row.attached_by) == (len(body), "cyclonedx", walk.cast.cee_i)
    assert storage.read(row.sha256) == body
    assert row.subject_digests == [version.artifact_sha256]
    assert row.sbom_components.get(name="numpy").purl == "pkg:pypi/numpy@2.2.6"
    entry = Entry.objects.latest("pk")
    assert (entry.kind, entry.subject_label) == ("evidence.attached", "fraud-scorer@1.0.0")
    assert row.sha256 in bytes(entry.body).decode()


def test_the_same_bytes_again_are_the_same_document_for_that_version_and_kind(walk: Walk, version: Version) -> None:
    first = attach(walk, version, "other", b"A note.")
    before = count_rows()
    assert attach(walk, version, "other", b"A note.", "another-name.txt") == first
    assert count_rows() == before
    attach(walk, version, "licence-text", b"A note.")
    newer = walk.register("fraud-scorer", "1.1.0", artifacts.scorer(2))
    assert attach(walk, newer, "other", b"A note.") != first
    assert Evidence.objects.filter(sha256=first.sha256).count() == 3


def test_the_newest_document_of_a_kind_counts_and_the_older_ones_stay(walk: Walk, version: Version) -> None:
    rows = [
        attach(walk, version, "sbom", documents.sbom("fraud-scorer", number, version.artifact_sha256))
        for number in ("1.0.0", "1.0.0-again")
    ]
    assert evidence.newest(version, "sbom") == rows[1]
    assert evidence.newest(version, "provenance") is None
    assert version.evidence.count() == 2
    assert {part.name for part in evidence.reread(rows[0]).parts} == set(documents.PARTS)


def test_an_evaluation_becomes_numbers_about_one_digest(walk: Walk, version: Version) -> None:
    report = documents.evaluation(version.identity_digest, at=timezone.now(), author="eve@example.com")
    row = attach(walk, version, "evaluation", report)
    assert row.author == "eve@example.com"
    numbers = {each.name: str(each.value.normalize()) for each in row.evaluations.all()}
    assert numbers == documents.GOOD
    assert {each.subject_digest for each in row.evaluations.all()} == {version.identity_digest}


def test_a_report_that_names_nothing_is_about_what_its_sender_declares(walk: Walk, version: Version) -> None:
    row = attach(walk, version, "evaluation", LM_EVAL, identity_digest=version.identity_digest)
    assert row.subject_digests == [version.identity_digest]
    assert row.evaluations.exists()


def test_a_declaration_cannot_be_slipped_under_a_document_that_is_there(walk: Walk, version: Version) -> None:
    row = attach(walk, version, "evaluation", LM_EVAL)
    assert row.subject_digests == []
    before = count_rows()
    with pytest.raises(Refused) as refusal:
        attach(walk, version, "evaluation", LM_EVAL, identity_digest=version.identity_digest)
    assert refusal.value.code == "declaration_differs"
    assert refusal.value.details["seen"] == version.identity_digest
    # Sending it as before is as idempotent as ever.
    assert attach(walk, version, "evaluation", LM_EVAL) == row
    assert count_rows() == before


def test_a_declaration_that_contradicts_the_document_is_refused_with_both(walk: Walk, version: Version) -> None:
    report = documents.evaluation(version.identity_digest, at=timezone.now(), author="eve")
    with pytest.raises(
        Invalid, match=f"saw '{OTHER}', expected what the document itself names: {version.identity_digest}"
    ):
        attach(walk, version, "evaluation", report, identity_digest=OTHER)
    assert attach(walk, version, "evaluation", report, identity_digest=version.identity_digest).subject_digests


WRONG: dict[str, dict[str, Any]] = {
    "kind": {"kind": "selfie", "body": b"x"},
    "document.json": {"kind": "sbom", "body": b"PK\x03\x04 no SBOM"},
    "document": {"kind": "sbom", "body": b'{"bomFormat": "CycloneDX"'},
    "filename": {"kind": "other", "body": b"x", "name": "\x00\x07"},
    "identity_digest": {"kind": "sbom", "body": b"x", "identity_digest": OTHER},
}


def test_what_cannot_be_understood_is_refused_by_the_field_and_leaves_nothing(walk: Walk, version: Version) -> None:
    before = count_rows()
    for field, wrong in WRONG.items():
        with pytest.raises(Invalid) as refusal:
            attach(walk, version, **wrong)
        assert [fault.field for fault in refusal.value.faults] == [field]
    for digest in ("F" * 64, "ab", "sha256:" + OTHER, "\x00" * 64):
        with pytest.raises(Invalid, match="identity_digest"):
            attach(walk, version, "evaluation", LM_EVAL, identity_digest=digest)
    assert count_rows() == before


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\temp\\report.json", "report.json"),
        ("=cmd()|'!A0.json", "=cmd()|'!A0.json"),
        ("a\x00b\u202ec.json", "abc.json"),
        ("x" * 300, "x" * 255),
    ],
)
def test_a_file_name_is_a_label_and_never_a_path(walk: Walk, version: Version, sent: str, kept: str) -> None:
    row = attach(walk, version, "other", b"A note.", sent)
    row.refresh_from_db()
    assert row.filename == kept


def test_only_the_team_attaches_and_a_service_only_with_the_scope(walk: Walk, version: Version) -> None:
    before = count_rows()
    for actor in (walk.cast.mallory, walk.cast.petra, walk.cast.iris, walk.cast.otto):
        with pytest.raises(PermissionDenied):
            evidence.attach(version, actor=actor, kind="other", filename="a.txt", body=b"x")
    assert count_rows() == before
    assert evidence.attach(version, actor=walk.cast.ada, kind="other", filename="a.txt", body=b"x").pk


def test_a_retired_version_takes_no_more_documents(walk: Walk, version: Version) -> None:
    lifecycle.retire(version, actor=walk.cast.ada, reason="Wrong about weekends.")
    with pytest.raises(Refused) as refusal:
        attach(walk, version, "other", b"late")
    assert refusal.value.code == "version_retired"


def test_evidence_cannot_be_rewritten(walk: Walk, version: Version) -> None:
    row = attach(walk, version, "other", base64.b64encode(b"A note."))
    row.filename = "other.txt"
    with pytest.raises(RuntimeError, match="append-only"):
        row.save()
    with pytest.raises(RuntimeError, match="append-only"):
        row.delete()
