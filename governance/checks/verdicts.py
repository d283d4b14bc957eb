"""How a version stands against the rules of a policy: newest fresh answers, and the waivers that cover the others.

A waived rule is still evaluated and shown as waived, never hidden. A stale answer is no answer. A waiver of one finding
covers nothing but that finding: the rule is waived when every finding that stands in the way is covered.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from governance import counting, requirements
from governance.checks import BY_SLUG, custom, runner
from governance.checks.vulnerabilities import BLOCKING_IDS
from governance.models import CheckRequest, CheckRun, Policy, Waiver
from portal.errors import Reason
from registry import dossier
from registry.models import Version

GREEN = frozenset({"passed", "not_applicable", "waived"})
SAID = 5


@dataclass(frozen=True)
class RuleVerdict:
    """One rule held against one version: `outcome` is a check's outcome, or waived, stale, queued or missing.

    `waivers` are those that the verdict rests on when it is waived, and those that fall short when it is not; the first
    that ends is on top.
    """

    rule: str
    title: str
    asks: str
    outcome: str
    says: str
    fix: str
    critical: bool
    run: CheckRun | None
    waivers: tuple[Waiver, ...]
    ruling: custom.Ruling | None = None

    @property
    def waiver(self) -> Waiver | None:
        """Return the first of its waivers that ends, or None."""
        return self.waivers[0] if self.waivers else None

    @property
    def is_green(self) -> bool:
        """Return whether the rule lets the version through."""
        return self.outcome in GREEN

    def as_reason(self, where: str) -> Reason:
        """Return the verdict as a reason for a no."""
        return Reason(self.rule, self.says, self.fix, where)


def judge(
    version: Version,
    slugs: Iterable[str],
    rules: Policy,
    environment: str,
    *,
    at: datetime,
    answers: Mapping[str, CheckRun] | None = None,
) -> list[RuleVerdict]:
    """Return the verdict on each rule, and on the policy's own, as of an instant; `environment` may be `baseline`.

    `answers` are taken as they are, in place of the recorded ones: what a policy would say that nobody has published.
    """
    replayed = answers is not None
    runs = runner.newest_runs(version, rules, at=at) if answers is None else answers
    drawn = dossier.picture(version) if not replayed else {}
    waivers = in_force(version, environment, rules, at=at)
    # A policy that nobody has published has no key, and nothing is queued under it.
    queued = set(CheckRequest.objects.filter(version=version, policy=rules.pk).values_list("check_slug", flat=True))
    verdicts = []
    for slug in slugs:
        run = runs.get(slug)
        fresh = run is not None and (replayed or runner.is_fresh(run, version, drawn, rules, at=at))
        verdicts.append(weigh(slug, run, fresh, slug in queued, waivers.get(slug, ()), rules))
    own = custom.judge(version, rules, environment, at=at)
    return [*verdicts, *(weigh_own(ruling, waivers.get(ruling.rule, ())) for ruling in own)]


def weigh(
    slug: str, run: CheckRun | None, fresh: bool, queued: bool, waivers: Sequence[Waiver], rules: Policy
) -> RuleVerdict:
    """Return the verdict on one rule from its newest answer and the waivers of it that are in force."""
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
    used: tuple[Waiver, ...] = ()
    if waivers and outcome not in GREEN:
        used, left = cover(waivers, run.facts.get(BLOCKING_IDS, {}) if run is not None and fresh else {})
        if left is None:
            outcome, says, fix = "waived", say_waived(used, says), ""
        elif used:
            says = f"{says} {say_short(used, left)}"
    return RuleVerdict(slug, check.title, check.asks, outcome, says, fix, rules.is_critical(slug), run, used)


def weigh_own(ruling: custom.Ruling, waivers: Sequence[Waiver]) -> RuleVerdict:
    """Return the verdict on one of a policy's own rules from its answer and the waivers of it that are in force."""
    outcome, says, fix, used = str(ruling.outcome), ruling.says, ruling.fix, tuple[Waiver, ...]()
    if waivers and not ruling.critical and outcome not in GREEN:
        used, left = cover(waivers, {})
        if left is None:
            outcome, says, fix = "waived", say_waived(used, says), ""
    return RuleVerdict(
        ruling.rule, ruling.title, ruling.asks, outcome, says, fix, ruling.critical, None, used, ruling=ruling
    )


def in_force(version: Version, environment: str, rules: Policy, *, at: datetime) -> dict[str, list[Waiver]]:
    """Return the waivers of a version that count under a policy in one place at an instant, by their rules.

    A waiver of a finding that has grown worse since the grant counts no more.
    """
    granted = Waiver.objects.filter(version=version, environment=environment, decided_at__lte=at, expires_at__gt=at)
    rows = list(granted.select_related("finding", "decided_by").order_by("expires_at", "pk"))
    kept = {row.pk for row in rows}
    # Most versions have no waiver of a finding, and need not be asked how bad theirs has become.
    if any(row.finding_id for row in rows):
        kept = set(counting.not_outgrown(granted, at).values_list("pk", flat=True))
    found: defaultdict[str, list[Waiver]] = defaultdict(list)
    for waiver in rows:
        if waiver.pk in kept and waiver.is_in_force(at) and not rules.is_critical(waiver.rule):
            found[waiver.rule].append(waiver)
    return found


def cover(waivers: Iterable[Waiver], named: Mapping[str, str]) -> tuple[tuple[Waiver, ...], list[str] | None]:
    """Return the waivers that cover an answer, the first that ends on top, and the findings that are left.

    `named` are the findings in its way, words by public id: none when it is no fresh answer about findings.
    Nothing is left (None) when the rule as a whole is waived or every finding in the way is; of two ways to cover it
    the one that lasts longer is taken.
    """
    rows = sorted(waivers, key=lambda waiver: (waiver.expires_at, waiver.pk))
    whole = next((row for row in reversed(rows) if row.finding_id is None), None)
    by_finding = {str(row.finding.public_id): row for row in rows if row.finding is not None}
    used = tuple(sorted((by_finding[each] for each in named if each in by_finding), key=rows.index))
    left = [words for each, words in named.items() if each not in by_finding]
    covers_all = bool(named) and not left
    if whole is not None and not (covers_all and used[0].expires_at > whole.expires_at):
        return (whole,), None
    return used, None if covers_all else left


def say_waived(used: Sequence[Waiver], says: str) -> str:
    """Return the sentence about an answer that is waived, with what was seen, and each finding by its name."""
    until = f"Waived until {used[0].expires_at:%Y-%m-%d}"
    if used[0].finding is None:
        return f"{until}: {used[0].reason} ({says})"
    return f"{until}: {'; '.join(say_finding(row) for row in used)} ({says})"


def say_finding(waiver: Waiver) -> str:
    """Return one waived finding in a few words."""
    return f"{waiver.finding}, until {waiver.expires_at:%Y-%m-%d}: {waiver.reason}"


def say_short(used: Sequence[Waiver], left: Sequence[str]) -> str:
    """Return the sentence about waivers that do not cover everything in the way."""
    more = f"; and {len(left) - SAID} more" if len(left) > SAID else ""
    waived = ", ".join(str(row.finding) for row in used[:SAID]) + (", …" if len(used) > SAID else "")
    return f"Waived is only {waived}. Not waived: {'; '.join(left[:SAID])}{more}."


def for_environment(
    version: Version,
    rules: Policy,
    environment: str,
    *,
    at: datetime,
    answers: Mapping[str, CheckRun] | None = None,
) -> list[RuleVerdict]:
    """Return the verdicts that an environment asks for: the baseline's rules and its own."""
    baseline = rules.content["baseline"]["rules"]
    asked = requirements.of(version, rules, environment, at=at).rules
    own = [slug for slug in asked if slug not in baseline]
    return [
        *judge(version, baseline, rules, "baseline", at=at, answers=answers),
        *judge(version, own, rules, environment, at=at, answers=answers),
    ]


def red(found: Iterable[RuleVerdict]) -> list[RuleVerdict]:
    """Return the verdicts that stand in the way."""
    return [verdict for verdict in found if not verdict.is_green]
