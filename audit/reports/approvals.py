"""Who gave which verdict for which role, on which dossier, and whether it counts or a later change has voided it."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from django.db.models import F, QuerySet

from audit.reports.base import Column, Filters, Report, Row, Sentence, key_of, narrowed
from audit.reports.names import named
from governance import hindsight
from governance.models import Decision, Obligation, Review
from governance.models.reviews import Verdict
from registry.models import Evidence

DID = {"approve": "approved", "reject": "rejected", "request_changes": "asked for changes to"}


class Approvals(Report):
    """Every verdict that a person gave, approvals and all others."""

    slug = "approvals"
    title = "Approvals"
    question = "Who approved what, and when?"
    filters = ("asset", "environment", "person", "role", "word", "since", "until")
    words = tuple(Verdict.values)
    word_label = "Verdict"
    columns = (
        Column("Given", "time", brief=True),
        Column("Reviewer", brief=True),
        Column("Account"),
        Column("On behalf of", brief=True),
        Column("Verdict", "word", brief=True),
        Column("Note", "note", brief=True),
        Column("Role", brief=True),
        Column("Version", "version", brief=True),
        Column("Environment", brief=True),
        Column("Counts", "word", brief=True),
        Column("On conditions", "note", brief=True),
        Column("Taken back", "time"),
        Column("Taken back because"),
        Column("Proved who they are", "time"),
        Column("Proved by"),
        Column("Dossier digest", "digest"),
        Column("Policy"),
        Column("Submission"),
        Column("Review"),
        Column("Ledger entry", "entry", brief=True),
    )

    def select(self, filters: Filters, as_of: datetime) -> QuerySet[Review]:
        """Return the verdicts given by then, newest first, without the whole dossiers they hold."""
        rows = narrowed(
            Review.objects.all(),
            filters,
            as_of,
            at="given_at",
            version="submission__version",
            environment="submission__environment",
        )
        if filters.role:
            rows = rows.filter(role=filters.role)
        if filters.word:
            rows = rows.filter(verdict=filters.word)
        if filters.person:
            rows = rows.filter(named(filters.person, "reviewer") | named(filters.person, "on_behalf_of"))
        related = rows.select_related(
            "reviewer", "on_behalf_of", "withdrawal", "submission__policy", "submission__version__asset"
        )
        seen = related.annotate(seen_evidence=F("dossier__evidence")).defer("dossier")
        return seen.order_by("-given_at", "-pk")

    def tell(self, found: Sequence[Review], as_of: datetime) -> Iterator[Row]:
        """Yield a row for each verdict."""
        decided = decided_dossiers(found, as_of)
        attached, conditions = attached_evidence(found), conditions_of(found, as_of)
        for review in found:
            submission, back = review.submission, taken_back(review, as_of)
            yield (
                review.given_at,
                str(review.reviewer),
                review.reviewer.ledger_name,
                str(review.on_behalf_of) if review.on_behalf_of else None,
                review.verdict,
                review.note,
                review.role,
                submission.version.label,
                submission.environment,
                counts_as(review, as_of, decided, attached),
                "; ".join(conditions[review.pk]),
                back.withdrawn_at if back else None,
                back.reason if back else None,
                review.authenticated_at,
                review.authenticated_by,
                review.dossier_digest,
                str(submission.policy),
                str(submission.public_id),
                str(review.public_id),
                key_of(review),
            )

    def sentences(self, found: Sequence[Review], as_of: datetime) -> Iterator[Sentence]:
        """Yield when and what, without asking which verdicts count."""
        for review in found:
            submission, behalf = review.submission, str(review.on_behalf_of) if review.on_behalf_of else None
            about = (review.role, submission.version.label, submission.environment)
            yield review.given_at, self.say((None, str(review.reviewer), None, behalf, review.verdict, None, *about))

    def say(self, row: Row) -> str:
        """Return "Sol for Rhea approved fraud-scorer@2.1.0 for production as security"."""
        _, reviewer, _, behalf, verdict, _, role, version, environment, *_ = row
        voice = f"{reviewer} for {behalf}" if behalf else reviewer
        return f"{voice} {DID[str(verdict)]} {version} for {environment} as {role}"


def counts_as(
    review: Any, as_of: datetime, decided: dict[int, str], attached: dict[int, list[tuple[datetime, str, str]]]
) -> str:
    """Return whether a verdict counted then, was voided by a change, or was taken back by its reviewer."""
    if taken_back(review, as_of) is not None:
        return "withdrawn"
    return "counted" if counts(review, as_of, decided, attached) else "stale"


def taken_back(review: Any, as_of: datetime) -> Any:
    """Return how a verdict was taken back by an instant, or None."""
    withdrawal = getattr(review, "withdrawal", None)
    return withdrawal if withdrawal is not None and withdrawal.withdrawn_at <= as_of else None


def conditions_of(found: Sequence[Review], as_of: datetime) -> defaultdict[int, list[str]]:
    """Return the conditions of each verdict, each with until when and whether it was open, met or late."""
    conditions: defaultdict[int, list[str]] = defaultdict(list)
    rows = Obligation.objects.filter(review__in=[review.pk for review in found]).select_related("end")
    for row in rows.order_by("due_at", "pk"):
        state = hindsight.obligation_state(row, as_of)
        conditions[row.review_id].append(f"{row.says} (until {row.due_at:%Y-%m-%d %H:%M} UTC, {state})")
    return conditions


def decided_dossiers(found: Sequence[Review], as_of: datetime) -> dict[int, str]:
    """Return the dossier digest that was decided on, for each submission that was decided by then."""
    outcomes = Decision.objects.filter(
        submission__in={review.submission_id for review in found},
        verdict__in=("approved", "rejected"),
        made_at__lte=as_of,
    )
    return {
        submission: json.loads(bytes(payload))["predicate"]["dossier"]["sha256"]
        for submission, payload in outcomes.values_list("submission", "payload")
    }


def attached_evidence(found: Sequence[Review]) -> dict[int, list[tuple[datetime, str, str]]]:
    """Return (when, kind, sha256) of all evidence, for each version that was reviewed."""
    versions = {review.submission.version_id for review in found}
    attached: dict[int, list[tuple[datetime, str, str]]] = {version: [] for version in versions}
    rows = Evidence.objects.filter(version__in=versions).order_by()
    for version, at, kind, sha256 in rows.values_list("version", "attached_at", "kind", "sha256"):
        attached[version].append((at, kind, sha256))
    return attached


def counts(
    review: Any, as_of: datetime, decided: dict[int, str], attached: dict[int, list[tuple[datetime, str, str]]]
) -> bool:
    """Return whether a verdict stood on the dossier that was decided on, or, before that, on the dossier of then.

    A submitted version's content is frozen, so what can change its dossier is new evidence, while the policy calls
    evidence material.
    """
    if review.submission_id in decided:
        return bool(review.dossier_digest == decided[review.submission_id])
    if review.seen_evidence is None or "evidence" not in review.submission.policy.content["material"]:
        return True
    until = min(as_of, review.submission.closed_at or as_of)
    now = {(kind, sha256) for at, kind, sha256 in attached[review.submission.version_id] if at <= until}
    return now == {(each["kind"], each["sha256"]) for each in review.seen_evidence}
