"""What waits for whom: the queue and the home page, read in a fixed number of queries whatever the number of rows.

The queue shows the newest answers of checks; the review page computes freshness exactly before anybody can approve.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import F, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce, JSONObject
from django.utils import timezone

from governance import counting, handovers, independence, reviews, seating, submissions
from governance.checks import custom, verdicts
from governance.checks.vulnerabilities import BLOCKING_IDS
from governance.models import CheckRun, Handover, Review, Submission, Waiver
from governance.models.reviews import Verdict
from governance.models.submissions import SubmissionState
from governance.permissions import visible
from registry import dossier
from registry.models import Evidence, ReportSignature, User, Version

MAX_ROWS = 200


@dataclass(frozen=True)
class QueueRow:
    """One open submission as one person sees it."""

    user: User
    submission: Submission
    roles: tuple[reviews.RoleProgress, ...]
    my_roles: tuple[str, ...]
    deputy_roles: tuple[tuple[str, User], ...]
    handed: dict[str, User]
    blockers: tuple[str, ...]
    has_changed: bool
    wants_changes: tuple[str, ...]
    involvement: tuple[str, ...]
    my_verdict: Review | None
    at: datetime

    @property
    def is_my_turn(self) -> bool:
        """Return whether this person can and should answer now."""
        return bool(self.my_roles or self.deputy_roles) and not self.involvement and self.my_verdict is None

    @property
    def my_voice(self) -> str:
        """Return who gave the answer that counts as this person's: they, they for somebody, or their deputy."""
        given = self.my_verdict
        if given is None or given.on_behalf_of is None:
            return "you"
        return f"{given.reviewer} for you" if given.on_behalf_of == self.user else f"you for {given.on_behalf_of}"

    @property
    def is_overdue(self) -> bool:
        """Return whether less than two days are left."""
        return self.submission.ends_at - self.at < timedelta(days=2)

    @property
    def missing(self) -> tuple[str, ...]:
        """Return the roles that have not approved yet."""
        return tuple(each.role for each in self.roles if each.review is None)


def opened(user: User) -> QuerySet[Submission]:
    """Return the open submissions a person may see, the most urgent first, with the `signers` of its reports."""
    rows = Submission.objects.filter(submissions.answerable(timezone.now()), state=SubmissionState.OPEN)
    signed = ReportSignature.objects.filter(evidence__version=OuterRef("version_id"))
    rows = rows.annotate(signers=ArraySubquery(signed.values("signed_by_id")))
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
    return sorted(found, key=lambda row: (not row.is_my_turn, row.submission.ends_at))


def count_waiting(user: User) -> int:
    """Return how many open submissions wait for a person or for whom they stand in, in one query, for a menu's number.

    What was answered before the newest evidence counts as unanswered; the queue itself compares whole dossiers.
    """
    newest = Evidence.objects.filter(version=OuterRef("version_id")).order_by("-attached_at").values("attached_at")[:1]
    given = Review.objects.filter(submission=OuterRef("pk"), given_at__gt=OuterRef("changed_at"), withdrawal=None)
    handed = handovers.current(Handover.objects.filter(submission=OuterRef("pk")))
    papers = Evidence.objects.filter(version=OuterRef("version_id"), kind__in=("provenance", "evaluation"))
    rows = (
        opened(user)
        .annotate(changed_at=Coalesce(Subquery(newest), F("submitted_at")))
        .annotate(
            given=ArraySubquery(
                given.values(row=JSONObject(role="role", by="reviewer_id", behalf="on_behalf_of_id", verdict="verdict"))
            ),
            handed=ArraySubquery(handed.values(row=JSONObject(role="role", to="receiver_id", holds="holds"))),
            papers=ArraySubquery(
                papers.values(
                    row=JSONObject(kind="kind", author="author", by="attached_by_id", people="summary__people")
                )
            ),
        )
    )
    seats, waiting = seating.of(user), list(rows[:MAX_ROWS])
    submissions.learn_needs(waiting, at=timezone.now())
    return sum(waits_for(row, seats) for row in waiting)


def waits_for(row: Any, seats: seating.Seating) -> bool:
    """Return whether a submission, annotated with its reviews and papers, waits for a person."""
    approved = {each["role"] for each in row.given if each["verdict"] == Verdict.APPROVE}
    approved -= {each["role"] for each in row.given if each["verdict"] == Verdict.REQUEST_CHANGES}
    held = {each["role"]: each["to"] for each in row.handed if each["holds"]}
    missing = [role for role in submissions.required_roles(row) if role not in approved]
    answered = {each[name] for each in row.given for name in ("by", "behalf")}
    own = seats.roles(row.version.asset_id, missing, held)
    lent = seats.deputised(row.version.asset_id, missing, held)
    givers = [giver for _, giver in lent if giver.pk not in answered]
    if seats.person.pk in answered or not (own or givers):
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
    if independence.involvement(row, seats.person, documents):
        return False
    return bool(own) or any(not independence.involvement(row, giver, documents) for giver in givers)


def build_rows(user: User, waiting: list[Submission]) -> list[QueueRow]:
    """Return one row for each submission, in eight queries for all."""
    now = timezone.now()
    submissions.learn_needs(waiting, at=now)
    drawn = dossier.pictures([submission.version for submission in waiting])
    given: dict[int, list[Review]] = defaultdict(list)
    counting = Review.objects.filter(submission__in=waiting, withdrawal=None)
    for review in counting.select_related("reviewer", "on_behalf_of"):
        given[review.submission_id].append(review)
    blockers, held = find_blockers(waiting, now), handovers.holders(waiting)
    seats = seating.of(user)
    rows = []
    for submission in waiting:
        digest = submissions.digest_of(submission, submissions.material_of(submission, drawn[submission.version_id]))
        current = [review for review in given[submission.pk] if review.dossier_digest == digest]
        roles = tuple(reviews.tally(submission, current))
        handed = {each.role: held[submission.pk, each.role] for each in roles if (submission.pk, each.role) in held}
        mine = [review for review in given[submission.pk] if user in reviews.people_of(review)]
        documents = submission.version.evidence.all()
        rows.append(
            QueueRow(
                user=user,
                submission=submission,
                roles=roles,
                **turns_of(seats, submission, roles, handed, current),
                handed=handed,
                blockers=tuple(blockers[submission.pk]),
                has_changed=any(review.dossier_digest != digest for review in mine),
                wants_changes=tuple(each.role for each in current if each.verdict == Verdict.REQUEST_CHANGES),
                involvement=tuple(independence.involvement(submission, user, documents)),
                my_verdict=next((review for review in mine if review.dossier_digest == digest), None),
                at=now,
            )
        )
    return rows


def turns_of(
    seats: seating.Seating,
    submission: Submission,
    roles: Iterable[reviews.RoleProgress],
    handed: dict[str, User],
    current: list[Review],
) -> dict[str, Any]:
    """Return the missing roles that a person can answer: their own, and those of whom they stand in for.

    They stand in for nobody who has answered already or had a hand in it.
    """
    missing, held = (
        [each.role for each in roles if each.review is None],
        {role: each.pk for role, each in handed.items()},
    )
    documents = submission.version.evidence.all()
    answered = {person for review in current for person in reviews.people_of(review)}
    lent = seats.deputised(submission.version.asset_id, missing, held)
    return {
        "my_roles": seats.roles(submission.version.asset_id, missing, held),
        "deputy_roles": tuple(
            (role, giver)
            for role, giver in lent
            if giver not in answered and not independence.involvement(submission, giver, documents)
        ),
    }


def find_blockers(waiting: list[Submission], at: datetime) -> dict[int, list[str]]:
    """Return the rules that stand in each submission's way, by the newest answers and the waivers in force."""
    versions = {submission.version_id for submission in waiting}
    newest: dict[tuple[int, int, str], CheckRun] = {}
    runs = CheckRun.objects.filter(version__in=versions).order_by("version_id", "policy_id", "check_slug", "-pk")
    for run in (
        runs.distinct("version_id", "policy_id", "check_slug")
        .annotate(named=F(f"facts__{BLOCKING_IDS}"))
        .defer("facts")
    ):
        newest[(run.version_id, run.policy_id, run.check_slug)] = run
    waivers = defaultdict(list)
    granted = counting.not_outgrown(Waiver.objects.filter(version__in=versions, expires_at__gt=at), at)
    for waiver in granted.select_related("finding"):
        if waiver.is_in_force(at):
            waivers[waiver.version_id, waiver.environment, waiver.rule].append(waiver)
    blockers = find_denials(waiting, waivers, at)
    for submission in waiting:
        baseline = submission.policy.content["baseline"]["rules"]
        for slug in dict.fromkeys([*baseline, *submissions.needs_of(submission).rules]):
            answer = newest.get((submission.version_id, submission.policy_id, slug))
            green = answer is not None and answer.outcome in {"passed", "not_applicable"}
            place = "baseline" if slug in baseline else submission.environment
            rows = [] if submission.policy.is_critical(slug) else waivers[submission.version_id, place, slug]
            if not green and verdicts.cover(rows, getattr(answer, "named", None) or {})[1] is not None:
                blockers[submission.pk].append(slug)
    return blockers


def find_denials(
    waiting: list[Submission], waivers: Mapping[tuple[int, str, str], list[Waiver]], at: datetime
) -> defaultdict[int, list[str]]:
    """Return the rules of the policies' own that stand in each submission's way, in a fixed number of queries."""
    found: defaultdict[int, list[str]] = defaultdict(list)
    asked = [(row.version, row.policy, place) for row in waiting for place in ("baseline", row.environment)]
    answers = custom.judge_many(asked, at=at)
    for row in waiting:
        for place in ("baseline", row.environment):
            for ruling in answers[row.version_id, row.policy_id, place]:
                rows = waivers.get((row.version_id, place, ruling.rule), ())
                if not verdicts.weigh_own(ruling, rows).is_green:
                    found[row.pk].append(ruling.rule)
    return found


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
