"""What a model says about itself inside an SBOM: kept, shown, offered to the form, and never counted."""

from __future__ import annotations

from typing import Any

import pytest

from portal.errors import Invalid
from registry import readers
from registry.readers import Reading
from tests.registry.readers.samples import ARTIFACT, as_body, bom, component, sample

SHA256 = [{"alg": "SHA-256", "content": ARTIFACT}]


def read(document: dict[str, Any]) -> Reading:
    return readers.read(as_body(document), kind="sbom")


def card_of(card: Any) -> dict[str, Any]:
    (shown,) = read(bom(component("m", type="machine-learning-model", modelCard=card))).summary["model_cards"]
    return dict(shown)


def test_an_ml_bom_is_read_without_a_warning() -> None:
    reading = readers.read(sample("ml-bom.cdx.json"), kind="sbom")
    assert reading.warnings == ()
    assert reading.subject_digests == (ARTIFACT,)
    assert reading.summary["tools"] == ["model-build 4.2.0"]
    assert reading.summary["describes"] == [
        {"name": "fraud-scorer", "version": "2.1.0", "type": "machine-learning-model"}
    ]
    assert reading.summary["coverage"] == "2 of 4 identifiable"


def test_the_card_is_shown_in_its_parts_and_kept_whole() -> None:
    (card,) = readers.read(sample("ml-bom.cdx.json"), kind="sbom").summary["model_cards"]
    assert (card["component"], card["path"]) == ("fraud-scorer", "metadata.component")
    assert card["intended_use"] == ["Ranking card transactions for a human analyst", "Monthly reporting"]
    assert card["metrics"][0] == {
        "name": "accuracy",
        "value": "0.934",
        "slice": "holdout 2026-10",
        "interval": "0.928 to 0.940",
    }
    assert {"label": "Fairness", "text": "New customers · Harms: More false alarms · Mitigation: A person confirms "
            "every alarm"} in card["considerations"]  # fmt: skip
    assert {"label": "Task", "value": "binary classification"} in card["parameters"]
    # A data set that stands elsewhere in the document is called by its name there.
    assert card["datasets"] == ["card-transactions-2025", "chargebacks-2025"]
    assert card["card"]["considerations"]["users"] == ["Fraud analysts"]


def test_reported_metrics_never_become_measured_ones() -> None:
    assert readers.read(sample("ml-bom.cdx.json"), kind="sbom").metrics == ()


def test_numbers_of_a_card_are_texts_as_they_were_written() -> None:
    card = {"quantitativeAnalysis": {"performanceMetrics": [{"type": "accuracy", "value": 0.90}]}, "x": 0.10}
    shown = card_of(card)
    assert (shown["card"]["x"], shown["metrics"][0]["value"]) == ("0.1", "0.9")


@pytest.mark.parametrize(
    "card",
    [
        {"modelParameters": [], "considerations": "none", "quantitativeAnalysis": 7},
        {"considerations": {"useCases": [1, None, ["x"], " "], "ethicalConsiderations": ["x", {"name": 3}]}},
        {"modelParameters": {"datasets": [None, {"name": []}], "approach": "supervised", "inputs": {}}},
        {"quantitativeAnalysis": {"performanceMetrics": {"type": "accuracy"}}},
    ],
)
def test_a_card_of_wrong_types_is_passed_over_because_nothing_rests_on_it(card: dict[str, Any]) -> None:
    shown = card_of(card)
    assert shown["intended_use"] == []
    assert shown["datasets"] == []


def test_a_card_that_is_no_object_is_refused() -> None:
    with pytest.raises(Invalid, match=r"components\[0\]\.modelCard: saw 'x', expected a JSON object"):
        card_of("x")


def test_a_card_too_large_to_show_stays_in_the_document_with_a_warning() -> None:
    card = {"considerations": {"users": ["x" * 4000] * 100}}
    reading = read(bom(component("m", type="machine-learning-model", modelCard=card)))
    assert reading.summary["model_cards"] == []
    assert any("modelCard is too large to show" in warning for warning in reading.warnings)


def test_an_ml_bom_fills_the_registration_form() -> None:
    assert readers.read(sample("ml-bom.cdx.json"), kind="sbom").suggestions == {
        "artifact_sha256": ARTIFACT,
        "description": "Scores card transactions by how likely they are fraud.",
        "licence": "Apache-2.0",
        "allowed_uses": "Ranking card transactions for a human analyst\nMonthly reporting",
        "risk_rationale": "Less accurate for customers with fewer than ten transactions\n"
        "Customers may be treated unequally",
        "mitigations": "Customers may be treated unequally: Parity is measured every month\n"
        "New customers: A person confirms every alarm",
        "base_model": ["pkg:huggingface/example-org/base-encoder@0a1b2c3d"],
        "datasets": ["card-transactions-2025", "chargebacks-2025"],
        "authors": ["ada@example.com"],
        "source_repository": "https://git.example.com/ml/fraud-scorer",
        "source_commit": "a" * 40,
    }


def test_a_frame_that_says_nothing_leaves_the_word_to_its_only_model() -> None:
    model = component("scorer", type="machine-learning-model", hashes=SHA256, description="Scores.")
    frame = component("bundle", type="application")
    assert read(bom(model, metadata={"component": frame})).suggestions == {
        "artifact_sha256": ARTIFACT,
        "description": "Scores.",
    }


def test_text_that_does_not_fit_into_a_field_is_cut_between_two_sentences() -> None:
    card = {"considerations": {"useCases": ["a" * 3000, "b" * 3000]}}
    suggested = read(bom(component("m", type="machine-learning-model", modelCard=card))).suggestions
    assert suggested["allowed_uses"] == "a" * 3000
