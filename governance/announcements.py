"""What people are told about submissions, verdicts and decisions, inside the transaction of what happened.

What somebody typed is never repeated in a notice, which travels by mail: it stands on the page it leads to. Who is
asked to review stands in `governance.addressees`, what time brings about in `governance.reminders`.
"""

from __future__ import annotations

from collections.abc import Iterable

from governance import addressees, notices
from governance.models import Decision, Obligation, Review, Submission
from governance.notices import Kind
from registry.models import User


def wanted(submission: Submission, roles: Iterable[str], to: Iterable[User], cause: str = "opened") -> int:
    """Tell reviewers that their answer is wanted. Returns how many are told anew."""
    words = ", ".join(roles)
    return notices.tell(
        Kind.REVIEW_WANTED,
        cause=f"submission:{submission.public_id}:{cause}",
        to=to,
        subject=f"{submission} waits for your review",
        text=f"{submission} waits for {words}, to be answered by {submission.ends_at:%Y-%m-%d %H:%M} UTC.",
        url=submission.get_absolute_url(),
        asset=submission.version.asset,
    )


def changes_requested(review: Review) -> None:
    """Tell submitter and owner what a reviewer wants to be changed."""
    submission = review.submission
    notices.tell(
        Kind.CHANGES_REQUESTED,
        cause=f"review:{review.public_id}",
        to=[submission.submitted_by, *owner_of(submission)],
        subject=f"Changes are requested for {submission}",
        text=f"{review.reviewer} asks for changes as {review.role}. What is wrong stands on the submission's page.",
        url=submission.get_absolute_url(),
        asset=submission.version.asset,
    )


def closed(submission: Submission) -> None:
    """Tell submitter and owner how a submission ended."""
    notices.tell(
        Kind.SUBMISSION_CLOSED,
        cause=f"submission:{submission.public_id}:closed",
        to=[submission.submitted_by, *owner_of(submission)],
        subject=f"{submission}: {submission.get_state_display().lower()}",
        text=f"The submission of {submission} is {submission.get_state_display().lower()}.{bound(submission)}",
        url=submission.get_absolute_url(),
        asset=submission.version.asset,
    )


def bound(submission: Submission) -> str:
    """Return which conditions an approval comes with, as a sentence; what they say stands on the submission's page."""
    if submission.state != "approved":
        return ""
    rows = Obligation.objects.filter(review__submission=submission, review__verdict="approve", review__withdrawal=None)
    last = submission.reviews.order_by("-pk").values("dossier_digest")[:1]
    due = list(rows.filter(review__dossier_digest=last).order_by("due_at").values_list("due_at", flat=True))
    if not due:
        return ""
    count = "1 condition" if len(due) == 1 else f"{len(due)} conditions"
    return f" It comes with {count}; the first has to be met by {due[0]:%Y-%m-%d %H:%M} UTC, or the approval ends."


def ended(revocation: Decision) -> None:
    """Tell owners, the escalation contact and the owners of services that a decision was revoked, and why."""
    submission = revocation.submission
    notices.tell(
        Kind.DECISION_ENDED,
        cause=f"decision:{revocation.public_id}",
        to=[*addressees.keepers(submission.version.asset), *addressees.service_owners(submission)],
        subject=f"{submission} may not serve any more",
        text=f"The decision for {submission} was revoked; the reason stands on its page.",
        url=revocation.get_absolute_url(),
        asset=submission.version.asset,
    )


def owner_of(submission: Submission) -> list[User]:
    """Return the owner of what was submitted, as a list that is empty where there is none."""
    return addressees.owners(submission.version.asset)[:1]
