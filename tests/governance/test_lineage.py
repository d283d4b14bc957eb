"""Retiring a base puts everything in force that is made from it in doubt, at once, with a date, and nothing else."""

from __future__ import annotations

from copy import deepcopy
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import pytest
import time_machine
from django.utils import timezone
from pytest_django import DjangoDbBlocker

from audit import log
from audit.events import Event
from audit.models import Entry
from governance import blast, challenges, lifecycle, promotions, standing, sweeps, waivers
from governance.blast import Radius
from governance.checks import runner
from governance.models import Challenge, ChallengeEnd, Notice
from governance.models.challenges import Cause
from portal.errors import Refused
from registry import composition
from registry.models import Component, Version
from tests import policies
from tests.factories import Walk, artifacts
from tests.scene import Scene

GRACE = timedelta(days=14)


class Family(NamedTuple):
    """A base, an adapter and a bundle made from it, in force in production; and a sibling on another base."""

    walk: Walk
    base: Version
    adapter: Version
    bundle: Version
    other: Version
    stranger: Version


def made_from(walk: Walk, name: str, part: Version, role: str = "base", seed: int = 2, **more: Any) -> Version:
    """Walk a version that is made from another one to production."""
    edges = [{"role": role, "version": part.label}]
    body = None if more.get("kind") == "bundle" else artifacts.scorer(seed)
    version = walk.candidate(name, "1.0.0", body, components=edges, **more)
    walk.approved(version)
    return version


@pytest.fixture(scope="module")
def made(stage: Scene, django_db_blocker: DjangoDbBlocker) -> Family:
    """Walk the family to production once for the module."""
    walk, base = stage
    with django_db_blocker.unblock():
        walk.approved(base)
        adapter = made_from(walk, "fraud-lora", base, kind="adapter", finetune_method="lora")
        bundle = made_from(walk, "fraud-desk", adapter, "adapter", kind="bundle")
        walk.promote(bundle)
        other = walk.candidate("other-base", "1.0.0", artifacts.scorer(3))
        stranger = made_from(walk, "other-lora", other, seed=4, kind="adapter", finetune_method="lora")
    return Family(walk, base, adapter, bundle, other, stranger)


@pytest.fixture
def family(made: Family, db: None) -> Family:
    """Return a family in force that a test may change as it likes."""
    return deepcopy(made)


def retire(family: Family, version: Version | None = None) -> datetime:
    """Retire the base, or another version, and return the instant."""
    version = version or family.base
    lifecycle.retire(version, actor=family.walk.cast.ada, reason="Its training data was withdrawn.")
    return version.transitions.latest("pk").at


def challenged(at: datetime | None = None) -> list[str]:
    """Return the names of the versions that are challenged, as of an instant."""
    found = challenges.open_for(Version.objects.all(), at)
    return sorted({challenge.version.label for rows in found.values() for challenge in rows})


def waive(family: Family, version: Version, days: int = 30) -> Any:
    """Waive base-model for a version in production."""
    asked = {"reason": "A new base is being trained.", "compensating_control": "Watched daily."}
    waiver = waivers.request(
        version,
        rule="base-model",
        environment="production",
        actor=family.walk.cast.ada,
        expires_at=timezone.now() + timedelta(days=days),
        **asked,
    )
    return waivers.grant(waiver, actor=family.walk.cast.sol, note="For a month.")


def test_retiring_a_base_challenges_what_is_in_force_and_made_from_it_and_nothing_else(family: Family) -> None:
    retired = retire(family)
    assert challenged() == ["fraud-desk@1.0.0", "fraud-lora@1.0.0"]
    for each in Challenge.objects.all():
        assert (each.cause, each.root, each.finding, each.vulnerability) == ("base_retired", family.base, None, "")
        assert (each.opened_at, each.due_at) == (retired, retired + GRACE)
    entry = Entry.objects.filter(kind="version.challenged").latest("pk")
    assert "the retirement of fraud-scorer@1.0.0" in bytes(entry.body).decode()


def test_what_is_challenged_may_serve_until_its_time_runs_out_and_says_what_would_help(family: Family) -> None:
    retired = retire(family)
    answer = standing.of(family.bundle, "production")
    assert (answer.allow, answer.expires_at) == (True, retired + GRACE)
    assert "challenged by the retirement of fraud-scorer@1.0.0" in answer.says
    late = standing.of(family.bundle, "production", at=retired + GRACE)
    [reason] = late.reasons
    assert (late.allow, reason.rule) == (False, "challenged")
    day = f"{retired:%Y-%m-%d}"
    assert reason.says.startswith(f"fraud-scorer@1.0.0, which fraud-desk@1.0.0 is made from, was retired on {day}")
    assert "Register a version of fraud-desk that is made from one in force" in reason.fix
    assert "waiver of base-model for fraud-desk@1.0.0" in reason.fix
    assert standing.of(family.stranger, "production", at=retired + GRACE).allow


def test_before_the_base_was_retired_everything_was_well_and_stays_so(family: Family) -> None:
    before = timezone.now()
    retired = retire(family)
    answer = standing.of(family.bundle, "production", at=before)
    assert (answer.allow, answer.challenges) == (True, ())
    assert challenged(before) == []
    assert challenged(retired) == ["fraud-desk@1.0.0", "fraud-lora@1.0.0"]


def test_a_challenged_version_is_not_promoted_anywhere_new(family: Family) -> None:
    retire(family)
    with pytest.raises(Refused) as refused:
        family.walk.promote(family.adapter)
    assert "was retired on" in refused.value.reasons[0].says


def test_a_descendant_that_is_retired_or_not_in_force_is_not_challenged(family: Family) -> None:
    walk = family.walk
    walk.candidate(
        "waiting-lora", "1.0.0", artifacts.scorer(5), components=[{"role": "base", "version": family.base.label}]
    )
    retire(family, family.adapter)
    Challenge.objects.get(version=family.bundle, root=family.adapter)
    retire(family)
    assert {(each.version.label, each.root.label) for each in Challenge.objects.all()} == {
        ("fraud-desk@1.0.0", "fraud-lora@1.0.0"),
        ("fraud-desk@1.0.0", "fraud-scorer@1.0.0"),
    }


def test_a_waiver_of_base_model_covers_it_until_it_ends(family: Family) -> None:
    waiver = waive(family, family.bundle)
    retired = retire(family)
    late = retired + GRACE
    answer = standing.of(family.bundle, "production", at=late)
    assert (answer.allow, answer.expires_at) == (True, waiver.expires_at)
    assert not standing.of(family.adapter, "production", at=late).allow
    assert not standing.of(family.bundle, "production", at=waiver.expires_at).allow


def test_the_policy_says_for_how_many_days_and_where_it_is_asked(family: Family) -> None:
    walk = family.walk
    policies.publish(policies.shipped("rules.base-model", {"grace_days": 3}), walk.cast)
    newer = walk.candidate(
        "newer-lora", "1.0.0", artifacts.scorer(5), components=[{"role": "base", "version": family.base.label}]
    )
    walk.approved(newer, "staging")
    walk.approved(newer)
    retired = retire(family)
    assert newer.challenges.get().due_at == retired + timedelta(days=3)
    late = retired + timedelta(days=3)
    assert standing.of(newer, "staging", at=late).allow
    assert not standing.of(newer, "production", at=late).allow
    assert standing.of(family.adapter, "production", at=late).allow


def test_what_is_approved_afterwards_met_the_rule_as_it_is_then(family: Family) -> None:
    """With a waiver the rule lets it through; the older challenge does not count for the newer decision."""
    retired = retire(family)
    waiver = waive(family, family.adapter, days=80)
    family.walk.approved(family.adapter)
    with time_machine.travel(retired + GRACE + timedelta(days=1), tick=False):
        answer = standing.of(family.adapter, "production")
        assert (answer.allow, answer.challenges) == (True, ())
        assert answer.expires_at == waiver.expires_at
        assert not standing.of(family.bundle, "production").allow


def test_an_open_submission_of_a_descendant_is_asked_again_and_fails(family: Family) -> None:
    walk = family.walk
    edges = [{"role": "base", "version": family.base.label}]
    late = walk.candidate("late-lora", "1.0.0", artifacts.scorer(5), components=edges)
    submission = walk.submit(late, "production")
    before = runner.newest_runs(late, submission.policy)["base-model"]
    retire(family)
    sweeps.sweep_due()
    walk.work()
    after = runner.newest_runs(late, submission.policy)["base-model"]
    assert (before.outcome, after.outcome) == ("passed", "failed")
    assert "fraud-scorer@1.0.0 is retired" in after.says


def test_the_clock_retires_a_base_with_the_same_consequences_and_twice_writes_nothing_more(family: Family) -> None:
    sunset = timezone.now() + timedelta(days=2)
    ada = family.walk.cast.ada
    lifecycle.deprecate(family.base, actor=ada, successor=None, sunset_at=sunset, reason="A better one is coming.")
    assert challenged() == []
    with time_machine.travel(sunset - timedelta(days=1), tick=False):
        sweeps.sweep_due()
    assert challenged() == []
    with time_machine.travel(sunset + timedelta(days=1), tick=False):
        sweeps.sweep_due()
        assert challenged() == ["fraud-desk@1.0.0", "fraud-lora@1.0.0"]
        rows = Challenge.objects.count()
        sweeps.sweep_due()
        assert Challenge.objects.count() == rows


def test_it_ends_when_the_version_is_retired_or_its_approval_is_over(family: Family) -> None:
    retire(family)
    retire(family, family.bundle)
    sweeps.sweep_due()
    assert ChallengeEnd.objects.get().reason == "The version is retired."
    with time_machine.travel(timezone.now() + timedelta(days=200), tick=False):
        challenges.end_due()
        assert challenged() == []
        assert challenges.end_due() == 0
    assert ChallengeEnd.objects.latest("pk").reason == "No approval from before is in force any more."


def test_the_owners_and_the_escalation_contact_are_told_once(family: Family) -> None:
    retire(family)
    told = Notice.objects.filter(kind="challenged").order_by("subject", "receiver")
    about_bundle = [each for each in told if each.subject.startswith("fraud-desk")]
    ada, ben = family.walk.cast.ada, family.walk.cast.ben
    assert {each.receiver for each in about_bundle} == {
        ada.ledger_name,
        ben.ledger_name,
        "address:ml-on-call@example.com",
    }
    assert "was retired on" in about_bundle[0].text
    assert not [each for each in told if "other-lora" in each.subject]


# --- the blast radius ------------------------------------------------------------------------------------------------


def labels(found: Radius) -> list[str]:
    """Return the names of what is made from a version, nearest first."""
    return [each.version.label for each in found.descendants]


def test_the_radius_is_what_retiring_would_do_and_what_it_then_does(family: Family) -> None:
    waive(family, family.adapter, days=30)
    found = blast.radius(family.base, Cause.BASE_RETIRED)
    assert labels(found) == ["fraud-lora@1.0.0", "fraud-desk@1.0.0"]
    assert found.says == "2 versions are made from fraud-scorer@1.0.0; 1 serves in production."
    adapter, bundle = found.descendants
    assert [step.label for step in bundle.path] == ["fraud-lora@1.0.0", "fraud-desk@1.0.0"]
    assert (bundle.serving, adapter.serving) == (("production",), ())
    retired = retire(family)
    for each in found.descendants:
        [place] = each.places
        after = standing.of(each.version, "production")
        assert place.until is not None
        assert after.expires_at is not None
        assert place.is_hit
        assert abs(place.until - after.expires_at) <= retired - found.at


def test_the_radius_names_consumers_and_says_when_nothing_changes(family: Family) -> None:
    family.walk.cast.otto.token_scopes = frozenset({"gate"})  # type: ignore[attr-defined]
    for name in ("billing", "audit-desk"):
        promotions.ask_gate(family.bundle.identity_digest, "production", name, actor=family.walk.cast.otto)
    [adapter, bundle] = blast.radius(family.base, Cause.BASE_RETIRED).descendants
    assert (bundle.consumers, adapter.consumers) == (("audit-desk", "billing"), ())
    assert blast.radius(family.bundle, Cause.BASE_RETIRED).says == "No version is made from fraud-desk@1.0.0."
    retire(family, family.bundle)
    [_, gone] = blast.radius(family.base, Cause.BASE_RETIRED).descendants
    assert [(place.until, place.is_hit) for place in gone.places if place.environment == "production"] == [
        (None, False)
    ]


def bare(walk: Walk, name: str, *parts: Version) -> Version:
    """Register a version that is made from others."""
    edges = [{"role": "base", "version": part.label} for part in parts]
    return walk.register(name, "1.0.0", artifacts.scorer(1), components=edges)


def test_a_chain_of_five_and_a_diamond_cost_as_many_questions_as_one(
    family: Family, django_assert_num_queries: Any, django_assert_max_num_queries: Any
) -> None:
    with django_assert_max_num_queries(20) as few:
        assert len(blast.radius(family.adapter, Cause.BASE_RETIRED).descendants) == 1
    top = family.bundle
    for level in range(3):
        top = bare(family.walk, f"level-{level}", top)
    bare(family.walk, "left", family.adapter)
    with django_assert_num_queries(len(few)):
        found = blast.radius(family.adapter, Cause.BASE_RETIRED)
    assert labels(found) == ["fraud-desk@1.0.0", "left@1.0.0", "level-0@1.0.0", "level-1@1.0.0", "level-2@1.0.0"]


def test_a_diamond_is_counted_once_by_its_shortest_way(family: Family) -> None:
    left, right = bare(family.walk, "left", family.other), bare(family.walk, "right", family.other)
    bare(family.walk, "tip", bare(family.walk, "middle", left), right)
    found = {each.version.label: each for each in blast.radius(family.other, Cause.BASE_RETIRED).descendants}
    assert set(found) == {"other-lora@1.0.0", "left@1.0.0", "right@1.0.0", "middle@1.0.0", "tip@1.0.0"}
    assert [step.label for step in found["tip@1.0.0"].path] == ["right@1.0.0", "tip@1.0.0"]


def test_a_loop_that_somebody_wrote_past_the_verbs_ends(family: Family) -> None:
    with log.record(Event.VERSION_EDITED, actor=family.walk.cast.ada, subject=family.base):
        Component.objects.create(version=family.base, part=family.bundle, role="base")
    assert labels(blast.radius(family.base, Cause.BASE_RETIRED)) == ["fraud-lora@1.0.0", "fraud-desk@1.0.0"]
    assert len(composition.descendants(family.base)) == 3
    retire(family)
    assert challenged() == ["fraud-desk@1.0.0", "fraud-lora@1.0.0"]
