"""A draft filled in from a document: empty fields only, each with its origin, and the document attached as evidence."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied

from audit.models import Entry
from governance import submissions
from portal.errors import Invalid, Refused
from registry import drafts, intake
from registry.models import Evidence, Version
from tests.factories import Walk, artifacts
from tests.registry.readers.samples import ARTIFACT, bom, component, envelope, provenance, sample, statement
from tests.web.services import count_rows

ML_BOM = sample("ml-bom.cdx.json")


@pytest.fixture
def draft(walk: Walk) -> Version:
    """Return an empty draft of Ada's."""
    asset = intake.register_asset(
        actor=walk.cast.ada, slug="fraud-scorer", kind="model", description="Scores.", team=walk.cast.risk_models
    )
    return drafts.start_draft(asset, "2.1.0", actor=walk.cast.ada)


def fill(walk: Walk, draft: Version, body: bytes, filename: str = "document.json") -> drafts.Prefilled:
    return drafts.prefill(draft, actor=walk.cast.ada, filename=filename, body=body)


def test_an_ml_bom_fills_what_is_empty_and_is_attached(walk: Walk, draft: Version) -> None:
    done = fill(walk, draft, ML_BOM, "sbom.cdx.json")
    version = Version.objects.get(pk=draft.pk)
    assert version == done.version
    assert (version.artifact_sha256, version.licence) == (ARTIFACT, "Apache-2.0")
    assert version.allowed_uses.startswith("Ranking card transactions for a human analyst")
    assert version.authors == ["ada@example.com"]
    assert version.identity_digest == ARTIFACT
    assert set(done.filled) == {
        "artifact_sha256",
        "source_repository",
        "source_commit",
        "licence",
        "allowed_uses",
        "risk_rationale",
        "mitigations",
        "authors",
    }
    assert version.origins == dict.fromkeys(done.filled, "sbom")
    # A rating is a judgement: no document gives it.
    assert version.risk == ""
    assert (done.document.kind, done.document.filename, done.document.sbom_components.count()) == (
        "sbom",
        "sbom.cdx.json",
        4,
    )
    assert done.named["datasets"] == ["card-transactions-2025", "chargebacks-2025"]
    kinds = list(Entry.objects.order_by("-pk").values_list("kind", flat=True)[:2])
    assert kinds == ["version.edited", "evidence.attached"]


def test_what_a_person_wrote_stays_and_what_contradicts_it_is_told(walk: Walk, draft: Version) -> None:
    drafts.edit(draft, actor=walk.cast.ada, licence="MIT", artifact_sha256=ARTIFACT)
    done = fill(walk, draft, ML_BOM)
    assert (done.version.licence, done.version.origins["licence"]) == ("MIT", "person")
    assert done.kept == ("licence",)
    assert "licence" not in done.filled


def test_the_three_kinds_are_told_apart_and_leave_their_own_origin(walk: Walk, draft: Version) -> None:
    signed = envelope(statement(provenance(metadata={"invocationId": "run-7", "author": "ada"})))
    assert fill(walk, draft, signed).document.kind == "provenance"
    assert fill(walk, draft, sample("model.spdx3.json")).document.kind == "sbom"
    assert fill(walk, draft, sample("model-card.md"), "README.md").document.kind == "model-card"
    version = Version.objects.get(pk=draft.pk)
    assert (version.build_id, version.origins["build_id"]) == ("run-7", "provenance")
    assert (version.authors, version.origins["authors"]) == (["ada"], "provenance")
    assert (version.licence, version.origins["licence"]) == ("Apache-2.0", "sbom")
    assert version.origins["risk_rationale"] == "sbom"
    assert version.origins["prohibited_uses"] == "model_card"


def test_the_same_document_again_changes_nothing(walk: Walk, draft: Version) -> None:
    first = fill(walk, draft, ML_BOM)
    before = count_rows()
    again = fill(walk, draft, ML_BOM)
    assert (again.document, again.filled, again.kept) == (first.document, (), ())
    assert count_rows() == before


def test_a_field_that_was_emptied_is_filled_from_a_document_that_is_there(walk: Walk, draft: Version) -> None:
    fill(walk, draft, ML_BOM)
    drafts.edit(draft, actor=walk.cast.ada, licence="")
    assert fill(walk, draft, ML_BOM).filled == ("licence",)


def test_what_does_not_fit_into_a_field_is_left_out(walk: Walk, draft: Version) -> None:
    long = statement(provenance(metadata={"invocationId": "x" * 500, "author": [f"person-{n}" for n in range(60)]}))
    done = fill(walk, draft, envelope(long))
    assert done.filled == ("artifact_sha256", "source_repository", "source_commit")
    assert (done.version.build_id, done.version.authors) == ("", [])


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (
            b"PK\x03\x04",
            "document.json: saw bytes that begin with b'PK\\x03\\x04', expected CycloneDX JSON 1.2 to 1.7 or",
        ),
        (b"", "document.json: saw bytes that begin with b''"),
        (ML_BOM[:-50], "well-formed JSON"),
        (json.dumps(bom(component(""))).encode(), "components[0].name: saw ''"),
        (b"---\na: *x\n---\n# T", "front matter: saw an alias"),
        (envelope({}), "payload._type: saw unsupported None"),
        (b'<bom xmlns="http://cyclonedx.org/schema/bom/1.6"/>', "saw CycloneDX in XML, expected CycloneDX JSON"),
    ],
)
def test_bad_bytes_are_refused_with_the_readers_sentence_and_leave_nothing(
    walk: Walk, draft: Version, body: bytes, sentence: str
) -> None:
    before = count_rows()
    with pytest.raises(Invalid) as refusal:
        fill(walk, draft, body)
    assert sentence in str(refusal.value)
    assert count_rows() == before


def test_a_name_that_is_none_is_refused_before_anything_is_read(walk: Walk, draft: Version) -> None:
    with pytest.raises(Invalid, match="filename"):
        fill(walk, draft, ML_BOM, "\x00/")


def test_only_the_team_fills_drafts_in(walk: Walk, draft: Version) -> None:
    before = count_rows()
    for outsider in (walk.cast.mallory, walk.cast.carl, walk.cast.petra, walk.cast.iris):
        with pytest.raises(PermissionDenied):
            drafts.prefill(draft, actor=outsider, filename="sbom.json", body=ML_BOM)
    assert count_rows() == before


def test_frozen_content_is_not_filled_in_and_nothing_is_attached(walk: Walk) -> None:
    version = walk.register("fraud-scorer", "1.0.0", artifacts.scorer(1), finetune_method="none")
    submissions.nominate(version, actor=walk.cast.cee_i)
    before = count_rows()
    with pytest.raises(Refused) as refusal:
        fill(walk, version, ML_BOM)
    assert refusal.value.code == "content_frozen"
    assert count_rows() == before


def test_a_draft_is_started_from_a_document(walk: Walk, draft: Version) -> None:
    draft = drafts.edit(draft, actor=walk.cast.ada, licence="MIT", risk="low")
    told: dict[str, Any] = {"actor": walk.cast.ada, "filename": "sbom.json", "body": ML_BOM}
    done = drafts.start_from_document(draft.asset, "2.2.0", copy_from=draft, **told)
    version = done.version
    assert (version.number, version.artifact_sha256) == ("2.2.0", ARTIFACT)
    # What comes from the version before is there already.
    assert (version.licence, version.origins["licence"]) == ("MIT", "previous: 2.1.0")
    assert done.kept == ("licence",)
    assert (version.risk, version.origins["artifact_sha256"]) == ("low", "sbom")


def test_a_refused_document_starts_no_draft(walk: Walk, draft: Version) -> None:
    before = count_rows()
    for number, body in (("2.2.0", b"nonsense"), ("2.1.0", ML_BOM), ("one", ML_BOM)):
        with pytest.raises((Invalid, Refused)):
            drafts.start_from_document(draft.asset, number, actor=walk.cast.ada, filename="a.json", body=body)
    assert count_rows() == before
    assert not Evidence.objects.exists()
