"""What is wrong with a policy beyond its schema: conditions that could never be right, and cases about nothing.

The shape of a policy is `policies/schema.json`; what the cases find out when they are run is `governance.cases`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from governance.conditions import CONTEXT, compile_condition, read_slots
from portal.errors import Fault, Invalid, show

# Names that waivers and pages use for something else.
RESERVED = frozenset({"baseline", "custom", "hygiene", "stale", "sunset", "unowned", "vulnerable"})
SEVERITIES = ("unknown", "low", "medium", "high", "critical")
# Cases are small pictures; what takes long to look at is no picture any more.
MAX_GIVEN = 100
DECIMAL = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,12})?")


def find_faults(content: Mapping[str, Any], *, checks: Collection[str]) -> list[Fault]:
    """Return a fault for each place of a policy that its schema accepts and that cannot mean anything."""
    return [*lint_rules(content, checks), *lint_conditions(content), *lint_cases(content)]


def rules_in(place: Mapping[str, Any]) -> list[str]:
    """Return every rule that an environment's text names, those of its conditions last, each once."""
    added = [slug for each in place.get("when", ()) for slug in each.get("rules", ())]
    return list(dict.fromkeys([*place["rules"], *added]))


def lint_rules(content: Mapping[str, Any], checks: Collection[str]) -> Iterator[Fault]:
    """Yield what is wrong with the names and the sentences of a policy's own rules."""
    known = ["baseline", *content["environments"]]
    seen: set[str] = set()
    for number, rule in enumerate(content["rules"].get("custom", ())):
        where = f"policy.rules.custom.{number}"
        if rule["id"] in seen or rule["id"] in {*checks, *RESERVED}:
            yield Fault(f"{where}.id", show(rule["id"]), "a name that no other rule and no check has")
        seen.add(rule["id"])
        for place, name in enumerate(rule.get("in", ())):
            if name not in known:
                yield Fault(f"{where}.in.{place}", show(name), f"one of {', '.join(known)}")
        yield from faults_of(read_slots, rule["say"], f"{where}.say")


def lint_conditions(content: Mapping[str, Any]) -> Iterator[Fault]:
    """Yield what is wrong with the conditions of a policy."""
    for where, text in conditions_of(content):
        yield from faults_of(compile_condition, text, where)


def conditions_of(content: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield each condition of a policy, with its place."""
    for number, rule in enumerate(content["rules"].get("custom", ())):
        yield f"policy.rules.custom.{number}.deny_if", rule["deny_if"]
    for name, place in content["environments"].items():
        for number, each in enumerate(place.get("when", ())):
            yield f"policy.environments.{name}.when.{number}.if", each["if"]


def faults_of(reading: Callable[[str], object], text: str, where: str) -> list[Fault]:
    """Return what a reading finds wrong with a text, under the name of its place."""
    try:
        reading(text)
    except Invalid as error:
        return [Fault(where, fault.seen, fault.expected) for fault in error.faults]
    return []


def lint_cases(content: Mapping[str, Any]) -> Iterator[Fault]:
    """Yield what is wrong with the cases of a policy: paths that are not there, rules and metrics nobody knows."""
    for number, case in enumerate(content.get("tests", ())):
        given = case.get("given", {})
        shaped = list(misfits(given, CONTEXT, f"policy.tests.{number}.given"))
        yield from shaped
        if not shaped:
            yield from lint_given(given, content, f"policy.tests.{number}.given")
            yield from lint_expected(case["expect"], given, content, f"policy.tests.{number}.expect")


def lint_given(given: Mapping[str, Any], content: Mapping[str, Any], where: str) -> Iterator[Fault]:
    """Yield what a case gives that its policy does not know."""
    known = ["baseline", *content["environments"]]
    if given.get("environment", "baseline") not in known:
        yield Fault(f"{where}.environment", show(given["environment"]), f"one of {', '.join(known)}")
    for number, finding in enumerate(given.get("findings", ())):
        if finding.get("severity", "unknown") not in SEVERITIES:
            seen = show(finding["severity"])
            yield Fault(f"{where}.findings.{number}.severity", seen, f"one of {', '.join(SEVERITIES)}")


def lint_expected(
    expected: Mapping[str, Any], given: Mapping[str, Any], content: Mapping[str, Any], where: str
) -> Iterator[Fault]:
    """Yield what a case expects that its policy can never answer."""
    own = [rule["id"] for rule in content["rules"].get("custom", ())]
    metrics = content["rules"].get("evaluations", {}).get("thresholds", {})
    for name, words in (("denied", own), ("missed", metrics)):
        for place, word in enumerate(expected.get(name, ())):
            if word not in words:
                known = ", ".join(words) or "nothing, because the policy has none"
                yield Fault(f"{where}.{name}.{place}", show(word), f"one of {known}")
    asked = sorted({"approvals", "rules", "valid_days", "reauthenticate"} & set(expected))
    if asked and given.get("environment") == "baseline":
        yield Fault(f"{where}.{asked[0]}", show(expected[asked[0]]), "an environment; the baseline asks for none of it")
    if "blocked" in expected and "vulnerabilities" not in content["rules"]:
        yield Fault(f"{where}.blocked", show(expected["blocked"]), "a policy with rules.vulnerabilities")


def misfits(value: Any, shape: Any, where: str) -> Iterator[Fault]:
    """Yield where a value is not of the shape that the context has there."""
    if isinstance(shape, dict):
        if not isinstance(value, dict):
            yield Fault(where, show(value), f"a mapping with {', '.join(sorted(shape))}")
            return
        for name, item in value.items():
            if name not in shape and "*" not in shape:
                yield Fault(f"{where}.{name[:80]}", "a key that nobody reads", f"one of {', '.join(sorted(shape))}")
            else:
                yield from misfits(item, shape.get(name, shape.get("*")), f"{where}.{name[:80]}")
    elif isinstance(shape, list):
        if not isinstance(value, list) or len(value) > MAX_GIVEN:
            yield Fault(where, show(value), f"a list of at most {MAX_GIVEN}")
            return
        for number, item in enumerate(value):
            yield from misfits(item, shape[0], f"{where}.{number}")
    elif not is_of(value, shape):
        yield Fault(where, show(value), shape)


def is_of(value: Any, shape: str) -> bool:
    """Return whether a single value is what the context says there; a number is whole or a decimal as text."""
    if shape.startswith("true or false"):
        return isinstance(value, bool)
    if shape.startswith("number"):
        is_whole = isinstance(value, int) and not isinstance(value, bool)
        return is_whole or (isinstance(value, str) and DECIMAL.fullmatch(value) is not None)
    return isinstance(value, str)
