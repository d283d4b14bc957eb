"""Base model: what happens to a version below happens to what is made from it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from audit import log
from audit.events import Event
from governance import findings, lifecycle, submissions
from governance.checks import BY_SLUG
from governance.models import Challenge, ChallengeEnd, Finding
from registry.models import User, Version
from tests.factories import artifacts
from tests.governance.checks.conftest import Ask
from tests.scene import Scene


def made_from(scene: Scene, *parts: Version, role: str = "base", **changes: Any) -> Version:
    """Register a version that is made from others."""
    edges = [{"role": role, "version": part.label} for part in parts]
    name, number = changes.pop("name", "fraud-lora"), changes.pop("number", "0.1.0")
    return scene.walk.register(name, number, artifacts.scorer(3), components=edges, **changes)


def challenge(scene: Scene, version: Version) -> Challenge:
    """Challenge a version by a finding of its own, as an import of advisories does."""
    runner, now = User.objects.system("runner"), timezone.now()
    told = {"vulnerability": "CVE-2026-1", "severity": "critical"}
    with log.record(Event.VERSION_CHALLENGED, actor=runner, subject=version, root=version.label, due=now, **told):
        finding = Finding.objects.create(version=version, purl="pkg:pypi/numpy@2.2.6", found_at=now, **told)
        return Challenge.objects.create(
            version=version,
            root=version,
            finding=finding,
            policy=scene.walk.cast.policy,
            opened_at=now,
            due_at=now + timedelta(days=14),
            **told,
        )


def test_a_version_that_is_made_from_nothing_is_not_asked(ask: Ask) -> None:
    answer = ask("base-model")
    assert answer.outcome == "not_applicable"


def test_a_candidate_below_is_in_good_standing(ask: Ask, scene: Scene) -> None:
    answer = ask("base-model", made_from(scene, scene.version))
    assert answer.outcome == "passed"
    assert answer.says == "In good standing: fraud-scorer@1.0.0."
    assert answer.facts["parts"][0]["state"] == "candidate"


def test_a_draft_below_is_not_however_complete_it_is(ask: Ask, scene: Scene, bare: Version) -> None:
    answer = ask("base-model", made_from(scene, bare))
    assert answer.outcome == "failed"
    assert "fraud-scorer@1.1.0 is a draft" in answer.says
    assert answer.fix.startswith("Nominate fraud-scorer@1.1.0")
    submissions.nominate(bare, actor=scene.walk.cast.ada)
    assert ask("base-model", made_from(scene, bare, number="0.2.0")).outcome == "failed"


def test_a_retired_version_two_levels_below_fails(ask: Ask, scene: Scene) -> None:
    middle = made_from(scene, scene.version, name="middle")
    top = made_from(scene, middle)
    lifecycle.retire(scene.version, actor=scene.walk.cast.ada, reason="Nobody uses it.")
    answer = ask("base-model", top)
    assert answer.outcome == "failed"
    assert "fraud-scorer@1.0.0 is retired" in answer.says
    assert answer.says.startswith("2 of 2 versions below: ")


def test_a_deprecated_version_is_good_until_its_sunset(ask: Ask, scene: Scene) -> None:
    top = made_from(scene, scene.version)
    sunset = timezone.now() + timedelta(days=10)
    lifecycle.deprecate(
        scene.version, actor=scene.walk.cast.ada, successor=None, sunset_at=sunset, reason="A better one is coming."
    )
    before = ask("base-model", top)
    assert (before.outcome, before.valid_until) == ("passed", sunset)
    after = ask("base-model", top, at=sunset)
    assert after.outcome == "failed"
    assert f"reached its sunset on {sunset:%Y-%m-%d}" in after.says


def test_a_challenged_version_below_fails_until_the_challenge_is_over(ask: Ask, scene: Scene) -> None:
    top = made_from(scene, scene.version)
    check = BY_SLUG["base-model"]
    calm = check.outside(top)
    opened = challenge(scene, scene.version)
    answer = ask("base-model", top)
    assert answer.outcome == "failed"
    assert "fraud-scorer@1.0.0 is challenged by CVE-2026-1 (critical)" in answer.says
    assert "CVE-2026-1" in answer.fix
    assert check.outside(top) != calm
    now = timezone.now()
    with log.record(Event.CHALLENGE_ENDED, actor=User.objects.system("runner"), subject=scene.version, reason="Fixed."):
        ChallengeEnd.objects.create(
            challenge=opened, reason="Fixed.", ended_by=User.objects.system("runner"), ended_at=now
        )
    left = ask("base-model", top)
    assert (left.outcome, "vulnerable to CVE-2026-1" in left.says) == ("failed", True)
    findings.close(opened.finding, actor=User.objects.system("runner"))
    assert ask("base-model", top).outcome == "passed"
    assert ask("base-model", top, at=now - timedelta(microseconds=1)).outcome == "failed"
    assert check.outside(top) == calm


def test_the_parts_of_a_bundle_are_asked_for_too(ask: Ask, scene: Scene) -> None:
    bundle = made_from(scene, scene.version, role="member", kind="bundle", name="desk")
    assert ask("base-model", bundle).outcome == "passed"
    lifecycle.retire(scene.version, actor=scene.walk.cast.ada, reason="Nobody uses it.")
    answer = ask("base-model", bundle)
    assert answer.outcome == "failed"
    assert answer.facts["parts"][0]["role"] == "member"


@pytest.mark.parametrize("move", ["retire", "deprecate"])
def test_what_happens_below_makes_the_answer_stale(scene: Scene, move: str) -> None:
    top = made_from(scene, scene.version)
    check = BY_SLUG["base-model"]
    before = check.outside(top)
    ada, reason = scene.walk.cast.ada, "A better one is coming."
    if move == "retire":
        lifecycle.retire(scene.version, actor=ada, reason=reason)
    else:
        sunset = timezone.now() + timedelta(days=9)
        lifecycle.deprecate(scene.version, actor=ada, successor=None, sunset_at=sunset, reason=reason)
    assert check.outside(top) != before
