"""What the page of one check prints: the question, the answer, what was seen, how it was asked, and earlier answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from django.core.paginator import Page
from django.db.models import QuerySet
from django.urls import reverse
from django.utils import timezone

from governance import counting, policy, requirements
from governance.checks import BY_SLUG, runner, verdicts
from governance.checks.vulnerabilities import BLOCKING_IDS
from governance.models import CheckRequest, CheckRun, Policy, Waiver
from governance.permissions import may
from governance.web import changed_inputs, facts, panels, sheets
from registry import dossier
from registry.models import User, Version

# Who can turn a no into a yes, and on which tab of the version: the owners, and whoever else each check needs.
FIXERS = {
    "artifact-scan": (("security, for a class that was only held", "allow-global"),),
    "provenance": (("an administrator, for trusted keys", ""),),
    "vulnerabilities": (
        ("security, for the answers to findings", "findings"),
        ("an administrator, for advisories", ""),
    ),
    "licence": (("two people who change the policy, for what it assumes and denies", ""),),
    "evaluations": (("whoever runs the evaluations", "evaluations"),),
    "base-model": (("the owners of what it is made from", "lineage"),),
}
TABS = {"sbom": "evidence", "provenance": "evidence", "evaluations": "evidence", "base-model": "lineage"}


@dataclass(frozen=True)
class Shown:
    """The answer a page is about, with how it stands now: fresh, stale, queued or missing."""

    version: Version
    slug: str
    rules: Policy
    run: CheckRun | None
    newest: CheckRun | None
    request: CheckRequest | None
    drawn: dict[str, Any]
    at: datetime

    @property
    def is_old(self) -> bool:
        """Return whether a newer answer is there under the same policy."""
        return self.run is not None and self.newest is not None and self.run.pk != self.newest.pk

    @cached_property
    def is_fresh(self) -> bool:
        """Return whether the newest answer speaks about what is there."""
        return self.newest is not None and runner.is_fresh(
            self.newest, self.version, self.drawn, self.rules, at=self.at
        )


def answers(version: Version, slug: str) -> QuerySet[CheckRun]:
    """Return every answer that one check ever gave about a version, newest first."""
    return version.check_runs.filter(check_slug=slug).select_related("policy")


def choose(version: Version, slug: str, run: CheckRun | None) -> Shown:
    """Return what the page is about: an answer by its address, or the newest one under the policy that asks."""
    rules = run.policy if run else asked_under(version, slug)
    newest = answers(version, slug).filter(policy=rules).order_by("-pk").first()
    waiting = CheckRequest.objects.filter(version=version, check_slug=slug, policy=rules).select_related("requested_by")
    return Shown(version, slug, rules, run or newest, newest, waiting.first(), dossier.picture(version), timezone.now())


def asked_under(version: Version, slug: str) -> Policy:
    """Return the policy whose question the page is about: the governing one, or that of a submission still open.

    A submission may finish under an older policy, whose answers are then the ones that count for it.
    """
    governing = policy.governing(version)
    asked = set(answers(version, slug).values_list("policy", flat=True))
    asked |= set(CheckRequest.objects.filter(version=version, check_slug=slug).values_list("policy", flat=True))
    if governing.pk in asked:
        return governing
    pinned = version.submissions.filter(state="open", policy__in=asked).select_related("policy").order_by("-pk").first()
    return pinned.policy if pinned else governing


def page(shown: Shown, user: User, earlier: Page[CheckRun]) -> dict[str, Any]:
    """Return everything the page needs."""
    version, check, run = shown.version, BY_SLUG[shown.slug], shown.run
    waivers = list(version.waivers.filter(rule=shown.slug).select_related("policy", "finding"))
    standing = places(shown)
    told = weigh(shown, ())
    is_red = not told.is_green if not shown.is_old else run is not None and run.outcome not in verdicts.GREEN
    fix = run.fix if run and is_red else ""
    return {
        "version": version,
        "check": check,
        "crumbs": panels.crumbs(version, {"label": "Checks", "url": tab(version, "checks")}),
        "run": run,
        "says": run.says if run else told.says,
        "outcome": run.outcome if run and (shown.is_fresh or shown.is_old) else told.outcome,
        "critical": shown.rules.is_critical(shown.slug),
        "fix": fix,
        "fixers": fixers(version, shown.slug) if fix else [],
        "blocks": facts.blocks({name: run.facts[name] for name in run.facts if name != BLOCKING_IDS}) if run else [],
        "notice": notice(shown),
        "asked": asked(run) if run else [],
        "rule": rule_items(shown),
        "places": standing,
        "waivers": [{"row": row, "in_force": row.is_in_force(shown.at)} for row in waivers],
        "page": earlier,
        "may_ask": may_ask(shown, user),
        "may_waive": bool(fix) and may_waive(shown, user),
        "is_held": bool(run and (run.facts.get("held_globals") or run.facts.get("allowances_used"))),
    }


def weigh(shown: Shown, waivers: Sequence[Waiver]) -> verdicts.RuleVerdict:
    """Return how the rule stands now, with or without waivers."""
    is_queued = shown.request is not None
    return verdicts.weigh(shown.slug, shown.newest, shown.is_fresh, is_queued, waivers, shown.rules)


def places(shown: Shown) -> list[dict[str, Any]]:
    """Return where the policy asks the check, with how it stands there; a waiver covers one place only."""
    rules, slug = shown.rules, shown.slug
    asking = requirements.rules_by_place(shown.version, rules, at=shown.at)
    granted = counting.not_outgrown(shown.version.waivers.filter(rule=slug), shown.at).select_related("finding")
    counted = [row for row in granted if row.is_in_force(shown.at) and not rules.is_critical(row.rule)]
    return [
        {
            "environment": name,
            "label": "To become a candidate" if name == "baseline" else f"For {name}",
            "verdict": weigh(shown, [row for row in counted if row.environment == name]),
        }
        for name, slugs in asking.items()
        if slug in slugs
    ]


def notice(shown: Shown) -> dict[str, Any] | None:
    """Return one banner: that a newer answer is there, that the check waits, or why its answer no longer counts."""
    if shown.is_old and shown.newest is not None:
        link = {"url": address(shown.version, shown.slug), "link": "The newest"}
        return {"tone": "info", "title": "An earlier answer.", "text": "A newer one is there.", **link}
    if shown.newest is None and shown.request is None:
        text = "It is asked as soon as the version is nominated." if not shown.version.is_frozen else ""
        return {"tone": "info", "title": "It has not been asked yet.", "text": text}
    late = "" if shown.newest is None or shown.is_fresh else " ".join(why_late(shown, shown.newest))
    if shown.request is not None:
        since = f"since {shown.request.requested_at:%Y-%m-%d %H:%M} UTC, asked by {shown.request.requested_by}"
        tried = f", tried {shown.request.attempts} times" if shown.request.attempts > 1 else ""
        text = f"It waits for a worker {since}{tried}. {late}".strip()
        return {"tone": "info", "title": "It is being asked.", "text": text}
    return {"tone": "warn", "title": "This answer no longer counts.", "text": late} if late else None


def why_late(shown: Shown, newest: CheckRun) -> Iterator[str]:
    """Yield why the newest answer no longer counts."""
    return changed_inputs.reasons(newest, shown.version, shown.drawn, at=shown.at)


def asked(run: CheckRun) -> list[sheets.Item]:
    """Return how an answer came about."""
    took = (run.ended_at - run.started_at).total_seconds()
    items: list[sheets.Item] = [
        {"label": "Tool", "value": run.tool},
        {"label": "Tool version", "value": run.tool_version},
        {"label": "Asked", "value": run.started_at, "kind": "when"},
        {"label": "Took", "value": f"{took:.1f} seconds"},
        {"label": "Inputs digest", "value": run.input_digest, "kind": "digest"},
        sheets.policy_item(run.policy),
    ]
    if run.valid_until:
        items.append({"label": "Counts until", "value": f"{run.valid_until:%Y-%m-%d %H:%M} UTC"})
    return items


def rule_items(shown: Shown) -> list[sheets.Item]:
    """Return what the policy asks for, setting by setting."""
    settings = sheets.settings_of(shown.rules.rule(shown.slug))
    # The names of metrics are quoted as they are written.
    names = [each["name"] if "/" in each["name"] else each["name"].capitalize() for each in settings]
    items: list[sheets.Item] = [
        {"label": name, "value": each["value"]} for name, each in zip(names, settings, strict=True)
    ]
    return items or [{"label": "Settings", "value": "none: the question alone"}]


def fixers(version: Version, slug: str) -> list[dict[str, str]]:
    """Return who can make the answer a yes, and where, the owners first."""
    asset = version.asset
    team = f"the team {asset.team} (owner {asset.owner or 'nobody'}, backup {asset.backup_owner or 'nobody'})"
    found = [{"who": team, "where": fixed_at(version, slug)}]
    for who, name in FIXERS.get(slug, ()):
        where = (
            reverse("governance:allow-global", args=label(version)) if name == "allow-global" else tab(version, name)
        )
        found.append({"who": who, "where": where if name else ""})
    return found


def fixed_at(version: Version, slug: str) -> str:
    """Return the page on which the owners can do something about a check."""
    if slug == "owners":
        return reverse("registry:asset-edit", args=[version.asset.slug])
    if not version.is_frozen:
        return reverse("registry:version-edit", args=label(version))
    return tab(version, TABS.get(slug, "overview"))


def label(version: Version) -> list[str]:
    """Return what addresses of a version are made of."""
    return [version.asset.slug, version.number]


def tab(version: Version, name: str) -> str:
    """Return the address of one tab of a version."""
    return reverse("registry:version-tab", args=[*label(version), name or "overview"])


def address(version: Version, slug: str) -> str:
    """Return the address of a check's page."""
    return reverse("governance:check", args=[*label(version), slug])


def may_ask(shown: Shown, user: User) -> bool:
    """Return whether this person may have the check asked again."""
    is_asked = shown.slug in runner.slugs_of(shown.rules)
    return is_asked and runner.can_be_asked(shown.version) and may(user, "version.edit", shown.version)


def may_waive(shown: Shown, user: User) -> bool:
    """Return whether this person may ask for an exception here."""
    is_open = runner.can_be_asked(shown.version) and not shown.rules.is_critical(shown.slug)
    return is_open and may(user, "waiver.request", shown.version)
