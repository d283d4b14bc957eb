"""A deputy and whoever they stand in for, and two administrators, at the same moment: one outcome, always."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.exceptions import PermissionDenied
from django.utils import timezone

from governance import delegations, departures, reviews
from governance.models import Decision, Delegation, Review
from portal.errors import Refused
from registry.models import User
from tests.factories import Walk
from tests.governance.test_concurrency import at_once, fresh, waiting_for_security

pytestmark = pytest.mark.django_db(transaction=True)


def test_deputy_and_giver_answer_at_once_and_the_role_has_one_answer(walk: Walk) -> None:
    submission = waiting_for_security(walk)
    rhea, mallory, proof = walk.cast.rhea, walk.cast.mallory, walk.proof()
    end = timezone.now() + timedelta(days=9)
    delegations.make(actor=rhea, role="security", deputy=mallory, ends_at=end)
    asked = {"role": "security", "proof": proof}
    results = at_once(
        lambda: reviews.approve(fresh(submission), actor=fresh(mallory), on_behalf_of=rhea, **asked),
        lambda: reviews.approve(fresh(submission), actor=fresh(rhea), **asked),
        lambda: reviews.approve(fresh(submission), actor=fresh(mallory), on_behalf_of=rhea, **asked),
    )
    assert sum(isinstance(result, Review) for result in results) == 1
    assert sum(isinstance(result, Refused) for result in results) == 2
    assert Review.objects.filter(role="security").count() == Decision.objects.count() == 1


def test_two_delegations_for_the_same_time_made_at_once_are_one(walk: Walk) -> None:
    cast, end = walk.cast, timezone.now() + timedelta(days=9)
    results = at_once(
        *(
            lambda deputy=deputy: delegations.make(actor=fresh(cast.rhea), role="security", deputy=deputy, ends_at=end)
            for deputy in (cast.dana, cast.petra, cast.mallory)
        )
    )
    assert [each.code for each in results if isinstance(each, Refused)] == ["delegation_overlaps"] * 2
    assert Delegation.objects.count() == 1


def test_two_administrators_who_close_each_other_leave_one(walk: Walk) -> None:
    alma, abel = walk.cast.alma, walk.cast.abel

    def close(who: User, by: User) -> object:
        try:
            return departures.leave(fresh(who), actor=fresh(by))
        except PermissionDenied as refusal:
            return refusal

    at_once(lambda: close(alma, abel), lambda: close(abel, alma))
    assert User.objects.filter(seats__role="administrator", is_active=True).count() == 1
