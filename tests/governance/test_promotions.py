"""The pointer of an environment: moved on the strength of a decision, once, and back only to what may still serve."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
import time_machine
from django.core.exceptions import PermissionDenied
from django.utils import timezone

from audit.models import Entry
from governance import decisions, lifecycle, promotions
from governance.models import ConsumerGrant, Promotion
from portal.errors import Invalid, Refused
from registry.models import User, Version
from tests.factories import Walk, artifacts, import_advisories, osv
from tests.scene import Scene
from tests.web.services import count_rows


def deployer(walk: Walk, *scopes: str) -> User:
    """Return the deployer as it comes with a token of these scopes."""
    otto = User.objects.get(username="otto")
    otto.token_scopes = frozenset(scopes)  # type: ignore[attr-defined]
    assert otto == walk.cast.otto
    return otto


def live(walk: Walk, number: str, seed: int) -> Version:
    """Return a version that was approved and promoted."""
    version = walk.candidate("fraud-scorer", number, artifacts.scorer(seed))
    walk.approved(version)
    walk.promote(version)
    return version


def test_a_promotion_names_its_decision_and_what_served_before(scene: Scene) -> None:
    walk, first = scene
    decision = walk.approved(first)
    moved = walk.promote(first)
    assert (moved.decision, moved.previous, moved.is_rollback) == (decision, None, False)
    second = live(walk, "1.1.0", 2)
    third = live(walk, "1.2.0", 3)
    chain = [(each.version, each.previous) for each in Promotion.objects.order_by("pk")]
    assert chain == [(first, None), (second, first), (third, second)]
    assert promotions.current(first.asset, "production").version == third  # type: ignore[union-attr]
    assert promotions.current(first.asset, "staging") is None


def test_promoting_again_changes_nothing_until_there_is_a_newer_decision(scene: Scene) -> None:
    walk, version = scene
    walk.approved(version)
    first = walk.promote(version)
    before = count_rows()
    assert walk.promote(version) == first
    assert count_rows() == before
    with time_machine.travel(timezone.now() + timedelta(days=1)):
        submission = walk.submit(version, "production")
        walk.approve(submission)
        again = walk.promote(version)
    assert again != first
    assert (again.decision.submission, again.previous) == (submission, None)


def test_the_pointer_can_be_read_as_of_then(scene: Scene) -> None:
    walk, first = scene
    walk.approved(first)
    walk.promote(first)
    between = timezone.now()
    second = live(walk, "1.1.0", 2)
    assert promotions.current(first.asset, "production", at=between).version == first  # type: ignore[union-attr]
    assert promotions.current(first.asset, "production").version == second  # type: ignore[union-attr]
    assert promotions.current(first.asset, "production", at=between - timedelta(days=1)) is None


def test_rolling_back_returns_to_what_served_before_and_says_so(scene: Scene) -> None:
    walk, first = scene
    walk.approved(first)
    walk.promote(first)
    second = live(walk, "1.1.0", 2)
    moved = promotions.roll_back(first.asset, "production", actor=walk.cast.ben, reason="Latency doubled.")
    assert (moved.version, moved.previous, moved.is_rollback, moved.reason) == (first, second, True, "Latency doubled.")
    assert Entry.objects.latest("pk").kind == "version.rolled_back"


def test_rolling_back_to_what_may_not_serve_any_more_is_refused(scene: Scene) -> None:
    walk, first = scene
    old = walk.approved(first)
    walk.promote(first)
    second = live(walk, "1.1.0", 2)
    decisions.revoke(old, actor=walk.cast.rhea, reason="Poisoned data.")
    before = count_rows()
    with pytest.raises(Refused) as refusal:
        promotions.roll_back(first.asset, "production", actor=walk.cast.ada, reason="Latency doubled.")
    assert refusal.value.code == "may_not_serve"
    assert [reason.rule for reason in refusal.value.reasons] == ["revoked"]
    assert count_rows() == before
    assert promotions.current(first.asset, "production").version == second  # type: ignore[union-attr]


def test_what_is_challenged_is_promoted_nowhere_and_can_be_gone_back_to_while_it_may_serve(
    scene: Scene, tmp_path: Path
) -> None:
    walk, first = scene
    walk.approved(first)
    walk.promote(first)
    second = live(walk, "1.1.0", 2)
    import_advisories(walk.cast, tmp_path, osv("GHSA-1111-1111-1111", "numpy", fixed="2.3.0"))
    walk.work()
    before = count_rows()
    with pytest.raises(Refused) as refusal:
        walk.promote(first)
    assert refusal.value.code == "challenged"
    [reason] = refusal.value.reasons
    assert reason.rule == "challenged"
    assert "GHSA-1111-1111-1111 (critical) has been open against fraud-scorer@1.0.0 since" in reason.says
    assert reason.fix
    assert walk.promote(second).version == second
    assert count_rows() == before
    moved = promotions.roll_back(first.asset, "production", actor=walk.cast.ben, reason="1.1.0 is worse.")
    assert (moved.version, moved.is_rollback) == (first, True)
    with time_machine.travel(timezone.now() + timedelta(days=14)), pytest.raises(Refused) as late:
        promotions.roll_back(first.asset, "production", actor=walk.cast.ben, reason="And back again.")
    assert late.value.code == "may_not_serve"
    assert [each.rule for each in late.value.reasons] == ["challenged"]


def test_rolling_back_needs_a_reason_and_something_to_go_back_to(scene: Scene) -> None:
    walk, version = scene
    with pytest.raises(Refused) as refusal:
        promotions.roll_back(version.asset, "production", actor=walk.cast.ada, reason="Latency doubled.")
    assert refusal.value.code == "nothing_before"
    walk.approved(version)
    walk.promote(version)
    with pytest.raises(Refused, match=r"No earlier version of fraud-scorer served in production\."):
        promotions.roll_back(version.asset, "production", actor=walk.cast.ada, reason="Latency doubled.")
    for reason in ("", "  ", "a\x00bc"):
        with pytest.raises(Invalid, match="reason: saw"):
            promotions.roll_back(version.asset, "production", actor=walk.cast.ada, reason=reason)


def test_what_has_ended_is_not_promoted_whatever_the_pointer_says(scene: Scene) -> None:
    walk, version = scene
    walk.approved(version)
    with time_machine.travel(timezone.now() + timedelta(days=90)):
        with pytest.raises(Refused) as refusal:
            walk.promote(version)
        assert [reason.rule for reason in refusal.value.reasons] == ["expired"]
    with pytest.raises(Invalid, match="environment: saw 'mars'"):
        walk.promote(version, "mars")
    lifecycle.retire(version, actor=walk.cast.ada, reason="Wrong about weekends.")
    with pytest.raises(Refused) as refusal:
        walk.promote(version)
    assert [reason.rule for reason in refusal.value.reasons] == ["retired"]


def test_the_team_promotes_and_a_service_of_the_team_with_the_scope(scene: Scene) -> None:
    walk, version = scene
    walk.approved(version)
    before = count_rows()
    refused = (walk.cast.mallory, walk.cast.petra, walk.cast.alma, walk.cast.iris, deployer(walk, "gate", "read"))
    for actor in refused:
        with pytest.raises(PermissionDenied):
            promotions.promote(version, "production", actor=actor)
    assert count_rows() == before
    assert promotions.promote(version, "production", actor=deployer(walk, "promote")).promoted_by == walk.cast.otto


def test_the_first_yes_makes_a_consumer_and_the_next_ones_do_not(scene: Scene) -> None:
    walk, version = scene
    otto = deployer(walk, "gate")
    digest = version.identity_digest
    assert not promotions.ask_gate(digest, "production", "billing", actor=otto).allow
    assert not ConsumerGrant.objects.exists()
    walk.approved(version)
    assert promotions.ask_gate(digest, "production", "billing", actor=otto).allow
    before = count_rows()
    for asked in (digest, f"sha256:{digest}"):
        answer = promotions.ask_gate(asked, "production", "billing", actor=otto)
        assert (answer.allow, answer.is_known_consumer) == (True, True)
    assert count_rows() == before
    assert [(grant.consumer, grant.environment) for grant in ConsumerGrant.objects.all()] == [("billing", "production")]
    assert Entry.objects.filter(kind="consumer.granted").count() == 1


def test_the_gate_is_for_services_with_the_scope_and_consumers_have_names(scene: Scene) -> None:
    walk, version = scene
    walk.approved(version)
    for actor in (walk.cast.ada, walk.cast.alma, deployer(walk, "promote", "read")):
        with pytest.raises(PermissionDenied):
            promotions.ask_gate(version.identity_digest, "production", "billing", actor=actor)
    for name in ("", "  ", "x" * 121, "a\x00b", "a\nb", "a\u202eb"):
        with pytest.raises(Invalid, match="consumer: saw"):
            promotions.ask_gate(version.identity_digest, "production", name, actor=deployer(walk, "gate"))
    assert not ConsumerGrant.objects.exists()
    answer = promotions.ask_gate(version.identity_digest, "mars", "billing", actor=deployer(walk, "gate"))
    assert [reason.rule for reason in answer.reasons] == ["no_decision"]
