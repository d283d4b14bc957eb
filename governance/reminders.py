"""Reminding of submissions that nobody answers, and escalating them, before unanswered becomes no.

What is told depends on the clock alone: after a pause only the newest step is told, never one that is obsolete.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone

from governance import addressees, handovers, notices, reviews, submissions
from governance.models import Notice, Submission
from governance.models.reviews import Verdict
from governance.models.submissions import SubmissionState
from governance.notices import Kind
from registry.models import User

DAY = timedelta(days=1)


@dataclass(frozen=True)
class Step:
    """One step on the way to no: from when it is told, and under which cause."""

    begins: datetime
    name: str
    kind: Kind

    def cause(self, submission: Submission) -> str:
        """Return the cause under which the step of a submission is told once."""
        return f"submission:{submission.public_id}:{self.name}"


def steps(submission: Submission) -> list[Step]:
    """Return the steps of a submission in their order: half of the time, two days before, one day before it lapses.

    Where there is little time, there is no second reminder, and the last quarter counts as the last day.
    """
    start, end = submission.submitted_at, submission.ends_at
    half = start + (end - start) / 2
    found = [Step(half, "half", Kind.REVIEW_REMINDED)]
    if end - 2 * DAY > half:
        found.append(Step(end - 2 * DAY, "two-days", Kind.REVIEW_REMINDED))
    last = max(end - DAY, end - (end - start) / 4)
    return [*found, Step(last, "last-day", Kind.REVIEW_ESCALATED)]


def step_at(submission: Submission, at: datetime) -> Step | None:
    """Return the newest step that has begun at an instant, or None."""
    return next((step for step in reversed(steps(submission)) if step.begins <= at), None)


def remind_due() -> int:
    """Tell whoever is missing that an answer is wanted, and at the end everybody who can help. Returns how many."""
    now = timezone.now()
    waiting = Submission.objects.filter(submissions.answerable(now), state=SubmissionState.OPEN)
    begun = [(row, step) for row in waiting.select_related("policy") if (step := step_at(row, now))]
    causes = [step.cause(row) for row, step in begun]
    known = set(Notice.objects.filter(cause__in=causes).values_list("cause", flat=True))
    return sum(remind(row.pk) for row, step in begun if step.cause(row) not in known)


def remind(pk: int) -> int:
    """Tell the present step of one submission, after locking it and looking again."""
    sweeps = User.objects.system("sweeps")
    with transaction.atomic():
        submission = submissions.lock(Submission.objects.select_related("version").get(pk=pk))
        sweeps.require("sweep", submission)
        now = timezone.now()
        step = step_at(submission, now)
        if step is None or not submission.is_open or submission.ends_at <= now:
            return 0
        roles = unanswered(submission)
        return tell(submission, step, roles) if roles else 0


def unanswered(submission: Submission) -> list[str]:
    """Return the roles that owe an answer: one that asked for changes waits for the team itself."""
    asking = submission.reviews.filter(
        dossier_digest=submissions.current_digest(submission), verdict=Verdict.REQUEST_CHANGES, withdrawal=None
    )
    wanting = set(asking.values_list("role", flat=True))
    return [role for role in reviews.missing_roles(submission) if role not in wanting]


def tell(submission: Submission, step: Step, roles: list[str]) -> int:
    """Tell the people of some roles about one step; the last one also everybody in them, and who keeps the asset."""
    asset, end = submission.version.asset, submission.ends_at
    to: list[User | str] = [*handovers.asked(submission, roles)]
    if step.kind == Kind.REVIEW_ESCALATED:
        to += [*addressees.keepers(asset), *(seat.user for seat in addressees.seated(asset, roles))]
    return notices.tell(
        step.kind,
        cause=step.cause(submission),
        to=to,
        subject=f"{submission} still waits for {', '.join(roles)}",
        text=f"{submission} waits for {', '.join(roles)}. Unanswered by {end:%Y-%m-%d %H:%M} UTC, it is a no.",
        url=submission.get_absolute_url(),
        asset=asset,
    )
