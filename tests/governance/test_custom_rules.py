"""Rules that a policy writes itself: answered whenever somebody asks, waived like others, never green by mistake."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone

from governance import queries, reviews, submissions, waivers
from governance.checks import custom, verdicts
from governance.models import Policy, Submission
from portal.errors import Invalid, Refused
from registry.models import Version
from tests import policies
from tests.factories import artifacts
from tests.scene import Scene
from tests.web.visitors import sign_in

RULE = {
    "id": "no-medium",
    "title": "No medium risk",
    "deny_if": 'version.risk == "medium"',
    "say": "{version.label} is.",
}
SHIPPED_RULE = "no-personal-data-in-low-risk"


def governed(scene: Scene, **rule: Any) -> Policy:
    """Publish the shipped policy with another rule of its own."""
    content = policies.shipped()
    content["rules"]["custom"] = [{**RULE, **rule}]
    environment = rule.get("in", ["production"])[0]
    content["tests"] = [
        {"given": {"environment": environment, "version": {"risk": risk}, **given}, "expect": {"denied": []}}
        for risk in ("medium", "high")
        for given in ({"metrics": {"latency/p50": "5"}}, {"metrics": {"latency/p50": "6"}})
    ]
    return policies.publish(content, scene.walk.cast)


def outcomes(version: Version, rules: Policy, environment: str = "staging") -> dict[str, str]:
    found = verdicts.for_environment(version, rules, environment, at=timezone.now())
    return {each.rule: each.outcome for each in found if each.ruling}


def ask(submission: Submission, scene: Scene, **more: Any) -> Any:
    facts = {
        "rule": "no-medium",
        "environment": submission.environment,
        "reason": "Rated before the rule was written.",
        "compensating_control": "It serves one team only.",
        "expires_at": timezone.now() + timedelta(days=20),
    }
    return waivers.request(submission.version, actor=scene.walk.cast.ada, **{**facts, **more})


def test_the_shipped_rule_asks_of_every_environment_and_not_of_candidates(scene: Scene) -> None:
    rules = scene.walk.cast.policy
    assert outcomes(scene.version, rules) == {SHIPPED_RULE: "passed"}
    assert outcomes(scene.version, rules, "production") == {SHIPPED_RULE: "passed"}
    assert custom.judge(scene.version, rules, "baseline", at=timezone.now()) == []
    low = scene.walk.candidate("tagger", "1.0.0", artifacts.scorer(2), risk="low")
    assert low.state == "candidate"
    [ruling] = custom.judge(low, rules, "staging", at=timezone.now())
    assert ruling.outcome == "failed"
    assert ruling.says == "A low-risk rating is not possible with personal data in transactions-2026q2."
    assert "rated higher" in ruling.fix


def test_a_rule_that_denies_stands_in_the_way_of_approval(scene: Scene) -> None:
    governed(scene)
    submission = scene.walk.submit(scene.version, "staging")
    with pytest.raises(Refused) as refusal:
        reviews.approve(submission, actor=scene.walk.cast.petra, role="platform")
    [reason] = refusal.value.reasons
    assert (reason.rule, reason.says) == ("no-medium", "fraud-scorer@1.0.0 is.")
    assert reason.fix
    [row] = queries.queue(scene.walk.cast.petra)
    assert row.blockers == ("no-medium",)
    assert not scene.version.check_runs.filter(check_slug="no-medium").exists()


def test_a_granted_waiver_covers_it_and_the_decision_says_what_was_seen(scene: Scene) -> None:
    rules = governed(scene)
    submission = scene.walk.submit(scene.version, "staging")
    waiver = ask(submission, scene)
    waivers.grant(waiver, actor=scene.walk.cast.rhea, note="For this one.")
    assert outcomes(scene.version, rules) == {"no-medium": "waived"}
    assert outcomes(scene.version, rules, "production") == {"no-medium": "failed"}
    [row] = queries.queue(scene.walk.cast.petra)
    assert row.blockers == ()
    scene.walk.approve(submission)
    [decision] = submission.decisions.all()
    told = json.loads(bytes(decision.payload))["predicate"]
    [check] = [each for each in told["checks"] if each["id"] == "no-medium"]
    assert (check["result"], check["run"]) == ("WAIVED", None)
    assert check["tool"] == {"name": "condition", "version": rules.digest}
    assert len(check["inputs"]["sha256"]) == 64
    assert [each["control"] for each in told["exceptions"]] == ["no-medium"]
    assert decision.expires_at == waiver.expires_at


def test_a_critical_rule_is_waived_by_nobody(scene: Scene) -> None:
    rules = governed(scene, critical=True)
    assert rules.is_critical("no-medium")
    submission = scene.walk.submit(scene.version, "staging")
    with pytest.raises(Refused, match="critical"):
        ask(submission, scene)
    with pytest.raises(Invalid):
        ask(submission, scene, rule="nobody-knows")


def test_a_missing_field_is_an_error_and_never_green(scene: Scene) -> None:
    rules = governed(scene, deny_if='metrics["latency/p50"] > 5')
    submission = scene.walk.submit(scene.version, "staging")
    [verdict] = [each for each in submissions.standing_verdicts(submission) if each.ruling]
    assert (verdict.outcome, verdict.is_green) == ("error", False)
    assert verdict.says == "No medium risk could not be evaluated: there is no metrics.latency/p50."
    assert outcomes(scene.version, rules) == {"no-medium": "error"}
    with pytest.raises(Refused):
        reviews.approve(submission, actor=scene.walk.cast.petra, role="platform")


def test_a_rule_for_the_baseline_stops_a_draft(scene: Scene) -> None:
    governed(scene, **{"in": ["baseline"]})
    version = scene.walk.candidate("tagger", "1.0.0", artifacts.scorer(2), risk="medium")
    assert version.state == "draft"
    assert scene.walk.candidate("tagger", "1.1.0", artifacts.scorer(3), risk="high").state == "candidate"


def test_the_digest_of_the_inputs_follows_what_is_looked_at_and_nothing_else() -> None:
    def inputs(**told: Any) -> str:
        return custom.ask(RULE, {"version": {"risk": "low", "size": 1.0}, **told}).inputs

    assert inputs() == inputs(datasets=[{"name": "x"}])
    assert inputs() != inputs(version={"risk": "high", "size": 1.0})


def test_pages_show_it_beside_the_checks_without_a_page_of_its_own(scene: Scene) -> None:
    governed(scene)
    submission = scene.walk.submit(scene.version, "staging")
    petra, ada = sign_in(scene.walk.cast.petra), sign_in(scene.walk.cast.ada)
    page = petra.get(submission.get_absolute_url()).content.decode()
    assert "fraud-scorer@1.0.0 is." in page
    shown = ada.get(reverse("registry:version-tab", args=["fraud-scorer", "1.0.0", "checks"])).content.decode()
    assert "No medium risk" in shown
    assert "rule=no-medium" in shown
    assert "/checks/no-medium/" not in page + shown
    asked = ada.get(reverse("governance:waiver-request", args=["fraud-scorer", "1.0.0"]) + "?rule=no-medium")
    assert 'value="no-medium"' in asked.content.decode()
    written = petra.get(reverse("governance:policy", args=["default", submission.policy.number])).content.decode()
    assert "version.risk == &quot;medium&quot;" in written
