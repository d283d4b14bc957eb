"""What waits for whom: the queue and the home page, read in a fixed number of queries whatever the number of rows.

The queue shows the newest answers of checks; the review page computes freshness exactly before anybody can approve.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import Exists, F, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce, JSONObject
from django.utils import timezone

from governance import reviews, submissions
from governance.checks import runner
from governance.models import CheckRun, Review, Submission, Waiver
from governance.models.reviews import Verdict
from governance.models.submissions import SubmissionState
from governance.permissions import READERS, seats_of, visible
from registry import dossier
from registry.models import Evidence, ReportSignature, User, Version

MAX_ROWS = 200


@dataclass(frozen=True)
class QueueRow:
    """One open submission as one person sees it."""

    submission: Submission
    roles: tuple[reviews.RoleProgress, ...]
    my_roles: tuple[str, ...]
    blockers: tuple[str, ...]
    has_changed: bool
    wants_changes: tuple[str, ...]
    involvement: tuple[str, ...]
    my_verdict: Review | None
    at: datetime

    @property
    def is_my_turn(self) -> bool:
        """Return whether this person can and should answer now."""
        return bool(self.my_roles) and not self.involvement and self.my_verdict is None

    @property
    def is_overdue(self) -> bool:
        """Return whether less than two days are left."""
        return self.submission.due_at - self.at < timedelta(days=2)

    @property
    def missing(self) -> tuple[str, ...]:
        """Return the roles that have not approved yet."""
        return tuple(each.role for each in self.roles if each.review is None)


def opened(user: User) -> QuerySet[Submission]:
    """Return the open submissions a person may see, the most urgent first; `is_vouched` where they signed a report."""
    rows = Submission.objects.filter(state=SubmissionState.OPEN, due_at__gt=timezone.now())
    signed = ReportSignature.objects.filter(evidence__version=OuterRef("version_id"), signed_by=user)
    rows = rows.annotate(is_vouched=Exists(signed))
    return visible(user, rows, asset="version__asset").select_related(
        "version__asset__team", "policy", "submitted_by", "version__registered_by"
    )


def queue(user: User, *, role: str = "", environment: str = "", risk: str = "") -> list[QueueRow]:
    """Return the queue of a person, whose turn it is first, then by due date."""
    rows = opened(user)
    if environment:
        rows = rows.filter(environment=environment)
    if risk:
        rows = rows.filter(version__risk=risk)
    found = [row for row in build_rows(user, list(rows[:MAX_ROWS])) if not role or role in row.missing]
    return sorted(found, key=lambda row: (not row.is_my_turn, row.submission.due_at))


def count_waiting(user: User, roles: set[str]) -> int:
    """Return how many open submissions wait for one of a person's roles, in one query, for the number in a menu.

    What was answered before the newest evidence counts as unanswered; the queue itself compares whole dossiers.
    """
    newest = Evidence.objects.filter(version=OuterRef("version_id")).order_by("-attached_at").values("attached_at")[:1]
    given = Review.objects.filter(submission=OuterRef("pk"), given_at__gt=OuterRef("changed_at"))
    papers = Evidence.objects.filter(version=OuterRef("version_id"), kind__in=("provenance", "evaluation"))
    rows = (
        opened(user)
        .annotate(changed_at=Coalesce(Subquery(newest), F("submitted_at")))
        .annotate(
            given=ArraySubquery(given.values(row=JSONObject(role="role", by="reviewer_id", verdict="verdict"))),
            papers=ArraySubquery(
                papers.values(
                    row=JSONObject(kind="kind", author="author", by="attached_by_id", people="summary__people")
                )
            ),
        )
    )
    limited = any(not seat.everywhere for seat in seats_of(user) if seat.role in roles)
    granted = set(user.assetusergrant_set.values_list("content_object_id", flat=True)) if limited else set()
    return sum(waits_for(user, row, granted) for row in rows[:MAX_ROWS])


def waits_for(user: User, row: Any, granted: set[int]) -> bool:
    """Return whether a submission, annotated with its reviews and papers, waits for a person."""
    approved = {each["role"] for each in row.given if each["verdict"] == Verdict.APPROVE}
    missing = [role for role in reviews.required_roles(row) if role not in approved]
    if any(each["by"] == user.pk for each in row.given) or not any(sits(user, role, row, granted) for role in missing):
        return False
    documents = [
        Evidence(
            kind=each["kind"],
            author=each["author"],
            attached_by_id=each["by"],
            summary={"people": each["people"] or []},
        )
        for each in row.papers
    ]
    return not reviews.involvement(row, user, documents)


def build_rows(user: User, waiting: list[Submission]) -> list[QueueRow]:
    """Return one row for each submission, in seven queries for all."""
    now = timezone.now()
    drawn = dossier.pictures([submission.version for submission in waiting])
    given: dict[int, list[Review]] = defaultdict(list)
    for review in Review.objects.filter(submission__in=waiting).select_related("reviewer"):
        given[review.submission_id].append(review)
    blockers = find_blockers(waiting, now)
    limited = any(not seat.everywhere for seat in seats_of(user) if seat.role not in READERS)
    granted = set(user.assetusergrant_set.values_list("content_object_id", flat=True)) if limited else set()
    rows = []
    for submission in waiting:
        digest = submissions.digest_of(submission, submissions.material_of(submission, drawn[submission.version_id]))
        current = [review for review in given[submission.pk] if review.dossier_digest == digest]
        approvals = {review.role: review for review in current if review.verdict == Verdict.APPROVE}
        roles = tuple(reviews.RoleProgress(role, approvals.get(role)) for role in reviews.required_roles(submission))
        mine = [review for review in given[submission.pk] if review.reviewer_id == user.pk]
        documents = submission.version.evidence.all()
        rows.append(
            QueueRow(
                submission=submission,
                roles=roles,
                my_roles=tuple(
                    each.role for each in roles if each.review is None and sits(user, each.role, submission, granted)
                ),
                blockers=tuple(blockers[submission.pk]),
                has_changed=any(review.dossier_digest != digest for review in mine),
                wants_changes=tuple(each.role for each in current if each.verdict == Verdict.REQUEST_CHANGES),
                involvement=tuple(reviews.involvement(submission, user, documents)),
                my_verdict=next((review for review in mine if review.dossier_digest == digest), None),
                at=now,
            )
        )
    return rows


def sits(user: User, role: str, submission: Submission, granted: set[int]) -> bool:
    """Return whether a person's seat in a role covers a submission, without a query."""
    asset = submission.version.asset_id
    return any(seat.role == role and (seat.everywhere or asset in granted) for seat in seats_of(user))


def find_blockers(waiting: list[Submission], at: datetime) -> dict[int, list[str]]:
    """Return the rules that stand in each submission's way, by the newest answers and the waivers in force."""
    versions = {submission.version_id for submission in waiting}
    newest: dict[tuple[int, int, str], CheckRun] = {}
    runs = CheckRun.objects.filter(version__in=versions).order_by("version_id", "policy_id", "check_slug", "-pk")
    for run in runs.distinct("version_id", "policy_id", "check_slug").defer("facts"):
        newest[(run.version_id, run.policy_id, run.check_slug)] = run
    waived = {
        (waiver.version_id, waiver.environment, waiver.rule)
        for waiver in Waiver.objects.filter(version__in=versions, expires_at__gt=at)
        if waiver.is_in_force(at)
    }
    blockers: dict[int, list[str]] = defaultdict(list)
    for submission in waiting:
        for slug in runner.slugs_of_environment(submission.policy, submission.environment):
            answer = newest.get((submission.version_id, submission.policy_id, slug))
            green = answer is not None and answer.outcome in {"passed", "not_applicable"}
            covered = {(submission.version_id, name, slug) for name in ("baseline", submission.environment)} & waived
            if not green and not covered:
                blockers[submission.pk].append(slug)
    return blockers


def precedents(submission: Submission, user: User, at_most: int = 5) -> list[Any]:
    """Return the most recent decisions of the same kind of asset and environment, among those a person may see."""
    rows = submission.version.decisions.model.objects.filter(
        environment=submission.environment, version__asset__kind=submission.version.asset.kind
    ).exclude(submission=submission)
    seen = visible(user, rows, asset="version__asset")
    return list(seen.select_related("version__asset", "made_by")[:at_most])


def my_drafts(user: User, at_most: int = 20) -> QuerySet[Version]:
    """Return the drafts of a person's teams, newest first."""
    teams = user.memberships.values("team")
    return Version.objects.filter(state="draft", asset__team__in=teams).select_related("asset")[:at_most]


def failing(versions: Iterable[Version]) -> dict[int, list[str]]:
    """Return the checks whose newest answer stops a version, by the version's id."""
    runs = CheckRun.objects.filter(version__in=list(versions)).order_by("version_id", "check_slug", "-pk")
    stopped: dict[int, list[str]] = defaultdict(list)
    for run in runs.distinct("version_id", "check_slug").only("version_id", "check_slug", "outcome"):
        if run.outcome in {"failed", "error"}:
            stopped[run.version_id].append(run.check_slug)
    return stopped
