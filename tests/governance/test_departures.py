"""People who leave: what ends with them, what stays, and which assets nobody answers for any more."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
import time_machine
from django.core.exceptions import PermissionDenied
from django.utils import timezone

from audit.models import Entry
from governance import delegations, departures, handovers, promotions, reviews, submissions
from governance.models import Handover, Notice, Promotion, TrustedKey
from portal.errors import Refused
from registry import drafts, intake, people, tokens
from registry.models import Asset, Membership, Seat, User, Version
from tests.factories import Walk, artifacts
from tests.scene import Scene
from tests.web.services import count_rows
from tests.web.visitors import visit


def fresh(user: User) -> User:
    """Return an account as the next request would load it."""
    return User.objects.get(pk=user.pk)


def refused(act: Callable[[], object], code: str) -> Refused:
    """Return why an act is refused, after making sure that it left nothing."""
    before = count_rows()
    with pytest.raises(Refused) as refusal:
        act()
    assert refusal.value.code == code
    assert count_rows() == before
    return refusal.value


def orphan(walk: Walk) -> None:
    """Let owner and backup owner of Ada's assets leave."""
    for person in (walk.cast.ada, walk.cast.ben):
        departures.leave(person, actor=walk.cast.alma)


def slugs(rows: object) -> list[str]:
    return [asset.slug for asset in rows]  # type: ignore[attr-defined]


# --- who can be closed -----------------------------------------------------------------------------------------------


def test_only_administrators_let_people_leave(scene: Scene) -> None:
    cast, before = scene.walk.cast, count_rows()
    for stranger in (cast.mallory, cast.ada, cast.rhea, cast.iris, cast.cee_i):
        with pytest.raises(PermissionDenied):
            departures.leave(cast.petra, actor=stranger)
    assert count_rows() == before


def test_nobody_closes_their_own_account_the_portals_or_the_last_administrators(scene: Scene) -> None:
    cast = scene.walk.cast
    refused(lambda: departures.leave(cast.alma, actor=cast.alma), "own_account")
    setup = User.objects.system("setup")
    refused(lambda: departures.leave(setup, actor=cast.alma), "system_account")
    departures.leave(cast.abel, actor=cast.alma)
    refused(lambda: departures.leave(cast.alma, actor=setup), "last_administrator")
    refused(lambda: people.take_seat(cast.alma.seats.get(), actor=cast.alma), "last_administrator")


# --- what ends and what stays ----------------------------------------------------------------------------------------


def test_everything_that_hangs_on_an_account_ends_with_it_in_one_transaction(scene: Scene) -> None:
    cast = scene.walk.cast
    browser = visit(cast.rhea)
    assert browser.get("/").status_code == 200
    given = delegations.make(
        actor=fresh(cast.rhea), role="security", deputy=cast.dana, ends_at=timezone.now() + timedelta(days=9)
    )
    received = delegations.make(
        actor=fresh(cast.petra), role="platform", deputy=cast.rhea, ends_at=timezone.now() + timedelta(days=9)
    )
    found = departures.leave(cast.rhea, actor=cast.alma)
    assert set(found.delegations) == {given, received}
    for each in (given, received):
        each.refresh_from_db()
        assert each.ended_at is not None
    gone = fresh(cast.rhea)
    assert (gone.is_active, gone.left_at is not None) == (False, True)
    assert not Seat.objects.filter(user=gone).exists()
    assert Seat.history.filter(user=gone, history_type="-").exists()
    assert browser.get("/").status_code == 302
    assert Entry.objects.filter(kind="seat.taken", subject_id=str(gone.ledger_id)).exists()


def test_a_service_loses_its_tokens_and_a_person_those_whose_secrets_they_have_seen(scene: Scene) -> None:
    cast = scene.walk.cast
    _, secret = tokens.issue(cast.otto, actor=cast.abel, label="gate", scopes=["gate"])
    _, other = tokens.issue(cast.otto, actor=cast.alma, label="gate", scopes=["gate"])
    found = departures.leave(cast.abel, actor=cast.alma)
    assert len(found.tokens) == 1
    assert tokens.authenticate(secret, "gate") is None
    assert tokens.authenticate(other, "gate") == cast.otto
    departures.leave(cast.otto, actor=cast.alma)
    assert tokens.authenticate(other, "gate") is None
    assert not fresh(cast.otto).tokens.filter(revoked_at=None).exists()
    assert not Membership.objects.filter(user=cast.otto).exists()


def test_leaving_again_changes_nothing(scene: Scene) -> None:
    cast = scene.walk.cast
    departures.leave(cast.petra, actor=cast.alma)
    before = count_rows()
    departures.leave(fresh(cast.petra), actor=cast.alma)
    assert count_rows() == before


def test_verdicts_of_people_who_left_stay_valid_and_complete_a_decision(scene: Scene) -> None:
    walk, version = scene
    cast = walk.cast
    submission = walk.submit(version, "production")
    walk.approve(submission, "platform", "product")
    departures.leave(cast.petra, actor=cast.alma)
    assert reviews.missing_roles(submission) == ["security"]
    walk.approve(submission, "security")
    assert submission.decisions.filter(verdict="approved").exists()
    with pytest.raises(PermissionDenied):
        reviews.reject(submission, actor=fresh(cast.petra), role="platform", note="After all.", proof=walk.proof())


def test_a_review_that_was_handed_to_somebody_goes_back_to_the_group(scene: Scene) -> None:
    walk, version = scene
    cast = walk.cast
    submission = walk.submit(version, "production")
    handovers.hand_over(submission, actor=fresh(cast.rhea), role="security", receiver=cast.sol, reason="She knows it.")
    departures.leave(cast.sol, actor=cast.alma)
    last = Handover.objects.latest("pk")
    assert (last.receiver, last.giver) == (None, cast.alma)
    assert handovers.holder(submission, "security") is None
    assert reviews.approve(submission, actor=fresh(cast.rhea), role="security", proof=walk.proof()).pk


def test_submissions_stay_open_and_the_team_withdraws_them(scene: Scene) -> None:
    walk, version = scene
    cast = walk.cast
    submission = walk.submit(version, "production", actor=cast.ada)
    found = departures.leave(cast.ada, actor=cast.alma)
    assert found.submissions == [submission]
    submission.refresh_from_db()
    assert submission.is_open
    assert not submissions.withdraw(submission, actor=fresh(cast.ben)).is_open


def test_what_will_happen_is_said_before(scene: Scene) -> None:
    walk, version = scene
    cast = walk.cast
    walk.submit(version, "production", actor=cast.ada)
    before = count_rows()
    told = " ".join(departures.consequences(departures.preview(cast.ada)))
    assert "Teams that are left: risk-models." in told
    assert "Submissions that stay open" in told
    assert "Assets that need another owner or backup owner: fraud-scorer." in told
    assert "orphaned" not in told
    keys = " ".join(departures.consequences(departures.preview(cast.petra)))
    assert f"need another owner; they stay trusted: {TrustedKey.objects.get()}." in keys
    assert "Roles that are taken away: platform." in keys
    assert count_rows() == before
    departures.leave(cast.ben, actor=cast.alma)
    assert "orphaned, so that nothing new of them can be promoted: fraud-scorer" in " ".join(
        departures.consequences(departures.preview(fresh(cast.ada)))
    )


# --- orphans ---------------------------------------------------------------------------------------------------------


def test_an_asset_is_orphaned_when_its_last_owner_leaves(scene: Scene) -> None:
    walk, _ = scene
    cast = walk.cast
    assert slugs(departures.unattended()) == []
    start = timezone.now()
    with time_machine.travel(start + timedelta(hours=1), tick=False):
        found = departures.leave(cast.ada, actor=cast.alma)
        assert (slugs(found.assets), found.orphans) == (["fraud-scorer"], [])
        [asset] = departures.unattended()
        assert (asset.lacks_owner, asset.lacks_backup) == (True, False)  # type: ignore[attr-defined]
        assert slugs(departures.orphaned()) == []
    with time_machine.travel(start + timedelta(hours=2), tick=False):
        assert slugs(departures.leave(cast.ben, actor=cast.alma).orphans) == ["fraud-scorer"]
        assert slugs(departures.orphaned()) == ["fraud-scorer"]
    tiny, left = timedelta(microseconds=1), fresh(cast.ben).left_at
    assert left is not None
    assert slugs(departures.orphaned(left - tiny)) == []
    assert slugs(departures.orphaned(left)) == ["fraud-scorer"]


def test_team_escalation_contact_and_administrators_are_told(scene: Scene) -> None:
    walk, _ = scene
    cast = walk.cast
    departures.leave(cast.ada, actor=cast.alma)
    told = Notice.objects.filter(kind="orphaned")
    assert {notice.person for notice in told if notice.person} == {cast.ben, cast.alma, cast.abel}
    assert [notice.address for notice in told if notice.address] == ["ml-on-call@example.com"]
    assert {notice.subject for notice in told} == {"fraud-scorer needs another owner"}
    departures.leave(cast.ben, actor=cast.alma)
    last = Notice.objects.filter(kind="orphaned", person=cast.alma).latest("pk")
    assert last.subject == "fraud-scorer has no owner any more"
    assert "Nothing new of it can be promoted" in last.text


def test_what_is_orphaned_is_not_newly_promoted_and_can_be_rolled_back(scene: Scene) -> None:
    walk, first = scene
    cast = walk.cast
    second = walk.candidate("fraud-scorer", "1.1.0", artifacts.scorer(2))
    for version in (first, second):
        walk.approved(version, "staging")
        walk.promote(version, "staging")
    walk.approved(first, "production")
    people.join_team(cast.risk_models, cast.mallory, actor=cast.alma)
    orphan(walk)
    mallory = fresh(cast.mallory)
    why = refused(lambda: promotions.promote(first, "production", actor=mallory), "orphaned")
    assert "Ada Owner has left and Ben Backup has left" in str(why)
    assert "Somebody of the team Risk models names an owner" in why.reasons[0].fix
    assert why.reasons[0].where == "/assets/fraud-scorer/edit/"
    back = promotions.roll_back(first.asset, "staging", actor=mallory, reason="The newer one is worse.")
    assert back.version == first
    asset = intake.change_asset(first.asset, actor=mallory, owner=cast.mallory, backup_owner=None)
    assert asset.owner == cast.mallory
    assert promotions.promote(first, "production", actor=mallory).environment == "production"
    assert Promotion.objects.filter(environment="production").count() == 1


def test_with_the_backup_still_here_it_is_promoted(scene: Scene) -> None:
    walk, version = scene
    walk.approved(version, "staging")
    departures.leave(walk.cast.ada, actor=walk.cast.alma)
    assert promotions.promote(version, "staging", actor=fresh(walk.cast.ben)).pk


def test_an_asset_that_never_had_anybody_is_orphaned_too(scene: Scene) -> None:
    cast = scene.walk.cast
    bare = intake.register_asset(
        actor=cast.ada, slug="tagger", kind="model", description="Tags.", team=cast.risk_models
    )
    assert slugs(departures.orphaned()) == ["tagger"]
    assert "nobody was ever named" in str(refused(lambda: departures.expect_owned(bare), "orphaned"))
    assert not Version.objects.filter(asset=bare).exists()
    assert drafts.start_draft(bare, "1.0.0", actor=cast.ada).pk
    assert Asset.objects.filter(owner=None).count() == 1
