"""A change of policy takes two people, and never changes what an open submission is judged under without saying so."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.core.exceptions import PermissionDenied
from django.utils import timezone

from audit.models import Entry
from governance import policy, proposals, queries, reviews, submissions
from governance.models import CheckRequest, Notice, Policy, PolicyProposal
from governance.models.submissions import SubmissionState
from portal.errors import Invalid, Refused
from registry import people, tokens
from registry.models import User
from tests.policies import choose, propose, publish, seen, shipped, with_cases
from tests.scene import Scene
from tests.web.services import count_rows

STRICTER = shipped("environments.staging.approvals", ["platform", "security"])


def kinds() -> list[str]:
    return list(Entry.objects.order_by("-pk").values_list("kind", flat=True))


def answer(proposal: PolicyProposal, actor: User, choices: Any = None, **changes: Any) -> Policy:
    """Publish a proposal after looking at its replay."""
    chosen = choose(proposal) if choices is None else choices
    return proposals.publish(proposal, **{"actor": actor, "choices": chosen, "seen_replay": seen(proposal), **changes})


def refused(proposal: PolicyProposal, actor: User, choices: Any = None, **changes: Any) -> Refused:
    """Return why publishing is refused. Nothing is left behind."""
    before = count_rows()
    with pytest.raises(Refused) as refusal:
        answer(proposal, actor, choices, **changes)
    assert count_rows() == before
    return refusal.value


def service(cast: Any, issuer: User) -> User:
    """Return a pipeline of a policy repository, with a token by somebody."""
    account = people.open_account("policy-ci", actor=cast.abel, name="Policy CI", kind="service")
    tokens.issue(account, actor=issuer, label="policies", scopes=["policy"])
    account.token_scopes = frozenset({"policy"})  # type: ignore[attr-defined]
    return account


def test_one_proposes_and_another_publishes(scene: Scene) -> None:
    cast = scene.walk.cast
    proposal = propose(STRICTER, cast)
    assert kinds()[0] == "policy.proposed"
    assert policy.governing(scene.version) == cast.policy
    published = answer(proposal, cast.abel, note="Security asked for it.")
    proposal.refresh_from_db()
    assert (published.number, published.published_by, published.text) == (2, cast.abel, proposal.text)
    assert (proposal.state, proposal.decided_by, proposal.published) == ("published", cast.abel, published)
    assert policy.governing(scene.version) == published
    entry = Entry.objects.filter(kind="policy.published").latest("pk")
    assert entry.subject_label == "default v2"
    assert cast.alma.ledger_name in bytes(entry.body).decode()


def test_nobody_publishes_alone(scene: Scene) -> None:
    cast = scene.walk.cast
    refusal = refused(propose(STRICTER, cast), cast.alma)
    assert refusal.code == "second_person"
    assert [str(each) for each in refusal.reasons] == [
        "Alma Admin proposed it. Another administrator has to answer it."
    ]


def test_only_administrators_propose_publish_and_decline(scene: Scene) -> None:
    cast = scene.walk.cast
    proposal, before = propose(STRICTER, cast), count_rows()
    for actor in (cast.ada, cast.rhea, cast.iris, cast.mallory, cast.cee_i, cast.otto):
        for act in (
            lambda actor=actor: proposals.propose(policy.shipped(), actor=actor),
            lambda actor=actor: answer(proposal, actor),
            lambda actor=actor: proposals.decline(proposal, actor=actor, note="Not like this."),
            lambda actor=actor: proposals.withdraw(proposal, actor=actor),
        ):
            with pytest.raises(PermissionDenied):
                act()
    assert count_rows() == before


def test_a_policy_is_installed_once_and_changed_by_two(scene: Scene) -> None:
    cast, setup = scene.walk.cast, User.objects.system("setup")
    before = count_rows()
    assert policy.install(policy.shipped(), actor=setup) == policy.install_shipped(actor=setup) == cast.policy
    with pytest.raises(Refused, match="A change takes a proposal and two people") as refusal:
        policy.install(with_cases(STRICTER), actor=setup)
    assert refusal.value.code == "policy_is_there"
    for actor in (cast.alma, cast.abel, cast.ada):
        with pytest.raises(PermissionDenied):
            policy.install(with_cases(STRICTER), actor=actor)
    assert count_rows() == before
    publish(STRICTER, cast)
    assert policy.install_shipped(actor=setup).number == 2


def test_what_says_nothing_new_is_not_proposed(scene: Scene) -> None:
    cast = scene.walk.cast
    with pytest.raises(Refused) as refusal:
        proposals.propose("# a comment\n" + policy.shipped(), actor=cast.alma)
    assert refusal.value.code == "policy_is_newest"
    publish(STRICTER, cast)
    with pytest.raises(Refused) as refusal:
        proposals.propose(policy.shipped(), actor=cast.alma)
    assert refusal.value.code == "policy_published_before"


def test_one_proposal_at_a_time(scene: Scene) -> None:
    cast = scene.walk.cast
    first = propose(STRICTER, cast)
    with pytest.raises(Refused, match="proposed already") as refusal:
        propose(shipped("waivers.max_days", 30), cast)
    assert refusal.value.reasons[0].where == first.get_absolute_url()
    proposals.decline(first, actor=cast.abel, note="Too strict for staging.")
    first.refresh_from_db()
    assert (first.state, first.decided_by, first.decision_note) == ("refused", cast.abel, "Too strict for staging.")
    assert kinds()[0] == "policy.declined"
    second = propose(shipped("waivers.max_days", 30), cast)
    assert refused(first, cast.abel).code == "proposal_answered"
    with pytest.raises(PermissionDenied):
        proposals.withdraw(second, actor=cast.abel)
    proposals.withdraw(second, actor=cast.alma)
    assert kinds()[0] == "policy.withdrawn"
    with pytest.raises(Refused):
        proposals.decline(second, actor=cast.abel, note="Too late.")


def test_declining_takes_another_person_and_a_reason(scene: Scene) -> None:
    cast = scene.walk.cast
    proposal = propose(STRICTER, cast)
    with pytest.raises(Refused) as refusal:
        proposals.decline(proposal, actor=cast.alma, note="Changed my mind.")
    assert refusal.value.code == "second_person"
    for note in ("", "  ", "x" * 4001, "a\x00b"):
        with pytest.raises(Invalid, match="note"):
            proposals.decline(proposal, actor=cast.abel, note=note)


def test_what_a_service_proposes_is_not_published_by_whoever_issued_its_token(scene: Scene) -> None:
    cast = scene.walk.cast
    proposal = proposals.propose(with_cases(STRICTER), actor=service(cast, cast.alma))
    refusal = refused(proposal, cast.alma)
    assert refusal.code == "second_person"
    assert "Alma Admin issued the token by which Policy CI proposes." in str(refusal)
    # That the token is gone by now changes nothing about who held it.
    tokens.revoke(proposal.proposed_by.tokens.get(), actor=cast.alma)
    assert refused(proposal, cast.alma).code == "second_person"
    assert answer(proposal, cast.abel).number == 2


def test_an_administrator_takes_back_what_a_service_proposed(scene: Scene) -> None:
    cast = scene.walk.cast
    proposal = proposals.propose(with_cases(STRICTER), actor=service(cast, cast.abel))
    with pytest.raises(PermissionDenied):
        proposals.withdraw(proposal, actor=cast.rhea)
    assert proposals.withdraw(proposal, actor=cast.alma).state == "withdrawn"


# --- open submissions ------------------------------------------------------------------------------------------------


def test_each_open_submission_needs_a_choice_and_nothing_else_has_one(scene: Scene) -> None:
    walk, version = scene
    submission = walk.submit(version, "staging")
    proposal = propose(STRICTER, walk.cast)
    refusal = refused(proposal, walk.cast.abel, {})
    assert refusal.code == "choice_missing"
    assert [each.says for each in refusal.reasons] == ["fraud-scorer@1.0.0 for staging has no choice."]
    strange = {**choose(proposal), "00000000-0000-4000-8000-000000000000": {"do": "move"}, "x": {"do": "move"}}
    with pytest.raises(Invalid) as invalid:
        answer(proposal, walk.cast.abel, strange)
    assert [fault.field for fault in invalid.value.faults] == ["choices", "choices"]
    now = timezone.now()
    for wrong in (
        {},
        {"do": "forget"},
        {"do": "finish"},
        {"do": "finish", "until": "tomorrow"},
        {"do": "finish", "until": now.replace(tzinfo=None)},
        {"do": "finish", "until": now - timedelta(seconds=1)},
        {"do": "finish", "until": submission.due_at + timedelta(seconds=1)},
    ):
        with pytest.raises(Invalid, match=rf"choices\.{submission.public_id}"):
            answer(proposal, walk.cast.abel, {str(submission.public_id): wrong})
    assert Policy.objects.count() == 1


def test_what_finishes_is_decided_under_its_older_policy_until_the_date_and_lapses_then(scene: Scene) -> None:
    walk, version = scene
    staging, until = walk.submit(version, "staging"), timezone.now() + timedelta(days=2)
    production = walk.submit(version, "production")
    proposal = propose(STRICTER, walk.cast)
    answer(proposal, walk.cast.abel, choose(proposal, until=until))
    staging.refresh_from_db()
    assert (staging.policy, staging.policy_until) == (walk.cast.policy, until)
    assert kinds()[:3] == ["submission.kept", "submission.kept", "policy.published"]
    assert submissions.current_digest(staging) == staging.dossier_digest
    reviews.approve(staging, actor=walk.cast.petra, role="platform")
    assert b'"version":1' in bytes(staging.decisions.get().payload)
    with time_machine.travel(until):
        production.refresh_from_db()
        assert not queries.opened(walk.cast.petra).exists()
        with pytest.raises(Refused, match=r"could be decided under default v1 until .* UTC") as refusal:
            reviews.approve(production, actor=walk.cast.petra, role="platform", proof=walk.proof())
        assert refusal.value.code == "policy_ended"
        assert submissions.lapse_due() == 1
        production.refresh_from_db()
        assert production.state == SubmissionState.LAPSED
        assert production.closed_because == "Nobody answered while default v1 could still be decided under."
        assert walk.submit(version, "production").policy.number == 2


def test_what_moves_is_judged_anew_and_what_was_said_stays_to_be_read(scene: Scene) -> None:
    walk, version = scene
    submission = walk.submit(version, "production")
    walk.approve(submission, "platform")
    published = publish(shipped("environments.production.valid_days", 30), walk.cast, do="move")
    submission.refresh_from_db()
    assert (submission.policy, submission.policy_until) == (published, None)
    assert submission.dossier_digest == submissions.current_digest(submission)
    assert kinds()[:2] == ["submission.moved", "policy.published"]
    assert [review.role for review in reviews.stale(submission)] == ["platform"]
    assert reviews.missing_roles(submission) == ["platform", "product", "security"]
    assert CheckRequest.objects.filter(version=version, policy=published).exists()
    walk.work()
    walk.approve(submission)
    decision = submission.decisions.get()
    assert decision.expires_at is not None
    assert decision.expires_at - decision.made_at == timedelta(days=30)


def test_a_request_for_changes_is_not_voided_by_moving_to_another_policy(scene: Scene) -> None:
    walk, version = scene
    submission = walk.submit(version, "staging")
    reviews.request_changes(submission, actor=walk.cast.petra, role="platform", note="Explain the metrics.")
    proposal = propose(shipped("waivers.max_days", 30), walk.cast)
    refusal = refused(proposal, walk.cast.abel, choose(proposal, "move"))
    assert (refusal.code, "Changes were requested for platform" in str(refusal)) == ("cannot_move", True)
    proposals.publish(proposal, actor=walk.cast.abel, choices=choose(proposal), seen_replay=seen(proposal))
    submission.refresh_from_db()
    assert submission.policy.number == 1
    assert reviews.missing_roles(submission) == ["platform"]


def test_what_the_new_policy_does_not_know_can_only_finish(scene: Scene) -> None:
    walk, version = scene
    walk.submit(version, "staging")
    content = shipped("environments.staging", None)
    proposal = propose(content, walk.cast)
    refusal = refused(proposal, walk.cast.abel, choose(proposal, "move"))
    assert refusal.code == "cannot_move"
    assert refusal.reasons[0].says == "The proposed policy does not know the environment staging."
    assert answer(proposal, walk.cast.abel).number == 2


def test_what_was_kept_once_is_asked_about_again_and_never_kept_longer(scene: Scene) -> None:
    walk, version = scene
    submission, until = walk.submit(version, "staging"), timezone.now() + timedelta(days=3)
    first = propose(STRICTER, walk.cast)
    answer(first, walk.cast.abel, choose(first, until=until))
    second = propose(shipped("waivers.max_days", 30), walk.cast)
    with pytest.raises(Invalid, match="when it lapses anyway"):
        answer(second, walk.cast.abel, choose(second, until=until + timedelta(seconds=1)))
    answer(second, walk.cast.abel, choose(second, "move"))
    submission.refresh_from_db()
    assert (submission.policy.number, submission.policy_until) == (3, None)


def test_what_is_overdue_needs_no_choice(scene: Scene) -> None:
    walk, version = scene
    submission = walk.submit(version, "staging")
    proposal = propose(STRICTER, walk.cast)
    with time_machine.travel(submission.due_at):
        assert answer(proposal, walk.cast.abel, {}).number == 2


def test_a_replay_that_is_out_of_date_is_refused(scene: Scene) -> None:
    walk, version = scene
    proposal = propose(STRICTER, walk.cast)
    looked_at = seen(proposal)
    submission = walk.submit(version, "staging")
    refusal = refused(proposal, walk.cast.abel, seen_replay=looked_at)
    assert refusal.code == "replay_changed"
    assert refused(proposal, walk.cast.abel, seen_replay="x" * 64).code == "replay_changed"
    assert answer(proposal, walk.cast.abel).number == 2
    assert PolicyProposal.objects.get().replay[0]["id"] == str(submission.public_id)


def test_people_are_told(scene: Scene) -> None:
    walk, version = scene
    walk.submit(version, "staging")
    proposal = propose(STRICTER, walk.cast)
    told = Notice.objects.filter(kind="policy_proposed")
    assert {each.person for each in told} == {walk.cast.abel}
    answer(proposal, walk.cast.abel)
    told = Notice.objects.filter(kind="policy_published")
    cast = walk.cast
    assert {each.person for each in told} == {cast.petra, cast.dana, cast.rhea, cast.sol, cast.ada}


def prompts(*more: str) -> dict[str, Any]:
    """Return a stricter policy of another name for prompts, and for more kinds."""
    return {**STRICTER, "name": "prompts", "applies_to": {"kinds": ["prompt", *more]}}


def test_a_policy_of_another_name_takes_nothing_over_without_a_choice(scene: Scene) -> None:
    walk, version = scene
    submission = walk.submit(version, "staging")
    proposal = propose(prompts("model"), walk.cast)
    assert [(each["id"], each["policy"]) for each in proposal.replay] == [(str(submission.public_id), "default v1")]
    assert refused(proposal, walk.cast.abel, {}).code == "choice_missing"
    taking = answer(proposal, walk.cast.abel, choose(proposal, "move"))
    submission.refresh_from_db()
    assert submission.policy == policy.governing(version) == taking
    # And back: the older name asks about what is open under the other one.
    back = propose(shipped("waivers.max_days", 30), walk.cast)
    assert refused(back, walk.cast.abel, {}).code == "choice_missing"
    assert answer(back, walk.cast.abel) == policy.governing(version)
    submission.refresh_from_db()
    assert (submission.policy, submission.policy_until) == (taking, submission.due_at)


def test_a_policy_of_another_name_asks_nothing_about_kinds_that_it_does_not_govern(scene: Scene) -> None:
    walk, version = scene
    submission = walk.submit(version, "staging")
    proposal = propose(prompts(), walk.cast)
    assert proposal.replay == []
    assert answer(proposal, walk.cast.abel, {}).name == "prompts"
    submission.refresh_from_db()
    assert submission.policy == policy.governing(version) == walk.cast.policy
    assert submission.policy_until is None


def test_what_is_governed_is_not_taken_over_by_installing(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    setup, before = User.objects.system("setup"), count_rows()
    with pytest.raises(Refused) as refusal:
        policy.install(with_cases(prompts("model")), actor=setup)
    assert refusal.value.code == "kinds_governed"
    says = [each.says for each in refusal.value.reasons]
    assert says == ["default v1 governs the kind prompt.", "default v1 governs the kind model."]
    monkeypatch.setattr(policy, "shipped", lambda: with_cases(prompts("model")))
    # An upgrade leaves what governs, and goes on.
    assert policy.install_shipped(actor=setup) == scene.walk.cast.policy
    assert count_rows() == before
