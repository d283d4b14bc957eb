"""Verdicts, taking them back, promotions and handovers at the same moment: one outcome, always."""

from __future__ import annotations

from datetime import timedelta

import pytest
import time_machine
from django.utils import timezone

from governance import decisions, handovers, obligations, promotions, reviews, standing
from governance.models import Decision, Handover, Review, ReviewWithdrawal, Submission
from portal.errors import Refused
from tests.factories import Walk
from tests.governance.test_concurrency import at_once, fresh, waiting_for_security

pytestmark = pytest.mark.django_db(transaction=True)
WHY = "I had the wrong table open."


def test_taking_back_and_the_last_approval_at_once_have_one_outcome(walk: Walk) -> None:
    submission: Submission = waiting_for_security(walk)
    given, proof = submission.reviews.get(role="platform"), walk.proof()
    rhea, petra = fresh(walk.cast.rhea), fresh(walk.cast.petra)
    results = at_once(
        lambda: reviews.approve(fresh(submission), actor=rhea, role="security", proof=proof),
        lambda: reviews.withdraw(fresh(given), actor=petra, reason=WHY),
    )
    assert [type(result) for result in results] == [Review, ReviewWithdrawal]
    made = Decision.objects.filter(verdict="approved")
    if made.exists():
        assert Decision.objects.get(revokes=made.get()).made_by == petra
    else:
        assert fresh(submission).state == "open"
        assert reviews.missing_roles(fresh(submission)) == ["platform"]
    decisions.sign_due()
    assert not standing.of(submission.version, "production").allow


def test_taking_back_and_a_promotion_at_once_never_leave_a_promotion_without_a_decision(walk: Walk) -> None:
    submission = waiting_for_security(walk)
    walk.approve(submission, "security")
    given, petra, ada = submission.reviews.get(role="platform"), fresh(walk.cast.petra), fresh(walk.cast.ada)
    results = at_once(
        lambda: promotions.promote(fresh(submission.version), "production", actor=ada),
        lambda: reviews.withdraw(fresh(given), actor=petra, reason=WHY),
    )
    refusals = [result.code for result in results if isinstance(result, Refused)]
    assert refusals in (["promoted"], ["may_not_serve"])
    assert standing.of(submission.version, "production").allow is (refusals == ["promoted"])


def test_two_clicks_take_a_verdict_back_once(walk: Walk) -> None:
    submission = waiting_for_security(walk)
    given, petra = submission.reviews.get(role="platform"), fresh(walk.cast.petra)
    results = at_once(*(lambda: reviews.withdraw(fresh(given), actor=petra, reason=WHY) for _ in range(4)))
    assert sorted(type(result).__name__ for result in results) == ["Refused"] * 3 + ["ReviewWithdrawal"]
    assert ReviewWithdrawal.objects.count() == 1


def test_a_handover_and_an_approval_at_once_agree_on_who_answered(walk: Walk) -> None:
    submission = waiting_for_security(walk)
    rhea, sol, proof = fresh(walk.cast.rhea), fresh(walk.cast.sol), walk.proof()
    results = at_once(
        lambda: handovers.hand_over(fresh(submission), actor=sol, role="security", receiver=sol, reason=WHY),
        lambda: reviews.approve(fresh(submission), actor=rhea, role="security", proof=proof),
    )
    refusals = [result.code for result in results if isinstance(result, Refused)]
    assert refusals in (["handed_over"], ["submission_closed"])
    assert Handover.objects.exists() is (refusals == ["handed_over"])


def test_sweeps_in_parallel_revoke_a_late_decision_once(walk: Walk) -> None:
    submission = waiting_for_security(walk)
    due = timezone.now() + timedelta(days=2)
    asked = [("Attach the report.", due)]
    reviews.approve(submission, actor=walk.cast.rhea, role="security", proof=walk.proof(), conditions=asked)
    with time_machine.travel(due, tick=False):
        assert sorted(at_once(*(obligations.revoke_late_due for _ in range(3)))) == [0, 0, 1]
    assert Decision.objects.filter(verdict="revoked").count() == 1
