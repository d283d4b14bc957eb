"""Exceptions: asked for by one person, granted by another, for a while, in sight, and never of a critical rule."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, transaction
from django.utils import timezone

from audit import log
from audit.events import Event
from audit.models import Entry
from governance import decisions, policy, reviews, standing, submissions, waivers
from governance.models import Waiver
from governance.models.waivers import WaiverState
from portal.errors import Invalid, Refused
from registry import evidence, people
from registry.models import User, Version
from tests import policies
from tests.factories import artifacts, documents
from tests.scene import Scene
from tests.web.services import count_rows


def ask(version: Version, actor: User, **changes: Any) -> Waiver:
    facts = {
        "rule": "evaluations",
        "environment": "staging",
        "reason": "The red-team set counts refusals as attacks.",
        "compensating_control": "Staging is for the team only.",
        "expires_at": timezone.now() + timedelta(days=21),
        **changes,
    }
    return waivers.request(version, actor=actor, **facts)


def poor(scene: Scene, **changes: Any) -> Version:
    """Return a candidate whose accuracy is too low."""
    facts = {"metrics": {**documents.GOOD, "quality/accuracy": "0.5"}, **changes}
    return scene.walk.candidate("tagger", "1.0.0", artifacts.scorer(2), **facts)


def outcomes(version: Version, environment: str = "staging", at: datetime | None = None) -> dict[str, str]:
    rules = policy.governing(version)
    found = submissions.verdicts.for_environment(version, rules, environment, at=at or timezone.now())
    return {each.rule: each.outcome for each in found}


def test_a_granted_waiver_lets_the_version_through_and_is_shown_with_what_it_covers(scene: Scene) -> None:
    walk, version = scene.walk, poor(scene)
    submission = walk.submit(version, "staging")
    waiver = ask(version, walk.cast.ada)
    assert outcomes(version)["evaluations"] == "failed"
    waivers.grant(waiver, actor=walk.cast.rhea, note="For staging only.")
    [verdict] = [each for each in submissions.standing_verdicts(submission) if each.rule == "evaluations"]
    assert (verdict.outcome, verdict.is_green, verdict.waiver) == ("waived", True, waiver)
    # Never hidden: the reason, the end, and the finding it covers are all in the sentence.
    assert verdict.says.startswith(f"Waived until {waiver.expires_at:%Y-%m-%d}: The red-team set")
    assert "quality/accuracy is 0.5, expected at least 0.85" in verdict.says
    assert reviews.approve(submission, actor=walk.cast.petra, role="platform").pk
    assert waivers.tolerated() == [waiver]


def test_it_covers_one_rule_of_one_version_in_one_environment(scene: Scene) -> None:
    walk, version = scene.walk, poor(scene)
    waivers.grant(ask(version, walk.cast.ada), actor=walk.cast.rhea)
    assert outcomes(version, "production")["evaluations"] == "failed"
    other = walk.candidate("tagger", "1.1.0", artifacts.scorer(3), without=("evaluation",))
    assert outcomes(other)["evaluations"] == "failed"


def test_a_rule_that_is_met_needs_no_waiver_and_shows_none(scene: Scene) -> None:
    walk, version = scene
    waivers.grant(ask(version, walk.cast.ada), actor=walk.cast.rhea)
    assert outcomes(version)["evaluations"] == "passed"


def test_it_ends_by_itself_even_when_the_clock_has_stopped(scene: Scene) -> None:
    walk, version = scene.walk, poor(scene)
    submission = walk.submit(version, "staging")
    waiver = waivers.grant(
        ask(version, walk.cast.ada, expires_at=timezone.now() + timedelta(days=3)), actor=walk.cast.rhea
    )
    last = waiver.expires_at - timedelta(microseconds=1)
    assert outcomes(version, at=last)["evaluations"] == "waived"
    assert outcomes(version, at=waiver.expires_at)["evaluations"] == "failed"
    with time_machine.travel(waiver.expires_at, tick=False):
        # Nothing has run since: the row still says granted.
        assert Waiver.objects.get().state == WaiverState.GRANTED
        with pytest.raises(Refused) as refusal:
            reviews.approve(submission, actor=walk.cast.petra, role="platform")
        assert refusal.value.code == "rules_not_met"
        assert waivers.tolerated() == []
        with pytest.raises(Refused) as refusal:
            waivers.revoke(waiver, actor=walk.cast.rhea, reason="Too late.")
        assert refusal.value.code == "waiver_over"


def test_a_revoked_waiver_is_over_now_and_was_in_force_before(scene: Scene) -> None:
    walk, version = scene.walk, poor(scene)
    waiver = waivers.grant(ask(version, walk.cast.ada), actor=walk.cast.rhea)
    between = timezone.now()
    revoked = waivers.revoke(waiver, actor=walk.cast.sol, reason="The set was fixed.")
    assert revoked.revoked_at is not None
    assert outcomes(version)["evaluations"] == "failed"
    assert outcomes(version, at=between)["evaluations"] == "waived"
    assert waivers.tolerated() == []
    assert [each.pk for each in waivers.tolerated(at=between)] == [waiver.pk]
    with pytest.raises(Refused) as refusal:
        waivers.revoke(waiver, actor=walk.cast.rhea, reason="Again.")
    assert refusal.value.code == "waiver_over"


def test_nobody_grants_what_they_asked_for(scene: Scene) -> None:
    walk, version = scene.walk, poor(scene)
    people.give_seat(walk.cast.ben, "security", actor=walk.cast.alma)
    ben = User.objects.get(username="ben")
    waiver = ask(version, ben)
    for act in (waivers.grant, waivers.refuse):
        with pytest.raises(Refused) as refusal:
            act(waiver, actor=ben, note="Surely.")
        assert refusal.value.code == "not_independent"
    assert Waiver.objects.get().state == WaiverState.REQUESTED


def test_the_database_itself_refuses_a_waiver_granted_by_its_requester(scene: Scene) -> None:
    walk, version = scene
    waiver = ask(version, walk.cast.ada)
    with log.record(Event.WAIVER_GRANTED, actor=walk.cast.ada, subject=waiver):
        waiver.decided_by = walk.cast.ada
        with pytest.raises(IntegrityError, match="waiver_needs_a_second_person"), transaction.atomic():
            waiver.save()


@pytest.mark.parametrize(
    "hand",
    [
        {"authors": ["Rhea Security <rhea@example.com>"]},
        {"people": ("Rhea <rhea@example.com>",)},
        {"evaluator": "rhea@example.com"},
    ],
    ids=["author", "commit author", "evaluator"],
)
def test_whoever_had_a_hand_in_it_does_not_grant_either(scene: Scene, hand: dict[str, Any]) -> None:
    walk, version = scene.walk, poor(scene, **hand)
    waiver = ask(version, walk.cast.ada)
    with pytest.raises(Refused) as refusal:
        waivers.grant(waiver, actor=walk.cast.rhea)
    assert refusal.value.code == "not_independent"
    assert waivers.grant(waiver, actor=walk.cast.sol).decided_by == walk.cast.sol


def test_only_the_roles_of_the_policy_answer_and_only_people(scene: Scene) -> None:
    walk, version = scene
    waiver = ask(version, walk.cast.ada)
    before = count_rows()
    acts: list[Callable[[User], Waiver]] = [
        lambda actor: waivers.grant(waiver, actor=actor),
        lambda actor: waivers.refuse(waiver, actor=actor, note="No, no."),
        lambda actor: waivers.revoke(waiver, actor=actor, reason="No, no."),
    ]
    for actor in (walk.cast.petra, walk.cast.alma, walk.cast.iris, walk.cast.ben, walk.cast.mallory, walk.cast.cee_i):
        for act in acts:
            with pytest.raises(PermissionDenied):
                act(actor)
    assert count_rows() == before


def test_only_people_of_the_team_ask(scene: Scene) -> None:
    walk, version = scene
    before = count_rows()
    for actor in (walk.cast.mallory, walk.cast.carl, walk.cast.rhea, walk.cast.cee_i):
        with pytest.raises(PermissionDenied):
            ask(version, actor)
    assert count_rows() == before


@pytest.mark.parametrize("rule", ["metadata", "checksum", "artifact-scan", "sbom", "provenance"])
def test_a_critical_rule_is_waived_by_nobody(scene: Scene, rule: str) -> None:
    walk, version = scene
    with pytest.raises(Refused) as refusal:
        ask(version, walk.cast.ada, rule=rule, environment="baseline")
    assert refusal.value.code == "rule_is_critical"
    assert not Waiver.objects.exists()


@pytest.mark.parametrize(
    ("rule", "environment", "asked"),
    [
        ("licence", "staging", "licence is asked for production"),
        ("vulnerabilities", "baseline", "vulnerabilities is asked for staging, production"),
        ("metadata", "production", "metadata is asked for baseline"),
    ],
)
def test_nothing_is_waived_where_it_is_not_asked(scene: Scene, rule: str, environment: str, asked: str) -> None:
    walk, version = scene
    with pytest.raises(Invalid, match=asked):
        ask(version, walk.cast.ada, rule=rule, environment=environment)
    assert not Waiver.objects.exists()


def test_a_waiver_of_a_rule_that_becomes_critical_is_worth_nothing_under_the_new_text(scene: Scene) -> None:
    walk, version = scene.walk, poor(scene)
    granted = waivers.grant(ask(version, walk.cast.ada), actor=walk.cast.rhea)
    stricter = policies.publish(policies.shipped("rules.evaluations.critical", value=True), walk.cast)
    assert stricter.is_critical("evaluations")
    submission = walk.submit(version, "staging")
    verdicts = {each.rule: each.outcome for each in submissions.standing_verdicts(submission)}
    assert verdicts["evaluations"] == "failed"
    assert granted.is_in_force(timezone.now())
    with pytest.raises(Refused) as refusal:
        ask(version, walk.cast.ada)
    assert refusal.value.code == "rule_is_critical"


WRONG: dict[str, list[Any]] = {
    "rule": ["everything", "", "a\x00b"],
    "environment": ["mars", ""],
    "expires_at": [timedelta(days=91), timedelta(0), timedelta(days=-1)],
    "reason": ["", "x" * 4001, "a\x00b"],
    "compensating_control": ["", "x" * 4001],
}


def test_a_wrong_request_is_refused_by_the_field(scene: Scene) -> None:
    walk, version = scene
    before, now = count_rows(), timezone.now()
    for field, values in WRONG.items():
        for value in values:
            wrong = now + value if isinstance(value, timedelta) else value
            with pytest.raises(Invalid) as refusal:
                ask(version, walk.cast.ada, **{field: wrong})
            assert [fault.field for fault in refusal.value.faults] == [field], value
    assert count_rows() == before


def test_the_longest_time_is_the_policys_to_the_day(scene: Scene) -> None:
    walk, version = scene
    now = timezone.now()
    with time_machine.travel(now, tick=False):
        assert ask(version, walk.cast.ada, expires_at=now + timedelta(days=90)).pk
        with pytest.raises(Invalid, match="within the next 90 days"):
            ask(version, walk.cast.ada, expires_at=now + timedelta(days=90, microseconds=1))


def test_a_request_is_answered_once_in_time_and_a_no_says_why(scene: Scene) -> None:
    walk, version = scene
    waiver = ask(version, walk.cast.ada)
    with pytest.raises(Invalid, match="reason: saw nothing"):
        waivers.refuse(waiver, actor=walk.cast.rhea, note="")
    with time_machine.travel(waiver.expires_at, tick=False):
        with pytest.raises(Refused) as refusal:
            waivers.grant(waiver, actor=walk.cast.rhea)
        assert refusal.value.code == "waiver_over"
    refused = waivers.refuse(waiver, actor=walk.cast.rhea, note="Fix the set first.")
    assert (refused.state, refused.decided_by, refused.decision_note) == (
        "refused",
        walk.cast.rhea,
        "Fix the set first.",
    )
    for act in (waivers.grant, waivers.refuse):
        with pytest.raises(Refused) as refusal:
            act(waiver, actor=walk.cast.sol, note="But I think...")
        assert refusal.value.code == "waiver_decided"
    assert outcomes(poor(scene))["evaluations"] == "failed"


def test_the_ledger_tells_every_step(scene: Scene) -> None:
    walk, version = scene
    waiver = waivers.grant(ask(version, walk.cast.ada), actor=walk.cast.rhea)
    waivers.revoke(waiver, actor=walk.cast.rhea, reason="The set was fixed.")
    told = Entry.objects.filter(subject_kind="waiver", subject_id=str(waiver.public_id)).order_by("pk")
    assert [entry.kind for entry in told] == ["waiver.requested", "waiver.granted", "waiver.revoked"]
    assert waiver.history.count() == 3


def test_new_evidence_ends_no_waiver_and_is_still_looked_at(scene: Scene) -> None:
    walk, version = scene.walk, poor(scene)
    waivers.grant(ask(version, walk.cast.ada), actor=walk.cast.rhea)
    better = documents.evaluation(version.identity_digest, at=timezone.now(), author="eve")
    evidence.attach(version, actor=walk.cast.cee_i, kind="evaluation", filename="e.json", body=better)
    walk.work()
    assert outcomes(version)["evaluations"] == "passed"


def approved_on_a_waiver(scene: Scene) -> tuple[Waiver, Version]:
    """Return a waiver and the version that may serve in staging because of it."""
    walk, version = scene.walk, poor(scene)
    waiver = waivers.grant(ask(version, walk.cast.ada), actor=walk.cast.rhea)
    reviews.approve(walk.submit(version, "staging"), actor=walk.cast.petra, role="platform")
    decisions.sign_due()
    return waiver, version


def test_a_decision_ends_with_the_waiver_that_it_rests_on(scene: Scene) -> None:
    waiver, version = approved_on_a_waiver(scene)
    assert standing.of(version, "staging").allow
    before = timezone.now()
    waivers.revoke(waiver, actor=scene.walk.cast.rhea, reason="The red-team set was repaired.")
    # No sweep has run: the answer is computed when somebody asks.
    now = standing.of(version, "staging")
    assert (now.allow, [reason.rule for reason in now.reasons]) == (False, ["waiver_revoked"])
    assert "rested on a waiver that was revoked" in now.says
    assert standing.of(version, "staging", at=before).allow
    assert not standing.of_digest(version.identity_digest, "staging", consumer="billing").allow


def test_a_decision_that_needed_no_waiver_does_not_end_with_one(scene: Scene) -> None:
    walk, version = scene
    waiver = waivers.grant(ask(version, walk.cast.ada), actor=walk.cast.rhea)
    reviews.approve(walk.submit(version, "staging"), actor=walk.cast.petra, role="platform")
    decisions.sign_due()
    waivers.revoke(waiver, actor=walk.cast.rhea, reason="Nobody needs it.")
    assert standing.of(version, "staging").allow


def test_extending_is_a_new_request_that_somebody_else_grants(scene: Scene) -> None:
    walk, version = scene.walk, poor(scene)
    waiver = waivers.grant(ask(version, walk.cast.ada), actor=walk.cast.rhea)
    longer = ask(version, walk.cast.ada, extends=waiver, expires_at=timezone.now() + timedelta(days=80))
    with pytest.raises(Refused, match="another person") as refused:
        waivers.grant(longer, actor=walk.cast.rhea)
    assert refused.value.code == "same_granter"
    assert waivers.grant(longer, actor=walk.cast.sol).is_in_force(timezone.now())
    waiver.refresh_from_db()
    assert waiver.expires_at < longer.expires_at


def test_only_the_very_same_exception_can_be_extended(scene: Scene) -> None:
    walk, version = scene.walk, poor(scene)
    waiver = waivers.grant(ask(version, walk.cast.ada), actor=walk.cast.rhea)
    with pytest.raises(Invalid, match="extends"):
        ask(version, walk.cast.ada, environment="production", extends=waiver)
