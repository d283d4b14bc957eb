"""May this version serve here, then, for them? Computed from what happened, for any instant, with one question."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from governance import decisions, lifecycle, promotions, reviews, standing
from governance.models import Challenge, Decision
from registry.models import Version
from tests.factories import artifacts, import_advisories, osv
from tests.scene import Scene

MOMENT = timedelta(microseconds=1)


def rules(
    version: Version, environment: str = "production", at: datetime | None = None, consumer: str = ""
) -> list[str]:
    """Return what stands in the way: nothing means yes."""
    answer = standing.of(version, environment, at=at, consumer=consumer)
    assert answer.allow == (not answer.reasons)
    return [reason.rule for reason in answer.reasons]


def test_every_step_of_a_life_can_be_asked_about_afterwards(scene: Scene) -> None:
    walk, version = scene
    before_it_all = version.registered_at - MOMENT
    candidate = timezone.now()
    submission = walk.submit(version, "production")
    for role, person in (("platform", walk.cast.petra), ("product", walk.cast.dana), ("security", walk.cast.rhea)):
        reviews.approve(submission, actor=person, role=role, proof=walk.proof())
    made_not_signed = timezone.now()
    walk.work()
    decision = Decision.objects.get()
    signed = decision.signature.signed_at
    assert decision.expires_at is not None
    revoked = decisions.revoke(decision, actor=walk.cast.rhea, reason="Poisoned data.").made_at
    lifecycle.retire(version, actor=walk.cast.ada, reason="For good.")
    told = {
        before_it_all: ["draft", "no_decision"],
        candidate: ["no_decision"],
        made_not_signed: ["unsigned"],
        signed - MOMENT: ["unsigned"],
        signed: [],
        revoked - MOMENT: [],
        revoked: ["revoked"],
        timezone.now(): ["retired", "revoked"],
    }
    assert {at: rules(version, at=at) for at in told} == told
    digest = version.identity_digest
    assert [each.rule for each in standing.of_digest(digest, "production", at=before_it_all).reasons] == [
        "unregistered"
    ]
    assert standing.of_digest(digest, "production", at=signed).allow


def test_an_approval_ends_on_the_microsecond(scene: Scene) -> None:
    walk, version = scene
    end = walk.approved(version).expires_at
    assert end is not None
    assert rules(version, at=end - MOMENT) == []
    assert rules(version, at=end) == ["expired"]
    assert standing.of(version, "production").expires_at == end
    assert f"until {end:%Y-%m-%d %H:%M} UTC" in standing.of(version, "production").says
    assert f"expired on {end:%Y-%m-%d %H:%M} UTC" in standing.of(version, "production", at=end).says


def test_a_later_decision_does_not_make_the_gap_before_it_right(scene: Scene) -> None:
    walk, version = scene
    end = walk.approved(version, "staging").expires_at
    assert end is not None
    with time_machine.travel(end + timedelta(days=3)):
        fresh = Version.objects.get(pk=version.pk)
        report = walk.attach_all(fresh, without=("sbom", "provenance", "model-card"))
        walk.work()
        assert walk.approved(report, "staging")
        assert rules(version, "staging") == []
        assert rules(version, "staging", at=end + timedelta(days=1)) == ["expired"]
        assert rules(version, "staging", at=end - timedelta(days=1)) == []


def test_one_environment_says_nothing_about_another(scene: Scene) -> None:
    walk, version = scene
    walk.approved(version, "staging")
    assert rules(version, "staging") == []
    assert rules(version) == rules(version, "mars") == ["no_decision"]


def test_deprecation_refuses_the_new_serves_the_known_and_ends_at_the_sunset(scene: Scene) -> None:
    walk, version = scene
    walk.approved(version)
    walk.cast.otto.token_scopes = frozenset({"gate"})  # type: ignore[attr-defined]
    promotions.ask_gate(version.identity_digest, "production", "billing", actor=walk.cast.otto)
    before = timezone.now()
    newer = walk.candidate("fraud-scorer", "1.1.0", artifacts.scorer(2))
    sunset = timezone.now() + timedelta(days=10)
    lifecycle.deprecate(version, actor=walk.cast.ada, successor=newer, sunset_at=sunset, reason="A better one is here.")
    assert rules(version, consumer="billing") == rules(version) == []
    assert rules(version, consumer="card-desk") == ["deprecated"]
    assert rules(version, consumer="card-desk", at=before) == []
    answer = standing.of(version, "production", consumer="card-desk")
    assert "card-desk does not use it yet: new consumers are refused. " in answer.says + " "
    assert answer.reasons[0].fix == "Use fraud-scorer@1.1.0 instead."
    assert standing.of(version, "production").expires_at == sunset
    assert rules(version, consumer="billing", at=sunset - MOMENT) == []
    assert rules(version, consumer="billing", at=sunset) == ["sunset"]


def test_a_consumer_is_known_from_the_instant_it_was_let_in(scene: Scene) -> None:
    walk, version = scene
    walk.approved(version)
    before = timezone.now()
    walk.cast.otto.token_scopes = frozenset({"gate"})  # type: ignore[attr-defined]
    promotions.ask_gate(version.identity_digest, "production", "billing", actor=walk.cast.otto)
    known = [standing.of(version, "production", at=at, consumer="billing").is_known_consumer for at in (before, None)]
    assert known == [False, True]
    assert not standing.of(version, "staging", consumer="billing").is_known_consumer


def test_a_decision_about_another_digest_is_no_decision(scene: Scene) -> None:
    walk, version = scene
    walk.approved(version)
    row = standing.facts(
        Version.objects.filter(pk=version.pk).select_related("asset"), "production", timezone.now()
    ).get()
    row.identity_digest, row.in_force = "ab" * 32, None
    answer = standing.judge(row, "production", timezone.now(), "")
    assert [reason.rule for reason in answer.reasons] == ["other_digest"]


def test_of_versions_with_one_digest_the_one_that_may_serve_answers(scene: Scene) -> None:
    walk, version = scene
    twin = walk.register("fraud-scorer-copy", "1.0.0", artifacts.scorer(1))
    assert twin.identity_digest == version.identity_digest
    walk.approved(version)
    answer = standing.of_digest(version.identity_digest, "production")
    assert (answer.allow, answer.version) == (True, version)


def test_a_challenged_version_may_serve_until_its_time_runs_out_and_says_so(scene: Scene, tmp_path: Path) -> None:
    walk, version = scene
    end = walk.approved(version).expires_at
    before = timezone.now()
    record = osv("GHSA-1111-1111-1111", "numpy", fixed="2.3.0", aliases=["CVE-2026-10001"])
    import_advisories(walk.cast, tmp_path, record)
    walk.work()
    answer = standing.of(version, "production", consumer="billing")
    [doubt] = answer.challenges
    due = Challenge.objects.get().due_at
    assert (doubt.vulnerability, doubt.severity, doubt.root, doubt.due) == (
        "CVE-2026-10001",
        "critical",
        version.label,
        due,
    )
    assert (answer.allow, answer.expires_at) == (True, due)
    assert answer.says == f"May serve in production until {due:%Y-%m-%d %H:%M} UTC; challenged by CVE-2026-10001."
    late = standing.of(version, "production", at=due)
    assert (rules(version, at=due - MOMENT), rules(version, at=due)) == ([], ["challenged"])
    assert f"open against {version.label} since " in late.says
    assert f"was due on {due:%Y-%m-%d %H:%M} UTC." in late.says
    assert late.reasons[0].fix
    assert late.reasons[0].where == f"{version.get_absolute_url()}findings/"
    # What was true then stays true: nobody knew, and afterwards it was withdrawn.
    then = standing.of(version, "production", at=before)
    assert (then.allow, then.challenges, then.expires_at) == (True, (), end)
    gone = {**record, "modified": "2026-11-02T00:00:00Z", "withdrawn": "2026-11-02T00:00:00Z"}
    during = timezone.now()
    import_advisories(walk.cast, tmp_path, gone)
    walk.work()
    assert standing.of(version, "production", at=due).challenges == ()
    assert standing.of(version, "production", at=during).challenges == (doubt,)
    assert standing.of(version, "production").expires_at == end


def test_a_vulnerability_in_a_base_is_named_by_the_base_and_once(scene: Scene, tmp_path: Path) -> None:
    walk, base = scene
    edges = [{"role": "base", "version": base.label}]
    changes = {"kind": "adapter", "finetune_method": "lora", "components": edges, "parts": {"jinja2": "3.1.6"}}
    adapter = walk.candidate("fraud-lora", "1.0.0", artifacts.scorer(2), **changes)
    walk.approved(adapter, "staging")
    record = osv("GHSA-1111-1111-1111", "numpy", fixed="2.3.0")
    record["affected"].append({"package": {"ecosystem": "PyPI", "name": "scipy"}, "versions": ["1.15.3"]})
    import_advisories(walk.cast, tmp_path, record)
    walk.work()
    assert Challenge.objects.filter(version=adapter).count() == 2
    [doubt] = standing.of(adapter, "staging").challenges
    assert doubt.root == base.label
    answer = standing.of(adapter, "staging", at=timezone.now() + timedelta(days=15))
    assert f"open against {base.label} since" in answer.says
    assert f", which {adapter.label} is made from, and was due on" in answer.says
    assert standing.of(base, "staging").challenges == ()


def test_a_vulnerability_in_two_components_is_tolerated_only_when_both_are() -> None:
    now = timezone.now()

    def row(due: datetime, tolerated: datetime | None) -> dict[str, Any]:
        known = {"cause": "finding", "licence": None, "vulnerability": "CVE-1", "severity": "high", "met": None}
        times = {"since": now.isoformat(), "due": due.isoformat()}
        return {**known, **times, "slug": "a", "number": "1.0.0", "tolerated": tolerated and tolerated.isoformat()}

    day = timedelta(days=1)
    covered, open_one = row(now, now + 2 * day), row(now + 10 * day, None)
    for rows in ([covered, open_one], [open_one, covered]):
        [doubt] = standing.read_challenges(rows, "a@1.0.0")
        assert (doubt.tolerated_until, doubt.due) == (None, now + 2 * day)
    [doubt] = standing.read_challenges([covered, row(now, now + 3 * day)], "a@1.0.0")
    assert doubt.tolerated_until == now + 2 * day


def test_one_answer_costs_one_question_and_many_cost_one_an_environment(
    scene: Scene, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    walk, version = scene
    walk.approved(version)
    for environment, consumer in (("production", ""), ("production", "billing"), ("staging", "")):
        with django_assert_num_queries(1):
            standing.of(version, environment, consumer=consumer)
        with django_assert_num_queries(1):
            standing.of_digest(version.identity_digest, environment, consumer=consumer)
    with django_assert_num_queries(1):
        standing.of_digest("ab" * 32, "production")
    walk.register("other", "1.0.0", artifacts.scorer(2))
    everything = list(Version.objects.values_list("pk", flat=True))
    with django_assert_num_queries(2):
        found = standing.of_all(everything, ["staging", "production"])
    assert found[(version.pk, "production")].allow
    assert len(found) == 4


def test_what_expires_soon_is_listed_soonest_first_without_what_has_ended(scene: Scene) -> None:
    walk, version = scene
    staging, production = (walk.approved(version, name) for name in ("staging", "production"))
    later = timezone.now() + timedelta(days=181)
    assert list(standing.expiring(later)) == [production, staging]
    assert list(standing.expiring(timezone.now() + timedelta(days=91))) == [production]
    assert list(standing.expiring(later, at=production.expires_at)) == [staging]
    decisions.revoke(production, actor=walk.cast.rhea, reason="Poisoned data.")
    assert list(standing.expiring(later)) == [staging]


@pytest.mark.parametrize("digest", ["", "ab", "sha256:" + "ab" * 32, "AB" * 32])
def test_what_is_no_registered_digest_is_unregistered(scene: Scene, digest: str) -> None:
    answer = standing.of_digest(digest, "production")
    assert (answer.allow, answer.state, answer.version) == (False, "unregistered", None)


def test_a_version_without_identity_serves_nowhere(scene: Scene) -> None:
    empty = scene.walk.register("bundle", "1.0.0", None, kind="bundle")
    assert empty.identity_digest == ""
    assert not standing.of_digest("", "production").allow


def test_no_number_of_drafts_with_the_same_bytes_hides_what_is_in_force(scene: Scene) -> None:
    walk, version = scene
    walk.approved(version)
    for number in range(21):
        walk.register("copycat", f"9.0.{number}", artifacts.scorer(1))
    assert Version.objects.filter(identity_digest=version.identity_digest).count() == 22
    answer = standing.of_digest(version.identity_digest, "production")
    assert (answer.allow, answer.version) == (True, version)
