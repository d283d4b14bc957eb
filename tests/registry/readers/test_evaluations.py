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
    reading = read(json.loads(text))
    assert [(each.name, each.slice) for each in reading.metrics] == [
        ("accuracy", ""),
        ("accuracy", "merchants in Austria"),
        ("p95_ms", ""),
    ]
    assert (reading.metrics[0].ci_low, reading.metrics[0].ci_high) == (Decimal("0.905"), Decimal("0.921"))
    assert reading.summary["subject"]["params"] == {"temperature": "0", "max_tokens": "256", "seed": "7"}


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
        (package([metric(n=-5)]), "metrics[0].n: saw -5"),
        (package([metric(n=4999)]), "metrics[0].n: saw 4,999, expected at least the 5,000 samples"),
        (package([metric(stderr="big")]), "metrics[0].stderr: saw 'big'"),
        (package([metric(stderr="-0.1")]), "metrics[0].stderr: saw -0.1"),
        (package([metric(ci_low="0.1")]), "metrics[0].ci_low: saw one end of an interval"),
        (package([metric(ci_low="0.2", ci_high="0.1")]), "metrics[0].ci_high: saw 0.1, expected at least ci_low, 0.2"),
        (
            package([metric(slice="EU"), metric(slice=" EU ")]),
            "saw 'quality/accuracy[EU]@fraud-holdout' more than once",
        ),
        (package([metric(slice="s" * 201)]), "metrics[0].slice: saw"),
        (package([metric(category="privacy")]), "metrics[0].category: saw 'privacy'"),
        (package(raw_file_sha256="x"), "raw_file_sha256: saw 'x'"),
        (package(subject={"identity_digest": ARTIFACT, "artifact_sha256": []}), "subject.artifact_sha256: saw []"),
        (package(subject={"identity_digest": ARTIFACT, "params": {"a": []}}), "subject.params.a: saw []"),
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


def test_time_and_money_may_be_measured_on_fewer_samples_and_so_may_a_slice() -> None:
    few = [metric("p95_ms", category="latency", n=10), metric("usd", category="cost", n=10), metric(slice="EU", n=10)]
    assert [each.n for each in read(package(few)).metrics] == [10, 10, 10]


def test_a_metric_may_come_once_for_each_slice() -> None:
    reading = read(package([metric(), metric(slice="EU", value="0.8"), metric(slice="US", value="0.9")]))
    assert [(each.slice, str(each.value), each.dataset) for each in reading.metrics] == [
        ("", "0.913", "fraud-holdout"),
        ("EU", "0.8", "fraud-holdout"),
        ("US", "0.9", "fraud-holdout"),
    ]


def test_a_package_without_metrics_is_a_sidecar_for_a_raw_report() -> None:
    reading = read(package(raw_file_sha256="d" * 64) | {"metrics": []})
    assert (reading.metrics, reading.reports, reading.subject_digests) == ((), ("d" * 64,), (ARTIFACT,))


def test_the_parts_that_were_measured_are_named() -> None:
    subject = {
        "identity_digest": ARTIFACT,
        "version": "fraud-scorer@2.1.0",
        "artifact_sha256": ["a" * 64, "b" * 64],
        "prompt_sha256": "c" * 64,
        "system_prompt_sha256": "d" * 64,
        "params": {"temperature": 0.7, "stop": "\n"},
    }
    named = [(each.what, each.digests) for each in read(package(subject=subject)).named]
    assert named == [("model", ("a" * 64,)), ("model", ("b" * 64,)), ("prompt", ("c" * 64,))]


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


def test_the_arguments_of_the_model_may_be_one_text_as_in_older_files() -> None:
    document = json.loads(sample("lm-eval-results.json"))
    document["config"]["model_args"] = "pretrained=acme/credit-llm,revision=main"
    assert read(document).summary["model_args"] == "pretrained=acme/credit-llm,revision=main"


def test_the_samples_beside_a_report_are_refused_with_the_file_to_attach() -> None:
    with pytest.raises(Invalid, match=r"saw the samples of a task.*expected the results_<time>\.json"):
        readers.read(sample("lm-eval-samples.jsonl"), kind="evaluation")


def test_a_limited_run_is_told_and_one_that_lost_samples_is_refused() -> None:
    document = json.loads(sample("lm-eval-results.json"))
    document["n-samples"]["mytask"]["effective"] = 4
    assert "n-samples.mytask.effective: saw 4, expected all 6 samples" in refusal(document)
    document["config"]["limit"] = 4
    reading = read(document)
    assert reading.warnings == ("n-samples.mytask is 4 of 6: the run was limited to a part of the task.",)
    assert reading.metrics[0].n == 4


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
