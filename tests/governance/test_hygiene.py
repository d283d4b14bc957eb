"""What the clock will do by itself, and when: by which fact and rule, warned before, postponed by a waiver alone."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from datetime import datetime

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import DjangoDbBlocker

from audit.serving.lookups import floor
from governance import hygiene, lifecycle, standing, submissions, waivers
from governance.models import Challenge, Policy
from registry import intake, people
from registry.models import Version
from tests.factories import Walk, artifacts, import_advisories, osv
from tests.governance.hygiene import days, foreseen, publish_hygiene, served, waive
from tests.scene import Scene, staged


@pytest.fixture(scope="module")
def stage(
    django_db_setup: None, django_db_blocker: DjangoDbBlocker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Scene]:
    """Walk to a candidate under a policy with hygiene."""
    with django_db_blocker.unblock(), staged(tmp_path_factory.mktemp("hygiene")) as walk:
        publish_hygiene(walk.cast)
        yield Scene(walk, walk.candidate("fraud-scorer", "1.0.0", artifacts.scorer(1)))


@pytest.fixture
def scene(stage: Scene, db: None) -> Scene:
    """Return a walk and a candidate that a test may change as it likes."""
    return deepcopy(stage)


def only(version: Version, *, within: float = 400) -> hygiene.Foreseen:
    """Return the one thing that will happen to a version."""
    found = foreseen(version, within=within)
    assert len(found) == 1, [each.what for each in found]
    return found[0]


def last_sign(version: Version) -> datetime:
    """Return when the scene's candidate was evaluated."""
    at: datetime = version.evidence.filter(kind="evaluation").latest("attached_at").attached_at
    return at


def test_what_shows_no_sign_of_life_for_the_policys_days_is_retired(scene: Scene) -> None:
    walk, version = scene
    coming = only(version)
    assert (coming.what, coming.target, coming.at) == ("stale", "retired", last_sign(version) + days(100))
    assert coming.version.label == "fraud-scorer@1.0.0"
    assert "default v2" in coming.why
    assert "100 days (hygiene.stale_days)" in coming.why
    assert [(each.days, each.at, each.written) for each in coming.warnings] == [
        (count, coming.at - days(count), None) for count in (30, 7, 1)
    ]
    assert coming.told == (walk.cast.ada, walk.cast.ben, "ml-on-call@example.com")
    assert foreseen(version, within=99) == []


def test_a_fresh_evaluation_of_it_keeps_a_candidate_but_not_its_neighbour(scene: Scene) -> None:
    walk, version = scene
    other = walk.candidate("tagger", "1.0.0", artifacts.scorer(2))
    with time_machine.travel(timezone.now() + days(90), tick=False):
        now = timezone.now()
        walk.attach_all(version, without=("sbom", "provenance", "model-card"))
        assert only(version).at == now + days(100)
        assert only(other).at < now + days(11)
        assert [each.version for each in foreseen(within=11)] == [other]


def test_serving_keeps_a_version_by_its_identity_digest_alone(scene: Scene) -> None:
    walk, version = scene
    before = only(version).at
    with time_machine.travel(timezone.now() + days(90), tick=False):
        yesterday = floor(timezone.now() - days(1))
        served(walk, "ab" * 32, yesterday)
        assert only(version).at == before
        served(walk, version.identity_digest, yesterday)
        assert only(version).at == yesterday + days(100)


def test_a_submission_and_a_decision_are_signs_of_life(scene: Scene) -> None:
    walk, version = scene
    with time_machine.travel(timezone.now() + days(20), tick=False):
        asked = submissions.submit(version, "staging", actor=walk.cast.ada)
        assert only(version).at == asked.submitted_at + days(100)
    with time_machine.travel(timezone.now() + days(25), tick=False):
        walk.attach_all(version, without=("sbom", "provenance", "model-card"))
        walk.work()
        walk.approve(asked)
        assert only(version).at == timezone.now() + days(100)


def test_what_something_living_is_made_from_is_never_stale(scene: Scene) -> None:
    walk, base = scene
    part = [{"role": "base", "version": "fraud-scorer@1.0.0"}]
    child = walk.register("tuned", "1.0.0", artifacts.scorer(3), components=part, finetune_method="full")
    assert foreseen(base) == []
    with time_machine.travel(timezone.now() + days(200), tick=False):
        assert foreseen(base) == []
        lifecycle.retire(child, actor=walk.cast.ada, reason="It was only tried.")
        assert only(base).at == timezone.now() + days(100)


def test_drafts_and_retired_versions_are_never_stale(scene: Scene) -> None:
    walk, version = scene
    draft = walk.register("tagger", "0.1.0", artifacts.scorer(2))
    lifecycle.retire(version, actor=walk.cast.ada, reason="Replaced.")
    assert foreseen(draft) == foreseen(version) == []


def challenged(scene: Scene, folder: object) -> Challenge:
    """Return a challenge of a version in force, by an advisory that came after its approval."""
    walk, version = scene
    walk.approved(version)
    import_advisories(walk.cast, folder, osv("GHSA-9999-numpy-late", "numpy", fixed="99.0"))  # type: ignore[arg-type]
    walk.work()
    return Challenge.objects.get(version=version)


def test_a_vulnerability_past_its_due_date_and_the_grace_retires(scene: Scene, tmp_path: object) -> None:
    challenge = challenged(scene, tmp_path)
    coming = [each for each in foreseen(scene.version) if each.what == "vulnerable"]
    assert [(each.target, each.due) for each in coming] == [("retired", max(challenge.due_at + days(10), first_of()))]
    assert "GHSA-9999-numpy-late (critical) was due on" in coming[0].why
    assert "10 days after that (hygiene.vulnerable_grace_days)" in coming[0].why


def first_of() -> datetime:
    """Return the first instant at which the policy's rules may move anything."""
    return Policy.objects.get(number=2).published_at + days(30)


def leave(walk: Walk, *names: str) -> None:
    for name in names:
        people.close_account(getattr(walk.cast, name), actor=walk.cast.alma)


def test_an_asset_whose_owner_and_backup_have_left_is_foreseen_from_when_the_last_one_left(scene: Scene) -> None:
    walk, version = scene
    begun = timezone.now()
    with time_machine.travel(begun + days(10), tick=False):
        leave(walk, "ada")
        assert [each.what for each in foreseen(version)] == ["stale"]
    with time_machine.travel(begun + days(40), tick=False):
        leave(walk, "ben")
        coming = foreseen(version)[0]
        assert (coming.what, coming.target, coming.at) == ("unowned", "retired", timezone.now() + days(20))
        assert f"no active owner or backup since {timezone.now():%Y-%m-%d}" in coming.why
        assert "20 days (hygiene.unowned_grace_days)" in coming.why


def test_naming_nobody_counts_from_when_that_was_written(scene: Scene) -> None:
    walk, version = scene
    begun = timezone.now()
    with time_machine.travel(begun + days(50), tick=False):
        intake.change_asset(version.asset, actor=walk.cast.ada, owner=None, backup_owner=None)
        cleared = timezone.now()
    with time_machine.travel(begun + days(60), tick=False):
        intake.change_asset(version.asset, actor=walk.cast.ben, description="Nobody's child, described anew.")
        assert foreseen(version)[0].at == cleared + days(20)


def test_when_nobody_owns_it_the_team_is_told_and_without_a_team_the_administrators(scene: Scene) -> None:
    walk, version = scene
    intake.change_asset(version.asset, actor=walk.cast.ada, owner=None, backup_owner=None)
    assert foreseen(version)[0].told == (walk.cast.ada, walk.cast.ben, "ml-on-call@example.com")
    leave(walk, "ada", "ben")
    assert set(foreseen(version)[0].told) == {walk.cast.alma, walk.cast.abel, "ml-on-call@example.com"}


def test_an_unowned_version_that_may_be_serving_is_deprecated_and_the_others_are_retired(scene: Scene) -> None:
    walk = scene.walk
    served_one = walk.candidate("fraud-scorer", "2.0.0", artifacts.scorer(2))
    draft = walk.register("fraud-scorer", "3.0.0-rc.1", artifacts.scorer(3))
    approved = walk.candidate("fraud-scorer", "4.0.0", artifacts.scorer(4))
    walk.approved(approved)
    served(walk, served_one.identity_digest, timezone.now())
    leave(walk, "ada", "ben")
    moves = {each.version.number: each.target for each in foreseen() if each.what == "unowned"}
    assert moves == {"1.0.0": "retired", "2.0.0": "deprecated", "3.0.0-rc.1": "retired", "4.0.0": "deprecated"}
    assert draft.pk in {each.version.pk for each in foreseen()}


def deprecated(scene: Scene, lasting: float) -> datetime:
    """Announce a sunset for the scene's version, which serves, and return it."""
    walk, version = scene
    walk.approved(version)
    sunset = timezone.now() + days(lasting)
    lifecycle.deprecate(version, actor=walk.cast.ada, successor=None, sunset_at=sunset, reason="A better one is here.")
    return sunset


def test_a_waiver_postpones_a_sunset_for_the_clock_and_for_the_gate(scene: Scene) -> None:
    walk, version = scene
    sunset = deprecated(scene, 20)
    assert not standing.of(version, "production", at=sunset).allow
    waiver = waive(walk, version, "sunset", 40)
    assert waivers.postponing(version, "sunset", sunset) == waiver
    coming = only(version, within=50)
    assert (coming.at, coming.waiver) == (waiver.expires_at, waiver)
    assert standing.of(version, "production", at=sunset).allow
    assert standing.of(version, "production", at=sunset).sunset_at == waiver.expires_at
    assert not standing.of(version, "production", at=waiver.expires_at).allow


def test_a_waiver_answers_for_no_instant_before_its_grant_and_none_after_its_revocation(scene: Scene) -> None:
    walk, version = scene
    begun, sunset = timezone.now(), deprecated(scene, 5)
    with time_machine.travel(begun + days(10), tick=False):
        waiver = waive(walk, version, "sunset", 40)
    with time_machine.travel(begun + days(20), tick=False):
        waivers.revoke(waiver, actor=walk.cast.rhea, reason="The comparison is done.")
        assert foreseen(version)[0].due == timezone.now()
    answers = {day: standing.of(version, "production", at=begun + days(day)).allow for day in (4, 6, 9, 11, 19, 21)}
    assert answers == {4: True, 6: False, 9: False, 11: True, 19: True, 21: False}
    assert sunset < begun + days(6)


def test_a_waiver_postpones_one_rule_of_one_version(scene: Scene) -> None:
    walk, version = scene
    other = walk.candidate("fraud-scorer", "2.0.0", artifacts.scorer(2))
    with time_machine.travel(timezone.now() + days(60), tick=False):
        waive(walk, version, "unowned", 80)
        waiver = waive(walk, version, "stale", 80)
        assert only(version).at == waiver.expires_at
        assert only(version).waiver == waiver
        assert only(other).at < timezone.now() + days(41)
    # The date stays what it was when the waiver is over.
    with time_machine.travel(waiver.expires_at + days(1), tick=False):
        assert (only(version).due, only(version).waiver) == (waiver.expires_at, None)


def test_a_new_rule_moves_nothing_before_its_first_warning_is_over(scene: Scene) -> None:
    walk, version = scene
    with time_machine.travel(timezone.now() + days(60), tick=False):
        stricter = publish_hygiene(walk.cast, stale_days=30)
        assert only(version).at == stricter.published_at + days(30)
    with time_machine.travel(timezone.now() + days(70), tick=False):
        publish_hygiene(walk.cast, stale_days=30, warn_days=[20])
        assert only(version).at == stricter.published_at + days(20)


def test_a_rule_that_the_policy_does_not_have_moves_nothing(scene: Scene) -> None:
    walk, version = scene
    publish_hygiene(walk.cast, warn_days=[30, 7, 1])
    leave(walk, "ada", "ben")
    assert foreseen(version, within=3000) == []


def test_the_questions_do_not_grow_with_the_versions(scene: Scene) -> None:
    walk, version = scene
    for number in (2, 3):
        walk.candidate("tagger", f"{number}.0.0", artifacts.scorer(number))
    leave(walk, "ada", "ben")
    with CaptureQueriesContext(connection) as one:
        assert [each.what for each in foreseen(version)] == ["unowned", "stale"]
    with CaptureQueriesContext(connection) as three:
        assert len(foreseen()) == 6
    assert len(three) == len(one) <= 12
