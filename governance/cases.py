"""Runs the test cases that a policy carries, and asks whether they would notice if the policy were a little wrong.

Pure: no database and no clock but the one that bounds the run. The questions are those that checks, requirements and
the policy's own rules ask of real versions, put to the context that a case gives.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from itertools import islice
from typing import Any

from governance import mutants, requirements
from governance.advisories import reaches
from governance.checks import custom, evaluations
from governance.conditions import CONTEXT, Failure, compile_condition, normalise
from governance.models.runs import Outcome

MAX_MUTANTS = 500
MAX_SECONDS = 20.0
SHOWN = 40
# What a case is about where it says nothing else. An item of a list begins as its line in ITEMS.
DEFAULT: dict[str, Any] = {
    "version": {
        "label": "model@1.0.0",
        "number": "1.0.0",
        "kind": "model",
        "risk": "medium",
        "format": "safetensors",
        "size": 1_000_000,
        "storage": "s3",
        "licence": "Apache-2.0",
        "finetune": "none",
        "repository": "https://git.example.com/model",
        "commit": "0" * 40,
        "lockfile": "0" * 64,
        "allowed_uses": [],
        "prohibited_uses": [],
        "mitigations": [],
        "authors": [],
    },
    "asset": {"name": "model", "kind": "model", "team": "team", "has_owner": True, "has_backup_owner": True},
    "datasets": [],
    "components": [],
    "findings": [],
    "evidence": [],
    "metrics": {},
}
ITEMS: dict[str, dict[str, Any]] = {
    "datasets": {"name": "data", "licence": "Apache-2.0", "personal_data": False, "purpose": "train"},
    "components": {"role": "base", "name": "base", "number": "1.0.0", "state": "approved", "risk": "medium"},
    "findings": {"id": "CVE-2026-0001", "severity": "medium", "open": True, "certain": True, "package": "pkg:pypi/a@1"},
    "evidence": {"kind": "sbom", "reader": "cyclonedx", "age_days": 0},
}
DEMANDS = ("approvals", "rules", "valid_days", "reauthenticate")


@dataclass(frozen=True)
class CaseResult:
    """One case: what it expected, what was seen under the same names, and what could not be evaluated."""

    number: int
    name: str
    environment: str
    expected: Mapping[str, Any]
    seen: Mapping[str, Any]
    problems: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Return whether everything was seen as it was expected."""
        return not self.problems


@dataclass(frozen=True)
class Mutant:
    """One small wrong change: where, what was done, and the number of the first case that noticed it, if any."""

    where: str
    says: str
    noticed_by: int | None

    @property
    def survived(self) -> bool:
        """Return whether no case noticed it."""
        return self.noticed_by is None


@dataclass(frozen=True)
class Report:
    """What came of a policy's cases: each case, what no case shows, and the changes that were tried."""

    cases: tuple[CaseResult, ...] = ()
    gaps: tuple[str, ...] = ()
    mutants: tuple[Mutant, ...] = ()
    stopped: str = ""

    @property
    def failed(self) -> list[CaseResult]:
        """Return the cases that do not hold."""
        return [case for case in self.cases if not case.passed]

    @property
    def survivors(self) -> list[Mutant]:
        """Return the changes that no case noticed."""
        return [mutant for mutant in self.mutants if mutant.survived]

    @property
    def is_green(self) -> bool:
        """Return whether all cases hold, everything is shown both ways, and every change is noticed."""
        return not (self.failed or self.gaps or self.survivors or self.stopped)

    @property
    def sentences(self) -> list[str]:
        """Return what is wrong, one sentence each; the last one counts what was done."""
        said = [f"Case {case.number} ({case.name}): {problem}" for case in self.failed for problem in case.problems]
        said += self.gaps
        said += [f"{mutant.where}: {mutant.says}, and no case notices it." for mutant in self.survivors]
        more = [f"And {len(said) - SHOWN} more."] if len(said) > SHOWN else []
        counted = (
            f"{len(self.cases) - len(self.failed)} of {len(self.cases)} cases hold; "
            f"{len(self.mutants) - len(self.survivors)} of {len(self.mutants)} changes are noticed."
        )
        return [*said[:SHOWN], *more, *filter(None, [self.stopped]), counted]


class OutOfTime(Exception):
    """The run has taken too long."""


@dataclass
class Clock:
    """How long a run may still take."""

    until: float = field(default_factory=lambda: time.monotonic() + MAX_SECONDS)

    def tick(self) -> None:
        """Raise OutOfTime when the time has run out."""
        if time.monotonic() > self.until:
            raise OutOfTime


@dataclass(frozen=True)
class Case:
    """One case ready to be asked: its number, place, context, given metrics and findings, and what it expects."""

    number: int
    name: str
    environment: str
    context: Mapping[str, Any]
    metrics: Mapping[str, Decimal]
    findings: tuple[Mapping[str, Any], ...]
    expect: Mapping[str, Any]
    clock: Clock


def run(content: Mapping[str, Any]) -> Report:
    """Return what came of the cases of a policy that `policy.read` has accepted.

    Changes are tried when all cases hold, because one that does not hold would notice everything.
    """
    clock = Clock()
    cases = [prepare(number, each, content, clock) for number, each in enumerate(content.get("tests", ()), start=1)]
    results: list[CaseResult] = []
    gaps: list[str] = []
    tried: list[Mutant] = []
    stopped = ""
    try:
        results += (hold(case, content) for case in cases)
        gaps += find_gaps(cases, content)
        if all(result.passed for result in results):
            several = islice(changes(content), MAX_MUTANTS + 1)
            tried += (Mutant(where, says, notice(cases, names, changed)) for where, says, names, changed in several)
    except OutOfTime:
        stopped = f"The run was stopped after {MAX_SECONDS:.0f} seconds."
    if len(tried) > MAX_MUTANTS:
        stopped = f"The policy has room for more than {MAX_MUTANTS} small changes; they were not all tried."
    return Report(tuple(results), tuple(gaps), tuple(tried[:MAX_MUTANTS]), stopped)


def prepare(number: int, each: Mapping[str, Any], content: Mapping[str, Any], clock: Clock) -> Case:
    """Return a case with its context: what it gives, laid over the default."""
    given = each.get("given", {})
    places = sorted(content["environments"])
    environment = given.get("environment") or ("production" if "production" in places else places[0])
    told = {name: merge(name, default, given.get(name)) for name, default in DEFAULT.items()}
    return Case(
        number=number,
        name=each.get("name") or f"{environment}, {', '.join(sorted(set(given) - {'environment'})) or 'the default'}",
        environment=environment,
        context=normalise({**typed(told, CONTEXT), "environment": environment}),
        metrics={name: Decimal(value) for name, value in told["metrics"].items()},
        findings=tuple(told["findings"]),
        expect=each["expect"],
        clock=clock,
    )


def merge(name: str, default: Any, given: Any) -> Any:
    """Return one part of the context: what is given over the default, items of lists over the default item."""
    if isinstance(default, list):
        return [{**ITEMS[name], **item} for item in given or ()]
    return {**deepcopy(default), **(given or {})}


def typed(value: Any, shape: Any) -> Any:
    """Return a value with the numbers that are written as text as numbers, where the context has numbers."""
    if isinstance(shape, dict):
        return {name: typed(item, shape.get(name, shape.get("*"))) for name, item in value.items()}
    if isinstance(shape, list):
        return [typed(item, shape[0]) for item in value]
    return float(value) if shape.startswith("number") else value


def hold(case: Case, content: Mapping[str, Any]) -> CaseResult:
    """Return what is seen where a case expects something, and in which way that is something else."""
    seen, problems = {}, []
    for name, expected in case.expect.items():
        seen[name] = ASKED[name](case, content)
        is_list = isinstance(expected, list)
        if (set(expected) != set(seen[name])) if is_list else (expected != seen[name]):
            problems.append(f"{name} is {words(seen[name])}, expected {words(expected)}.")
    if "denied" in case.expect and problems:
        rulings = [custom.ask(rule, case.context) for rule in custom.rules_of(content, case.environment)]
        problems += [ruling.says for ruling in rulings if ruling.outcome == Outcome.ERROR]
    if set(DEMANDS) & set(case.expect) and problems:
        because = requirements.weigh(content["environments"][case.environment], case.context).because
        problems += [each for each in because if "could not be evaluated" in each]
    return CaseResult(case.number, case.name, case.environment, case.expect, seen, tuple(problems))


def words(value: Any) -> str:
    """Return what was seen or expected in words."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return (", ".join(sorted(value)) or "nothing") if isinstance(value, list | tuple) else str(value)


def denied(case: Case, content: Mapping[str, Any]) -> list[str]:
    """Return the policy's own rules that stand in the way; one that cannot be evaluated does."""
    found = []
    for rule in custom.rules_of(content, case.environment):
        case.clock.tick()
        if custom.ask(rule, case.context).outcome != Outcome.PASSED:
            found.append(rule["id"])
    return found


def missed(case: Case, content: Mapping[str, Any]) -> list[str]:
    """Return the given metrics that are beyond their thresholds."""
    limits = content["rules"].get("evaluations", {}).get("thresholds", {})
    known = [(name, value) for name, value in case.metrics.items() if name in limits]
    return [name for name, value in known if evaluations.beyond(value, *evaluations.limits_of(limits[name]))]


def blocked(case: Case, content: Mapping[str, Any]) -> bool:
    """Return whether an open finding of the case stands in the way."""
    rule = content["rules"].get("vulnerabilities", {})
    return any(reaches(finding["severity"], rule) for finding in case.findings if finding["open"])


def demand(name: str, case: Case, content: Mapping[str, Any]) -> Any:
    """Return one of the demands of the case's environment."""
    case.clock.tick()
    found = getattr(requirements.weigh(content["environments"][case.environment], case.context), name)
    return list(found) if isinstance(found, tuple) else found


# THE questions that a case can answer, by the names under which it expects the answers.
ASKED: dict[str, Any] = {
    "denied": denied,
    "missed": missed,
    "blocked": blocked,
    **{name: partial(demand, name) for name in DEMANDS},
}


def find_gaps(cases: list[Case], content: Mapping[str, Any]) -> Iterator[str]:
    """Yield what no case shows: each rule, condition and bound needs one case where it bites, and one where not."""
    for rule in custom.rules_of(content):
        places = rule.get("in", list(content["environments"]))
        told = [case for case in cases if "denied" in case.expect and case.environment in places]
        yield from both(f"The rule {rule['id']}", [custom.ask(rule, case.context).outcome for case in told])
    for name, place in content["environments"].items():
        mine = [case for case in cases if case.environment == name]
        for number, each in enumerate(place.get("when", ()), start=1):
            # A case shows a condition when it expects something that the condition changes.
            answers = [
                compile_condition(each["if"]).evaluate(case.context) for case in mine if set(each) & set(case.expect)
            ]
            clear = [said for said in answers if not isinstance(said, Failure)]
            seen = [Outcome.FAILED if said else Outcome.PASSED for said in clear]
            yield from both(f"Condition {number} of {name} ({each['if']})", seen)
    for metric, limits in content["rules"].get("evaluations", {}).get("thresholds", {}).items():
        values = [case.metrics[metric] for case in cases if "missed" in case.expect and metric in case.metrics]
        for name, bound in limits.items():
            low, high = evaluations.limits_of({name: bound})
            seen = [Outcome.FAILED if evaluations.beyond(value, low, high) else Outcome.PASSED for value in values]
            yield from both(f"The threshold {metric} {name} {bound}", seen)


def both(what: str, seen: list[Outcome]) -> Iterator[str]:
    """Yield a sentence for each of the two ways in which something is never seen."""
    if Outcome.FAILED not in seen:
        yield f"{what} bites in no case."
    if Outcome.PASSED not in seen:
        yield f"{what} lets through in no case."


# A place, what was changed in words, the questions that may notice it, and the policy with the change.
Tried = tuple[str, str, tuple[str, ...], Mapping[str, Any]]


def changes(content: Mapping[str, Any]) -> Iterator[Tried]:
    """Yield the policy with one small wrong change, for each that there is."""
    rules = content["rules"]
    for number, rule in enumerate(rules.get("custom", ())):
        for change in mutants.conditions(rule["deny_if"]):
            own = replaced(rules["custom"], number, {**rule, "deny_if": change.value})
            yield f"The rule {rule['id']}", change.says, ("denied",), {**content, "rules": {**rules, "custom": own}}
    yield from changed_demands(content)
    asked = rules.get("evaluations", {})
    for metric, limits in asked.get("thresholds", {}).items():
        for change in mutants.thresholds(limits):
            other = {**asked, "thresholds": {**asked["thresholds"], metric: change.value}}
            changed = {**content, "rules": {**rules, "evaluations": other}}
            yield f"The threshold {metric}", change.says, ("missed",), changed
    blocking = rules.get("vulnerabilities")
    for change in mutants.blocks(blocking["block"]) if blocking else ():
        changed = {**content, "rules": {**rules, "vulnerabilities": {**blocking, "block": change.value}}}
        yield "The rule vulnerabilities", change.says, ("blocked",), changed


def changed_demands(content: Mapping[str, Any]) -> Iterator[Tried]:
    """Yield the policy with one condition of an environment changed, for each that there is."""
    places = content["environments"]
    for name, place in places.items():
        for number, each in enumerate(place.get("when", ())):
            for change in mutants.conditions(each["if"]):
                other = {**place, "when": replaced(place["when"], number, {**each, "if": change.value})}
                changed = {**content, "environments": {**places, name: other}}
                yield f"Condition {number + 1} of {name}", change.says, DEMANDS, changed


def replaced(items: list[Any], number: int, item: Any) -> list[Any]:
    """Return a list with one item replaced."""
    return [*items[:number], item, *items[number + 1 :]]


def notice(cases: list[Case], names: tuple[str, ...], changed: Mapping[str, Any]) -> int | None:
    """Return the number of the first case that would fail under a changed policy, or None when none would."""
    for case in cases:
        for name in names:
            if name in case.expect and unordered(ASKED[name](case, changed)) != unordered(case.expect[name]):
                return case.number
    return None


def unordered(value: Any) -> Any:
    """Return a list as a set, because cases expect sets; another value as it is."""
    return set(value) if isinstance(value, list) else value
