"""Handing a role's answer over, being reminded of it, and what happens when nobody answers."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.core.exceptions import PermissionDenied
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from audit.models import Entry
from governance import handovers, queries, reminders, reviews, submissions
from governance.models import Decision, Handover, Notice, Submission
from portal.errors import Invalid
from registry import people
from registry.models import User
from tests.factories import Walk, artifacts
from tests.governance.test_reviews import fresh, refused
from tests.scene import Scene

WHY = "Sol knows this model."


def hand(submission: Submission, giver: User, receiver: User | None, role: str = "security") -> Handover:
    return handovers.hand_over(submission, actor=fresh(giver), role=role, receiver=receiver, reason=WHY)


def turns(walk: Walk) -> dict[str, tuple[bool, int]]:
    """Return for both reviewers of security whether it is their turn, by the queue and by the menu."""
    found = {}
    for person in (walk.cast.rhea, walk.cast.sol):
        user = fresh(person)
        [row] = queries.queue(user)
        found[person.username] = (row.is_my_turn, queries.count_waiting(fresh(person)))
    return found


def told(kind: str, word: str = "") -> set[str]:
    """Return who was told something, people by their names and others by their addresses."""
    rows = Notice.objects.filter(kind=kind, cause__contains=word, webhook=None).select_related("person")
    return {row.person.username if row.person else row.address for row in rows}


def test_a_role_that_was_handed_over_is_answered_by_the_receiver_alone(scene: Scene) -> None:
    walk, version = scene
    submission = walk.submit(version, "production")
    assert turns(walk) == {"rhea": (True, 1), "sol": (True, 1)}
    hand(submission, walk.cast.rhea, walk.cast.sol)
    assert turns(walk) == {"rhea": (False, 0), "sol": (True, 1)}
    why = refused(lambda: walk.approve(submission, "security"))
    assert (why.code, "handed to Sol" in why.says) == ("handed_over", True)
    assert reviews.approve(submission, actor=walk.cast.sol, role="security", proof=walk.proof()).pk
    entry = Entry.objects.get(kind="review.handed")
    assert "Sol" not in str(entry.details)
    assert entry.details["to"] == walk.cast.sol.ledger_name


def test_the_receiver_or_anybody_in_the_role_hands_it_back_to_the_group(scene: Scene) -> None:
    walk, version = scene
    submission = walk.submit(version, "production")
    hand(submission, walk.cast.rhea, walk.cast.sol)
    hand(submission, walk.cast.sol, None)
    assert turns(walk) == {"rhea": (True, 1), "sol": (True, 1)}
    hand(submission, walk.cast.rhea, walk.cast.sol)
    hand(submission, walk.cast.rhea, walk.cast.rhea)
    assert turns(walk) == {"rhea": (True, 1), "sol": (False, 0)}
    with pytest.raises(Invalid, match="receiver"):
        hand(submission, walk.cast.rhea, walk.cast.rhea)


@pytest.mark.parametrize("how", ["leaves", "loses the seat"])
def test_a_receiver_who_can_answer_no_more_holds_nothing(scene: Scene, how: str) -> None:
    walk, version = scene
    submission = walk.submit(version, "production")
    hand(submission, walk.cast.rhea, walk.cast.sol)
    if how == "leaves":
        people.close_account(walk.cast.sol, actor=walk.cast.alma)
    else:
        people.take_seat(walk.cast.sol.seats.get(role="security"), actor=walk.cast.alma)
    assert handovers.holder(submission, "security") is None
    assert queries.count_waiting(fresh(walk.cast.rhea)) == 1
    walk.approve(submission)
    assert Decision.objects.get().verdict == "approved"


def test_nobody_picks_the_reviewer_of_their_own_work(scene: Scene) -> None:
    walk, version = scene
    submission = walk.submit(version, "production")
    people.give_seat(walk.cast.ada, "security", actor=walk.cast.alma)
    assert refused(lambda: hand(submission, walk.cast.ada, walk.cast.sol)).code == "not_independent"
    why = refused(lambda: hand(submission, walk.cast.rhea, fresh(walk.cast.ada)))
    assert (why.code, "named as an author" in why.reasons[0].says) == ("receiver_cannot_answer", True)


def test_only_who_could_answer_is_named_and_only_by_the_role(scene: Scene) -> None:
    walk, version = scene
    submission = walk.submit(version, "production")
    for receiver in (walk.cast.petra, walk.cast.iris, walk.cast.mallory, walk.cast.cee_i):
        why = refused(lambda receiver=receiver: hand(submission, walk.cast.rhea, receiver))  # type: ignore[misc]
        assert why.code == "receiver_cannot_answer"
    for giver in (walk.cast.petra, walk.cast.ada, walk.cast.iris, walk.cast.mallory):
        with pytest.raises(PermissionDenied):
            hand(submission, giver, walk.cast.sol)
    with pytest.raises(Invalid, match="role: saw 'legal'"):
        hand(submission, walk.cast.rhea, walk.cast.sol, "legal")
    with pytest.raises(Invalid, match="reason"):
        handovers.hand_over(submission, actor=walk.cast.rhea, role="security", receiver=walk.cast.sol, reason="")
    people.give_seat(walk.cast.petra, "security", actor=walk.cast.alma)
    walk.approve(submission, "platform")
    why = refused(lambda: hand(submission, walk.cast.rhea, fresh(walk.cast.petra)))
    assert "answered for platform already" in why.reasons[0].says
    assert not Handover.objects.exists()


def test_three_roles_handed_over_cost_as_many_questions_as_one(scene: Scene) -> None:
    walk, version = scene
    counts = []
    hand(walk.submit(version, "production"), walk.cast.rhea, walk.cast.sol)
    for size in (1, 3):
        if size == 3:
            for number, name in ((2, "tagger"), (3, "ranker")):
                other = walk.candidate(name, "1.0.0", artifacts.scorer(number))
                hand(walk.submit(other, "production"), walk.cast.rhea, walk.cast.sol)
        rhea = fresh(walk.cast.rhea)
        with CaptureQueriesContext(connection) as asked:
            rows = queries.queue(rhea)
        assert [row.is_my_turn for row in rows] == [False] * size
        counts.append(len(asked))
    assert counts[0] == counts[1] <= 12


def test_whoever_may_answer_is_told_when_a_version_is_submitted(scene: Scene) -> None:
    walk, version = scene
    submission = walk.submit(version, "production")
    assert told("review_wanted") == {"petra", "dana", "rhea", "sol"}
    hand(submission, walk.cast.rhea, walk.cast.sol)
    assert told("review_wanted", "handover:") == {"sol"}


def test_people_with_a_hand_in_it_are_not_asked_to_review(scene: Scene) -> None:
    walk, _ = scene
    own = walk.candidate("tagger", "1.0.0", artifacts.scorer(2), authors=["petra@example.com"])
    walk.submit(own, "production")
    assert told("review_wanted") == {"dana", "rhea", "sol"}


def test_the_team_is_told_of_wanted_changes_and_of_the_end(scene: Scene) -> None:
    walk, version = scene
    submission = walk.submit(version, "staging", actor=walk.cast.ben)
    secret = "The weights of the fallen model are 0451."
    reviews.request_changes(submission, actor=walk.cast.petra, role="platform", note=secret)
    assert told("changes_requested") == {"ada", "ben"}
    people.give_seat(walk.cast.sol, "platform", actor=walk.cast.alma)
    reviews.reject(submission, actor=fresh(walk.cast.sol), role="platform", note=secret)
    assert told("submission_closed") == {"ada", "ben"}
    assert not any(secret in row.subject + row.text for row in Notice.objects.all())


def travel(submission: Submission, left: timedelta) -> Any:
    return time_machine.travel(submission.due_at - left, tick=False)


def test_the_unanswered_are_reminded_escalated_and_then_it_is_no(scene: Scene) -> None:
    walk, version = scene
    submission = walk.submit(version, "production")
    walk.approve(submission, "platform")
    day = timedelta(days=1)
    for left, count in ((8, 0), (7, 3), (6, 0), (2, 3), (1.5, 0)):
        with travel(submission, left * day):
            assert (left, reminders.remind_due()) == (left, count)
    assert told("review_reminded", "half") == told("review_reminded", "two-days") == {"dana", "rhea", "sol"}
    with travel(submission, day):
        assert reminders.remind_due() == 6
        assert reminders.remind_due() == 0
    asset = version.asset
    assert told("review_escalated") == {"dana", "rhea", "sol", "ada", "ben", asset.escalation_contact}
    with travel(submission, timedelta(0)):
        assert reminders.remind_due() == 0
        assert submissions.lapse_due() == 1


def test_after_a_pause_only_what_is_not_obsolete_is_told(scene: Scene) -> None:
    walk, version = scene
    submission = walk.submit(version, "production")
    with travel(submission, timedelta(hours=3)):
        reminders.remind_due()
    assert told("review_reminded") == set()
    assert "rhea" in told("review_escalated")


def test_nobody_is_reminded_of_what_waits_for_the_team_or_for_somebody_else(scene: Scene) -> None:
    walk, version = scene
    submission = walk.submit(version, "production")
    reviews.request_changes(submission, actor=walk.cast.petra, role="platform", note="Explain.", proof=walk.proof())
    walk.approve(submission, "product")
    hand(submission, walk.cast.rhea, walk.cast.sol)
    with travel(submission, timedelta(days=6)):
        assert reminders.remind_due() == 1
    assert told("review_reminded") == {"sol"}


def test_with_little_time_the_last_quarter_counts_as_the_last_day(scene: Scene) -> None:
    walk, version = scene
    submission = walk.submit(version, "production")
    begun = submission.submitted_at
    submission.due_at = begun + timedelta(days=1)
    names = [(step.name, (step.begins - begun) / timedelta(hours=1)) for step in reminders.steps(submission)]
    assert names == [("half", 12.0), ("last-day", 18.0)]
    assert reminders.step_at(submission, begun) is None
    assert timezone.now() >= begun
