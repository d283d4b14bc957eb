"""What a policy may say in its own words: refused by its place where it could never mean anything."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from governance import cases, policy
from governance.checks import custom
from governance.conditions import Failure, compile_condition
from portal.errors import Invalid
from tests.policies import shipped

RULE = {"id": "small", "deny_if": "version.size > 5", "say": "It has {version.size} bytes."}
CASE = {"given": {"version": {"risk": "low"}}, "expect": {"denied": []}}


def read(path: str, value: Any) -> dict[str, Any]:
    return policy.read(json.dumps(shipped(path, value)))


def faults(path: str, value: Any) -> list[str]:
    with pytest.raises(Invalid) as refusal:
        read(path, value)
    assert all(fault.seen and fault.expected for fault in refusal.value.faults)
    return [fault.field for fault in refusal.value.faults]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"deny_if": "version.sise > 5"}, "deny_if"),
        ({"deny_if": "version.size >"}, "deny_if"),
        ({"deny_if": "true && " * 250 + "true"}, "deny_if"),
        ({"deny_if": "(" * 900 + "true" + ")" * 900}, "deny_if"),
        ({"say": "It is {version.sise}."}, "say"),
        ({"say": "It is {version.size!r}."}, "say"),
        ({"id": "sbom"}, "id"),
        ({"id": "stale"}, "id"),
        ({"id": "Not A Slug"}, "id"),
        ({"id": "x" * 41}, "id"),
        ({"in": ["moon"]}, "in.0"),
        ({"warn": True}, "warn"),
    ],
)
def test_a_rule_that_could_never_be_right_is_refused_by_its_place(change: dict[str, Any], field: str) -> None:
    assert faults("rules.custom", [{**RULE, **change}])[0] == f"policy.rules.custom.0.{field}"


def test_two_rules_of_one_name_are_refused() -> None:
    content = shipped("rules.custom", [RULE, RULE])
    content["tests"] = []
    with pytest.raises(Invalid) as refusal:
        policy.read(json.dumps(content))
    assert [fault.field for fault in refusal.value.faults] == ["policy.rules.custom.1.id"]


@pytest.mark.parametrize(
    ("when", "field"),
    [
        ({"if": "version.rsk == 1", "approvals": ["security"]}, "0.if"),
        ({"if": "true"}, "0"),
        ({"if": "true", "approvals": ["auditor"]}, "0.approvals.0"),
        ({"if": "true", "approvals": []}, "0.approvals"),
        ({"if": "true", "rules": ["small"]}, "0.rules.0"),
        ({"if": "true", "valid_days": 0}, "0.valid_days"),
        ({"approvals": ["security"]}, "0.if"),
    ],
)
def test_a_condition_of_an_environment_is_refused_by_its_place(when: dict[str, Any], field: str) -> None:
    assert f"policy.environments.staging.when.{field}" in faults("environments.staging.when", [when])


def test_a_rule_that_only_a_condition_asks_for_needs_its_parameters_too() -> None:
    content = shipped("rules.provenance")
    content["baseline"]["rules"].remove("provenance")
    content["environments"]["staging"]["when"] = [{"if": "true", "rules": ["provenance"]}]
    with pytest.raises(Invalid, match=r"policy\.rules\.provenance"):
        policy.read(json.dumps(content))


@pytest.mark.parametrize(
    ("case", "field"),
    [
        ({"given": {"version": {"rsk": "low"}}}, "given.version.rsk"),
        ({"given": {"version": {"size": "many"}}}, "given.version.size"),
        ({"given": {"version": {"size": True}}}, "given.version.size"),
        ({"given": {"metrics": {"quality/accuracy": "NaN"}}}, "given.metrics.quality/accuracy"),
        ({"given": {"datasets": {"name": "x"}}}, "given.datasets"),
        ({"given": {"datasets": [{}] * 101}}, "given.datasets"),
        ({"given": {"findings": [{"severity": "dire"}]}}, "given.findings.0.severity"),
        ({"given": {"environment": "moon"}}, "given.environment"),
        ({"given": {"environment": "baseline"}, "expect": {"approvals": []}}, "expect.approvals"),
        ({"expect": {"denied": ["nobody"]}}, "expect.denied.0"),
        ({"expect": {"missed": ["quality/f1"]}}, "expect.missed.0"),
        ({"expect": {}}, "expect"),
        ({"expect": {"surprise": True}}, "expect.surprise"),
    ],
)
def test_a_case_about_nothing_is_refused_by_its_place(case: dict[str, Any], field: str) -> None:
    assert faults("tests", [{**CASE, **case}])[0] == f"policy.tests.0.{field}"


@pytest.mark.parametrize("key", ["stale_days", "unowned_grace_days", "vulnerable_grace_days", "warn_days"])
def test_what_the_clock_does_may_be_left_out(key: str) -> None:
    assert key not in read(f"hygiene.{key}", None)["hygiene"]
    assert "hygiene" not in read("hygiene", None)
    assert faults(f"hygiene.{key}", -1) == [f"policy.hygiene.{key}"]


@pytest.mark.parametrize("rule", ["base-model", "licence"])
def test_days_of_grace_are_whole_and_at_most_a_year(rule: str) -> None:
    assert read(f"rules.{rule}.grace_days", 0)["rules"][rule]["grace_days"] == 0
    assert faults(f"rules.{rule}.grace_days", 366) == [f"policy.rules.{rule}.grace_days"]


def test_no_environment_takes_the_name_of_a_place_of_ours() -> None:
    content = shipped()
    content["environments"]["hygiene"] = content["environments"]["staging"]
    with pytest.raises(Invalid):
        policy.read(json.dumps(content))


def test_an_error_that_cel_forgives_does_not_pass_a_rule() -> None:
    for text in ('false && metrics["toxicity/rate"] > 1.0', 'true || metrics["toxicity/rate"] > 1.0'):
        assert isinstance(compile_condition(text).evaluate({"metrics": {}}), Failure)
        ruling = custom.ask({"id": "toxic", "deny_if": text, "say": "No."}, {"metrics": {}})
        assert ruling.outcome == "error"
        assert ruling.says == "Toxic could not be evaluated: there is no metrics.toxicity/rate."
        assert ruling.fix


TEXTS = st.text(alphabet="version.risk datasets metrics()[]{}\"'<>=!&|?:+-*/%,1.5 has in exists\n\\é", max_size=80)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(deny=TEXTS, say=TEXTS, given_=ANYTHING, when=ANYTHING)
def test_no_text_makes_reading_a_policy_raise_anything_but_a_refusal(
    deny: str, say: str, given_: Any, when: Any
) -> None:
    content = shipped("rules.custom", [{"id": "own", "deny_if": deny, "say": say}])
    content["tests"] = [{"given": given_, "expect": {"denied": []}}]
    content["environments"]["staging"]["when"] = [{"if": deny, "approvals": ["security"]}, when]
    for shape in (content, {**content, "tests": []}, {**content, "environments": shipped()["environments"]}):
        try:
            found = policy.read(json.dumps(shape))
        except Invalid:
            continue
        assert cases.run(found).sentences


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=200))
def test_no_text_at_all_makes_reading_raise_anything_but_a_refusal(text: str) -> None:
    with pytest.raises(Invalid):
        policy.read(text)
