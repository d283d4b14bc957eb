from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from portal.errors import Invalid
from registry import readers
from registry.readers import Reading, native
from tests.registry.readers.samples import ARTIFACT, as_body, metric, package, sample


def read(document: dict[str, Any]) -> Reading:
    return readers.read(as_body(document), kind="evaluation")


def refusal(document: Any) -> str:
    with pytest.raises(Invalid) as caught:
        read(document)
    return str(caught.value)


def test_a_package_carries_digest_author_and_instant() -> None:
    reading = read(package())
    assert reading.subject_digests == (ARTIFACT,)
    assert reading.author == "ada"
    assert reading.measured_at == datetime(2026, 1, 20, 9, 30, tzinfo=UTC)
    (found,) = reading.metrics
    assert (found.category, found.name, found.value, found.direction) == (
        "quality",
        "accuracy",
        Decimal("0.913"),
        "higher",
    )
    assert found.measured_at == reading.measured_at


def test_the_example_in_the_documentation_is_accepted() -> None:
    text = (native.__doc__ or "").split("An example:")[1].split("What a schema")[0].replace("…64 hex digits…", "c" * 64)
    assert len(read(json.loads(text)).metrics) == 2


def test_the_published_schema_names_itself() -> None:
    schema = json.loads(native.SCHEMA_FILE.read_bytes())
    assert schema["$id"] == schema["properties"]["schema"]["const"] == native.SCHEMA


@pytest.mark.parametrize(
    ("written", "value"),
    [
        (1, "1"),
        (0.1, "0.1"),
        ("0.8500", "0.85"),
        (-3, "-3"),
        ("0", "0"),
        (0.16666666666666666, "0.166666666667"),
        (1e12, "1000000000000"),
        (1e-13, "0"),
        ("-0.0", "0"),
        (1200, "1200"),
    ],
)
def test_values_are_exact_decimals(written: object, value: str) -> None:
    assert str(read(package([metric(value=written)])).metrics[0].value) == value


@pytest.mark.parametrize("value", [1e13, -1.1e12, "1000000000001", "1e5", "NaN", "", None, True, [], "0x1"])
def test_an_absurd_value_is_refused(value: object) -> None:
    assert "metrics[0].value: saw" in refusal(package([metric(value=value)]))


@pytest.mark.parametrize("word", [b"NaN", b"Infinity", b"1e400"])
def test_a_value_that_is_not_finite_is_refused(word: bytes) -> None:
    body = as_body(package([metric(value="SLOT")])).replace(b'"SLOT"', word)
    with pytest.raises(Invalid):
        readers.read(body, kind="evaluation")


@pytest.mark.parametrize(
    ("document", "says"),
    [
        (package([metric(category="speed")]), "metrics[0].category: saw 'speed', expected one of quality, toxicity"),
        (package([metric(), metric()]), "saw 'quality/accuracy' more than once"),
        (
            package([metric(str(number)) for number in range(2001)]),
            "metrics: saw 2,001 metrics, expected at most 2,000",
        ),
        (package() | {"metrics": []}, "metrics: saw [], expected a list of 1 to 2,000 metrics"),
        (package([metric(direction="up")]), "metrics[0].direction: saw 'up', expected higher or lower"),
        (package([metric(n=0)]), "metrics[0].n: saw 0"),
        (package([metric(stderr="big")]), "metrics[0].stderr: saw 'big'"),
        (package([metric("a" * 121)]), "metrics[0].name: saw"),
        (package([metric("a\nb")]), "metrics[0].name: saw"),
        (package([metric(" ")]), "metrics[0].name: saw"),
        (package([metric(unit="u" * 41)]), "metrics[0].unit: saw"),
        (package([metric(threshold=1)]), "metrics[0]: saw the key 'threshold', expected only the keys category, name"),
        (package(subject={"identity_digest": ARTIFACT.upper()}), "subject.identity_digest: saw"),
        (package(subject={}), "subject.identity_digest: saw nothing, expected a sha256 in 64 lower-case hex digits"),
        (package(author=""), "author: saw ''"),
        (package(started_at="2026-01-20T11:00:00Z"), "finished_at: saw 2026-01-20T09:30:00+00:00, expected an instant"),
        (package(started_at="2026-02-30T00:00:00Z"), "started_at: saw '2026-02-30T00:00:00Z'"),
        (package(finished_at="2026-01-20 noon"), "finished_at: saw '2026-01-20 noon'"),
        (package(schema=native.SCHEMA.replace("v1", "v2")), "schema: saw"),
        ([native.SCHEMA], "document: saw ["),
    ],
)
def test_a_package_that_is_wrong_is_refused_with_the_field(document: Any, says: str) -> None:
    assert says in refusal(document)


def test_a_measurement_from_the_future_is_refused_beyond_five_minutes() -> None:
    def at(minutes: int) -> dict[str, Any]:
        return package(finished_at=(datetime.now(UTC) + timedelta(minutes=minutes)).isoformat())

    assert read(at(3)).metrics
    assert "not in the future" in refusal(at(7))


def test_every_wrong_field_is_named_at_once() -> None:
    with pytest.raises(Invalid) as caught:
        read(package([metric(category="speed", direction="up")], author=""))
    assert {fault.field for fault in caught.value.faults} == {"author", "metrics[0].category", "metrics[0].direction"}


def test_a_formula_as_a_metric_name_stays_the_text_it_is() -> None:
    reading = read(package([metric("=cmd()", unit="@x")]))
    assert (reading.metrics[0].name, reading.metrics[0].unit) == ("=cmd()", "@x")
    assert reading.summary["metrics"][0]["name"] == "quality/=cmd()"


def test_a_real_lm_eval_report_is_read() -> None:
    reading = readers.read(sample("lm-eval-results.json"), kind="evaluation")
    (found,) = reading.metrics
    assert (found.category, found.name, found.direction, found.n) == ("quality", "mytask.acc", "higher", 6)
    assert (found.value, found.stderr) == (Decimal("0.166666666667"), Decimal("0.166666666667"))
    assert reading.measured_at == datetime(2026, 11, 23, 10, 28, 11, 924058, tzinfo=UTC)
    assert reading.summary["total_evaluation_time_seconds"] == "5.948986207999951"
    assert reading.summary["samples"] == {"mytask": {"original": "6", "effective": "6"}}


def test_an_lm_eval_report_does_not_say_what_it_measured() -> None:
    assert readers.read(sample("lm-eval-results.json"), kind="evaluation").subject_digests == ()


def harness(results: dict[str, Any], **members: Any) -> dict[str, Any]:
    return {"results": results, "lm_eval_version": "0.4.13", "date": 1_760_000_000.5, **members}


def test_lm_eval_metrics_carry_task_filter_and_direction() -> None:
    results = {
        "gsm8k": {
            "alias": "gsm8k",
            "exact_match,strict-match": 0.5,
            "exact_match_stderr,strict-match": "N/A",
            "exact_match,flexible-extract": 1,
        },
        "wikitext": {"word_perplexity,none": 12.5, "surprise,none": 2},
    }
    document = harness(results, higher_is_better={"wikitext": {"surprise": False}}, chat_template_sha="ab" * 32)
    reading = read(document)
    assert [(found.name, str(found.value), found.direction, found.stderr) for found in reading.metrics] == [
        ("gsm8k.exact_match.strict-match", "0.5", "higher", None),
        ("gsm8k.exact_match.flexible-extract", "1", "higher", None),
        ("wikitext.word_perplexity", "12.5", "lower", None),
        ("wikitext.surprise", "2", "lower", None),
    ]
    assert reading.summary["chat_template_sha"] == "ab" * 32


def test_an_lm_eval_result_that_is_no_number_is_left_out_with_a_warning() -> None:
    reading = read(harness({"task": {"acc,none": 0.5, "f1,none": "N/A"}}))
    assert [found.name for found in reading.metrics] == ["task.acc"]
    assert reading.warnings == ("results.task.f1,none is 'N/A', not a number, and was left out.",)


@pytest.mark.parametrize(
    ("document", "says"),
    [
        (harness({}), "metrics: saw no metric"),
        (harness({"task": {"acc,none": 1e13}}), "results.task.acc,none: saw"),
        (harness({"task": []}), "results.task: saw []"),
        (harness({"t" * 200: {"acc,none": 1}}), "names of at most 120 characters"),
        (harness({"task": {"acc,none": 1}}, date="today"), "date: saw 'today'"),
        (harness({"task": {"acc,none": 1}}, date=9_999_999_999), "date: saw 2286-11-20"),
        (harness({"task": {f"m{number},none": 1 for number in range(2001)}}), "more than 2,000 metrics"),
    ],
)
def test_an_lm_eval_report_that_is_wrong_is_refused_with_the_field(document: dict[str, Any], says: str) -> None:
    assert says in refusal(document)


def test_an_lm_eval_report_with_nan_is_refused() -> None:
    with pytest.raises(Invalid, match="saw NaN"):
        readers.read(as_body(harness({"task": {"acc,none": float("nan")}})), kind="evaluation")
