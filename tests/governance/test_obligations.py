"""Conditions of approvals: dated promises that bind the decision. Late, it ends, also when no clock runs."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

import pytest
import time_machine
from django.core.exceptions import PermissionDenied
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from audit.models import Entry
from governance import decisions, obligations, promotions, reviews, standing, submissions
from governance.models import Decision, Notice, Obligation, ObligationEnd, Review, Submission
from portal.errors import Invalid, Refused
from registry import evidence, people
from tests.factories import artifacts
from tests.governance.test_reviews import fresh, note, refused
from tests.scene import Scene

SAYS = "The bias report for weekends is attached."


def days(count: float) -> datetime:
    return timezone.now() + timedelta(days=count)


def promised(scene: Scene, due: float = 10, environment: str = "production") -> tuple[Submission, Obligation]:
    """Approve as security under one condition, and leave the last word to product."""
    walk, version = scene
    submission = walk.submit(version, environment)
    reviews.approve(
        submission,
        actor=walk.cast.rhea if environment == "production" else walk.cast.petra,
        role="security" if environment == "production" else "platform",
        proof=walk.proof(),
        conditions=[(SAYS, days(due))],
    )
    if environment == "production":
        walk.approve(submission, "platform")
    return submission, Obligation.objects.get()


def decided(scene: Scene, due: float = 10) -> tuple[Decision, Obligation]:
    """Have a version approved under one condition of security, and the decision signed."""
    submission, obligation = promised(scene, due)
    scene.walk.approve(submission, "product")
    return submission.decisions.get(verdict="approved"), obligation


def test_the_decision_names_its_conditions_and_stands_until_the_first_is_due(scene: Scene) -> None:
    decision, obligation = decided(scene)
    told = json.loads(bytes(decision.payload))["predicate"]
    assert [(each["says"], each["role"], each["id"]) for each in told["conditions"]] == [
        (SAYS, "security", str(obligation.public_id))
    ]
    answer = standing.of(scene.version, "production")
    assert (answer.allow, answer.expires_at) == (True, obligation.due_at)
    assert decision.expires_at is not None
    assert obligation.due_at < decision.expires_at


def test_a_late_condition_ends_the_decision_on_the_microsecond_without_any_clock(scene: Scene) -> None:
    decision, obligation = decided(scene)
    before = obligation.due_at - timedelta(microseconds=1)
    assert standing.of(scene.version, "production", at=before).allow
    answer = standing.of(scene.version, "production", at=obligation.due_at)
    assert (answer.allow, [reason.rule for reason in answer.reasons]) == (False, ["obligation_late"])
    [reason] = answer.reasons
    assert SAYS in reason.says
    assert "security" in reason.fix
    assert reason.where == scene.version.get_absolute_url()
    scene.walk.cast.otto.token_scopes = frozenset({"gate"})  # type: ignore[attr-defined]
    digest = scene.version.identity_digest
    with time_machine.travel(obligation.due_at, tick=False):
        gate = promotions.ask_gate(digest, "production", "billing", actor=scene.walk.cast.otto)
        assert (gate.allow, gate.reasons[0].rule) == (False, "obligation_late")
        with pytest.raises(Refused, match="may not serve"):
            promotions.promote(scene.version, "production", actor=scene.walk.cast.ada)
    assert not Decision.objects.filter(revokes=decision).exists()


def test_what_is_met_in_time_binds_no_longer_and_the_past_stays_as_it_was(scene: Scene) -> None:
    decision, obligation = decided(scene)
    with time_machine.travel(days(3), tick=False):
        end = obligations.meet(obligation, actor=scene.walk.cast.sol, note="I read the report.")
    assert (end.ended_by, end.note) == (scene.walk.cast.sol, "I read the report.")
    assert standing.of(scene.version, "production", at=days(2)).expires_at == obligation.due_at
    assert standing.of(scene.version, "production", at=days(4)).expires_at == decision.expires_at
    assert standing.of(scene.version, "production", at=obligation.due_at + timedelta(days=1)).allow
    assert Entry.objects.filter(kind="obligation.met", subject_id=str(obligation.public_id)).count() == 1


def test_the_first_of_several_conditions_counts_and_each_is_met_for_itself(scene: Scene) -> None:
    walk, version = scene
    submission = walk.submit(version, "staging")
    asked = [("Attach the second report.", days(9)), ("Attach the first report.", days(4))]
    reviews.approve(submission, actor=walk.cast.petra, role="platform", conditions=asked)
    walk.work()
    first, second = Obligation.objects.all()
    assert first.due_at < second.due_at
    assert standing.of(version, "staging").expires_at == first.due_at
    people.give_seat(walk.cast.sol, "platform", actor=walk.cast.alma)
    obligations.meet(first, actor=fresh(walk.cast.sol), note="It is there.")
    assert standing.of(version, "staging").expires_at == second.due_at
    assert not standing.of(version, "staging", at=days(9)).allow


@pytest.mark.parametrize(
    ("says", "due", "field"),
    [
        ("No", 9, r"conditions\[0\].says"),
        (" " * 9, 9, r"conditions\[0\].says"),
        ("x" * 4001, 9, r"conditions\[0\].says"),
        ("a\x00b and c", 9, r"conditions\[0\].says"),
        (SAYS, 0, r"conditions\[0\].due_at"),
        (SAYS, -1, r"conditions\[0\].due_at"),
        (SAYS, 180, r"conditions\[0\].due_at"),
    ],
)
def test_a_condition_says_something_and_is_due_while_the_approval_holds(
    scene: Scene, says: str, due: float, field: str
) -> None:
    walk, version = scene
    submission = walk.submit(version, "staging")
    with time_machine.travel(timezone.now(), tick=False), pytest.raises(Invalid, match=field):
        reviews.approve(submission, actor=walk.cast.petra, role="platform", conditions=[(says, days(due))])
    assert not Review.objects.exists()
    assert not Obligation.objects.exists()


def test_there_are_at_most_twenty_conditions_and_they_have_a_time_zone(scene: Scene) -> None:
    walk, version = scene
    submission = walk.submit(version, "staging")
    with pytest.raises(Invalid, match="at most 20"):
        reviews.approve(submission, actor=walk.cast.petra, role="platform", conditions=[(SAYS, days(9))] * 21)
    naive = days(9).replace(tzinfo=None)
    with pytest.raises(Invalid, match="time zone"):
        reviews.approve(submission, actor=walk.cast.petra, role="platform", conditions=[(SAYS, naive)])
    assert reviews.approve(submission, actor=walk.cast.petra, role="platform", conditions=[(SAYS, days(9))] * 20).pk


def test_only_the_role_that_asked_agrees_and_nobody_who_had_to_do_it(scene: Scene) -> None:
    walk, _ = scene
    _, obligation = decided(scene)
    for person in (walk.cast.petra, walk.cast.ada, walk.cast.iris, walk.cast.alma, walk.cast.mallory, walk.cast.cee_i):
        with pytest.raises(PermissionDenied):
            obligations.meet(obligation, actor=person, note="It is done.")
    people.give_seat(walk.cast.ben, "security", actor=walk.cast.alma)
    why = refused(lambda: obligations.meet(obligation, actor=fresh(walk.cast.ben), note="It is done."))
    assert (why.code, "on the team" in why.reasons[-1].says) == ("not_independent", True)
    people.give_seat(walk.cast.mallory, "security", actor=walk.cast.alma)
    evidence.attach(scene.version, actor=walk.cast.cee_i, kind="other", filename="bias.txt", body=b"Weekends.")
    assert obligations.meet(obligation, actor=fresh(walk.cast.mallory), note="It is done.").pk
    with pytest.raises(Invalid, match="reason"):
        obligations.meet(obligation, actor=walk.cast.sol, note=" ")
    assert refused(lambda: obligations.meet(obligation, actor=walk.cast.sol, note="Again.")).code == "obligation_met"


def test_nobody_agrees_when_it_is_late_and_the_refusal_says_what_is_left(scene: Scene) -> None:
    _, obligation = decided(scene)
    with time_machine.travel(obligation.due_at, tick=False):
        why = refused(lambda: obligations.meet(obligation, actor=scene.walk.cast.rhea, note="Just now."))
    assert (why.code, why.reasons[0].rule, bool(why.reasons[0].fix)) == ("obligation_late", "obligation_late", True)
    assert not ObligationEnd.objects.exists()


def test_a_condition_of_an_approval_that_a_change_has_voided_binds_nobody(scene: Scene) -> None:
    submission, obligation = promised(scene)
    note(scene.walk, submission)
    assert refused(lambda: obligations.meet(obligation, actor=scene.walk.cast.sol, note="Done.")).code == (
        "obligation_over"
    )
    scene.walk.approve(submission)
    decision = submission.decisions.get()
    assert json.loads(bytes(decision.payload))["predicate"]["conditions"] == []
    assert standing.of(scene.version, "production", at=obligation.due_at).allow
    assert obligations.revoke_late_due() == 0


def test_a_condition_that_is_late_before_all_have_approved_stops_the_decision(scene: Scene) -> None:
    walk, _ = scene
    submission, _ = promised(scene, due=2)
    with time_machine.travel(days(3), tick=False):
        walk.work()
        why = refused(
            lambda: reviews.approve(
                submission,
                actor=walk.cast.dana,
                role="product",
                seen=submissions.current_digest(submission),
                proof=walk.proof(),
            )
        )
    assert why.code == "obligation_late"
    assert "Rhea Security takes the approval for security back" in why.reasons[0].fix
    assert not Decision.objects.exists()


def test_the_sweep_writes_the_revocation_once_and_changes_no_answer(scene: Scene) -> None:
    decision, obligation = decided(scene)
    assert obligations.revoke_late_due() == 0
    with time_machine.travel(obligation.due_at + timedelta(days=7), tick=False):
        before = standing.of(scene.version, "production").allow
        assert [obligations.revoke_late_due() for _ in range(3)] == [1, 0, 0]
        assert standing.of(scene.version, "production").allow is before is False
        scene.walk.work()
    revocation = Decision.objects.get(revokes=decision)
    assert (revocation.verdict, revocation.made_by.username) == ("revoked", "system-sweeps")
    assert SAYS in revocation.reason
    assert decisions.bundle(revocation)
    scene.version.refresh_from_db()
    assert scene.version.state == "candidate"
    # What was true then is still told so.
    assert standing.of(scene.version, "production", at=obligation.due_at - timedelta(seconds=1)).allow


def test_a_condition_is_told_seven_days_and_one_day_before_once_each(scene: Scene) -> None:
    _, obligation = decided(scene)
    rows = Notice.objects.filter(kind="obligation_due")
    due = obligation.due_at
    for before, told in ((8, 0), (7, 2), (6, 0), (1, 2), (0.5, 0), (0, 0)):
        with time_machine.travel(due - timedelta(days=before), tick=False):
            assert (before, obligations.tell_due()) == (before, told)
    assert {row.person.username for row in rows if row.person} == {"ada", "rhea"}
    assert all(SAYS not in row.text + row.subject for row in rows)


def test_after_a_pause_only_the_nearest_warning_is_told_and_none_of_what_is_met(scene: Scene) -> None:
    _, obligation = decided(scene)
    with time_machine.travel(obligation.due_at - timedelta(hours=20), tick=False):
        assert obligations.tell_due() == 2
        assert {row.cause.rpartition(":")[2] for row in Notice.objects.filter(kind="obligation_due")} == {"1"}
    with time_machine.travel(days(1), tick=False):
        obligations.meet(obligation, actor=scene.walk.cast.sol, note="It is there.")
    Notice.objects.filter(kind="obligation_due").delete()
    with time_machine.travel(obligation.due_at - timedelta(hours=20), tick=False):
        assert obligations.tell_due() == 0


def test_a_decision_under_a_condition_is_listed_by_when_it_really_ends(scene: Scene) -> None:
    _, obligation = decided(scene)
    assert [row.until for row in standing.expiring(days(30))] == [obligation.due_at]
    assert list(standing.expiring(obligation.due_at + timedelta(days=99), at=obligation.due_at)) == []


def test_conditions_cost_no_further_question(scene: Scene, django_assert_num_queries: DjangoAssertNumQueries) -> None:
    decided(scene)
    with django_assert_num_queries(1):
        standing.of(scene.version, "production")


def test_of_two_decisions_the_one_that_holds_longer_answers(scene: Scene) -> None:
    walk, version = scene
    decided(scene, due=3)
    again = walk.approved(version)
    assert standing.of(version, "production").decision_id == str(again.public_id)
    assert standing.of(version, "production", at=days(5)).allow
    with time_machine.travel(days(5), tick=False):
        assert obligations.revoke_late_due() == 1
        assert standing.of(version, "production").allow


def test_conditions_of_another_submission_bind_nothing_here(scene: Scene) -> None:
    walk, version = scene
    _, obligation = decided(scene)
    walk.approved(version, "staging")
    other = walk.candidate("tagger", "1.0.0", artifacts.scorer(2))
    walk.approved(other)
    later = obligation.due_at + timedelta(days=1)
    assert standing.of(version, "staging", at=later).allow
    assert standing.of(other, "production", at=later).allow
    assert not standing.of(version, "production", at=later).allow
