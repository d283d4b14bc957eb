"""What a policy asks of one version: conditions only ever add, and one without an answer counts as true."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from governance import policy, queries, requirements, reviews, submissions
from governance.checks import runner
from governance.models import Policy, Submission
from portal.errors import Invalid, Refused
from registry.models import Version
from tests import policies
from tests.factories import artifacts
from tests.scene import Scene

MORE = {"approvals": ["security", "platform"], "rules": ["licence"], "valid_days": 30, "reauthenticate": True}
STAGING: dict[str, Any] = {**policies.shipped()["environments"]["staging"]}


def weigh(*when: dict[str, Any], **context: Any) -> requirements.Requirements:
    return requirements.weigh({**STAGING, "when": when}, context)


def governed(scene: Scene, text: str = 'version.risk == "high"', **more: Any) -> Policy:
    """Publish the shipped policy with a condition for staging."""
    content = policies.shipped("environments.staging.when", [{"if": text, **(more or MORE)}])
    content["tests"] += [
        {
            "given": {"environment": "staging", "version": {"risk": risk}, "datasets": [{"name": data}]},
            "expect": {name: STAGING.get(name) for name in (more or MORE)},
        }
        for risk in ("high", "medium")
        for data in ("x", "y")
    ]
    return policies.publish(content, scene.walk.cast)


def test_without_conditions_nothing_is_added_and_nothing_is_read(scene: Scene) -> None:
    version, rules = scene.version, scene.walk.cast.policy
    with CaptureQueriesContext(connection) as none:
        found = requirements.of(version, rules, "staging", at=timezone.now())
    assert len(none) == 0
    assert found == requirements.Requirements(("vulnerabilities", "evaluations"), ("platform",), 180, 14, False)
    with pytest.raises(KeyError):
        requirements.of(version, rules, "moon", at=timezone.now())


def test_a_condition_that_holds_only_adds() -> None:
    found = weigh({"if": "true", **MORE})
    assert found.approvals == ("platform", "security")
    assert found.rules == ("vulnerabilities", "evaluations", "licence")
    assert (found.valid_days, found.reauthenticate, found.review_within_days) == (30, True, 14)
    [because] = found.because
    assert because.startswith("true: approval by security, platform; the rules licence; valid for at most 30 days;")
    longer = weigh({"if": "true", "valid_days": 366, "reauthenticate": False})
    assert (longer.valid_days, longer.reauthenticate) == (180, False)


def test_a_condition_that_does_not_hold_adds_nothing() -> None:
    assert weigh({"if": 'version.risk == "high"', **MORE}, version={"risk": "low"}) == weigh()


@pytest.mark.parametrize("text", ['metrics["toxicity/rate"] > 0.5', "version.risk > 5", "size(version.risk)"])
def test_a_condition_without_an_answer_counts_as_true_and_says_so(text: str) -> None:
    found = weigh({"if": text, "approvals": ["security"]}, version={"risk": "low"}, metrics={})
    assert found.approvals == ("platform", "security")
    assert "could not be evaluated" in found.because[0]


def test_what_a_condition_adds_is_asked_of_the_version_it_holds_for(scene: Scene) -> None:
    rules = governed(scene)
    version = scene.walk.candidate("tagger", "1.0.0", artifacts.scorer(2), risk="high")
    submission = scene.walk.submit(version, "staging")
    assert submissions.required_roles(submission) == ["platform", "security"]
    assert "licence" in {each.rule for each in submissions.standing_verdicts(submission)}
    assert submissions.needs_of(submission).because
    with pytest.raises(Refused, match="fresh proof"):
        reviews.approve(submission, actor=scene.walk.cast.petra, role="platform")
    scene.walk.approve(submission)
    [decision] = submission.decisions.all()
    assert decision.expires_at is not None
    assert (decision.expires_at - decision.made_at).days == 30
    other = scene.walk.submit(scene.version, "staging")
    assert submissions.required_roles(other) == ["platform"]
    assert "licence" not in {each.rule for each in submissions.standing_verdicts(other)}
    with pytest.raises(Invalid):
        reviews.approve(other, actor=scene.walk.cast.rhea, role="security")
    assert "licence" in runner.slugs_of(rules)


def test_a_rule_that_a_condition_may_add_is_asked_beforehand(scene: Scene) -> None:
    governed(scene, rules=["dependencies-pinned"])
    submission = scene.walk.submit(scene.version, "staging")
    assert "dependencies-pinned" in scene.version.check_runs.values_list("check_slug", flat=True)
    assert "dependencies-pinned" not in {each.rule for each in submissions.standing_verdicts(submission)}
    assert "dependencies-pinned" in requirements.asked_at_most_in(submission.policy, "staging")


def test_many_are_asked_in_as_many_queries_as_one(scene: Scene) -> None:
    rules = governed(scene, 'version.risk == "high" || datasets.exists(d, d.name == "x")')
    walk = scene.walk
    more = [walk.candidate(f"tagger-{number}", "1.0.0", artifacts.scorer(number), risk="high") for number in (2, 3)]

    def count(*versions: Version) -> int:
        rows = Version.objects.select_related("asset").filter(pk__in=[each.pk for each in versions])
        asked = [(each, rules, name) for each in list(rows) for name in ("staging", "production")]
        with CaptureQueriesContext(connection) as caught:
            found = requirements.of_many(asked, at=timezone.now())
        for version, _, name in asked:
            assert found[version.pk, rules.pk, name] == requirements.of(version, rules, name, at=timezone.now())
        return len(caught)

    assert count(scene.version) == count(scene.version, *more) == 2


def test_the_queue_stays_flat_under_conditions_and_rules_of_a_policys_own(scene: Scene) -> None:
    governed(scene, 'version.risk == "high" || datasets.exists(d, d.name == "x")')
    walk = scene.walk
    walk.submit(scene.version, "staging")

    def count() -> int:
        with CaptureQueriesContext(connection) as caught:
            rows = queries.queue(walk.cast.petra)
            assert queries.count_waiting(walk.cast.petra) == len(rows) == Submission.objects.count()
        return len(caught)

    once = count()
    for number in (2, 3):
        version = walk.candidate(f"tagger-{number}", "1.0.0", artifacts.scorer(number), risk="high")
        walk.submit(version, "staging")
    assert count() <= once
    assert {row.missing for row in queries.queue(walk.cast.petra)} == {("platform",), ("platform", "security")}
    assert policy.governing(scene.version).environment("staging")["when"]
