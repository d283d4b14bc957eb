"""A change of policy takes two people: one proposes a text, another one publishes or declines it.

Publishing says for each open submission whether it finishes under its older policy until a date or moves to the new
one, so that no quorum ever changes silently. What would be judged otherwise is the business of `governance.replay`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, connection, transaction
from django.db.models import Q
from django.utils import timezone

from audit import log, seal
from audit.events import Event
from governance import cases, lifecycle, notices, policy, replay, submissions
from governance.models import Policy, PolicyProposal, Submission
from governance.models.policies import ProposalState
from governance.models.submissions import SubmissionState
from governance.permissions import READERS, roles_of
from governance.replay import Flip
from portal.errors import Fault, Invalid, Reason, Refused, show
from registry.models import AccessToken, Seat, User, Version

ADMINISTRATOR = "administrator"
Choices = Mapping[str, Mapping[str, Any]]


def propose(text: str, *, actor: User, note: str = "") -> PolicyProposal:
    """Propose a text as the next version of its policy; another person publishes it.

    Raises Invalid for a text that is no policy, and Refused when it is published already, when another proposal for
    the name is open, or when its own test cases are not green.
    """
    with log.record(Event.POLICY_PROPOSED, actor=actor) as entry:
        actor.require("policy.propose")
        lifecycle.expect_text("note", note)
        content = policy.read(text)
        now = timezone.now()
        proposal = PolicyProposal(
            name=content["name"],
            text=text,
            content=content,
            digest=seal.digest(content),
            note=note,
            proposed_by=actor,
            proposed_at=now,
        )
        policy.expect_new(proposal.name, proposal.digest)
        expect_green(content)
        proposal.replay = [flip.as_dict() for flip in replay.replay(content, at=now)]
        save_first(proposal)
        entry.about(proposal)
        entry.note(digest=proposal.digest, replay=seal.digest(proposal.replay))
        tell_proposed(proposal, actor)
    return proposal


def save_first(proposal: PolicyProposal) -> None:
    """Save a proposal. Raises Refused when another one for the same policy is open."""
    try:
        with transaction.atomic():
            proposal.save()
    except IntegrityError:
        known = PolicyProposal.objects.filter(name=proposal.name, state=ProposalState.OPEN).first()
        where = known.get_absolute_url() if known else ""
        fix = "Publish, decline or withdraw that one first."
        raise Refused(
            "proposal_open",
            f"Another text for the policy {proposal.name} is proposed already.",
            reasons=[Reason("policy.propose", "One proposal at a time is open for a policy.", fix, where)],
        ) from None


def expect_green(content: Mapping[str, Any]) -> None:
    """Raise Refused with a reason for each thing that is wrong with a policy's own test cases."""
    report = cases.run(content)
    if report.is_green:
        return
    fix = "Correct the rule or the case in the text, then propose it again."
    raise Refused(
        "cases_not_green",
        f"The test cases of the policy {content['name']} are not green.",
        reasons=[Reason("policy.tests", says, fix) for says in report.sentences],
    )


def publish(proposal: PolicyProposal, *, actor: User, choices: Choices, seen_replay: str, note: str = "") -> Policy:
    """Publish a proposal as the second person, with a choice for each open submission, by its public id.

    A choice is {"do": "move"} or {"do": "finish", "until": instant}. `seen_replay` is the digest of the replay that the
    publisher looked at. Raises Refused when the replay is another one now, when a choice is missing or cannot be made,
    or when the actor proposed it; Invalid for a choice about something else.
    """
    with log.record(Event.POLICY_PUBLISHED, actor=actor) as entry:
        proposal = lock(proposal)
        queue()
        actor.require("policy.publish", proposal)
        expect_open(proposal)
        expect_second(proposal, actor)
        content = policy.read(proposal.text)
        expect_green(content)
        waiting = lock_waiting(content)
        now = timezone.now()
        flips = replay.replay(content, at=now)
        expect_seen(content, flips, seen_replay)
        chosen = read_choices(choices, waiting, flips, at=now)
        published = policy.put(proposal.text, content, entry, actor=actor)
        proposal.choices, proposal.published = as_kept(chosen), published
        proposal.replay = [flip.as_dict() for flip in flips]
        answer(proposal, ProposalState.PUBLISHED, actor=actor, note=note)
        for submission in waiting:
            apply(chosen[str(submission.public_id)], submission, published, actor=actor)
        entry.note(
            proposal=str(proposal.public_id),
            proposed_by=proposal.proposed_by.ledger_name,
            choices=seal.digest(proposal.choices),
        )
        tell_published(proposal, published, waiting)
    return published


def decline(proposal: PolicyProposal, *, actor: User, note: str) -> PolicyProposal:
    """Decline a proposal as another person than the one who proposed it, and say why."""
    with log.record(Event.POLICY_DECLINED, actor=actor, subject=proposal):
        proposal = lock(proposal)
        actor.require("policy.publish", proposal)
        expect_open(proposal)
        expect_other(proposal, actor)
        if len(note.strip()) < 3:
            raise Invalid(Fault("note", show(note), "a sentence that says why"))
        answer(proposal, ProposalState.REFUSED, actor=actor, note=note)
    return proposal


def withdraw(proposal: PolicyProposal, *, actor: User, note: str = "") -> PolicyProposal:
    """Take a proposal back: whoever proposed it does, or an administrator where a service did."""
    with log.record(Event.POLICY_WITHDRAWN, actor=actor, subject=proposal):
        proposal = lock(proposal)
        actor.require("policy.propose", proposal)
        expect_open(proposal)
        if not withdraws(proposal, actor):
            raise PermissionDenied(f"{actor.username} did not propose this; another person declines it instead.")
        answer(proposal, ProposalState.WITHDRAWN, actor=actor, note=note)
    return proposal


def withdraws(proposal: PolicyProposal, actor: User) -> bool:
    """Return whether a proposal is an actor's own to take back."""
    if actor.pk == proposal.proposed_by_id:
        return True
    return proposal.proposed_by.kind == "service" and ADMINISTRATOR in roles_of(actor)


def lock(proposal: PolicyProposal) -> PolicyProposal:
    """Lock a proposal: before versions, policies and submissions, always in this order."""
    return PolicyProposal.objects.select_for_update(of=("self",)).select_related("proposed_by").get(pk=proposal.pk)


def queue() -> None:
    """Wait until nobody else publishes: a kind that no policy governs yet has no row that could be locked instead."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended('publishing', 0))")


def lock_waiting(content: Mapping[str, Any]) -> list[Submission]:
    """Lock the versions whose open submissions a text is about, the policies it replaces, and those submissions.

    Raises Refused when something was submitted, or another policy published, in between.
    """
    open_now = Submission.objects.filter(replay.concerned(content), state=SubmissionState.OPEN)
    keys = set(open_now.values_list("version_id", flat=True))
    list(Version.objects.select_for_update(of=("self",)).filter(pk__in=keys).order_by("pk"))
    replaced = replaced_by(content)
    # Submitting pins such a row, so nothing is submitted under the older texts from here on.
    list(Policy.objects.select_for_update(of=("self",)).filter(pk__in=replaced).order_by("pk"))
    rows = Submission.objects.select_for_update(of=("self",)).filter(
        replay.concerned(content), submissions.answerable(timezone.now()), state=SubmissionState.OPEN
    )
    waiting = list(rows.select_related("version__asset__team", "version__asset__owner", "policy").order_by("pk"))
    if {each.version_id for each in waiting} - keys or replaced_by(content) != replaced:
        says = "Something was submitted or published just now. Look at the replay again, then publish."
        raise Refused("replay_changed", says)
    return waiting


def replaced_by(content: Mapping[str, Any]) -> set[int]:
    """Return the keys of the policies whose place a text takes: the newest of its name, and what governs its kinds."""
    return {each.pk for each in (policy.newest(content["name"]), *policy.governed(content).values()) if each}


def expect_open(proposal: PolicyProposal) -> None:
    """Raise Refused unless a proposal waits for its answer."""
    if proposal.state != ProposalState.OPEN:
        says = f"The proposal for the policy {proposal.name} is {proposal.get_state_display().lower()} already."
        raise Refused("proposal_answered", says)


def expect_other(proposal: PolicyProposal, actor: User) -> None:
    """Raise Refused when the actor proposed it."""
    found = [] if actor.pk != proposal.proposed_by_id else [f"{actor} proposed it."]
    refuse_alone(proposal, found)


def expect_second(proposal: PolicyProposal, actor: User) -> None:
    """Raise Refused with each reason why the actor would publish alone. Nobody is exempt."""
    refuse_alone(proposal, involvement(proposal, actor))


def refuse_alone(proposal: PolicyProposal, found: Iterable[str]) -> None:
    """Raise Refused when there are reasons why a second person is missing."""
    fix, where = "Another administrator has to answer it.", proposal.get_absolute_url()
    reasons = [Reason("policy.publish", says, fix, where) for says in found]
    if reasons:
        raise Refused("second_person", f"A change of the policy {proposal.name} takes two people.", reasons=reasons)


def involvement(proposal: PolicyProposal, actor: User) -> list[str]:
    """Return each way in which a person had a hand in a proposal: it is theirs, or of a service by their token."""
    if proposal.proposed_by_id == actor.pk:
        return [f"{actor} proposed it."]
    if proposal.proposed_by.kind != "service":
        return []
    live = Q(revoked_at=None) | Q(revoked_at__gte=proposal.proposed_at)
    tokens = AccessToken.objects.filter(
        live, user=proposal.proposed_by, issued_by=actor, scopes__contains="policy", expires_at__gt=proposal.proposed_at
    )
    return [f"{actor} issued the token by which {proposal.proposed_by} proposes."] if tokens.exists() else []


def expect_seen(content: Mapping[str, Any], flips: list[Flip], seen: str) -> None:
    """Raise Refused unless the replay that was shown is the present one."""
    present = replay.digest(content, flips)
    if seen != present:
        raise Refused(
            "replay_changed",
            "The replay is another one than you looked at: something was submitted, measured, decided or waived since. "
            "Look at it again, then publish.",
            expected=present,
            seen=show(seen),
        )


def read_choices(
    choices: Choices, waiting: Iterable[Submission], flips: Iterable[Flip], *, at: datetime
) -> dict[str, dict[str, Any]]:
    """Return the choice for each open submission. Raises Invalid for others, Refused naming those without one."""
    known = {str(each.public_id): each for each in waiting}
    if strange := [key for key in choices if key not in known]:
        raise Invalid(*(Fault("choices", show(key), "the id of an open submission") for key in strange[:20]))
    if missing := [each for key, each in known.items() if key not in choices]:
        raise Refused(
            "choice_missing",
            "Say for each open submission whether it finishes under its older policy or moves to the new one.",
            reasons=[
                Reason("policy.publish", f"{each} has no choice.", "Choose.", each.get_absolute_url())
                for each in missing
            ],
        )
    stuck = {flip.id: flip for flip in flips if not flip.can_move}
    return {key: read_choice(choices[key], known[key], stuck.get(key), at=at) for key in known}


def read_choice(
    choice: Mapping[str, Any], submission: Submission, stuck: Flip | None, *, at: datetime
) -> dict[str, Any]:
    """Return one choice as it is kept. Raises Invalid, or Refused when the submission cannot move."""
    field, do = f"choices.{submission.public_id}", choice.get("do")
    if do == "move" and stuck is not None:
        fix = "It can only finish under its older policy."
        reasons = [Reason("policy.publish", says, fix, submission.get_absolute_url()) for says in stuck.sentences]
        raise Refused("cannot_move", f"{submission} cannot move to the new policy.", reasons=reasons)
    if do == "move":
        return {"do": "move"}
    if do != "finish":
        raise Invalid(Fault(f"{field}.do", show(do), "move or finish"))
    until, last = choice.get("until"), submission.ends_at
    if not isinstance(until, datetime) or until.tzinfo is None or not at < until <= last:
        expected = f"an instant after now and not after {last:%Y-%m-%d %H:%M} UTC, when it lapses anyway"
        raise Invalid(Fault(f"{field}.until", show(str(until)) if until else "nothing", expected))
    return {"do": "finish", "until": until}


def as_kept(chosen: Choices) -> dict[str, dict[str, str]]:
    """Return choices as plain data, as a proposal keeps them."""
    return {
        key: {name: seal.instant(value) if isinstance(value, datetime) else value for name, value in choice.items()}
        for key, choice in chosen.items()
    }


def apply(choice: Mapping[str, Any], submission: Submission, published: Policy, *, actor: User) -> None:
    """Do to a locked, open submission what was chosen for it."""
    if choice["do"] == "move":
        submissions.repin(submission, published, actor=actor)
    else:
        submissions.keep(submission, choice["until"], actor=actor)


def answer(proposal: PolicyProposal, state: ProposalState, *, actor: User, note: str) -> None:
    """Close a locked proposal, inside the record of its verb."""
    lifecycle.expect_text("note", note)
    proposal.state, proposal.decided_by, proposal.decided_at = state, actor, timezone.now()
    proposal.decision_note = note
    proposal.save()


def tell_proposed(proposal: PolicyProposal, actor: User) -> None:
    """Tell the administrators that a proposal waits for a second person."""
    people = User.objects.filter(seats__role=ADMINISTRATOR, is_active=True).exclude(pk=actor.pk)
    notices.tell(
        notices.Kind.POLICY_PROPOSED,
        cause=f"proposal:{proposal.public_id}:opened",
        to=people.distinct(),
        subject=f"Another text for the policy {proposal.name} is proposed",
        text=f"{proposal.proposed_by} proposed it. Another administrator publishes or declines it.",
        url=proposal.get_absolute_url(),
    )


def tell_published(proposal: PolicyProposal, published: Policy, waiting: Iterable[Submission]) -> None:
    """Tell everybody who reviews, or who waits for an answer, that another text holds now."""
    reviewing = User.objects.filter(is_active=True, pk__in=Seat.objects.exclude(role__in=READERS).values("user"))
    asking = {person for each in waiting for person in (each.submitted_by, each.version.asset.owner) if person}
    notices.tell(
        notices.Kind.POLICY_PUBLISHED,
        cause=f"proposal:{proposal.public_id}:published",
        to={*reviewing, *asking},
        subject=f"{published} is published",
        text=f"{published.published_by} published what {proposal.proposed_by} proposed. The page says what becomes of"
        " each open submission.",
        url=proposal.get_absolute_url(),
    )
