"""A waiver of one finding covers that finding: in one version and one place, from its grant until it ends."""

from __future__ import annotations

import json
from copy import deepcopy
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import time_machine
from django.utils import timezone
from pytest_django import DjangoDbBlocker

from audit.models import Entry
from governance import (
    challenges,
    decisions,
    policy,
    promotions,
    queries,
    reviews,
    standing,
    submissions,
    sweeps,
    triage,
    waivers,
)
from governance.checks.verdicts import RuleVerdict
from governance.models import Challenge, Finding, Reliance, Submission, Waiver
from portal.errors import Invalid, Refused
from registry.models import Version
from tests import policies
from tests.factories import Walk, artifacts, import_advisories, osv
from tests.scene import Scene
from tests.web.services import count_rows

NUMPY, JOBLIB = "GHSA-1111-1111-1111", "GHSA-2222-2222-2222"
RULE = "vulnerabilities"


class Hit(NamedTuple):
    """A version with two critical findings, submitted for staging, and another version with the same two."""

    walk: Walk
    version: Version
    submission: Submission
    numpy: Finding
    joblib: Finding
    other: Version


def tell_of(walk: Walk, folder: Path, *, fixed: dict[str, str]) -> None:
    """Import what is said about packages, and let the checks answer."""
    import_advisories(walk.cast, folder, *(osv(name, package, fixed="99.0") for name, package in fixed.items()))
    walk.work()


@pytest.fixture(scope="module")
def made(stage: Scene, django_db_blocker: DjangoDbBlocker, tmp_path_factory: pytest.TempPathFactory) -> Hit:
    """Walk there once for the module."""
    walk, version = stage
    with django_db_blocker.unblock():
        other = walk.candidate("tagger", "1.0.0", artifacts.scorer(2))
        tell_of(walk, tmp_path_factory.mktemp("osv"), fixed={NUMPY: "numpy", JOBLIB: "joblib"})
        submission = walk.submit(version, "staging")
        numpy, joblib = (version.findings.get(vulnerability=name) for name in (NUMPY, JOBLIB))
    return Hit(walk, version, submission, numpy, joblib, other)


@pytest.fixture
def hit(made: Hit, db: None) -> Hit:
    """Return the findings for a test to do with as it likes."""
    return deepcopy(made)


def ask(hit: Hit, finding: Finding | None, *, days: float = 21, **changes: Any) -> Waiver:
    """Ask for a waiver of a finding, as Ada."""
    facts = {
        "rule": RULE,
        "environment": "staging",
        "reason": "The function is never called.",
        "compensating_control": "Inputs are validated.",
        "expires_at": timezone.now() + timedelta(days=days),
        "actor": hit.walk.cast.ada,
        "finding": finding,
        **changes,
    }
    return waivers.request(facts.pop("version", hit.version), **facts)


def allow(hit: Hit, finding: Finding | None, by: str = "rhea", **changes: Any) -> Waiver:
    """Have a waiver of a finding granted."""
    return waivers.grant(ask(hit, finding, **changes), actor=getattr(hit.walk.cast, by))


def verdict(
    hit: Hit, environment: str = "staging", *, version: Version | None = None, at: datetime | None = None
) -> RuleVerdict:
    """Return how the version stands against the rule about findings."""
    subject = version or hit.version
    rules = policy.governing(subject)
    found = submissions.verdicts.for_environment(subject, rules, environment, at=at or timezone.now())
    return next(each for each in found if each.rule == RULE)


def test_covered_in_part_is_not_covered_and_the_answer_names_what_is_left(hit: Hit) -> None:
    waiver = allow(hit, hit.numpy)
    found = verdict(hit)
    assert (found.outcome, found.waivers, found.waiver) == ("failed", (waiver,), waiver)
    assert f"Waived is only {hit.numpy}. Not waived: {hit.joblib}." in found.says
    with pytest.raises(Refused) as refusal:
        reviews.approve(hit.submission, actor=hit.walk.cast.petra, role="platform")
    assert refusal.value.code == "rules_not_met"
    assert JOBLIB in str(refusal.value)


def test_covered_altogether_is_waived_and_still_says_what_was_found(hit: Hit) -> None:
    first, second = allow(hit, hit.numpy, days=9), allow(hit, hit.joblib, days=5)
    found = verdict(hit)
    assert (found.outcome, found.is_green) == ("waived", True)
    assert found.waivers == (second, first)
    assert found.says.startswith(f"Waived until {second.expires_at:%Y-%m-%d}: {hit.joblib}, until")
    assert "The function is never called." in found.says
    assert "2 open critical or worse: " in found.says
    assert all(str(each) in found.says for each in (hit.numpy, hit.joblib))


@pytest.mark.parametrize(
    "leak",
    ["other environment", "other version", "other finding", "other rule", "hygiene rule"],
)
def test_nothing_beside_it_is_covered(hit: Hit, leak: str) -> None:
    allow(hit, hit.numpy)
    match leak:
        case "other environment":
            allow(hit, hit.joblib, environment="production")
        case "other version":
            allow(hit, hit.other.findings.get(vulnerability=JOBLIB), version=hit.other)
        case "other finding":
            allow(hit, hit.numpy, "sol", days=30)
        case "other rule":
            allow(hit, None, rule="evaluations")
    assert verdict(hit).outcome == "failed"
    assert verdict(hit, "production").outcome == "failed"
    assert verdict(hit, version=hit.other).outcome == "failed"


def test_only_an_open_finding_of_this_version_can_be_named_and_only_for_its_rule(hit: Hit) -> None:
    before = count_rows()
    foreign = hit.other.findings.get(vulnerability=NUMPY)
    for changes in ({"finding": foreign}, {"rule": "evaluations"}):
        with pytest.raises(Invalid) as refusal:
            ask(hit, **{"finding": hit.numpy, **changes})
        assert [fault.field for fault in refusal.value.faults] == ["finding"]
    assert count_rows() == before
    accept(hit, hit.numpy)
    hit.numpy.refresh_from_db()
    with pytest.raises(Invalid, match=r"an open finding of fraud-scorer@1\.0\.0"):
        ask(hit, hit.numpy)


def accept(hit: Hit, finding: Finding) -> None:
    """Have a finding answered by two people of security."""
    said = triage.state(
        finding,
        actor=hit.walk.cast.rhea,
        status="accepted",
        reason="It is behind a firewall.",
        until=timezone.now() + timedelta(days=60),
    )
    triage.answer(said, actor=hit.walk.cast.sol, agreed=True)


def test_a_finding_that_was_answered_meanwhile_is_not_waived_any_more(hit: Hit) -> None:
    waiver = ask(hit, hit.numpy)
    accept(hit, hit.numpy)
    with pytest.raises(Refused) as refusal:
        waivers.grant(waiver, actor=hit.walk.cast.rhea)
    assert refusal.value.code == "finding_closed"


def test_it_is_extended_for_the_same_finding_only(hit: Hit) -> None:
    waiver = allow(hit, hit.numpy)
    for other in (hit.joblib, None):
        with pytest.raises(Invalid, match="extends"):
            ask(hit, other, extends=waiver)
    assert ask(hit, hit.numpy, extends=waiver).extends == waiver


def approved(hit: Hit) -> None:
    """Have staging approved on whatever is waived."""
    reviews.approve(hit.submission, actor=hit.walk.cast.petra, role="platform")
    hit.walk.work()


def test_a_decision_rests_on_every_waiver_it_needs_and_on_no_other(hit: Hit) -> None:
    used = [allow(hit, hit.numpy, days=9), allow(hit, hit.joblib, days=5)]
    allow(hit, None, rule="evaluations")
    allow(hit, hit.joblib, "sol", days=2)
    approved(hit)
    decision = hit.submission.decisions.get()
    assert set(Reliance.objects.values_list("waiver", flat=True)) == {each.pk for each in used}
    assert decision.expires_at == used[1].expires_at
    told = json.loads(bytes(decision.payload))["predicate"]["exceptions"]
    assert [(each["vulnerability"], each["control"]) for each in told] == [(JOBLIB, RULE), (NUMPY, RULE)]
    assert {each["component"] for each in told} == {hit.numpy.purl, hit.joblib.purl}
    with time_machine.travel(used[1].expires_at, tick=False):
        # No sweep has run.
        assert not standing.of(hit.version, "staging").allow
        assert not promotions.ask_gate(hit.version.identity_digest, "staging", "x", actor=deployer(hit)).allow


def deployer(hit: Hit) -> Any:
    """Return the deployer with the scopes of its token."""
    otto = hit.walk.cast.otto
    otto.token_scopes = frozenset({"gate"})
    return otto


def test_a_decision_ends_when_any_waiver_it_rests_on_is_revoked(hit: Hit) -> None:
    used = [allow(hit, hit.numpy), allow(hit, hit.joblib)]
    approved(hit)
    assert standing.of(hit.version, "staging").allow
    waivers.revoke(used[0], actor=hit.walk.cast.sol, reason="It is called after all.")
    assert [each.rule for each in standing.of(hit.version, "staging").reasons] == ["waiver_revoked"]


def test_the_way_that_lasts_longer_is_taken(hit: Hit) -> None:
    whole = allow(hit, None, days=5)
    allow(hit, hit.numpy, "sol", days=9)
    assert verdict(hit).waivers == (whole,)
    allow(hit, hit.joblib, "sol", days=8)
    assert [each.finding_id for each in verdict(hit).waivers] == [hit.joblib.pk, hit.numpy.pk]
    longest = allow(hit, None, "sol", days=30)
    assert verdict(hit).waivers == (longest,)


def test_it_holds_from_its_grant_to_its_end_and_not_a_microsecond_more(hit: Hit) -> None:
    waiver, rest = allow(hit, hit.numpy, days=5), allow(hit, hit.joblib, days=9)
    assert waiver.decided_at is not None
    assert rest.decided_at is not None
    tick = timedelta(microseconds=1)
    for at, outcome in {
        rest.decided_at - tick: "failed",
        rest.decided_at: "waived",
        waiver.expires_at - tick: "waived",
        waiver.expires_at: "failed",
    }.items():
        # The answer itself is of now; only the waivers are asked about another instant.
        assert verdict(hit, at=max(at, rest.decided_at - tick)).outcome == outcome


def test_a_new_finding_is_not_covered_by_the_waivers_of_the_old_ones(hit: Hit, tmp_path: Path) -> None:
    allow(hit, hit.numpy)
    allow(hit, hit.joblib)
    tell_of(hit.walk, tmp_path, fixed={NUMPY: "numpy", JOBLIB: "joblib", "GHSA-3333-3333-3333": "scipy"})
    hit.walk.work()
    found = verdict(hit)
    assert (found.outcome, len(found.waivers)) == ("failed", 2)
    assert "Not waived: GHSA-3333-3333-3333" in found.says


def test_the_queue_counts_a_covered_rule_as_no_blocker(hit: Hit) -> None:
    def blockers() -> tuple[str, ...]:
        return next(row.blockers for row in queries.queue(hit.walk.cast.petra))

    allow(hit, hit.numpy)
    assert RULE in blockers()
    allow(hit, hit.joblib, environment="production")
    assert RULE in blockers()
    allow(hit, hit.joblib)
    assert RULE not in blockers()


# --- challenges ------------------------------------------------------------------------------------------------------


class Doubted(NamedTuple):
    """A version in force in staging and in production that a later finding challenges."""

    hit: Hit
    finding: Finding
    due: datetime


@pytest.fixture
def doubted(hit: Hit, tmp_path: Path) -> Doubted:
    """Have the version approved everywhere, then let a third vulnerability become known."""
    for environment in ("staging", "production"):
        for finding in (hit.numpy, hit.joblib):
            allow(hit, finding, days=80, environment=environment)
    approved(hit)
    hit.walk.approved(hit.version)
    known = {NUMPY: "numpy", JOBLIB: "joblib", "GHSA-3333-3333-3333": "scipy"}
    tell_of(hit.walk, tmp_path, fixed=known)
    challenge = Challenge.objects.get(version=hit.version)
    return Doubted(hit, hit.version.findings.get(vulnerability="GHSA-3333-3333-3333"), challenge.due_at)


def test_what_was_waived_when_it_was_approved_does_not_challenge(doubted: Doubted) -> None:
    assert {each.finding for each in challenges.open_of(doubted.hit.version)} == {doubted.finding}


def test_a_waiver_postpones_a_challenge_where_it_was_granted_and_nowhere_else(doubted: Doubted) -> None:
    hit = doubted.hit
    waiver = allow(hit, doubted.finding, days=40)
    late = doubted.due + timedelta(days=1)
    there, elsewhere = (standing.of(hit.version, name, at=late) for name in ("staging", "production"))
    assert (there.allow, there.expires_at) == (True, waiver.expires_at)
    assert [each.tolerated_until for each in there.challenges] == [waiver.expires_at]
    assert "tolerated by waiver: GHSA-3333-3333-3333" in there.says
    assert [each.rule for each in elsewhere.reasons] == ["challenged"]
    # The row stays, and what became of it is computed when somebody asks.
    assert [each.finding for each in challenges.open_of(hit.version, late)] == [doubted.finding]


def test_it_counts_again_from_the_very_instant_at_which_the_waiver_ends(doubted: Doubted) -> None:
    hit = doubted.hit
    waiver = allow(hit, doubted.finding, days=40)
    assert standing.of(hit.version, "staging", at=waiver.expires_at - timedelta(microseconds=1)).allow
    with time_machine.travel(waiver.expires_at, tick=False):
        over = standing.of(hit.version, "staging")
        assert [each.rule for each in over.reasons] == ["challenged"]
        assert not promotions.ask_gate(hit.version.identity_digest, "staging", "x", actor=deployer(hit)).allow


def test_it_is_never_retroactive_and_ends_when_it_is_revoked(doubted: Doubted) -> None:
    hit = doubted.hit
    start = doubted.due + timedelta(days=1)
    with time_machine.travel(start, tick=False):
        assert not standing.of(hit.version, "staging").allow
        waiver = allow(hit, doubted.finding, days=40)
        assert standing.of(hit.version, "staging").allow
    with time_machine.travel(start + timedelta(days=2), tick=False):
        waivers.revoke(waiver, actor=hit.walk.cast.sol, reason="It is reached after all.")
    days = {-1: True, 0: False, 1: True, 47: True, 48: False, 60: False}
    for hours, allowed in days.items():
        at = start + timedelta(hours=hours) if hours else start - timedelta(microseconds=1)
        expected = allowed if hours >= 0 else False
        assert standing.of(hit.version, "staging", at=at).allow is expected, hours


@pytest.mark.parametrize("leak", ["another finding", "another rule", "asked only", "refused"])
def test_nothing_else_postpones_it(doubted: Doubted, leak: str) -> None:
    hit = doubted.hit
    match leak:
        case "another finding":
            allow(hit, hit.numpy, "sol", days=85)
        case "another rule":
            allow(hit, None, rule="evaluations")
        case "asked only":
            ask(hit, doubted.finding)
        case "refused":
            waivers.refuse(ask(hit, doubted.finding), actor=hit.walk.cast.rhea, note="Fix it.")
    late = standing.of(hit.version, "staging", at=doubted.due)
    assert [each.rule for each in late.reasons] == ["challenged"]
    assert [each.tolerated_until for each in late.challenges] == [None]


def test_a_waiver_of_the_whole_rule_postpones_it_too(doubted: Doubted) -> None:
    allow(doubted.hit, None, days=40)
    assert standing.of(doubted.hit.version, "staging", at=doubted.due).allow


def test_what_is_tolerated_may_be_promoted_and_what_is_not_may_not(doubted: Doubted) -> None:
    hit = doubted.hit
    with pytest.raises(Refused) as refusal:
        hit.walk.promote(hit.version, "staging")
    assert refusal.value.code == "challenged"
    allow(hit, doubted.finding)
    assert hit.walk.promote(hit.version, "staging").pk


def test_no_sweep_changes_what_a_waiver_covers(doubted: Doubted) -> None:
    hit = doubted.hit
    waiver = allow(hit, doubted.finding, days=40)
    for at in (doubted.due, waiver.expires_at):
        with time_machine.travel(at, tick=False):
            before = standing.of(hit.version, "staging").allow
            sweeps.sweep_due()
            decisions.sign_due()
            assert standing.of(hit.version, "staging").allow is before
    assert Entry.objects.filter(kind="challenge.ended").count() == 0


def test_a_waiver_from_before_covers_nothing_where_the_rule_is_critical_now(hit: Hit, tmp_path: Path) -> None:
    calm = hit.walk.candidate("calm", "1.0.0", artifacts.scorer(5), parts={"scipy": "1.15.3"})
    allow(hit, None, version=calm, days=80)
    policies.publish(policies.shipped(f"rules.{RULE}.critical", value=True), hit.walk.cast)
    hit.walk.approved(calm, "staging")
    tell_of(hit.walk, tmp_path, fixed={"GHSA-3333-3333-3333": "scipy"})
    challenge = Challenge.objects.get(version=calm)
    assert [each.tolerated_until for each in standing.of(calm, "staging").challenges] == [None]
    assert not standing.of(calm, "staging", at=challenge.due_at).allow
