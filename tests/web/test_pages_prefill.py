"""The registration form filled in from a document: by Ada in plain requests, and once in a real browser."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse
from playwright.sync_api import Page, expect
from pytest_django.live_server_helper import LiveServer

from registry import drafts, intake
from registry.models import Asset, Evidence, Version
from tests.factories import Walk
from tests.registry.readers.samples import ARTIFACT, SAMPLES, sample
from tests.web.test_accessibility import complaints_about
from tests.web.visitors import enter, order_of, read, visit

ML_BOM = sample("ml-bom.cdx.json")


@pytest.fixture
def asset(walk: Walk) -> Asset:
    return intake.register_asset(
        actor=walk.cast.ada,
        slug="fraud-scorer",
        kind="model",
        description="Scores.",
        team=walk.cast.risk_models,
        owner=walk.cast.ada,
        backup_owner=walk.cast.ben,
        escalation_contact="rota@example.com",
    )


@pytest.fixture
def draft(walk: Walk, asset: Asset) -> Version:
    return drafts.start_draft(asset, "2.1.0", actor=walk.cast.ada)


def address(draft: Version, name: str = "prefill") -> str:
    return reverse(f"registry:{name}", args=[draft.asset.slug, draft.number])


def upload(body: bytes, name: str = "sbom.cdx.json") -> dict[str, Any]:
    return {"document": SimpleUploadedFile(name, body)}


def test_an_uploaded_ml_bom_fills_the_form_and_is_attached(walk: Walk, draft: Version) -> None:
    client = visit(walk.cast.ada)
    assert "Fill in and attach" in read(client.get(address(draft, "version-edit")))
    words = read(client.post(address(draft), upload(ML_BOM), follow=True))
    assert order_of(
        words,
        "SBOM sbom.cdx.json is attached. It filled in",
        "artifact sha256",
        "It also names base model pkg:huggingface/example-org/base-encoder@0a1b2c3d and data sets",
        "card-transactions-2025, chargebacks-2025: add them below",
        "from SBOM",
        "Ranking card transactions for a human analyst",
    )
    draft.refresh_from_db()
    assert (draft.artifact_sha256, draft.origins["licence"]) == (ARTIFACT, "sbom")
    assert draft.evidence.get().filename == "sbom.cdx.json"


def test_each_field_says_which_document_it_came_from(walk: Walk, draft: Version) -> None:
    client = visit(walk.cast.ada)
    client.post(address(draft, "version-edit") + "notes/", {"notes-release_notes": "Faster."})
    client.post(address(draft), upload(sample("model-card.md"), "README.md"))
    words = read(client.post(address(draft), upload(sample("slsa.dsse.json"), "provenance.json"), follow=True))
    for origin in ("from Person", "from Model card", "from Provenance"):
        assert origin in words, origin


def test_what_is_there_is_kept_and_the_difference_told(walk: Walk, draft: Version) -> None:
    drafts.edit(draft, actor=walk.cast.ada, licence="MIT")
    words = read(visit(walk.cast.ada).post(address(draft), upload(ML_BOM), follow=True))
    assert "It says something else about licence, which was there already and is kept." in words
    draft.refresh_from_db()
    assert draft.licence == "MIT"


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"PK\x03\x04 a zip", "saw bytes that begin with b'PK\\x03\\x04 a zip', expected CycloneDX JSON 1.2 to 1.7 or"),
        (ML_BOM[:-30], "expected well-formed JSON"),
        (
            b'<bom xmlns="http://cyclonedx.org/schema/bom/1.6"/>',
            "Saw CycloneDX in XML; expected CycloneDX JSON 1.2 to 1.7",
        ),
        (b"", "The submitted file is empty."),
    ],
)
def test_bad_bytes_come_back_with_the_readers_sentence(walk: Walk, draft: Version, body: bytes, sentence: str) -> None:
    answer = visit(walk.cast.ada).post(address(draft), upload(body, "upload.bin"))
    assert answer.status_code == 422
    assert sentence in read(answer)
    assert not Evidence.objects.exists()


def test_a_form_without_a_document_asks_for_one(walk: Walk, draft: Version) -> None:
    answer = visit(walk.cast.ada).post(address(draft), {})
    assert answer.status_code == 422
    assert "This field is required." in read(answer)


def test_only_the_team_fills_in(walk: Walk, draft: Version) -> None:
    assert visit(walk.cast.dana).post(address(draft), upload(ML_BOM)).status_code == 403
    assert visit(walk.cast.mallory).post(address(draft), upload(ML_BOM)).status_code == 404
    assert visit(walk.cast.ada).get(address(draft)).status_code == 405
    assert not Evidence.objects.exists()


def test_a_draft_is_started_and_filled_in_in_one_go(walk: Walk, asset: Asset) -> None:
    client = visit(walk.cast.ada)
    typed = {"asset": "fraud-scorer", "number": "2.1.0", "copy_previous": "on"}
    words = read(client.post("/register/", {**typed, **upload(ML_BOM)}, follow=True))
    assert "SBOM sbom.cdx.json is attached. It filled in" in words
    assert Version.objects.get().artifact_sha256 == ARTIFACT


def test_a_refused_document_starts_no_draft(walk: Walk, asset: Asset) -> None:
    client = visit(walk.cast.ada)
    typed = {"asset": "fraud-scorer", "number": "2.1.0"}
    answer = client.post("/register/", {**typed, **upload(b"nonsense")})
    assert answer.status_code == 422
    assert "saw bytes that begin with b'nonsense'" in read(answer)
    assert 'value="2.1.0"' in answer.content.decode()
    assert not Version.objects.exists()
    assert client.post("/register/", typed).status_code == 302


@pytest.mark.django_db(transaction=True)
def test_a_person_uploads_a_document_in_a_browser(
    walk: Walk, draft: Version, live_server: LiveServer, page: Page
) -> None:
    enter(page, live_server, walk.cast.ada)
    page.goto(f"{live_server.url}{address(draft, 'version-edit')}")
    section = page.locator("#prefill")
    section.get_by_label("Document").set_input_files(Path(SAMPLES) / "lm-eval-results.json")
    section.get_by_role("button", name="Fill in and attach").click()
    expect(section.get_by_role("alert")).to_contain_text("expected CycloneDX JSON 1.2 to 1.7")
    section.get_by_label("Document").set_input_files(Path(SAMPLES) / "ml-bom.cdx.json")
    section.get_by_role("button", name="Fill in and attach").click()
    expect(page.get_by_text("SBOM ml-bom.cdx.json is attached.")).to_be_visible()
    expect(page.get_by_label("Artifact sha256")).to_have_value(ARTIFACT)
    page.locator("#prefill").get_by_role("link", name="ml-bom.cdx.json").click()
    expect(page.get_by_role("heading", name="Model card of fraud-scorer")).to_be_visible()
    page.get_by_label("Part of a name or package URL").fill("numpy")
    page.get_by_role("button", name="Search").click()
    rows = page.get_by_role("region", name="Components").get_by_role("rowheader")
    expect(rows).to_have_text(["numpy 2.2.6"])
    for address_of_page in (page.url.removeprefix(live_server.url), "/register/", address(draft, "version-edit")):
        page.goto(f"{live_server.url}{address_of_page}")
        assert [*complaints_about(page, address_of_page)] == []
