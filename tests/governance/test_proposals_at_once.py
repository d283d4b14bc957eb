"""Two people publish, decline and submit at the same moment. There is one outcome, and no submission slips through."""

from __future__ import annotations

from typing import Any

import pytest

from governance import proposals, submissions
from governance.models import Policy, PolicyProposal, Submission
from portal.errors import Refused
from registry import people
from registry.models import User
from tests import policies
from tests.factories import Walk, artifacts
from tests.governance.test_concurrency import at_once, fresh
from tests.policies import choose, propose, seen, shipped

pytestmark = pytest.mark.django_db(transaction=True)
STRICTER = shipped("environments.staging.approvals", ["platform", "security"])


def third(walk: Walk) -> User:
    """Return one more administrator."""
    account = people.open_account("ann", actor=walk.cast.alma, name="Ann Admin", email="ann@example.com", admin=True)
    people.give_seat(account, "administrator", actor=walk.cast.alma)
    return account


def publishing(proposal: PolicyProposal, actor: User) -> Any:
    """Return an act that publishes what was looked at before."""
    looked_at, choices = seen(proposal), choose(proposal)
    return lambda: proposals.publish(fresh(proposal), actor=fresh(actor), choices=choices, seen_replay=looked_at)


def test_two_publishers_at_once_have_one_outcome(walk: Walk) -> None:
    walk.submit(walk.candidate("fraud-scorer", "1.0.0", artifacts.scorer(1)), "staging")
    proposal, ann = propose(STRICTER, walk.cast), third(walk)
    results = at_once(publishing(proposal, walk.cast.abel), publishing(proposal, ann))
    [refusal] = [each for each in results if isinstance(each, Refused)]
    assert refusal.code == "proposal_answered"
    assert Policy.objects.count() == 2
    assert Submission.objects.get().history.filter(policy_until__isnull=False).count() == 1


def test_publishing_and_declining_at_once_have_one_outcome(walk: Walk) -> None:
    proposal, ann = propose(STRICTER, walk.cast), third(walk)
    results = at_once(
        publishing(proposal, walk.cast.abel),
        lambda: proposals.decline(fresh(proposal), actor=fresh(ann), note="Not like this."),
    )
    [refusal] = [each for each in results if isinstance(each, Refused)]
    assert refusal.code == "proposal_answered"
    assert Policy.objects.count() == (2 if fresh(proposal).state == "published" else 1)


def test_two_proposals_at_once_leave_one_open(walk: Walk) -> None:
    contents = [shipped("waivers.max_days", days) for days in (30, 60)]
    results = at_once(*(lambda content=content: propose(content, walk.cast) for content in contents))
    [refusal] = [each for each in results if isinstance(each, Refused)]
    assert refusal.code == "proposal_open"
    assert PolicyProposal.objects.count() == 1


@pytest.mark.parametrize("name", ["default", "another"])
def test_what_is_submitted_while_a_policy_is_published_is_asked_about_or_comes_too_late(walk: Walk, name: str) -> None:
    version = walk.candidate("fraud-scorer", "1.0.0", artifacts.scorer(1))
    walk.submit(version, "production")
    proposal = propose({**STRICTER, "name": name}, walk.cast)
    results = at_once(
        publishing(proposal, walk.cast.abel),
        lambda: submissions.submit(fresh(version), "staging", actor=fresh(walk.cast.ada)),
    )
    codes = {each.code for each in results if isinstance(each, Refused)}
    assert codes <= {"replay_changed", "choice_missing", "policy_changed"}
    newest = Policy.objects.order_by("-published_at")[0]
    opened = Submission.objects.filter(state="open")
    # Nothing is left open under an older text without a date that somebody chose for it.
    assert not opened.exclude(policy=newest).filter(policy_until=None).exists() or newest == walk.cast.policy


def test_two_first_texts_for_a_kind_are_published_one_after_the_other_in_sight_of_each_other(walk: Walk) -> None:
    policies.publish(shipped("applies_to.kinds", ["model"]), walk.cast)
    made = [propose({**shipped("applies_to.kinds", ["prompt"]), "name": name}, walk.cast) for name in ("one", "other")]
    results = at_once(*(publishing(proposal, walk.cast.abel) for proposal in made))
    [refusal] = [each for each in results if isinstance(each, Refused)]
    assert refusal.code == "replay_changed"
    assert Policy.objects.filter(name__in=["one", "other"]).count() == 1
