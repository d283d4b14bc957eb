"""What a policy asks of one version for one environment: its plain demands, and those that its conditions add.

A condition only ever adds: roles and rules are united, the shorter validity counts, and signing in again is asked when
anybody asks it. A condition that cannot be answered counts as true, which is the stricter reading.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from governance import context
from governance.conditions import Failure, compile_condition
from governance.linting import rules_in
from governance.models import Policy
from registry.models import Version

# A version under a policy in an environment: the ids of the first two, and the name of the third.
Key = tuple[int, int, str]


@dataclass(frozen=True)
class Requirements:
    """What has to be met: the environment's own rules, roles in the policy's order, days, and fresh proof of identity.

    `because` has one sentence for each condition that added something.
    """

    rules: tuple[str, ...]
    approvals: tuple[str, ...]
    valid_days: int
    review_within_days: int
    reauthenticate: bool
    because: tuple[str, ...] = ()


def of(version: Version, rules: Policy, environment: str, *, at: datetime) -> Requirements:
    """Return what a policy asks of a version for an environment as of an instant. Raises KeyError for an unknown one.

    Nothing is read about the version while the environment has no conditions.
    """
    place = rules.environment(environment)
    told = context.of(version, environment=environment, at=at, only=looked_at(place)) if place.get("when") else {}
    return weigh(place, told)


def of_many(asked: Iterable[tuple[Version, Policy, str]], *, at: datetime) -> dict[Key, Requirements]:
    """Return what policies ask of many versions for environments, in a fixed number of queries for all."""
    rows = list(asked)
    places = [rules.environment(environment) for _, rules, environment in rows]
    parts = frozenset[str]().union(*map(looked_at, places))
    versions = [version for (version, _, _), place in zip(rows, places, strict=True) if place.get("when")]
    told = context.of_versions(versions, environment="", at=at, only=parts)
    return {
        (version.pk, rules.pk, environment): weigh(place, {**told.get(version.pk, {}), "environment": environment})
        for (version, rules, environment), place in zip(rows, places, strict=True)
    }


def rules_by_place(version: Version, rules: Policy, *, at: datetime) -> dict[str, tuple[str, ...]]:
    """Return the rules that a policy asks of a version in each place: `baseline` first, then its environments."""
    asked = of_many([(version, rules, name) for name in rules.environments], at=at)
    found = {name: asked[version.pk, rules.pk, name].rules for name in rules.environments}
    return {"baseline": tuple(rules.content["baseline"]["rules"]), **found}


def looked_at(place: Mapping[str, Any]) -> frozenset[str]:
    """Return the parts of the context that an environment's conditions look at."""
    return frozenset[str]().union(*(compile_condition(each["if"]).roots for each in place.get("when", ())))


def weigh(place: Mapping[str, Any], told: Mapping[str, Any]) -> Requirements:
    """Return what an environment's text asks for in a context. Pure: no query, no clock."""
    rules, approvals = list(place["rules"]), list(place["approvals"])
    days, again, because = place["valid_days"], place["reauthenticate"], []
    for each in place.get("when", ()):
        answer = compile_condition(each["if"]).evaluate(told)
        if answer is False:
            continue
        rules += each.get("rules", ())
        approvals += each.get("approvals", ())
        days = min(days, each.get("valid_days", days))
        again = again or each.get("reauthenticate", False)
        because.append(explain(each, answer))
    return Requirements(
        rules=tuple(dict.fromkeys(rules)),
        approvals=tuple(dict.fromkeys(approvals)),
        valid_days=days,
        review_within_days=place["review_within_days"],
        reauthenticate=again,
        because=tuple(because),
    )


def explain(each: Mapping[str, Any], answer: bool | Failure) -> str:
    """Return why a condition adds what it adds."""
    if isinstance(answer, Failure):
        return f"{each['if']} could not be evaluated ({answer.says}), so it counts as true: {describe(each)}."
    return f"{each['if']}: {describe(each)}."


def describe(each: Mapping[str, Any]) -> str:
    """Return what a condition of an environment adds, in words."""
    said = []
    if each.get("approvals"):
        said.append(f"approval by {', '.join(each['approvals'])}")
    if each.get("rules"):
        said.append(f"the rules {', '.join(each['rules'])}")
    if "valid_days" in each:
        said.append(f"valid for at most {each['valid_days']} days")
    if each.get("reauthenticate"):
        said.append("signing in again for every verdict")
    return "; ".join(said) or "nothing more"


def asked_at_most_in(rules: Policy, environment: str) -> list[str]:
    """Return every rule of its own that an environment may ask for, those that its conditions add last."""
    return rules_in(rules.environment(environment))


def asked_at_most(rules: Policy) -> list[str]:
    """Return every rule that a policy may ask for, the baseline's first, those of its conditions too, each once."""
    places = [rules.environment(name) for name in rules.environments]
    return list(
        dict.fromkeys([*rules.content["baseline"]["rules"], *(slug for each in places for slug in rules_in(each))])
    )
