"""Two people click at the same moment. There is one outcome, always: never two decisions, never both yes and no."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from django.db import connections

from audit.models import Entry
from governance import decisions, reviews, submissions
from governance.models import Decision, Review, Signature, Submission
from portal.errors import Refused
from registry import evidence, intake
from registry.models import User, Version
from registry.registration import Registration
from tests.factories import Walk, artifacts

pytestmark = pytest.mark.django_db(transaction=True)


def at_once(*acts: Callable[[], Any]) -> list[Any]:
    """Run acts in threads of their own that start together; return results and refusals in order."""
    start = Barrier(len(acts))

    def run(act: Callable[[], Any]) -> Any:
        try:
            start.wait()
            return act()
        except Refused as refusal:
            return refusal
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(acts)) as pool:
        return list(pool.map(run, acts))


def fresh(row: Any) -> Any:
    """Return a row as another process would read it."""
    return type(row).objects.get(pk=row.pk)


def waiting_for_security(walk: Walk) -> Submission:
    version = walk.candidate("fraud-scorer", "1.0.0", artifacts.scorer(1))
    submission = walk.submit(version, "production")
    walk.approve(submission, "platform", "product")
    return submission


def test_an_approval_and_a_rejection_at_once_have_one_outcome(walk: Walk) -> None:
    submission = waiting_for_security(walk)
    rhea, sol, proof = walk.cast.rhea, walk.cast.sol, walk.proof()
    results = at_once(
        lambda: reviews.approve(fresh(submission), actor=rhea, role="security", proof=proof),
        lambda: reviews.reject(fresh(submission), actor=sol, role="security", note="Not like this.", proof=proof),
    )
    refused = [result for result in results if isinstance(result, Refused)]
    assert [refusal.code for refusal in refused] == ["submission_closed"]
    assert Decision.objects.count() == 1
    assert fresh(submission).state == Decision.objects.get().verdict


def test_two_approvals_for_one_role_at_once_make_one_decision(walk: Walk) -> None:
    submission = waiting_for_security(walk)
    proof = walk.proof()
    results = at_once(
        *(
            lambda person=person: reviews.approve(fresh(submission), actor=fresh(person), role="security", proof=proof)
            for person in (walk.cast.rhea, walk.cast.sol, walk.cast.rhea, walk.cast.sol)
        )
    )
    assert sum(isinstance(result, Review) for result in results) == 1
    assert Decision.objects.filter(verdict="approved").count() == 1


def test_evidence_that_arrives_with_the_last_approval_is_either_seen_or_refuses_it(walk: Walk) -> None:
    submission = waiting_for_security(walk)
    seen, proof = submissions.current_digest(submission), walk.proof()
    results = at_once(
        lambda: reviews.approve(
            fresh(submission), actor=fresh(walk.cast.rhea), role="security", seen=seen, proof=proof
        ),
        lambda: evidence.attach(
            fresh(submission.version), actor=walk.cast.cee_i, kind="other", filename="late.txt", body=b"late news"
        ),
    )
    if isinstance(results[0], Refused):
        assert results[0].code in {"dossier_changed", "rules_not_met"}
        assert not Decision.objects.exists()
    else:
        assert Review.objects.get(role="security").dossier_digest == seen


def test_signers_in_parallel_sign_once(walk: Walk) -> None:
    submission = waiting_for_security(walk)
    reviews.approve(submission, actor=walk.cast.rhea, role="security", proof=walk.proof())
    at_once(*(decisions.sign_due for _ in range(4)))
    assert Signature.objects.count() == 1
    assert Entry.objects.filter(kind="decision.signed").count() == 1


def test_the_same_registration_from_four_runners_makes_one_version(walk: Walk) -> None:
    walk.register("fraud-scorer", "0.9.0", artifacts.scorer(1))
    request = Registration.model_validate(walk.registration("fraud-scorer", "1.0.0", artifacts.scorer(2)))
    runner = User.objects.get(username="cee-i")
    runner.token_scopes = frozenset({"register"})
    results = at_once(*(lambda: intake.register(request, actor=runner) for _ in range(4)))
    assert sorted(result.created for result in results) == [False, False, False, True]
    assert Version.objects.filter(number="1.0.0").count() == 1
