"""A waiver of a finding covers it while it is no worse than when the waiver was granted: in answers and challenges."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from governance import queries, reviews, standing, submissions, waivers
from governance.models import Challenge, Finding, Waiver
from registry.models import User
from tests import policies
from tests.factories import import_advisories, osv
from tests.scene import Scene

GHSA, RULE = "GHSA-1111-1111-1111", "vulnerabilities"
Rate = Callable[[str], Finding]


@pytest.fixture
def rate(scene: Scene, tmp_path: Path) -> Rate:
    """Let a vulnerability of the candidate be known as this bad, under a policy that minds high ones."""
    walk, version = scene
    policies.publish(policies.shipped(f"rules.{RULE}.block", "high"), walk.cast)
    days = iter(range(1, 20))

    def rated(severity: str) -> Finding:
        said = {"severity": severity, "modified": f"2026-11-{next(days):02}T00:00:00Z"}
        import_advisories(walk.cast, tmp_path, osv(GHSA, "numpy", fixed="99.0", **said))
        walk.work()
        return version.findings.get(vulnerability=GHSA)

    return rated


def allow(scene: Scene, finding: Finding | None, by: User, **changes: Any) -> Waiver:
    """Have a waiver granted."""
    walk, version = scene
    facts = {
        "rule": RULE,
        "environment": "staging",
        "reason": "The function is never called.",
        "compensating_control": "Inputs are validated.",
        "expires_at": timezone.now() + timedelta(days=60),
        "finding": finding,
        **changes,
    }
    return waivers.grant(waivers.request(version, actor=walk.cast.ada, **facts), actor=by)


def outcome(scene: Scene) -> tuple[str, bool]:
    """Return how the rule stands for the submission, and whether the queue shows it as a blocker."""
    submission = scene.version.submissions.get()
    [found] = [each for each in submissions.standing_verdicts(submission) if each.rule == RULE]
    return found.outcome, RULE in next(row.blockers for row in queries.queue(scene.walk.cast.petra))


def test_a_finding_that_grew_worse_is_not_covered_until_it_is_waived_anew(scene: Scene, rate: Rate) -> None:
    cast = scene.walk.cast
    finding = rate("HIGH")
    scene.walk.submit(scene.version, "staging")
    assert outcome(scene) == ("failed", True)
    allow(scene, finding, cast.rhea)
    assert outcome(scene) == ("waived", False)
    before = timezone.now()
    rate("CRITICAL")
    assert outcome(scene) == ("failed", True)
    rules = scene.version.submissions.get().policy
    assert submissions.verdicts.in_force(scene.version, "staging", rules, at=timezone.now()) == {}
    assert submissions.verdicts.in_force(scene.version, "staging", rules, at=before)[RULE]
    allow(scene, finding, cast.sol)
    assert outcome(scene) == ("waived", False)


@pytest.mark.parametrize(
    ("granted", "now", "covered"),
    [
        ("CRITICAL", "HIGH", True),
        ("HIGH", "HIGH", True),
        ("HIGH", "UNHEARD OF", True),
        ("UNHEARD OF", "HIGH", True),
        ("UNHEARD OF", "CRITICAL", False),
    ],
)
def test_milder_ones_stay_covered_and_an_unknown_one_is_what_the_policy_says(
    scene: Scene, rate: Rate, granted: str, now: str, *, covered: bool
) -> None:
    finding = rate(granted)
    scene.walk.submit(scene.version, "staging")
    allow(scene, finding, scene.walk.cast.rhea)
    rate(now)
    assert outcome(scene) == (("waived", False) if covered else ("failed", True))


def test_a_waiver_of_the_whole_rule_covers_what_grew_worse(scene: Scene, rate: Rate) -> None:
    rate("HIGH")
    scene.walk.submit(scene.version, "staging")
    allow(scene, None, scene.walk.cast.rhea)
    rate("CRITICAL")
    assert outcome(scene) == ("waived", False)


def test_the_gate_tolerates_no_challenge_that_is_worse_than_what_was_waived(scene: Scene, rate: Rate) -> None:
    walk, version = scene
    finding = rate("HIGH")
    submission = walk.submit(version, "staging")
    allow(scene, finding, walk.cast.rhea)
    reviews.approve(submission, actor=walk.cast.petra, role="platform")
    walk.work()
    assert standing.of(version, "staging").allow
    assert not Challenge.objects.exists()
    rate("CRITICAL")
    challenge = Challenge.objects.get()
    late = challenge.due_at + timedelta(days=1)
    assert [each.tolerated_until for each in standing.of(version, "staging").challenges] == [None]
    assert [each.rule for each in standing.of(version, "staging", at=late).reasons] == ["challenged"]
    newer = allow(scene, finding, walk.cast.sol, expires_at=timezone.now() + timedelta(days=80))
    assert [each.tolerated_until for each in standing.of(version, "staging").challenges] == [newer.expires_at]


def test_a_challenge_that_was_tolerated_counts_again_when_its_finding_grows_worse(scene: Scene, rate: Rate) -> None:
    walk, version = scene
    walk.approved(version, "staging")
    finding = rate("HIGH")
    waiver = allow(scene, finding, walk.cast.rhea)
    assert [each.tolerated_until for each in standing.of(version, "staging").challenges] == [waiver.expires_at]
    before = timezone.now()
    rate("CRITICAL")
    assert [each.tolerated_until for each in standing.of(version, "staging").challenges] == [None]
    assert [each.tolerated_until for each in standing.of(version, "staging", at=before).challenges] == [
        waiver.expires_at
    ]
    rate("HIGH")
    assert [each.tolerated_until for each in standing.of(version, "staging").challenges] == [waiver.expires_at]
