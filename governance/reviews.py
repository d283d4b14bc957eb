"""Verdicts of people: approve, request changes, reject. Bound to one dossier digest, given by the independent only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.core.exceptions import PermissionDenied
from django.db.models import Q
from django.utils import timezone

from audit import log
from audit.events import Event
from governance import announcements, decisions, delegations, handovers, lifecycle, obligations, submissions
from governance.checks import verdicts
from governance.independence import expect_independent, involvement
from governance.models import Decision, Promotion, Review, ReviewWithdrawal, Submission
from governance.models.reviews import Verdict
from governance.permissions import sits_for
from portal.errors import Fault, Invalid, Reason, Refused, show
from registry.models import User

FRESH = timedelta(minutes=5)


@dataclass(frozen=True)
class Proof:
    """When and how a person last proved who they are, as the session knows it."""

    at: datetime
    method: str


@dataclass(frozen=True)
class RoleProgress:
    """One role a submission needs: who approved the present dossier, if anybody."""

    role: str
    review: Review | None


def approve(
    submission: Submission,
    *,
    actor: User,
    role: str,
    seen: str = "",
    note: str = "",
    proof: Proof | None = None,
    on_behalf_of: User | None = None,
    conditions: Sequence[obligations.Condition] = (),
) -> Review:
    """Approve for a role, on the dossier digest that was seen (by default: the one that was submitted).

    `conditions` are pairs of what has to be done and until when; a late one ends the decision. The last approval that
    is needed makes the decision in the same transaction. Raises Refused with reasons while a rule stands in the way,
    when the dossier has changed, or when the actor is not independent.
    """
    return give(
        submission,
        Verdict.APPROVE,
        actor=actor,
        role=role,
        seen=seen,
        note=note,
        proof=proof,
        on_behalf_of=on_behalf_of,
        conditions=conditions,
    )


def request_changes(
    submission: Submission,
    *,
    actor: User,
    role: str,
    seen: str = "",
    note: str,
    proof: Proof | None = None,
    on_behalf_of: User | None = None,
) -> Review:
    """Ask for changes; only a changed dossier can be approved by this role afterwards."""
    return give(
        submission,
        Verdict.REQUEST_CHANGES,
        actor=actor,
        role=role,
        seen=seen,
        note=note,
        proof=proof,
        on_behalf_of=on_behalf_of,
    )


def reject(
    submission: Submission,
    *,
    actor: User,
    role: str,
    seen: str = "",
    note: str,
    proof: Proof | None = None,
    on_behalf_of: User | None = None,
) -> Review:
    """Reject the submission for good; one rejection decides."""
    return give(
        submission,
        Verdict.REJECT,
        actor=actor,
        role=role,
        seen=seen,
        note=note,
        proof=proof,
        on_behalf_of=on_behalf_of,
    )


def give(
    submission: Submission,
    verdict: Verdict,
    *,
    actor: User,
    role: str,
    seen: str,
    note: str,
    proof: Proof | None,
    on_behalf_of: User | None = None,
    conditions: Sequence[obligations.Condition] = (),
) -> Review:
    """Record one verdict: lock, ask, expect, write, tell. A deputy gives it on behalf of whoever sits in the role."""
    with log.record(Event.REVIEW_GIVEN, actor=actor, subject=submission, role=role, verdict=str(verdict)) as entry:
        submission = submissions.lock(submission)
        answering = expect_answerer(submission, actor, role, on_behalf_of)
        digest = expect_seen(submission, seen or submission.dossier_digest)
        expect_proof(submission, proof)
        expect_first(submission, answering, role, digest, verdict)
        expect_sayable(submission, verdict, note)
        obligations.expect_conditions(submission, conditions)
        review = write(submission, verdict, answering, role=role, note=note, digest=digest, proof=proof)
        obligations.write(review, conditions)
        behalf = {"on_behalf_of": on_behalf_of.ledger_name} if on_behalf_of else {}
        entry.note(dossier=digest, review=str(review.public_id), method=review.authenticated_by, **behalf)
        settle(submission, review, actor=actor)
    return review


def write(
    submission: Submission,
    verdict: Verdict,
    answering: list[User],
    *,
    role: str,
    note: str,
    digest: str,
    proof: Proof | None,
) -> Review:
    """Write one verdict with all that was seen, and which verdict that was taken back it comes after, if any."""
    taken_back = ReviewWithdrawal.objects.filter(
        Q(review__role=role) | Q(review__reviewer__in=answering),
        review__submission=submission,
        review__dossier_digest=digest,
    ).last()
    return Review.objects.create(
        submission=submission,
        role=role,
        reviewer=answering[0],
        on_behalf_of=answering[1] if len(answering) > 1 else None,
        verdict=verdict,
        note=note,
        dossier_digest=digest,
        dossier=submissions.whole_picture(submission),
        given_at=timezone.now(),
        authenticated_at=proof.at if proof else None,
        authenticated_by=proof.method if proof else "",
        **({"follows": taken_back} if taken_back else {}),
    )


def expect_answerer(submission: Submission, actor: User, role: str, on_behalf_of: User | None) -> list[User]:
    """Return the people who count as answering: the actor and whom they stand in for. All have to be independent."""
    # Seats first: their noes say more than the table's.
    expect_seat(submission, actor, role, on_behalf_of)
    actor.require("review.give", submission)
    submissions.expect_open(submission)
    answering = [actor, *filter(None, [on_behalf_of])]
    handovers.expect_turn(submission, role, answering)
    for person in answering:
        expect_independent(submission, person)
    return answering


def expect_sayable(submission: Submission, verdict: Verdict, note: str) -> None:
    """Raise unless the verdict can be given as things stand: an approval needs green rules, every other one a note."""
    lifecycle.expect_text("note", note)
    if verdict == Verdict.APPROVE:
        submissions.expect_candidate(submission.version)
        expect_green(submission)
    elif len(note.strip()) < 3:
        raise Invalid(Fault("note", show(note), "a sentence that says what is wrong"))


def voice(review: Review) -> str:
    """Return who gave a verdict in words: "Sol", or "Sol for Rhea"."""
    return " for ".join(str(person) for person in people_of(review))


def people_of(review: Review) -> list[User]:
    """Return whoever gave a verdict, and the person on whose behalf, if any: both count as having answered."""
    return [review.reviewer, *filter(None, [review.on_behalf_of])]


def settle(submission: Submission, review: Review, *, actor: User) -> None:
    """Make the decision that this verdict completes, if it does."""
    if review.verdict == Verdict.REJECT:
        decisions.decide(submission, "rejected", actor=actor, reason=review.note)
    elif review.verdict == Verdict.REQUEST_CHANGES:
        announcements.changes_requested(review)
    elif not missing_roles(submission):
        complete(submission, actor=actor)


def complete(submission: Submission, *, actor: User) -> None:
    """Make the decision for which every role has approved."""
    expect_still_independent(submission)
    obligations.expect_none_late([each.review for each in progress(submission) if each.review], submission)
    decisions.decide(submission, "approved", actor=actor)


def withdraw(review: Review, *, actor: User, reason: str, proof: Proof | None = None) -> ReviewWithdrawal:
    """Take one's own verdict back, before anything was promoted on it; a decision that rested on it is revoked.

    While the submission can be answered, the role may be answered anew, also by the same person; taking back a request
    for changes may complete the decision, for which it needs what an approval needs. Raises Refused when the verdict
    does not count any more, or counts for good.
    """
    told = {"role": review.role, "verdict": review.verdict}
    with log.record(Event.REVIEW_WITHDRAWN, actor=actor, subject=review, **told) as entry:
        submission = submissions.lock(review.submission)
        actor.require("review.withdraw", submission)
        if actor not in people_of(review):
            raise PermissionDenied(f"Only {' or '.join(map(str, people_of(review)))} takes this verdict back.")
        lifecycle.expect_reason(reason)
        decision = submission.decisions.filter(verdict="approved").first()
        expect_withdrawable(submission, review, decision)
        made = ReviewWithdrawal.objects.create(
            review=review, reason=reason, withdrawn_by=actor, withdrawn_at=timezone.now()
        )
        entry.note(submission=str(submission.public_id), reason=reason)
        if decision is not None:
            says = f"{review.role.capitalize()} took its approval back: {reason}"[: lifecycle.MAX_TEXT]
            decisions.revoke(decision, actor=actor, reason=says, rule="review.withdraw")
        elif review.verdict == Verdict.APPROVE:
            people = handovers.asked(submission, [review.role])
            announcements.wanted(submission, [review.role], people, f"withdrawn:{made.pk}")
        elif not missing_roles(submission):
            expect_proof(submission, proof)
            expect_sayable(submission, Verdict.APPROVE, "")
            complete(submission, actor=actor)
    return made


def expect_withdrawable(submission: Submission, review: Review, decision: Decision | None) -> None:
    """Raise Refused unless a verdict counts and nothing rests on it but a decision that nobody has promoted."""
    if ReviewWithdrawal.objects.filter(review=review).exists():
        raise Refused("already_withdrawn", f"{review.reviewer} took this verdict back already.")
    if decision is None and not submission.is_open:
        raise Refused(
            "submission_closed", f"The submission is {submission.get_state_display().lower()}: submit it again."
        )
    if decision is None:
        submissions.expect_open(submission)
    digest = decision.dossier_digest if decision else submissions.current_digest(submission)
    if review.dossier_digest != digest:
        raise Refused("review_voided", "The dossier has changed since: this verdict does not count any more.")
    if decision is not None and Promotion.objects.filter(decision=decision).exists():
        fix = "Ask somebody in the role security to revoke the decision."
        raise Refused(
            "promoted",
            f"{submission} was promoted on this verdict: it cannot be taken back any more.",
            reasons=[Reason("promoted", "A promotion rests on the decision.", fix, decision.get_absolute_url())],
        )
    if decision is not None and (
        hasattr(decision, "revocation") or timezone.now() >= (decision.expires_at or timezone.now())
    ):
        raise Refused("decision_over", "The decision that rested on this verdict has ended already.")


def expect_still_independent(submission: Submission) -> None:
    """Raise Refused when somebody whose approval would count has had a hand in it since, as by signing a report."""
    for each in progress(submission):
        for person in people_of(each.review) if each.review else []:
            found = involvement(submission, person)
            if found:
                raise Refused(
                    "approver_involved",
                    f"{person} approved for {each.role} and had a hand in it afterwards.",
                    reasons=[Reason("independence", says, "Withdraw it and submit it again.") for says in found],
                )


def expect_seat(submission: Submission, actor: User, role: str, on_behalf_of: User | None = None) -> None:
    """Raise unless the environment asks for the role and the actor sits in it for this asset, or is a deputy in it."""
    wanted = submissions.required_roles(submission)
    if role not in wanted:
        raise Invalid(Fault("role", show(role), f"one of {', '.join(wanted)}"))
    if on_behalf_of is not None:
        delegations.expect_deputy(actor, on_behalf_of, role, submission)
    elif actor.kind != "person" or not sits_for(actor, role, submission):
        raise PermissionDenied(f"{actor.username} does not review for {role} here.")


def expect_seen(submission: Submission, seen: str) -> str:
    """Return the present dossier digest. Raises Refused when the reviewer looked at another one."""
    digest = submissions.current_digest(submission)
    if seen != digest:
        raise Refused(
            "dossier_changed",
            f"The dossier of {submission} changed after you opened it. Look at what changed, then decide.",
            expected=digest,
            seen=seen,
        )
    return digest


def expect_proof(submission: Submission, proof: Proof | None) -> None:
    """Raise Refused unless the person signed in again just now, where the policy asks for that."""
    if not submissions.needs_of(submission).reauthenticate:
        return
    if proof is None or not timedelta(0) <= timezone.now() - proof.at <= FRESH:
        raise Refused(
            "reauthenticate",
            f"A verdict for {submission.environment} needs a fresh proof of who you are, at most 5 minutes old.",
            reasons=[
                Reason("reauthenticate", "Your last proof is older.", "Sign in again.", "/account/reauthenticate/")
            ],
        )


def expect_first(submission: Submission, answering: list[User], role: str, digest: str, verdict: Verdict) -> None:
    """Raise Refused when one of the people, or for an approval the role, has answered this dossier already."""
    given = list(decisions.counting(submission, digest))
    for review in given:
        if any(person in people_of(review) for person in answering):
            raise Refused(
                "already_reviewed",
                f"{voice(review)} answered for {review.role} on this dossier already: one person fills one role.",
            )
        if review.role == role and verdict == Verdict.APPROVE and review.verdict == Verdict.APPROVE:
            raise Refused("role_answered", f"{voice(review)} approved for {role} on this dossier already.")
    if verdict == Verdict.APPROVE and any(r.role == role and r.verdict == Verdict.REQUEST_CHANGES for r in given):
        raise Refused(
            "changes_requested",
            f"Changes were requested for {role} on this very dossier; only changed content can be approved.",
        )


def expect_green(submission: Submission) -> None:
    """Raise Refused with one reason for each rule that stands in the way."""
    blocking = verdicts.red(submissions.standing_verdicts(submission))
    if blocking:
        where = submission.get_absolute_url()
        raise Refused(
            "rules_not_met",
            f"{submission} cannot be approved yet. Rules in the way: {', '.join(each.rule for each in blocking)}.",
            reasons=[verdict.as_reason(where) for verdict in blocking],
        )


def progress(submission: Submission, digest: str | None = None) -> list[RoleProgress]:
    """Return each required role with the approval it has on a dossier digest, by default the present one."""
    digest = digest or submissions.current_digest(submission)
    return tally(submission, decisions.counting(submission, digest))


def tally(submission: Submission, given: Iterable[Review]) -> list[RoleProgress]:
    """Return what verdicts that count amount to; a role of which anybody wants changes has not approved."""
    answers = list(given)
    approvals = {review.role: review for review in answers if review.verdict == Verdict.APPROVE}
    wanting = {review.role for review in answers if review.verdict == Verdict.REQUEST_CHANGES}
    found = {role: approvals.get(role) for role in submissions.required_roles(submission)}
    return [RoleProgress(role, None if role in wanting else review) for role, review in found.items()]


def missing_roles(submission: Submission) -> list[str]:
    """Return the roles that have not approved the present dossier."""
    return [each.role for each in progress(submission) if each.review is None]


def stale(submission: Submission) -> list[Review]:
    """Return the verdicts that a later change of the dossier has voided."""
    digest = submissions.current_digest(submission)
    rows = submission.reviews.exclude(dossier_digest=digest).filter(withdrawal=None)
    return list(rows.select_related("reviewer", "on_behalf_of"))
