"""Pages about what exists: the catalogue, an asset, a version with its tabs, and the draft form."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse
from django.utils import timezone

from audit import serving
from portal.demo import documents
from registry import drafts
from registry.models import Asset, Evidence, Version
from registry.web.version_page import TABS
from tests.factories import Walk, artifacts
from tests.web.visitors import order_of, read, visit

HTMX = {"HX-Request": "true"}


def page(name: str, version: Version, *more: str) -> str:
    return reverse(f"registry:{name}", args=[version.asset.slug, version.number, *more])


@pytest.fixture
def draft(walk: Walk, candidate: Version) -> Version:
    """Return fraud-scorer 1.1.0, a draft that Ada started from 1.0.0."""
    return drafts.start_draft(candidate.asset, "1.1.0", actor=walk.cast.ada, copy_from=candidate)


def test_the_catalogue_is_searched_and_filtered_by_its_address(walk: Walk, candidate: Version) -> None:
    client = visit(walk.cast.dana)
    for query in (
        "",
        "?q=fraud",
        "?q=fraud-scorer@1.0",
        f"?q={candidate.identity_digest[:10]}",
        "?state=candidate&risk=medium",
    ):
        assert "fraud-scorer@1.0.0" in read(client.get(f"/catalogue/{query}")), query
    for query in (
        "?q=nothing-like-it",
        "?state=retired",
        "?kind=prompt",
        "?q=%00%27%22<script>",
        "?page=77&state=moon",
    ):
        words = read(client.get(f"/catalogue/{query}"))
        assert "Nothing matches" in words, query
        assert "fraud-scorer@1.0.0" not in words


def test_everybody_sees_their_own_part_of_the_catalogue(walk: Walk, candidate: Version) -> None:
    for name in ("ada", "ben", "petra", "dana", "rhea", "iris", "alma"):
        assert "fraud-scorer@1.0.0" in read(visit(getattr(walk.cast, name)).get("/catalogue/")), name
    for name in ("carl", "mallory"):
        assert "fraud-scorer" not in read(visit(getattr(walk.cast, name)).get("/catalogue/")), name


def test_mallory_finds_nothing_behind_any_address(walk: Walk, draft: Version) -> None:
    document = Evidence.objects.first()
    assert document is not None
    client = visit(walk.cast.mallory)
    addresses = [
        reverse("registry:asset", args=["fraud-scorer"]),
        reverse("registry:asset-edit", args=["fraud-scorer"]),
        reverse("registry:evidence", args=[document.public_id]),
        page("version-edit", draft),
        *(page("version-tab", draft, tab) for tab in TABS),
    ]
    for address in addresses:
        answer = client.get(address)
        assert answer.status_code == 404, address
        assert b"fraud-scorer, a model" not in answer.content
    for name in ("components", "datasets", "attach"):
        assert client.post(page(name, draft)).status_code == 404
    assert client.post(page("version-save", draft, "notes"), {"notes-release_notes": "x"}).status_code == 404
    assert client.post("/register/", {"asset": "fraud-scorer", "number": "6.6.6"}).status_code == 422
    assert not Version.objects.filter(number="6.6.6").exists()


@pytest.mark.parametrize("tab", TABS)
def test_every_tab_opens_for_a_full_version_and_for_an_empty_draft(walk: Walk, tab: str) -> None:
    version = walk.candidate("fraud-scorer", "1.0.0", artifacts.scorer(1))
    walk.approved(version)
    walk.promote(version)
    empty = drafts.start_draft(version.asset, "2.0.0", actor=walk.cast.ada)
    for person in (walk.cast.ada, walk.cast.iris):
        for each in (version, empty):
            answer = visit(person).get(page("version-tab", each, tab))
            assert answer.status_code == 200
            assert "None" not in read(answer).replace("None (trained", "").replace("None was", ""), read(answer)
    assert visit(walk.cast.ada).get(page("version-tab", version, "nonsense")).status_code == 404


def test_the_version_page_answers_whether_it_may_serve_and_why_not(walk: Walk, candidate: Version) -> None:
    client = visit(walk.cast.ada)
    words = read(client.get(candidate.get_absolute_url()))
    assert order_of(words, "May not serve yet", "has no decision for staging.", "Overview")
    submission = walk.submit(candidate, "production")
    assert submission.get_absolute_url() in client.get(candidate.get_absolute_url()).content.decode()
    walk.approve(submission)
    words = read(client.get(candidate.get_absolute_url()))
    assert "May serve nothing was promoted there yet" in words
    assert "Promote to production" in words
    assert "Promote to production" not in read(visit(walk.cast.dana).get(candidate.get_absolute_url()))
    walk.promote(candidate)
    assert "it is what serves there" in read(client.get(candidate.get_absolute_url()))


def test_the_lineage_of_others_is_drawn_without_their_names(walk: Walk, candidate: Version) -> None:
    walk.cast.cee_i.token_scopes = frozenset({"register", "read"})  # type: ignore[attr-defined]
    walk.register(
        "secret-lora",
        "0.1.0",
        artifacts.lora(3),
        kind="adapter",
        team="assistants",
        owner="carl",
        finetune_method="lora",
        components=[{"role": "base", "version": candidate.label}],
    )
    address = page("version-tab", candidate, "lineage")
    assert "secret-lora@0.1.0" in read(visit(walk.cast.dana).get(address))
    words = read(visit(walk.cast.ada).get(address))
    assert "Adapter of another team" in words
    assert "secret-lora" not in words


def test_the_serving_tab_counts_what_was_reported(walk: Walk, candidate: Version) -> None:
    walk.cast.otto.token_scopes = frozenset({"serving"})  # type: ignore[attr-defined]
    start = timezone.now().replace(minute=0, second=0, microsecond=0) - timedelta(hours=5)
    windows = [
        {
            "deployment": "eu",
            "customer": customer,
            "digest": candidate.identity_digest,
            "environment": "production",
            "start": start.isoformat(),
            "requests": 700,
        }
        for customer in ("acme-bank", "northwind")
    ]
    serving.report(actor=walk.cast.otto, source="gateway", batch_id="1", windows=windows)
    words = read(visit(walk.cast.ada).get(page("version-tab", candidate, "serving")))
    assert "Requests 1 400" in words
    assert "Customers 2" in words


def test_evidence_is_attached_in_the_browser_and_bad_documents_come_back(walk: Walk, candidate: Version) -> None:
    client = visit(walk.cast.ada)
    body = documents.evaluation(
        candidate.identity_digest, at=timezone.now(), author="x@example.com", metrics=documents.GOOD
    )
    for content, kind, status in ((b"{", "evaluation", 422), (b"\xff\xfe", "sbom", 422), (body, "evaluation", 302)):
        document = SimpleUploadedFile("again.json", content)
        answer = client.post(page("attach", candidate), {"kind": kind, "document": document})
        assert answer.status_code == status, read(answer)
    assert "again.json" in read(client.get(page("version-tab", candidate, "evidence")))
    assert client.post(page("attach", candidate), {}).status_code == 422
    document = SimpleUploadedFile("mine.json", body)
    assert (
        visit(walk.cast.dana).post(page("attach", candidate), {"kind": "evaluation", "document": document}).status_code
        == 403
    )
    assert not Evidence.objects.filter(filename="mine.json").exists()


def test_documents_are_handed_out_as_files_only(walk: Walk, candidate: Version) -> None:
    row = candidate.evidence.get(kind="model-card")
    answer = visit(walk.cast.iris).get(reverse("registry:evidence", args=[row.public_id]))
    assert answer["Content-Type"] == "application/octet-stream"
    assert answer["Content-Disposition"].startswith("attachment")
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert b"fraud-scorer" in b"".join(answer.streaming_content)


def test_a_version_without_parts_has_no_composition_manifest(walk: Walk, candidate: Version) -> None:
    assert visit(walk.cast.ada).get(page("composition", candidate)).status_code == 404
    schema = visit(walk.cast.ada).get(reverse("registry:evaluation-schema"))
    assert json.loads(schema.content)["$schema"]


def test_the_form_is_started_from_the_previous_version(walk: Walk, candidate: Version) -> None:
    client = visit(walk.cast.ada)
    answer = client.post("/register/", {"asset": "fraud-scorer", "number": "1.1.0", "copy_previous": "on"}, follow=True)
    words = read(answer)
    assert "Completeness" in words
    assert "Previous version" in words
    assert "Scoring card transactions of our own customers." in words
    assert "Nominate 1.1.0" in words
    for number, status in {"1.1.0": 409, "one": 422, "": 422, "=cmd()": 422}.items():
        assert client.post("/register/", {"asset": "fraud-scorer", "number": number}).status_code == status, number


def test_a_section_is_saved_without_javascript(walk: Walk, draft: Version) -> None:
    client = visit(walk.cast.ada)
    answer = client.post(page("version-save", draft, "notes"), {"notes-release_notes": "Faster."})
    assert answer["Location"].endswith("/edit/#notes")
    draft.refresh_from_db()
    assert (draft.release_notes, draft.origins["release_notes"]) == ("Faster.", "person")


def test_a_section_is_saved_while_one_types(walk: Walk, draft: Version) -> None:
    client = visit(walk.cast.ada)
    address = page("version-save", draft, "notes")
    answer = client.post(address, {"notes-release_notes": "Faster."}, headers=HTMX)
    assert answer.status_code == 200
    assert "Saved, complete" in answer.content.decode()
    assert "<textarea" not in answer.content.decode()
    bad = client.post(page("version-save", draft, "artifact"), {"artifact-artifact_sha256": "abc"}, headers=HTMX)
    assert "Not saved" in bad.content.decode()
    assert "64 lower-case hexadecimal digits" in bad.content.decode()
    draft.refresh_from_db()
    assert draft.artifact_sha256 == ""


def test_a_section_that_is_wrong_comes_back_with_what_was_typed(walk: Walk, draft: Version) -> None:
    client = visit(walk.cast.ada)
    body = {"artifact-artifact_sha256": "abc", "artifact-format": "joblib"}
    answer = client.post(page("version-save", draft, "artifact"), body)
    assert answer.status_code == 422
    assert 'value="abc"' in answer.content.decode()
    assert client.post(page("version-save", draft, "nonsense"), {}).status_code == 422
    assert (
        visit(walk.cast.dana).post(page("version-save", draft, "notes"), {"notes-release_notes": "x"}).status_code
        == 403
    )


def test_an_incomplete_draft_is_not_nominated_and_the_page_lists_what_is_missing(walk: Walk, draft: Version) -> None:
    answer = visit(walk.cast.ada).post(reverse("governance:nominate", args=["fraud-scorer", "1.1.0"]))
    assert answer.status_code == 409
    assert "cannot be nominated yet" in read(answer)
    assert "artifact_sha256: saw nothing" in read(answer)


def test_frozen_content_is_not_edited(walk: Walk, candidate: Version) -> None:
    client = visit(walk.cast.ada)
    assert client.get(page("version-edit", candidate))["Location"] == candidate.get_absolute_url()
    for headers, status in (({}, 409), (HTMX, 200)):
        answer = client.post(
            page("version-save", candidate, "notes"), {"notes-release_notes": "Other."}, headers=headers
        )
        assert answer.status_code == status
        assert "was frozen when it was nominated" in read(answer)
    candidate.refresh_from_db()
    assert candidate.release_notes != "Other."


def test_components_are_taken_in_and_out_of_a_draft(walk: Walk, candidate: Version, draft: Version) -> None:
    client = visit(walk.cast.ada)
    address = page("components", draft)
    answer = client.post(address, {"role": "base", "part": "fraud-scorer@1.0.0"}, follow=True)
    assert "fraud-scorer@1.0.0 is in the draft." in read(answer)
    assert client.post(address, {"role": "base", "part": "fraud-scorer@1.0.0"}).status_code == 409
    for part in ("fraud-scorer@1.1.0", "nothing@1.0.0", "fraud-scorer", ""):
        assert client.post(address, {"role": "member", "part": part}).status_code in {409, 422}, part
    edge = draft.components.get()
    for wrong in ("abc", "0", "9" * 40):
        assert client.post(address, {"remove": wrong}).status_code == 404, wrong
    assert "out of the draft" in read(client.post(address, {"remove": str(edge.pk)}, follow=True))
    assert not draft.components.exists()


def test_data_sets_are_taken_in_and_out_of_a_draft(walk: Walk, draft: Version) -> None:
    client = visit(walk.cast.ada)
    address = page("datasets", draft)
    body = {
        "name": "chargebacks",
        "uri": "s3://datasets/chargebacks",
        "sha256": "c" * 64,
        "licence": "MIT",
        "purpose": "evaluate",
        "window_from": "2026-01-01",
        "window_to": "2026-02-01",
    }
    assert client.post(address, {**body, "window_to": "2025-01-01"}).status_code == 422
    assert client.post(address, {**body, "sha256": "abc"}).status_code == 422
    assert "chargebacks is in the draft." in read(client.post(address, body, follow=True))
    use = draft.dataset_uses.get(dataset__name="chargebacks")
    assert "out of the draft" in read(client.post(address, {"remove": str(use.pk)}, follow=True))


def test_assets_are_registered_and_changed_by_their_team(walk: Walk, candidate: Version) -> None:
    client = visit(walk.cast.ada)
    body = {
        "slug": "fraud-rules",
        "kind": "prompt",
        "description": "Rules in words.",
        "team": "risk-models",
        "owner": "ada",
        "backup_owner": "ben",
        "escalation_contact": "rota@example.com",
    }
    assert "fraud-rules is registered." in read(client.post("/register/asset/", body, follow=True))
    assert client.post("/register/asset/", body).status_code in {409, 422}
    for wrong in ({"slug": "Bad Name"}, {"team": "assistants"}, {"escalation_contact": "nobody"}, {"kind": "gadget"}):
        assert client.post("/register/asset/", {**body, "slug": "other", **wrong}).status_code == 422, wrong
    address = reverse("registry:asset-edit", args=["fraud-rules"])
    assert "is changed." in read(client.post(address, {**body, "description": "Clearer rules."}, follow=True))
    assert Asset.objects.get(slug="fraud-rules").description == "Clearer rules."
    assert visit(walk.cast.dana).get(address).status_code == 403


@pytest.mark.parametrize("address", ["/catalogue/", "/assets/fraud-scorer/"])
def test_lists_cost_the_same_for_one_row_and_for_three(
    walk: Walk, candidate: Version, address: str, django_assert_max_num_queries: Any
) -> None:
    client = visit(walk.cast.iris)
    client.get(address)
    with django_assert_max_num_queries(10 if address == "/catalogue/" else 25) as first:
        assert "1.0.0" in read(client.get(address))
    for number in (2, 3):
        walk.candidate("fraud-scorer", f"{number}.0.0", artifacts.scorer(number))
    with django_assert_max_num_queries(len(first)):
        assert "3.0.0" in read(client.get(address))
