"""How a version stands against the rules of a policy: newest fresh answers, and the waivers that cover the others.

A waived rule is still evaluated and shown as waived, never hidden. A stale answer is no answer.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from governance.checks import BY_SLUG, runner
from governance.models import CheckRequest, CheckRun, Policy, Waiver
from portal.errors import Reason
from registry import dossier
from registry.models import Version

GREEN = frozenset({"passed", "not_applicable", "waived"})


@dataclass(frozen=True)
class RuleVerdict:
    """One rule held against one version: `outcome` is a check's outcome, or waived, stale, queued or missing."""

    rule: str
    title: str
    asks: str
    outcome: str
    says: str
    fix: str
    critical: bool
    run: CheckRun | None
    waiver: Waiver | None

    @property
    def is_green(self) -> bool:
        """Return whether the rule lets the version through."""
        return self.outcome in GREEN

    def as_reason(self, where: str) -> Reason:
        """Return the verdict as a reason for a no."""
        return Reason(self.rule, self.says, self.fix, where)


def judge(
    version: Version, slugs: Iterable[str], rules: Policy, environment: str, *, at: datetime
) -> list[RuleVerdict]:
    """Return the verdict on each rule, as of an instant; `environment` may be `baseline`."""
    runs = runner.newest_runs(version, rules, at=at)
    drawn = dossier.picture(version)
    waivers = {
        waiver.rule: waiver
        for waiver in Waiver.objects.filter(version=version, environment=environment).order_by("expires_at")
        if waiver.is_in_force(at) and not rules.is_critical(waiver.rule)
    }
    queued = set(CheckRequest.objects.filter(version=version, policy=rules).values_list("check_slug", flat=True))
    verdicts = []
    for slug in slugs:
        run = runs.get(slug)
        fresh = run is not None and runner.is_fresh(run, version, drawn, rules, at=at)
        verdicts.append(weigh(slug, run, fresh, slug in queued, waivers.get(slug), rules))
    return verdicts


def weigh(
    slug: str, run: CheckRun | None, fresh: bool, queued: bool, waiver: Waiver | None, rules: Policy
) -> RuleVerdict:
    """Return the verdict on one rule from its newest answer and its waiver."""
    check = BY_SLUG[slug]
    if run is not None and fresh:
        outcome, says, fix = run.outcome, run.says, run.fix
    elif queued or run is None:
        outcome = "queued" if queued else "missing"
        says, fix = f"{check.title} has not been answered yet.", "Wait for the check; it is asked by itself."
    else:
        outcome = "stale"
        says = f"{check.title} was answered before something changed ({run.says})"
        fix = "Wait for the check to be asked again."
    if waiver is not None and outcome not in GREEN:
        says = f"Waived until {waiver.expires_at:%Y-%m-%d}: {waiver.reason} ({says})"
        outcome, fix = "waived", ""
    return RuleVerdict(slug, check.title, check.asks, outcome, says, fix, rules.is_critical(slug), run, waiver)


def for_environment(version: Version, rules: Policy, environment: str, *, at: datetime) -> list[RuleVerdict]:
    """Return the verdicts that an environment asks for: the baseline's rules and its own."""
    baseline = rules.content["baseline"]["rules"]
    own = [slug for slug in rules.environment(environment)["rules"] if slug not in baseline]
    return [
        *judge(version, baseline, rules, "baseline", at=at),
        *judge(version, own, rules, environment, at=at),
    ]


def red(found: Iterable[RuleVerdict]) -> list[RuleVerdict]:
    """Return the verdicts that stand in the way."""
    return [verdict for verdict in found if not verdict.is_green]
