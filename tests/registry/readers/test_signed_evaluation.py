"""Signed evaluations: what they carry or vouch for, with no signature believed; and results that are only reported."""

from __future__ import annotations

from typing import Any

import pytest

from portal.errors import Invalid
from registry import readers
from registry.readers import Reading
from registry.readers.signed_evaluation import EVALUATION, TEST_RESULT
from tests.registry.readers.samples import ARTIFACT, envelope, metric, package, sample, statement

REPORT = "d" * 64


def test_result(**members: Any) -> dict[str, Any]:
    reports = [{"name": "garak.report.jsonl", "digest": {"sha256": REPORT}}]
    return {"result": "PASSED", "configuration": [], "reports": reports, **members}


test_result.__test__ = False  # type: ignore[attr-defined]


def read(predicate: dict[str, Any], kind: str = TEST_RESULT, **members: Any) -> Reading:
    return readers.read(envelope(statement(predicate, predicateType=kind, **members)), kind="evaluation")


def refusal(predicate: dict[str, Any], kind: str = TEST_RESULT, **members: Any) -> str:
    with pytest.raises(Invalid) as caught:
        read(predicate, kind, **members)
    return str(caught.value)


def test_a_package_as_predicate_carries_its_metrics() -> None:
    reading = read(package(), EVALUATION)
    assert reading.reader == "signed-evaluation"
    assert [each.name for each in reading.metrics] == ["accuracy"]
    assert reading.subject_digests == (ARTIFACT,)
    assert reading.statement is not None
    assert reading.author == "ada"
    assert reading.summary["predicate_type"] == EVALUATION


def test_the_digest_that_was_measured_stands_first_among_the_subjects() -> None:
    subjects = [{"name": "weights", "digest": {"sha256": "e" * 64}}, {"name": "m", "digest": {"sha256": ARTIFACT}}]
    assert read(package(), EVALUATION, subject=subjects).subject_digests == (ARTIFACT, "e" * 64)


def test_a_test_result_vouches_for_raw_reports() -> None:
    reading = read(test_result())
    assert (reading.metrics, reading.reports, reading.subject_digests) == ((), (REPORT,), (ARTIFACT,))
    assert reading.warnings == ()


def test_a_failed_test_result_is_told() -> None:
    assert read(test_result(result="failed")).warnings == ("The signer's own verdict on the tests is FAILED.",)


@pytest.mark.parametrize(
    ("predicate", "kind", "says"),
    [
        (test_result(result="fine"), TEST_RESULT, "payload.predicate.result: saw 'fine'"),
        (test_result(reports=[]), TEST_RESULT, "payload.predicate.reports: saw 0 reports"),
        (test_result(reports=[{"name": "x"}]), TEST_RESULT, "payload.predicate.reports[0].digest"),
        (test_result(reports=[{"digest": {"sha256": "x"}}]), TEST_RESULT, "digest.sha256: saw 'x'"),
        (package(subject={"identity_digest": "f" * 64}), EVALUATION, "expected one of the statement's subjects"),
        (package([metric(value="many")]), EVALUATION, "metrics[0].value: saw 'many'"),
        (package(), "https://slsa.dev/provenance/v1", "payload.predicateType: saw unsupported"),
    ],
)
def test_a_statement_that_is_wrong_is_refused(predicate: dict[str, Any], kind: str, says: str) -> None:
    assert says in refusal(predicate, kind)


def test_a_statement_about_too_many_things_is_refused() -> None:
    subjects = [{"name": "x", "digest": {"sha256": f"{number:064x}"}} for number in range(101)]
    assert "payload.subject: saw 101 subjects" in refusal(test_result(), subject=subjects)


def test_provenance_is_no_evaluation() -> None:
    with pytest.raises(Invalid, match="predicateType"):
        readers.read(sample("slsa.dsse.json"), kind="evaluation")


def test_reported_results_are_shown_and_become_no_metric() -> None:
    reading = readers.read(sample("eval_results.yaml"), kind="evaluation")
    assert reading.reader == "eval-results"
    assert reading.metrics == ()
    first, second = reading.summary["reported"]
    assert (first["dataset"], first["value"], first["date"]) == ("cais/hle", "20.90", "2026-10-15")
    assert (second["metric"], second["value"]) == ("gsm8k", "88")
    assert "count for nothing" in reading.warnings[0]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("- dataset: {id: a}\n  value: .nan\n", "results[0].value: saw '.nan'"),
        ("- dataset: {id: a}\n  value: true\n", "results[0].value: saw True"),
        ("- dataset: {id: a}\n  value: 1\n  date: 2031-01-01\n", "not in the future"),
        ("- dataset: {id: a}\n  value: 1\n  date: 2026-02-30\n", "results[0].date"),
        ("- dataset: {}\n  value: 1\n", "results[0].dataset.id"),
        ("- dataset: x\n  value: 1\n", "results[0].dataset: saw 'x'"),
        ("# dataset: value:\n", "a list of 1 to 500 results"),
        ("- &a {dataset: *a, value: 1}\n- dataset: value:\n", "YAML"),
    ],
)
def test_reported_results_that_are_wrong_are_refused(text: str, says: str) -> None:
    with pytest.raises(Invalid) as caught:
        readers.read(text.encode(), kind="evaluation")
    assert says in str(caught.value)
