"""Conditions of policies: what they answer, and that no answer is never a yes."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from governance.conditions import CONTEXT, Failure, compile_condition, fill_slots, normalise, read_slots
from portal.errors import Invalid


def picture(**more: Any) -> Any:
    """Return a context with a low-risk version that was trained on personal data."""
    return normalise(
        {
            "environment": "production",
            "version": {"risk": "low", "label": "fraud-scorer@1.0.0", "allowed_uses": ["scoring"]},
            "datasets": [{"name": "claims", "personal_data": True}, {"name": "weather", "personal_data": False}],
            "findings": [],
            "metrics": {"quality/accuracy": 0.91},
            **more,
        }
    )


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ('version.risk == "low" && datasets.exists(d, d.personal_data)', True),
        ("datasets.all(d, d.personal_data)", False),
        ('metrics["quality/accuracy"] >= 0.9', True),
        ('metrics["quality/accuracy"] > 1', False),
        ('"cost/usd" in metrics && metrics["cost/usd"] > 2', False),
        ("has(metrics.cost) && metrics.cost > 2", False),
        ('version.label.startsWith("fraud-")', True),
        ('version.risk in ["low", "medium"] && size(findings) == 0', True),
        ("datasets.filter(d, d.personal_data).size() == 1", True),
        ('datasets.exists(d, version.allowed_uses.exists(u, u == "scoring") && d.personal_data)', True),
        ("'version.nothing' == \"version.nothing\"", True),
        ('version.label != "http://plan b" && version.risk != "it\'s"', True),
    ],
)
def test_a_condition_answers_yes_or_no(text: str, answer: bool) -> None:
    assert compile_condition(text).evaluate(picture()) is answer


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('metrics["jailbreak/attack_success_rate"] < 0.05', "metrics.jailbreak/attack_success_rate"),
        ('true || metrics["toxicity/rate"] > 1.0', "metrics.toxicity/rate"),
        ("version.size > 5", "version.size"),
        ("size(datasets)", "not true or false"),
        ("version.risk", "not true or false"),
        ("version.risk > 5", ""),
        ("asset.has_owner", "asset.has_owner"),
    ],
)
def test_what_cannot_be_answered_is_neither_yes_nor_no(text: str, why: str) -> None:
    answer = compile_condition(text).evaluate(picture())
    assert isinstance(answer, Failure)
    assert why in answer.says


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("1 +", "CEL"),
        ("", "CEL"),
        ('version.rsk == "low"', "version.rsk"),
        ("datasets.exists(d, d.personal)", "datasets.[].personal"),
        ("datasets.personal_data", "datasets.personal_data"),
        ('version.risk.name == "x"', "version.risk.name"),
        ("secrets.password == 1", "secrets"),
        ("datasets.all(a, findings.all(b, components.all(c, c.role == a.name)))", "inside each other"),
        ("datasets.all(d, d.personal_data) && findings.all(d, d.open)", "for two things"),
        ("datasets.all(version, version.personal_data)", "for two things"),
        ("true && " * 300 + "true", "characters"),
        ("(" * 900 + "true" + ")" * 900, ""),
        # What could hide a path from the lint: comments, raw and byte strings, strings in three quotes or over lines.
        ("version.risk == 'low' // version.nothing", "//"),
        ('r"\\" == version.risk || metrics["x"] > 1.0 || "\\" == "a"', "r"),
        ('b"low" == b"low"', "b"),
        ('"""low""" == version.risk', "plain quotes"),
        ('version.risk == "lo\nw"', "plain quotes"),
    ],
)
def test_a_condition_that_could_never_be_right_is_refused_when_it_is_written(text: str, seen: str) -> None:
    with pytest.raises(Invalid) as refused:
        compile_condition(text)
    assert seen in str(refused.value)


@pytest.mark.parametrize("value", [math.nan, math.inf, 10**400, [0] * 2_001, {"deep": [{"number": math.nan}]}])
def test_what_conditions_cannot_look_at_is_refused_before_they_do(value: Any) -> None:
    with pytest.raises(ValueError, match=r"items|finite|large"):
        normalise(value)


def test_whole_numbers_and_decimals_compare_as_numbers() -> None:
    assert isinstance(normalise(3), float)
    assert compile_condition('metrics["latency/p95_ms"] == 800').evaluate(picture(metrics={"latency/p95_ms": 800}))


def test_every_path_of_the_context_says_what_it_is() -> None:
    def leaves(shape: Any) -> list[Any]:
        if isinstance(shape, dict):
            return [leaf for item in shape.values() for leaf in leaves(item)]
        return [leaf for item in shape for leaf in leaves(item)] if isinstance(shape, list) else [shape]

    assert all(isinstance(leaf, str) and leaf for leaf in leaves(CONTEXT))


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="version.risk datasets metrics()[]\"'<>=!&|?:+-*/%,1 has in exists", max_size=60))
def test_no_text_breaks_the_adapter(text: str) -> None:
    try:
        answer = compile_condition(text).evaluate(picture())
    except Invalid:
        return
    assert isinstance(answer, bool | Failure)


def test_dividing_by_nothing_is_no_answer() -> None:
    assert isinstance(compile_condition('metrics["quality/accuracy"] / 0.0 > 1.0').evaluate(picture()), Failure | bool)
    assert isinstance(compile_condition("0.0 / 0.0 > 1.0").evaluate(picture()), Failure)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("No {version.risk} risk with {datasets}.", "No low risk with claims, weather."),
        ("It is {metrics.quality/accuracy}, findings: {findings}.", "It is 0.91, findings: nothing."),
        ("{version.allowed_uses}{version.format}", "scoringnothing"),
    ],
)
def test_a_sentence_names_what_was_seen(text: str, said: str) -> None:
    assert read_slots(text)
    assert fill_slots(text, picture()) == said


def test_values_are_put_into_sentences_as_they_are_and_short() -> None:
    nasty = {"name": "{version.risk} {0.__class__} %s\n<b>", "personal_data": True}
    said = fill_slots("Seen: {datasets}.", picture(datasets=[nasty]))
    assert said == "Seen: {version.risk} {0.__class__} %s <b>."
    many = picture(datasets=[{"name": "x" * 50, "personal_data": True}] * 100)
    assert len(fill_slots("{datasets}", many)) == 300


@pytest.mark.parametrize(
    "text",
    [
        "{version.nothing}",
        "{version}",
        "{metrics}",
        "{}",
        "{0.__class__}",
        "{datasets.name}",
        "a } b",
        "{{version.risk}}",
    ],
)
def test_a_sentence_names_only_values_and_lists_of_the_context(text: str) -> None:
    with pytest.raises(Invalid) as refused:
        read_slots(text)
    assert refused.value.faults[0].field == "say"
