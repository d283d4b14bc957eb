"""The evidence tab and the page of one document: what an SBOM says, and its components a page at a time."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoDbBlocker

from registry import evidence
from registry.models import Evidence, Version
from tests.factories import Walk, artifacts, documents
from tests.registry.readers.samples import ARTIFACT, as_body, bom, component, sample
from tests.scene import Scene, staged
from tests.web.visitors import order_of, read, visit


@pytest.fixture(scope="module")
def stage(
    django_db_setup: None, django_db_blocker: DjangoDbBlocker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Scene]:
    """Register fraud-scorer 1.0.0 once for the module."""
    with django_db_blocker.unblock(), staged(tmp_path_factory.mktemp("walk")) as walk:
        yield Scene(walk, walk.register("fraud-scorer", "1.0.0", artifacts.scorer(1)))


@pytest.fixture
def walk(stage: Scene, db: None) -> Walk:
    return deepcopy(stage.walk)


@pytest.fixture
def version(stage: Scene, db: None) -> Version:
    return Version.objects.select_related("asset").get(pk=stage.version.pk)


def attach(walk: Walk, version: Version, body: bytes, name: str = "sbom.json", kind: str = "sbom") -> Evidence:
    return evidence.attach(version, actor=walk.cast.ada, kind=kind, filename=name, body=body)


def about(name: str, version: Version) -> bytes:
    """Return a sample that describes the version instead of the sample model."""
    return sample(name).replace(ARTIFACT.encode(), version.artifact_sha256.encode())


def tab(version: Version) -> str:
    return reverse("registry:version-tab", args=[version.asset.slug, version.number, "evidence"])


def page(row: Evidence) -> str:
    return reverse("registry:document", args=[row.version.asset.slug, row.version.number, row.public_id])


def test_the_tab_says_what_the_newest_sbom_is_and_what_its_model_card_says(walk: Walk, version: Version) -> None:
    row = attach(walk, version, about("ml-bom.cdx.json", version), "ml-bom.json")
    answer = visit(walk.cast.ada).get(tab(version))
    words = read(answer)
    assert order_of(
        words,
        "CycloneDX 1.6, ml-bom.json",
        "Describes this artifact",
        "2 of 4 components identifiable",
        "Model card of fraud-scorer",
        "shown, never counted by a check",
        "Ranking card transactions for a human analyst",
        "Technical limitation: Less accurate for customers",
        "accuracy 0.934 holdout 2026-10 0.928 to 0.940",
    )[0].startswith("CycloneDX 1.6")
    assert page(row) in answer.content.decode()


def test_the_tab_says_when_an_sbom_is_about_something_else(walk: Walk, version: Version) -> None:
    attach(walk, version, sample("model.spdx"), "model.spdx")
    words = read(visit(walk.cast.ada).get(tab(version)))
    assert "SPDX 2.3" in words
    assert "Describes something else" in words
    attach(walk, version, as_body(bom(component("numpy", colour="red"))), "bare.json")
    words = read(visit(walk.cast.ada).get(tab(version)))
    assert "Does not say what it describes" in words
    assert "Warning: Schema: components[0]: Additional properties are not allowed" in words


def test_the_page_of_a_document_shows_everything_that_was_read(walk: Walk, version: Version) -> None:
    row = attach(walk, version, about("model.spdx3.json", version), "model.spdx3.json")
    words = read(visit(walk.cast.iris).get(page(row)))
    for each in (
        "SBOM of fraud-scorer@1.0.0",
        "Model card of fraud-scorer",
        "Limitation: Less accurate for customers with fewer than ten transactions.",
        "openblas 0.3.29",
        "none: not matched",
        "pkg:pypi/numpy@2.2.6",
        "fraud-scorer › numpy › openblas",
        "Only a CPE, not matched 1",
        "SPDX 3.0.1 in JSON-LD (reader spdx3)",
        "Tools model-build 4.2.0",
        "Is about fraud-scorer 2.1.0 (machine-learning-model)",
    ):
        assert each in words, each


@pytest.mark.parametrize(
    ("query", "shown", "hidden"),
    [
        ("?q=NUM", "numpy", "scikit-learn"),
        ("?q=pkg:pypi/scikit", "scikit-learn", "openblas"),
        ("?known=no", "openblas", "pkg:pypi/numpy"),
        ("?known=yes", "pkg:pypi/numpy", "openblas"),
        ("?known=yes&known=no", "openblas", "Nothing matches"),
        ("?q=nothing-like-it", "Nothing matches", "numpy"),
        ("?q=%00%25_%27<script>&known=moon&page=99", "Nothing matches", "numpy"),
    ],
)
def test_components_are_searched_and_filtered_by_the_address(
    walk: Walk, version: Version, query: str, shown: str, hidden: str
) -> None:
    row = attach(walk, version, as_body(bom(*(PARTS))), "parts.json")
    words = read(visit(walk.cast.ada).get(page(row) + query)).partition("Everything that was read")[0]
    assert shown in words
    assert hidden not in words


PARTS = [
    component("numpy", version="2.2.6", purl="pkg:pypi/numpy@2.2.6"),
    component("scikit-learn", version="1.7.2", purl="pkg:pypi/scikit-learn@1.7.2"),
    component("openblas", version="0.3.29", cpe="cpe:2.3:a:openblas:openblas:0.3.29:*:*:*:*:*:*:*"),
]


def test_a_page_costs_the_same_for_three_components_and_for_three_hundred(
    walk: Walk, version: Version, django_assert_max_num_queries: Any
) -> None:
    client = visit(walk.cast.ada)
    few = attach(walk, version, as_body(bom(*PARTS)), "few.json")
    client.get(page(few))
    with django_assert_max_num_queries(15) as first:
        assert "1–3 of 3" in read(client.get(page(few)))
    parts = [component(f"part-{number:03}", purl=f"pkg:npm/part@{number}") for number in range(300)]
    many = attach(walk, version, as_body(bom(*parts)), "many.json")
    with django_assert_max_num_queries(len(first)):
        words = read(client.get(f"{page(many)}?page=2"))
    assert "51–100 of 300" in words
    assert "part-050" in words
    assert "part-100" not in words


def test_other_documents_have_a_page_too(walk: Walk, version: Version) -> None:
    client = visit(walk.cast.ada)
    card = attach(walk, version, sample("model-card.md"), "README.md", "model-card")
    words = read(client.get(page(card)))
    assert order_of(words, "Limitations Trained on one country", "Reported by the author", "Accuracy 0.913")
    report = documents.evaluation(version.identity_digest, at=timezone.now(), author="eve@example.com")
    measured = attach(walk, version, report, "report.json", "evaluation")
    assert order_of(read(client.get(page(measured))), "Responsible eve@example.com", "quality/accuracy 0.934")
    note = attach(walk, version, b"Nothing more.", "note.txt", "other")
    assert "How it begins Nothing more." in read(client.get(page(note)))
    for row in (card, measured, note):
        words = read(client.get(page(row)))
        assert row.get_kind_display() in words
        assert "Components" not in words


def test_a_formula_and_a_tag_in_a_document_are_only_text(walk: Walk, version: Version) -> None:
    evil = "<script>alert(1)</script>"
    card = {"considerations": {"useCases": [evil]}, "quantitativeAnalysis": {"performanceMetrics": [{"type": evil}]}}
    model = component(evil, type="machine-learning-model", version="=cmd()", modelCard=card)
    row = attach(walk, version, as_body(bom(model, serialNumber=evil)), f"{evil}.json")
    for address in (page(row), tab(version)):
        body = visit(walk.cast.ada).get(address).content.decode()
        assert evil not in body
        assert "&lt;script&gt;alert(1)" in body


def test_strangers_and_wrong_addresses_find_nothing(walk: Walk, version: Version) -> None:
    row = attach(walk, version, about("ml-bom.cdx.json", version))
    assert visit(walk.cast.mallory).get(page(row)).status_code == 404
    other = walk.register("fraud-scorer", "1.1.0", artifacts.scorer(2))
    client = visit(walk.cast.ada)
    crossed = reverse("registry:document", args=["fraud-scorer", other.number, row.public_id])
    unknown = reverse("registry:document", args=["fraud-scorer", "1.0.0", uuid.uuid4()])
    assert [client.get(address).status_code for address in (crossed, unknown)] == [404, 404]
