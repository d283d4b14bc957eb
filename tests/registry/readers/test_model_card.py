from __future__ import annotations

import time

import pytest

from portal.errors import Invalid
from registry import readers
from registry.readers import Reading
from registry.readers.licences import spdx_expression
from tests.registry.readers.samples import sample


def read(text: str) -> Reading:
    return readers.read(text.encode(), kind="model-card")


def test_a_card_fills_the_registration_form() -> None:
    assert readers.read(sample("model-card.md"), kind="model-card").suggestions == {
        "licence": "Apache-2.0",
        "base_model": ["example-org/base-encoder"],
        "datasets": ["example-org/card-transactions", "example-org/chargebacks"],
        "allowed_uses": "Ranking for a human analyst.\n\nScoring in the payment stream, with a human decision.",
        "prohibited_uses": "Automatic refusal of a customer.",
        "risk_rationale": "Trained on one country's transactions only.\n\n```python\n# Uses\nscore(transaction)\n```",
        "description": "Scores card transactions by how likely they are fraud.",
    }


def test_reported_results_are_shown_and_never_become_metrics() -> None:
    reading = readers.read(sample("model-card.md"), kind="model-card")
    assert reading.metrics == ()
    row = {"task": "Fraud detection", "dataset": "Card transactions"}
    assert reading.summary["reported"] == [
        {**row, "metric": "Accuracy", "value": "0.913"},
        {**row, "metric": "f1", "value": "0.871"},
    ]


def test_a_heading_inside_a_code_block_is_code() -> None:
    assert read("---\nlicense: mit\n---\n# T\n```\n# Uses\nrm -rf\n```\n").suggestions.get("allowed_uses") is None


def test_a_card_without_front_matter_is_read_with_a_warning() -> None:
    reading = read("# Title\n\nText.\n")
    assert reading.summary["title"] == "Title"
    assert "no front matter" in reading.warnings[0]


@pytest.mark.parametrize("licence", ["other", "llama3.1", "=cmd()", "bigscience-bloom-rail-1.0"])
def test_a_licence_outside_the_spdx_list_is_shown_and_not_suggested(licence: str) -> None:
    reading = read(f"---\nlicense: {licence}\n---\n# T\n")
    assert reading.summary["licence"] == licence
    assert "licence" not in reading.suggestions
    assert "not in the SPDX list" in reading.warnings[0]


@pytest.mark.parametrize(
    ("written", "expression"),
    [
        ("mit", "MIT"),
        ("apache-2.0", "Apache-2.0"),
        ("gpl-3.0", "GPL-3.0-only"),
        ("MIT or Apache-2.0", "MIT OR Apache-2.0"),
    ],
)
def test_licences_are_written_as_spdx_writes_them(written: str, expression: str) -> None:
    assert spdx_expression(written) == expression


@pytest.mark.parametrize("written", ["", " ", "MIT AND (", "x" * 5000, "((((" * 40, "MIT WITH MIT", "\x00"])
def test_what_is_no_licence_gives_no_expression(written: str) -> None:
    assert spdx_expression(written) == ""


def test_a_placeholder_of_the_template_is_not_a_use() -> None:
    reading = read("---\nlicense: mit\n---\n# T\n## Uses\n<!-- who? -->\n[More Information Needed]\n")
    assert "allowed_uses" not in reading.suggestions


@pytest.mark.parametrize(
    "text", ["---\na: 1\n", "---\n- 1\n---\n# T", "---\na: *x\n---\n", "no heading at all", "# T\x00"]
)
def test_a_card_that_is_not_understood_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        read(text)


def test_odd_front_matter_is_read_as_far_as_it_makes_sense() -> None:
    reading = read(
        "---\nlicense: [mit, gpl-3.0]\ndatasets: {a: b}\nmodel-index: [x, {results: [{metrics: 1}]}]\n---\n# T\n"
    )
    assert (reading.summary["licence"], reading.summary["datasets"], reading.summary["reported"]) == ("mit", [], [])


@pytest.mark.parametrize(
    "text", ["# Uses\n## a\n" * 80_000, "# T\n" + "<!--" * 200_000, "# " * 500_000, "# T\n" + "```\n" * 200_000]
)
def test_a_hostile_megabyte_is_read_in_bounded_time(text: str) -> None:
    started = time.monotonic()
    read(text)
    assert time.monotonic() - started < 5
