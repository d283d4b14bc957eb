"""Evaluations: every required metric, within its limits, fresh, and measured on exactly what is registered."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from portal.demo import documents
from portal.errors import Invalid
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


def test_a_report_that_names_no_subject_counts_for_nothing(ask: Ask, attach: Attach, bare: Version) -> None:
    document = json.loads(report(bare))
    document["subject"] = {"identity_digest": "00" * 32}
    attach("evaluation", document, bare)
    assert ask("evaluations", bare).outcome == "failed"
