"""Verdicts of people: approve, request changes, reject. Bound to one dossier digest, given by the independent only."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.core.exceptions import PermissionDenied
from django.utils import timezone

from audit import log
from audit.events import Event
from governance import decisions, lifecycle, submissions
from governance.checks import verdicts
from governance.models import Review, Submission
from governance.models.reviews import Verdict
from governance.permissions import sits_for
from portal.errors import Fault, Invalid, Reason, Refused, show
from registry.models import Evidence, ReportSignature, User, Version

FRESH = timedelta(minutes=5)
# The events under which a version's row is written by somebody who had a hand in its content.
WRITING = (Event.VERSION_REGISTERED, Event.VERSION_EDITED, Event.VERSION_NOMINATED)


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
    submission: Submission, *, actor: User, role: str, seen: str = "", note: str = "", proof: Proof | None = None
) -> Review:
    """Approve for a role, on the dossier digest that was seen (by default: the one that was submitted).

    The last approval that is needed makes the decision in the same transaction. Raises Refused with reasons while a
    rule stands in the way, when the dossier has changed, or when the actor is not independent.
    """
    return give(submission, Verdict.APPROVE, actor=actor, role=role, seen=seen, note=note, proof=proof)


def request_changes(
    submission: Submission, *, actor: User, role: str, seen: str = "", note: str, proof: Proof | None = None
) -> Review:
    """Ask for changes; only a changed dossier can be approved by this role afterwards."""
    return give(submission, Verdict.REQUEST_CHANGES, actor=actor, role=role, seen=seen, note=note, proof=proof)


def reject(
    submission: Submission, *, actor: User, role: str, seen: str = "", note: str, proof: Proof | None = None
) -> Review:
    """Reject the submission for good; one rejection decides."""
    return give(submission, Verdict.REJECT, actor=actor, role=role, seen=seen, note=note, proof=proof)


def give(
    submission: Submission, verdict: Verdict, *, actor: User, role: str, seen: str, note: str, proof: Proof | None
) -> Review:
    """Record one verdict: lock, ask, expect, write, tell."""
    with log.record(Event.REVIEW_GIVEN, actor=actor, subject=submission, role=role, verdict=str(verdict)) as entry:
        submission = submissions.lock(submission)
        actor.require("review.give", submission)
        expect_seat(submission, actor, role)
        submissions.expect_open(submission)
        expect_independent(submission, actor)
        digest = expect_seen(submission, seen or submission.dossier_digest)
        expect_proof(submission, proof)
        expect_first(submission, actor, role, digest, verdict)
        lifecycle.expect_text("note", note)
        if verdict == Verdict.APPROVE:
            submissions.expect_candidate(submission.version)
            expect_green(submission)
        elif len(note.strip()) < 3:
            raise Invalid(Fault("note", show(note), "a sentence that says what is wrong"))
        review = Review.objects.create(
            submission=submission,
            role=role,
            reviewer=actor,
            verdict=verdict,
            note=note,
            dossier_digest=digest,
            dossier=submissions.current_picture(submission),
            given_at=timezone.now(),
            authenticated_at=proof.at if proof else None,
            authenticated_by=proof.method if proof else "",
        )
        entry.note(dossier=digest, review=str(review.public_id), method=review.authenticated_by)
        settle(submission, review, actor=actor)
    return review


def settle(submission: Submission, review: Review, *, actor: User) -> None:
    """Make the decision that this verdict completes, if it does."""
    if review.verdict == Verdict.REJECT:
        decisions.decide(submission, "rejected", actor=actor, reason=review.note)
    elif review.verdict == Verdict.APPROVE and not missing_roles(submission):
        expect_still_independent(submission)
        decisions.decide(submission, "approved", actor=actor)


def expect_still_independent(submission: Submission) -> None:
    """Raise Refused when somebody whose approval would count has had a hand in it since, as by signing a report."""
    for each in progress(submission):
        found = involvement(submission, each.review.reviewer) if each.review else []
        if each.review and found:
            raise Refused(
                "approver_involved",
                f"{each.review.reviewer} approved for {each.role} and had a hand in it afterwards.",
                reasons=[Reason("independence", says, "Withdraw it and submit it again.") for says in found],
            )


def expect_seat(submission: Submission, actor: User, role: str) -> None:
    """Raise unless the environment asks for the role and the actor sits in it for this asset."""
    wanted = required_roles(submission)
    if role not in wanted:
        raise Invalid(Fault("role", show(role), f"one of {', '.join(wanted)}"))
    if actor.kind != "person" or not sits_for(actor, role, submission):
        raise PermissionDenied(f"{actor.username} does not review for {role} here.")


def required_roles(submission: Submission) -> list[str]:
    """Return the roles whose approval the submission needs, in the policy's order."""
    return list(submission.policy.environment(submission.environment)["approvals"])


def expect_independent(submission: Submission, actor: User) -> None:
    """Raise Refused with every reason why the actor had a hand in what is being reviewed. Nobody is exempt."""
    found = involvement(submission, actor)
    if found:
        raise Refused(
            "not_independent",
            f"{actor} cannot review {submission}: nobody approves their own work.",
            reasons=[
                Reason(
                    "independence", each, "Somebody else with this role has to review.", submission.get_absolute_url()
                )
                for each in found
            ],
        )


def involvement(submission: Submission, person: User, documents: Iterable[Evidence] | None = None) -> list[str]:
    """Return each way in which a person had a hand in what a submission asks for."""
    found = [f"{person} submitted it."] if submission.submitted_by_id == person.pk else []
    if documents is not None and getattr(submission, "is_vouched", False):
        found.append(f"{person} signed a report of it.")
    return found + hand_in(submission.version, person, documents)


def hand_in(version: Version, person: User, documents: Iterable[Evidence] | None = None) -> list[str]:
    """Return each way in which a person had a hand in a version or its evidence, CI runs included.

    Lists that hand their `documents` in, to stay flat in queries, leave out who edited the draft and who signed its
    reports; a verdict never does.
    """
    rows = list(version.evidence.all() if documents is None else documents)
    found = []
    if version.registered_by_id == person.pk:
        found.append(f"{person} registered it.")
    if any(person.is_known_as(name) for name in version.authors):
        found.append(f"{person} is named as an author.")
    if any(person.is_known_as(name) for name in behind_builds(rows)):
        found.append(f"{person} is a commit author behind the build.")
    if any(
        row.attached_by_id == person.pk or person.is_known_as(row.author) for row in rows if row.kind == "evaluation"
    ):
        found.append(f"{person} is responsible for an evaluation of it.")
    if documents is None and ReportSignature.objects.filter(evidence__version=version, signed_by=person).exists():
        found.append(f"{person} signed a report of it.")
    if documents is None and version.history.filter(history_user=person, history_change_reason__in=WRITING).exists():
        found.append(f"{person} wrote or nominated its draft.")
    return found


def behind_builds(documents: Iterable[Evidence]) -> set[str]:
    """Return the commit authors that attestations name: they count as authors, signed or not."""
    return {name for row in documents if row.kind == "provenance" for name in row.summary.get("people", [])}


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
    if not submission.policy.environment(submission.environment)["reauthenticate"]:
        return
    if proof is None or not timedelta(0) <= timezone.now() - proof.at <= FRESH:
        raise Refused(
            "reauthenticate",
            f"A verdict for {submission.environment} needs a fresh proof of who you are, at most 5 minutes old.",
            reasons=[
                Reason("reauthenticate", "Your last proof is older.", "Sign in again.", "/account/reauthenticate/")
            ],
        )


def expect_first(submission: Submission, actor: User, role: str, digest: str, verdict: Verdict) -> None:
    """Raise Refused when the person, or for an approval the role, has answered this dossier already."""
    given = list(submission.reviews.filter(dossier_digest=digest).select_related("reviewer"))
    for review in given:
        if review.reviewer_id == actor.pk:
            raise Refused(
                "already_reviewed",
                f"{actor} answered for {review.role} on this dossier already: one person fills one role.",
            )
        if review.role == role and verdict == Verdict.APPROVE and review.verdict == Verdict.APPROVE:
            raise Refused("role_answered", f"{review.reviewer} approved for {role} on this dossier already.")
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
    given = submission.reviews.filter(dossier_digest=digest, verdict=Verdict.APPROVE).select_related("reviewer")
    approvals = {review.role: review for review in given}
    return [RoleProgress(role, approvals.get(role)) for role in required_roles(submission)]


def missing_roles(submission: Submission) -> list[str]:
    """Return the roles that have not approved the present dossier."""
    return [each.role for each in progress(submission) if each.review is None]


def stale(submission: Submission) -> list[Review]:
    """Return the verdicts that a later change of the dossier has voided."""
    digest = submissions.current_digest(submission)
    return list(submission.reviews.exclude(dossier_digest=digest).select_related("reviewer"))
