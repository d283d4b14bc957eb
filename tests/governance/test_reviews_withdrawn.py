"""A reviewer takes a verdict back: before anything was promoted on it, with everything that rested on it."""

from __future__ import annotations

from datetime import timedelta

import pytest
import time_machine
from django.core.exceptions import PermissionDenied
from django.utils import timezone

from audit.models import Entry
from audit.reports.approvals import Approvals
from audit.reports.base import Filters
from governance import decisions, obligations, queries, relicensing, reviews, standing, submissions
from governance.models import Decision, Notice, Review, ReviewWithdrawal, Submission
from portal.errors import Invalid
from registry import people
from registry.models import User
from tests.factories import Walk
from tests.governance.test_reviews import fresh, note, refused
from tests.scene import Scene

WHY = "I had the wrong table open."


def take_back(submission: Submission, person: User, proof: reviews.Proof | None = None) -> ReviewWithdrawal:
    """Withdraw a person's newest verdict."""
    review = submission.reviews.filter(reviewer=person).latest("pk")
    return reviews.withdraw(review, actor=fresh(person), reason=WHY, proof=proof)


def approve(walk: Walk, submission: Submission, person: User, role: str) -> Review:
    return reviews.approve(submission, actor=fresh(person), role=role, proof=walk.proof())


def test_while_the_submission_is_open_the_role_is_missing_again_everywhere(scene: Scene) -> None:
    walk, version = scene
    submission = walk.submit(version, "production")
    walk.approve(submission, "platform", "security")
    assert reviews.missing_roles(submission) == ["product"]
    made = take_back(submission, walk.cast.petra)
    assert (made.withdrawn_by, made.reason) == (walk.cast.petra, WHY)
    assert reviews.missing_roles(submission) == ["platform", "product"]
    petra = fresh(walk.cast.petra)
    [row] = queries.queue(petra)
    assert (row.is_my_turn, row.my_verdict, row.missing) == (True, None, ("platform", "product"))
    assert queries.count_waiting(petra) == 1
    assert reviews.stale(submission) == []
    told = Notice.objects.filter(kind="review_wanted", cause__contains=":withdrawn:")
    assert {each.person.username for each in told if each.person} == {"petra"}
    assert Entry.objects.filter(kind="review.withdrawn").get().details["reason"] == WHY


def test_the_same_person_or_another_may_answer_anew_and_once(scene: Scene) -> None:
    walk, version = scene
    submission = walk.submit(version, "production")
    approve(walk, submission, walk.cast.rhea, "security")
    take_back(submission, walk.cast.rhea)
    approve(walk, submission, walk.cast.sol, "security")
    assert refused(lambda: approve(walk, submission, walk.cast.rhea, "security")).code == "role_answered"
    take_back(submission, walk.cast.sol)
    approve(walk, submission, walk.cast.rhea, "security")
    assert refused(lambda: approve(walk, submission, walk.cast.rhea, "security")).code == "already_reviewed"
    walk.approve(submission, "platform", "product")
    decision = Decision.objects.get()
    payload = bytes(decision.payload).decode()
    assert payload.count('"role":"security"') == 1
    assert walk.cast.rhea.ledger_name in payload
    assert walk.cast.sol.ledger_name not in payload


def test_a_decision_that_nobody_promoted_is_revoked_and_says_so_offline(scene: Scene) -> None:
    walk, version = scene
    decision = walk.approved(version)
    assert standing.of(version, "production").allow
    take_back(decision.submission, walk.cast.dana)
    answer = standing.of(version, "production")
    assert (answer.allow, answer.reasons[0].rule) == (False, "revoked")
    revocation = Decision.objects.get(revokes=decision)
    assert (revocation.made_by, revocation.reason) == (walk.cast.dana, f"Product took its approval back: {WHY}")
    walk.work()
    assert decisions.bundle(revocation)
    version.refresh_from_db()
    assert version.state == "candidate"
    told = Notice.objects.filter(kind="decision_ended", person__isnull=False)
    assert {each.person.username for each in told if each.person} == {"ada", "ben"}
    assert not any(WHY in each.text + each.subject for each in Notice.objects.all())


def test_an_unsigned_decision_is_revoked_as_well(scene: Scene) -> None:
    walk, version = scene
    submission = walk.submit(version, "staging")
    reviews.approve(submission, actor=walk.cast.petra, role="platform")
    take_back(submission, walk.cast.petra)
    walk.work()
    assert not standing.of(version, "staging").allow
    assert Decision.objects.filter(signature=None).count() == 0


def test_after_a_promotion_it_is_refused_and_says_who_can_revoke(scene: Scene) -> None:
    walk, version = scene
    decision = walk.approved(version)
    walk.promote(version)
    why = refused(lambda: take_back(decision.submission, walk.cast.petra))
    assert why.code == "promoted"
    assert "security to revoke" in why.reasons[0].fix
    assert why.reasons[0].where == decision.get_absolute_url()
    assert standing.of(version, "production").allow


def test_a_request_for_changes_is_closed_by_new_content_or_by_who_made_it(scene: Scene) -> None:
    walk, version = scene
    submission = walk.submit(version, "production")
    asked = reviews.request_changes(
        submission, actor=walk.cast.rhea, role="security", note="Explain.", proof=walk.proof()
    )
    assert refused(lambda: approve(walk, submission, walk.cast.sol, "security")).code == "changes_requested"
    with pytest.raises(PermissionDenied, match="Only Rhea Security"):
        reviews.withdraw(asked, actor=walk.cast.sol, reason="It was explained to me.")
    take_back(submission, walk.cast.rhea)
    walk.approve(submission)
    assert Decision.objects.get().verdict == "approved"


def test_a_request_after_an_approval_of_the_same_role_stands_in_the_way(scene: Scene) -> None:
    walk, version = scene
    submission = walk.submit(version, "production")
    walk.approve(submission, "security")
    reviews.request_changes(submission, actor=walk.cast.sol, role="security", note="Explain.", proof=walk.proof())
    assert reviews.missing_roles(submission) == ["platform", "product", "security"]
    walk.approve(submission, "platform", "product")
    assert not Decision.objects.exists()
    # Taking it back completes what everybody else has approved, and so needs the proof that an approval needs.
    why = refused(lambda: take_back(submission, walk.cast.sol))
    assert why.code == "reauthenticate"
    assert not Decision.objects.exists()
    take_back(submission, walk.cast.sol, walk.proof())
    assert Decision.objects.get().verdict == "approved"


def test_what_nobody_answered_in_time_is_not_decided_by_taking_a_request_back(scene: Scene) -> None:
    walk, version = scene
    submission = walk.submit(version, "production")
    walk.approve(submission, "security")
    reviews.request_changes(submission, actor=walk.cast.sol, role="security", note="Explain.", proof=walk.proof())
    walk.approve(submission, "platform", "product")
    with time_machine.travel(submission.due_at, tick=False):
        # No sweep has written the end down yet: it has ended all the same.
        why = refused(lambda: take_back(submission, walk.cast.sol, walk.proof()))
    assert why.code == "submission_lapsed"
    assert not Decision.objects.exists()


def test_the_conditions_that_bind_are_those_of_what_was_decided_on_even_when_a_dossier_comes_back(scene: Scene) -> None:
    walk, version = scene
    due = timezone.now() + timedelta(days=5)

    def licensed(licence: str) -> None:
        relicensing.record(version, licence, source="https://e.example", reason="New terms.", actor=walk.cast.ada)
        submissions.refresh_due()
        walk.work()

    licensed("BSD-3-Clause")
    submission = walk.submit(version, "production")
    condition = ("Attach the report.", due)
    reviews.approve(submission, actor=walk.cast.petra, role="platform", proof=walk.proof(), conditions=[condition])
    walk.approve(submission, "security")
    reviews.request_changes(submission, actor=walk.cast.sol, role="security", note="Explain.", proof=walk.proof())
    walk.approve(submission, "product")
    licensed("MIT")
    walk.approve(submission, "platform")
    licensed("BSD-3-Clause")
    take_back(submission, walk.cast.sol, walk.proof())
    walk.work()
    assert standing.of(version, "production").allow
    assert standing.of(version, "production").expires_at == due
    assert not standing.of(version, "production", at=due).allow


def test_a_rejection_decides_and_is_not_taken_back(scene: Scene) -> None:
    walk, version = scene
    submission = walk.submit(version, "staging")
    reviews.reject(submission, actor=walk.cast.petra, role="platform", note="Not like this.")
    why = refused(lambda: take_back(submission, walk.cast.petra))
    assert (why.code, "submit it again" in str(why)) == ("submission_closed", True)


def test_what_a_change_has_voided_cannot_be_taken_back_and_what_has_ended_neither(scene: Scene) -> None:
    walk, version = scene
    submission = walk.submit(version, "production")
    walk.approve(submission, "platform")
    note(walk, submission)
    assert refused(lambda: take_back(submission, walk.cast.petra)).code == "review_voided"
    walk.approve(submission)
    decision = submission.decisions.get()
    take_back(submission, walk.cast.petra)
    assert refused(lambda: take_back(submission, walk.cast.petra)).code == "already_withdrawn"
    assert refused(lambda: take_back(submission, walk.cast.dana)).code == "decision_over"
    again = walk.approved(version)
    with time_machine.travel(again.expires_at or timezone.now(), tick=False):
        assert refused(lambda: take_back(again.submission, walk.cast.dana)).code == "decision_over"
    assert decision.pk != again.pk


def test_only_the_reviewer_takes_a_verdict_back_and_says_why(scene: Scene) -> None:
    walk, version = scene
    submission = walk.submit(version, "production")
    review = walk.approve(submission, "platform")
    assert review is not None
    for person in (walk.cast.rhea, walk.cast.ada, walk.cast.alma, walk.cast.mallory, walk.cast.cee_i):
        with pytest.raises(PermissionDenied):
            reviews.withdraw(review, actor=person, reason=WHY)
    with pytest.raises(Invalid, match="reason"):
        reviews.withdraw(review, actor=walk.cast.petra, reason="  ")
    people.take_seat(walk.cast.petra.seats.get(), actor=walk.cast.alma)
    with pytest.raises(PermissionDenied):
        reviews.withdraw(review, actor=fresh(walk.cast.petra), reason=WHY)
    assert not ReviewWithdrawal.objects.exists()


def test_the_conditions_of_a_withdrawn_approval_bind_nothing(scene: Scene) -> None:
    walk, version = scene
    submission = walk.submit(version, "production")
    due = timezone.now() + timedelta(days=3)
    asked = [("Attach the report.", due)]
    reviews.approve(submission, actor=walk.cast.rhea, role="security", proof=walk.proof(), conditions=asked)
    obligation = Review.objects.get().obligations.get()
    take_back(submission, walk.cast.rhea)
    assert refused(lambda: obligations.meet(obligation, actor=walk.cast.sol, note="Done.")).code == "obligation_over"
    with time_machine.travel(due - timedelta(hours=1), tick=False):
        assert obligations.tell_due() == 0
    walk.approve(submission)
    assert standing.of(version, "production", at=due).allow


def test_the_auditor_sees_which_verdicts_were_taken_back(scene: Scene) -> None:
    walk, version = scene
    submission = walk.submit(version, "production")
    walk.approve(submission, "platform", "product")
    before = timezone.now()
    take_back(submission, walk.cast.petra)
    report = Approvals()
    place = [column.title for column in report.columns].index("Counts")
    found = {
        at: sorted(str(row[place]) for row in report.tell(list(report.select(Filters(), at)), at))
        for at in (before, timezone.now())
    }
    assert list(found.values()) == [["counted", "counted"], ["counted", "withdrawn"]]
