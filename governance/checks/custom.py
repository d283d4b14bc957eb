"""Rules that a policy writes itself (`rules.custom`): conditions that deny, answered whenever somebody asks.

There is no recorded run: the answer is computed from the record as of an instant. What cannot be answered is an error,
never green.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from audit import seal
from governance import context
from governance.conditions import Failure, compile_condition, fill_slots, read_slots
from governance.models import Policy
from governance.models.runs import Outcome
from registry.models import Version

WAY_OUT = "Change what the condition looks at; what is frozen changes with a new version."


@dataclass(frozen=True)
class Ruling:
    """The answer to one rule of a policy's own; `inputs` is the digest of everything that the condition looked at."""

    rule: str
    title: str
    asks: str
    outcome: Outcome
    says: str
    fix: str
    critical: bool
    inputs: str
    at: datetime | None = None


def rules_of(content: Mapping[str, Any], environment: str | None = None) -> list[dict[str, Any]]:
    """Return a policy's own rules, or those that it asks in an environment or `baseline`.

    A rule that does not say where it is asked is asked in every environment, and not for the baseline.
    """
    every = content["rules"].get("custom", [])
    places = list(content["environments"])
    return [each for each in every if environment is None or environment in each.get("in", places)]


def judge(version: Version, rules: Policy, environment: str, *, at: datetime) -> list[Ruling]:
    """Return the answers to a policy's own rules in one place as of an instant; without such rules nothing is read."""
    return judge_many([(version, rules, environment)], at=at)[(version.pk, rules.pk, environment)]


def judge_many(
    asked: Iterable[tuple[Version, Policy, str]], *, at: datetime
) -> dict[tuple[int, int, str], list[Ruling]]:
    """Return the answers to the own rules of many versions' policies, in a fixed number of queries for all."""
    rows = [
        (version, rules, environment, rules_of(rules.content, environment)) for version, rules, environment in asked
    ]
    parts = frozenset[str]().union(*(compile_condition(each["deny_if"]).roots for *_, own in rows for each in own))
    named = {path[0] for *_, own in rows for each in own for path in read_slots(each["say"])}
    told = context.of_versions((row[0] for row in rows if row[3]), environment="", at=at, only=parts | named)
    return {
        (version.pk, rules.pk, environment): [
            ask(each, {**told[version.pk], "environment": environment}, at=at) for each in own
        ]
        for version, rules, environment, own in rows
    }


def ask(rule: Mapping[str, Any], told: Mapping[str, Any], *, at: datetime | None = None) -> Ruling:
    """Return the answer to one rule in a context. Pure: no query, no clock."""
    title = title_of(rule)
    condition = compile_condition(rule["deny_if"])
    answer = condition.evaluate(told)
    if isinstance(answer, Failure):
        outcome, says = Outcome.ERROR, f"{title} could not be evaluated: {answer.says}."
    elif answer:
        outcome, says = Outcome.FAILED, fill_slots(rule["say"], told)
    else:
        outcome, says = Outcome.PASSED, "What the condition denies is not the case."
    return Ruling(
        rule=rule["id"],
        title=title,
        asks=words_of(rule),
        outcome=outcome,
        says=says,
        fix="" if outcome == Outcome.PASSED else rule.get("fix", WAY_OUT),
        critical=bool(rule.get("critical", False)),
        inputs=digest_of(rule["deny_if"], {name: told[name] for name in sorted(condition.roots) if name in told}),
        at=at,
    )


def title_of(rule: Mapping[str, Any]) -> str:
    """Return what people call a rule."""
    return str(rule.get("title") or rule["id"].replace("-", " ").capitalize())


def words_of(rule: Mapping[str, Any]) -> str:
    """Return what a rule asks."""
    return f"Denied if {rule['deny_if']}"


def digest_of(text: str, told: Mapping[str, Any]) -> str:
    """Return the sha256 over a condition and what it looked at, with numbers as text."""
    return seal.digest({"condition": text, "context": as_text(told)})


def as_text(value: Any) -> Any:
    """Return a normalised value with every number as text, because canonical JSON has no floats."""
    if isinstance(value, Mapping):
        return {key: as_text(item) for key, item in value.items()}
    if isinstance(value, list):
        return [as_text(item) for item in value]
    return repr(value) if isinstance(value, float) else value
