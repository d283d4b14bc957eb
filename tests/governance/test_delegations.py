"""Deputies: who may name one, when it counts, and everything for which a deputy's answer is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.core.exceptions import PermissionDenied
from django.utils import timezone
from guardian.shortcuts import assign_perm

from audit.models import Entry
from governance import delegations, reviews, submissions, waivers
from governance.models import Delegation, Notice, Review, Submission
from governance.permissions import may, visible
from portal.errors import Invalid, Refused
from registry import people, signatures
from registry.models import Asset, User
from tests.factories import Walk
from tests.scene import Scene
from tests.web.services import count_rows

NOW = timezone.now().replace(microsecond=0)


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


def name(giver: User, deputy: User, role: str = "security", days: float = 7, **more: Any) -> Delegation:
    """Name a deputy from now on."""
    end = (more.get("starts_at") or timezone.now()) + timedelta(days=days)
    return delegations.make(actor=fresh(giver), role=role, deputy=deputy, ends_at=end, **more)


def answer(
    walk: Walk, submission: Submission, deputy: User, giver: User, role: str = "security", **more: Any
) -> Review:
    """Let a deputy approve for somebody."""
    asked = {"role": role, "on_behalf_of": giver, "proof": walk.proof(), **more}
    return reviews.approve(submission, actor=fresh(deputy), **asked)


# --- naming a deputy -------------------------------------------------------------------------------------------------


def test_a_delegation_is_written_down_and_both_are_told(scene: Scene) -> None:
    cast = scene.walk.cast
    made = name(cast.rhea, cast.mallory, reason="On leave.")
    entry = Entry.objects.filter(kind="delegation.made").get()
    assert (entry.actor, entry.details["deputy"]) == (cast.rhea.ledger_name, cast.mallory.ledger_name)
    told = Notice.objects.filter(kind="delegation")
    assert {notice.person for notice in told} == {cast.rhea, cast.mallory}
    assert "On leave" not in "".join(notice.text for notice in told)
    assert made.history.count() == 1


def test_only_who_sits_in_a_reviewing_role_names_a_deputy_for_it(scene: Scene) -> None:
    cast = scene.walk.cast
    for stranger in (cast.mallory, cast.ada, cast.iris, cast.alma, cast.cee_i):
        with pytest.raises(PermissionDenied):
            name(stranger, cast.dana)
    assert "sits in security" in str(refused(lambda: name(cast.rhea, cast.dana, "platform"), "not_your_role"))
    people.give_seat(cast.rhea, "auditor", actor=cast.alma)
    refused(lambda: name(cast.rhea, cast.dana, "auditor"), "not_your_role")


def test_a_deputy_cannot_pass_the_role_on(scene: Scene) -> None:
    cast = scene.walk.cast
    name(cast.rhea, cast.mallory)
    with pytest.raises(PermissionDenied):
        name(cast.mallory, cast.dana)
    name(cast.dana, cast.petra, "product")
    refused(lambda: name(cast.petra, cast.mallory, "product"), "not_your_role")


def test_what_is_lent_is_not_lent_on_by_a_deputy_of_the_deputy(scene: Scene) -> None:
    walk, version = scene
    cast = walk.cast
    name(cast.rhea, cast.sol)
    name(cast.sol, cast.mallory)
    submission = walk.submit(version, "production")
    refused(lambda: answer(walk, submission, cast.mallory, cast.rhea), "not_a_deputy")
    assert answer(walk, submission, cast.mallory, cast.sol).on_behalf_of == cast.sol


def test_a_deputy_is_another_active_person_who_neither_audits_nor_administers(scene: Scene) -> None:
    cast = scene.walk.cast
    gone = people.close_account(cast.carl, actor=cast.alma)
    for wrong in (cast.rhea, cast.cee_i, gone):
        with pytest.raises(Invalid, match="another person, whose account is active"):
            name(cast.rhea, wrong)
    for reader in (cast.iris, cast.alma):
        refused(lambda reader=reader: name(cast.rhea, reader), "deputy_reads")  # type: ignore[misc]


@pytest.mark.parametrize(
    ("start", "end", "field"),
    [
        (timedelta(seconds=-1), timedelta(days=1), "starts_at"),
        (timedelta(days=366), timedelta(days=370), "starts_at"),
        (timedelta(days=1), timedelta(days=1), "ends_at"),
        (timedelta(days=2), timedelta(days=1), "ends_at"),
        (timedelta(0), timedelta(days=90, seconds=1), "ends_at"),
    ],
)
def test_a_delegation_has_its_times(scene: Scene, start: timedelta, end: timedelta, field: str) -> None:
    cast, before = scene.walk.cast, count_rows()
    with time_machine.travel(NOW, tick=False), pytest.raises(Invalid, match=field):
        delegations.make(actor=cast.rhea, role="security", deputy=cast.dana, starts_at=NOW + start, ends_at=NOW + end)
    with pytest.raises(Invalid, match="time zone"):
        delegations.make(actor=cast.rhea, role="security", deputy=cast.dana, ends_at=datetime(2027, 1, 1))  # noqa: DTZ001
    with pytest.raises(Invalid, match="NUL"):
        name(cast.rhea, cast.dana, reason="a\x00b")
    assert count_rows() == before


def test_one_deputy_at_a_time_for_one_role_of_one_giver(scene: Scene) -> None:
    cast = scene.walk.cast
    with time_machine.travel(NOW, tick=False):
        first = name(cast.rhea, cast.dana, days=90)
        for start in (NOW, NOW + timedelta(days=89, hours=23)):
            why = refused(lambda start=start: name(cast.rhea, cast.petra, starts_at=start), "delegation_overlaps")  # type: ignore[misc]
            assert "Dana" in why.says
        name(cast.rhea, cast.petra, starts_at=NOW + timedelta(days=90))
        name(cast.sol, cast.petra)
    with time_machine.travel(NOW + timedelta(days=1), tick=False):
        delegations.end(first, actor=cast.rhea)
        assert name(cast.rhea, cast.petra, days=3).pk


# --- ending it -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("who", ["rhea", "dana", "alma"])
def test_giver_deputy_and_administrators_end_it_and_nobody_else(scene: Scene, who: str) -> None:
    cast = scene.walk.cast
    made = name(cast.rhea, cast.dana)
    for stranger in (cast.mallory, cast.ada, cast.sol, cast.iris):
        with pytest.raises(PermissionDenied):
            delegations.end(made, actor=stranger)
    assert delegations.end(made, actor=getattr(cast, who)).ended_at is not None
    before = count_rows()
    delegations.end(made, actor=cast.rhea)
    assert count_rows() == before
    assert Notice.objects.filter(cause=f"delegation:{made.public_id}:ended").count() == 2


# --- answering for somebody ------------------------------------------------------------------------------------------


def test_a_deputy_answers_for_somebody_and_everything_says_so(scene: Scene) -> None:
    walk, version = scene
    cast = walk.cast
    name(cast.rhea, cast.mallory)
    submission = walk.submit(version, "production")
    walk.approve(submission, "platform", "product")
    given = answer(walk, submission, cast.mallory, cast.rhea)
    assert (given.reviewer, given.on_behalf_of) == (cast.mallory, cast.rhea)
    walk.work()
    decision = submission.decisions.get(verdict="approved")
    said = {each["role"]: each for each in json.loads(bytes(decision.payload))["predicate"]["approvals"]}
    assert said["security"]["principal"] == cast.mallory.ledger_name
    assert said["security"]["onBehalfOf"] == cast.rhea.ledger_name
    assert said["product"]["onBehalfOf"] is None
    told = Entry.objects.filter(kind="review.given").order_by("-pk")[0]
    assert told.details["on_behalf_of"] == cast.rhea.ledger_name


def test_the_giver_may_still_answer_and_the_deputy_answers_in_their_own_seat_too(scene: Scene) -> None:
    walk, version = scene
    cast = walk.cast
    name(cast.rhea, cast.sol)
    first, second = walk.submit(version, "production"), walk.submit(version, "staging")
    assert reviews.approve(first, actor=fresh(cast.rhea), role="security", proof=walk.proof()).on_behalf_of is None
    name(cast.petra, cast.sol, "platform")
    assert answer(walk, second, cast.sol, cast.petra, "platform").pk


def test_it_counts_from_its_first_instant_until_just_before_its_last(scene: Scene) -> None:
    walk, version = scene
    cast = walk.cast
    start = NOW + timedelta(days=1)
    made = name(cast.rhea, cast.mallory, starts_at=start, days=1)
    submission = walk.submit(version, "production")
    tiny = timedelta(microseconds=1)

    def try_at(at: datetime) -> str:
        with time_machine.travel(at, tick=False):
            return delegations.obstacle(cast.mallory, cast.rhea, "security", submission, timezone.now())

    assert "begins on" in try_at(start - tiny)
    assert try_at(start) == ""
    assert try_at(made.ends_at - tiny) == ""
    assert "ran out on" in try_at(made.ends_at)
    with time_machine.travel(start + timedelta(hours=1), tick=False):
        delegations.end(made, actor=cast.rhea)
    assert try_at(start + timedelta(hours=1) - tiny) == ""
    assert "was ended on" in try_at(start + timedelta(hours=1))


def test_one_that_ran_out_or_was_ended_since_the_page_was_opened_is_refused(scene: Scene) -> None:
    walk, version = scene
    cast = walk.cast
    made = name(cast.rhea, cast.mallory, days=1)
    submission = walk.submit(version, "production")
    opened = fresh(cast.mallory)
    assert may(opened, "review.give", submission)
    with time_machine.travel(made.ends_at, tick=False):
        give = lambda: reviews.approve(  # noqa: E731
            submission, actor=opened, role="security", on_behalf_of=cast.rhea, proof=walk.proof()
        )
        assert "ran out" in str(refused(give, "not_a_deputy"))
    delegations.end(made, actor=cast.rhea)
    why = refused(lambda: answer(walk, submission, cast.mallory, cast.rhea), "not_a_deputy")
    assert "was ended" in str(why)
    assert "Rhea" in why.reasons[0].fix


def test_it_ends_with_the_givers_seat_and_account(scene: Scene) -> None:
    walk, version = scene
    cast = walk.cast
    name(cast.rhea, cast.mallory)
    name(cast.sol, cast.mallory)
    submission = walk.submit(version, "production")
    people.take_seat(cast.rhea.seats.get(), actor=cast.alma)
    why = refused(lambda: answer(walk, submission, cast.mallory, cast.rhea), "not_a_deputy")
    assert "does not sit in the role security" in str(why)
    people.close_account(cast.sol, actor=cast.alma)
    why = refused(lambda: answer(walk, submission, cast.mallory, cast.sol), "not_a_deputy")
    assert "is closed" in str(why)
    assert not may(fresh(cast.mallory), "asset.view", version)


def test_a_deputy_who_became_an_auditor_answers_for_nobody(scene: Scene) -> None:
    walk, version = scene
    cast = walk.cast
    name(cast.rhea, cast.mallory)
    submission = walk.submit(version, "production")
    people.give_seat(cast.mallory, "auditor", actor=cast.alma)
    refused(lambda: answer(walk, submission, cast.mallory, cast.rhea), "not_a_deputy")
    assert not may(fresh(cast.mallory), "review.give", submission)


def test_a_limited_seat_is_lent_as_far_as_it_reaches(scene: Scene) -> None:
    walk, version = scene
    cast = walk.cast
    people.give_seat(cast.carl, "platform", actor=cast.alma, everywhere=False)
    name(cast.carl, cast.mallory, "platform")
    submission = walk.submit(version, "staging")
    assert not visible(fresh(cast.mallory), Asset.objects.all(), asset="")
    refused(lambda: answer(walk, submission, cast.mallory, cast.carl, "platform"), "not_a_deputy")
    assign_perm("review_asset", cast.carl, version.asset)
    assert list(visible(fresh(cast.mallory), Asset.objects.all(), asset="")) == [version.asset]
    assert answer(walk, submission, cast.mallory, cast.carl, "platform").pk


def test_without_a_delegation_nobody_answers_for_anybody(scene: Scene) -> None:
    walk, version = scene
    cast = walk.cast
    submission = walk.submit(version, "production")
    for stranger in (cast.mallory, cast.sol, cast.alma, cast.iris, cast.cee_i):
        refused(lambda stranger=stranger: answer(walk, submission, stranger, cast.rhea), "not_a_deputy")  # type: ignore[misc]


# --- both are independent, and both have answered ---------------------------------------------------------------------


def test_whoever_submitted_it_is_no_deputy_and_has_none(scene: Scene) -> None:
    walk, version = scene
    cast = walk.cast
    people.give_seat(cast.ada, "security", actor=cast.alma)
    name(cast.rhea, cast.ben)
    name(cast.ada, cast.mallory)
    submission = walk.submit(version, "production", actor=fresh(cast.ben))
    assert "Ben" in str(refused(lambda: answer(walk, submission, cast.ben, cast.rhea), "not_independent"))
    assert "Ada" in str(refused(lambda: answer(walk, submission, cast.mallory, cast.ada), "not_independent"))


def test_one_human_fills_one_role_alone_or_through_a_deputy(scene: Scene) -> None:
    walk, version = scene
    cast = walk.cast
    for role in ("product", "platform"):
        people.give_seat(cast.rhea, role, actor=cast.alma)
        name(cast.rhea, cast.petra if role == "product" else cast.mallory, role)
    name(cast.rhea, cast.mallory)
    submission = walk.submit(version, "production")
    answer(walk, submission, cast.mallory, cast.rhea)
    # The deputy has answered, and so has Rhea: neither again, alone, or through another deputy.
    own = lambda: reviews.approve(submission, actor=fresh(cast.rhea), role="product", proof=walk.proof())  # noqa: E731
    assert "Mallory Outside for Rhea Security answered for security" in str(refused(own, "already_reviewed"))
    refused(lambda: answer(walk, submission, cast.mallory, cast.rhea, "platform"), "already_reviewed")
    refused(lambda: answer(walk, submission, cast.petra, cast.rhea, "product"), "already_reviewed")
    assert walk.approve(submission, "platform")


def test_who_answered_themselves_is_not_answered_for(scene: Scene) -> None:
    walk, version = scene
    cast = walk.cast
    people.give_seat(cast.petra, "security", actor=cast.alma)
    name(cast.petra, cast.mallory)
    name(cast.rhea, cast.dana)
    submission = walk.submit(version, "production")
    walk.approve(submission, "platform", "product")
    refused(lambda: answer(walk, submission, cast.mallory, cast.petra), "already_reviewed")
    refused(lambda: answer(walk, submission, cast.dana, cast.rhea), "already_reviewed")


def test_a_giver_who_signs_a_report_afterwards_stops_the_decision(scene: Scene) -> None:
    walk, version = scene
    cast = walk.cast
    name(cast.dana, cast.mallory, "product")
    submission = walk.submit(version, "production")
    walk.approve(submission, "platform")
    answer(walk, submission, cast.mallory, cast.dana, "product")
    said = {"capacity": "head of product", "statement": "The set is the right one."}
    signatures.sign(version.evidence.get(kind="evaluation"), actor=cast.dana, **said)
    walk.work()
    assert "Dana" in str(refused(lambda: walk.approve(submission, "security"), "approver_involved"))


def test_deputy_and_giver_take_a_verdict_back_and_nobody_else(scene: Scene) -> None:
    walk, version = scene
    cast = walk.cast
    made = name(cast.rhea, cast.mallory)
    for number, person in enumerate((cast.mallory, cast.rhea)):
        submission = walk.submit(version, "production")
        given = answer(walk, submission, cast.mallory, cast.rhea)
        for stranger in (cast.sol, cast.dana, cast.alma):
            with pytest.raises(PermissionDenied):
                reviews.withdraw(given, actor=fresh(stranger), reason="Not mine.")
        if number:
            delegations.end(made, actor=cast.rhea)
            with pytest.raises(PermissionDenied):
                reviews.withdraw(given, actor=fresh(cast.mallory), reason="Too late.")
        assert reviews.withdraw(given, actor=fresh(person), reason="I misread it.").pk
        submissions.withdraw(submission, actor=cast.ada)


def test_a_deputy_grants_no_waiver(scene: Scene) -> None:
    walk, version = scene
    cast = walk.cast
    name(cast.rhea, cast.mallory)
    wanted = waivers.request(
        version,
        actor=cast.ada,
        rule="evaluations",
        environment="staging",
        reason="The set is wrong.",
        compensating_control="A person looks.",
        expires_at=timezone.now() + timedelta(days=9),
    )
    for act in (waivers.grant, waivers.refuse):
        with pytest.raises(PermissionDenied):
            act(wanted, actor=fresh(cast.mallory), note="As deputy.")


def test_current_digest_of_a_deputys_answer_is_what_was_seen(scene: Scene) -> None:
    walk, version = scene
    cast = walk.cast
    name(cast.rhea, cast.mallory)
    submission = walk.submit(version, "production")
    refused(lambda: answer(walk, submission, cast.mallory, cast.rhea, seen="0" * 64), "dossier_changed")
    seen = submissions.current_digest(submission)
    assert answer(walk, submission, cast.mallory, cast.rhea, seen=seen).dossier_digest == seen
