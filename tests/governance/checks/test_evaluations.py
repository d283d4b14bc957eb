"""Evaluations: every required metric, within its limits, fresh, and measured on exactly what is registered."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from governance.checks import evaluations
from governance.checks.evaluations import Evaluations
from portal.demo import documents
from portal.errors import Invalid
from registry import signatures
from registry.models import Version
from tests.governance.checks.conftest import Ask, Attach
from tests.scene import Scene


def report(version: Version, *, days_ago: float = 0.1, **changed: str) -> bytes:
    """Return a report about a version; keywords name metrics with `__` for the slash."""
    metrics = {**documents.GOOD, **{name.replace("__", "/"): value for name, value in changed.items()}}
    at = timezone.now() - timedelta(days=days_ago)
    return documents.evaluation(version.identity_digest, at=at, author="eva@example.com", metrics=metrics)


def faults(answer: Any) -> dict[str, str]:
    return {row["metric"]: row["fault"] for row in answer.facts["metrics"] if row["fault"]}


def test_good_values_pass_until_the_oldest_is_too_old(ask: Ask, scene: Scene) -> None:
    answer = ask("evaluations")
    assert answer.outcome == "passed"
    assert len(answer.facts["metrics"]) == 6
    assert answer.valid_until is not None
    assert timedelta(days=29) < answer.valid_until - timezone.now() < timedelta(days=30)


def test_no_report_at_all_fails_for_every_metric(ask: Ask, bare: Version) -> None:
    answer = ask("evaluations", bare)
    assert answer.outcome == "failed"
    assert set(faults(answer).values()) == {"is missing"}


@pytest.mark.parametrize(
    ("metric", "value", "said"),
    [
        ("quality__accuracy", "0.8499", "is 0.8499, expected at least 0.85"),
        ("toxicity__rate", "0.0101", "is 0.0101, expected at most 0.01"),
        ("latency__p95_ms", "800.000001", "is 800.000001, expected at most 800"),
    ],
)
def test_a_value_beyond_its_limit_fails(
    ask: Ask, attach: Attach, bare: Version, metric: str, value: str, said: str
) -> None:
    attach("evaluation", report(bare, **{metric: value}), bare)
    assert faults(ask("evaluations", bare)) == {metric.replace("__", "/"): said}


def test_a_value_exactly_at_its_limit_passes(ask: Ask, attach: Attach, bare: Version) -> None:
    limits = {"quality__accuracy": "0.85", "toxicity__rate": "0.01", "latency__p95_ms": "800"}
    attach("evaluation", report(bare, **limits), bare)
    assert ask("evaluations", bare).outcome == "passed"


def test_a_metric_that_the_policy_asks_for_and_nobody_measured_fails(ask: Ask, scene: Scene) -> None:
    thresholds = {**scene.walk.cast.policy.rule("evaluations")["thresholds"], "bias/equal_opportunity": {"max": "0.2"}}
    answer = ask("evaluations", thresholds=thresholds)
    assert faults(answer) == {"bias/equal_opportunity": "is missing"}


def test_old_values_do_not_count(ask: Ask, attach: Attach, bare: Version) -> None:
    attach("evaluation", report(bare, days_ago=31), bare)
    answer = ask("evaluations", bare)
    assert answer.outcome == "failed"
    assert all("too long ago" in fault for fault in faults(answer).values())
    assert ask("evaluations", bare, max_age_days=60).outcome == "passed"


def test_values_measured_on_something_else_do_not_count(ask: Ask, attach: Attach, scene: Scene, bare: Version) -> None:
    attach("evaluation", report(scene.version), bare)
    answer = ask("evaluations", bare)
    assert answer.outcome == "failed"
    assert scene.version.identity_digest[:12] in faults(answer)["quality/accuracy"]


def test_the_newest_measurement_counts_better_or_worse(ask: Ask, attach: Attach, bare: Version) -> None:
    attach("evaluation", report(bare, days_ago=3), bare)
    attach("evaluation", report(bare, days_ago=1, quality__accuracy="0.5"), bare)
    attach("evaluation", report(bare, days_ago=2, quality__accuracy="0.99"), bare)
    assert faults(ask("evaluations", bare)) == {"quality/accuracy": "is 0.5, expected at least 0.85"}


def test_a_measurement_in_the_future_would_be_fresh_for_ever_and_is_not_even_attached(
    ask: Ask, attach: Attach, bare: Version
) -> None:
    with pytest.raises(Invalid, match="not in the future"):
        attach("evaluation", report(bare, days_ago=-300), bare)
    assert ask("evaluations", bare).outcome == "failed"


@pytest.mark.parametrize("value", ["NaN", "Infinity", "1e400", "many", ""])
def test_a_value_that_is_no_number_is_not_even_attached(ask: Ask, attach: Attach, bare: Version, value: str) -> None:
    with pytest.raises(Invalid):
        attach("evaluation", report(bare, quality__accuracy=value), bare)
    assert ask("evaluations", bare).outcome == "failed"


def test_a_report_about_a_digest_nobody_registered_counts_for_nothing(ask: Ask, attach: Attach, bare: Version) -> None:
    document = json.loads(report(bare))
    document["subject"] = {"identity_digest": "00" * 32}
    attach("evaluation", document, bare)
    answer = ask("evaluations", bare)
    assert answer.outcome == "failed"
    assert "which is registered nowhere here and not this identity digest" in faults(answer)["quality/accuracy"]


def package(version: Version, *metrics: dict[str, Any], days_ago: float = 0.1, **members: Any) -> dict[str, Any]:
    """Return a report about a version with metrics of one's own."""
    document = json.loads(report(version, days_ago=days_ago))
    each = {"category": "quality", "name": "f1", "value": "0.9", "direction": "higher"}
    return {**document, "metrics": [{**each, **metric} for metric in metrics] or [each], **members}


def on(name: str, version: Version, *metrics: dict[str, Any], **members: Any) -> dict[str, Any]:
    """Return a report about a version on a data set of some name."""
    dataset = {"name": name, "version": "1", "sha256": "5e" * 32, "n": 100}
    return package(version, *metrics, dataset=dataset, **members)


F1 = {"quality/f1": {"min": "0.5"}}


def test_values_on_several_data_sets_are_never_averaged_and_have_to_be_named(
    ask: Ask, attach: Attach, bare: Version
) -> None:
    attach("evaluation", on("easy", bare, {"value": "0.99"}), bare)
    assert ask("evaluations", bare, thresholds=F1).outcome == "passed"
    attach("evaluation", on("hard", bare, {"value": "0.2"}, days_ago=2), bare)
    answer = ask("evaluations", bare, thresholds=F1)
    assert faults(answer)["quality/f1"] == (
        "was measured on several data sets (easy, hard), which are never averaged, "
        "and the policy has to name one, as quality/f1@easy"
    )
    assert "Name the data set in the policy." in answer.fix
    assert answer.valid_until is not None
    assert timedelta(days=27.9) < answer.valid_until - timezone.now() < timedelta(days=28)
    named = {"quality/f1@hard": {"min": "0.1"}, "quality/f1@easy": {"min": "0.9"}}
    assert ask("evaluations", bare, thresholds=named).outcome == "passed"
    assert faults(ask("evaluations", bare, thresholds={"quality/f1@other": {"min": "0.1"}})) == {
        "quality/f1@other": "is missing"
    }


def test_a_value_too_old_to_count_makes_nothing_ambiguous(ask: Ask, attach: Attach, bare: Version) -> None:
    attach("evaluation", on("easy", bare), bare)
    attach("evaluation", on("hard", bare, days_ago=40), bare)
    assert ask("evaluations", bare, thresholds=F1).outcome == "passed"


def test_a_slice_is_no_overall_value_and_may_be_asked_for_by_name(ask: Ask, attach: Attach, bare: Version) -> None:
    attach("evaluation", on("holdout", bare, {"slice": "EU"}, {"slice": "US", "value": "0.4"}), bare)
    said = faults(ask("evaluations", bare, thresholds=F1))["quality/f1"]
    assert said.startswith("was measured for ")
    assert said.endswith(" only; no report has an overall value")
    sliced = {"quality/f1[EU]": {"min": "0.5"}, "quality/f1[US]@holdout": {"min": "0.5"}}
    answer = ask("evaluations", bare, thresholds=sliced)
    assert faults(answer) == {"quality/f1[US]@holdout": "is 0.4, expected at least 0.5"}
    assert [row["slice"] for row in answer.facts["metrics"]] == ["EU", "US"]


def test_too_few_samples_are_told_where_the_report_says_how_many(ask: Ask, attach: Attach, bare: Version) -> None:
    attach("evaluation", on("holdout", bare, {"n": 100}, {"name": "bleu"}), bare)
    thresholds = {**F1, "quality/bleu": {"min": "0.1"}}
    assert ask("evaluations", bare, thresholds=thresholds, min_samples=100).outcome == "passed"
    answer = ask("evaluations", bare, thresholds=thresholds, min_samples=101)
    assert faults(answer) == {"quality/f1": "rests on 100 samples, expected at least 101"}


def test_a_report_that_nobody_signed_does_not_do_where_the_policy_wants_a_name(
    ask: Ask, attach: Attach, scene: Scene, bare: Version
) -> None:
    row = attach("evaluation", on("holdout", bare), bare)
    before = Evaluations().outside(bare)
    answer = ask("evaluations", bare, thresholds=F1, signed=True)
    assert faults(answer) == {"quality/f1": "stands in evaluation.json, which nobody has signed"}
    assert answer.fix == "Have the person responsible sign the report on the evaluations tab."
    signatures.sign(row, actor=scene.walk.cast.ben, capacity="head of validation", statement="I ran it myself.")
    answer = ask("evaluations", bare, thresholds=F1, signed=True)
    assert answer.outcome == "passed"
    assert answer.facts["metrics"][0]["signed_by"] == ["ben as head of validation"]
    assert Evaluations().outside(bare) != before, "a signature has to ask the check again"


def test_the_facts_of_a_metric_say_where_its_value_comes_from(ask: Ask, attach: Attach, bare: Version) -> None:
    row = attach("evaluation", on("holdout", bare, {"n": 100, "stderr": "0.02", "unit": "share"}), bare)
    (told,) = ask("evaluations", bare, thresholds=F1).facts["metrics"]
    assert told | {"measured_at": ""} == {
        "metric": "quality/f1",
        "min": "0.5",
        "max": "",
        "value": "0.9",
        "shown": "0.9",
        "fault": "",
        "unit": "share",
        "direction": "higher",
        "n": "100",
        "stderr": "0.02",
        "measured_at": "",
        "dataset": "holdout",
        "slice": "",
        "evidence": row.sha256,
        "binding": "declared",
        "bound_by": "as its report or its submitter says",
        "signed_by": [],
    }


def test_every_metric_is_listed_and_the_required_ones_come_first(attach: Attach, bare: Version) -> None:
    attach("evaluation", on("holdout", bare, {"category": "cost", "name": "usd"}, {}, {"slice": "EU"}), bare)
    rule = {"max_age_days": 30, "thresholds": F1}
    listed = evaluations.survey(bare, rule, at=timezone.now())
    assert [(each.metric, each.is_required) for each in listed] == [
        ("quality/f1", True),
        ("quality/f1", False),
        ("cost/usd", False),
    ]
    assert listed[1].measurement.row.slice == "EU"
    assert [each.metric for each in evaluations.survey(bare, {}, at=timezone.now())] == [
        "quality/f1",
        "quality/f1",
        "cost/usd",
    ]
