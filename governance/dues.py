"""Which conditions bind a decision at an instant, which of them are open, and which are late: from append-only facts.

For use inside questions about decisions. Writing, meeting and ending them stands in `governance.obligations`.
"""

from __future__ import annotations

from datetime import datetime

from django.db.models import Exists, F, OuterRef, Q, QuerySet, Subquery

from governance.models import Decision, Obligation
from governance.models.reviews import Verdict


def counting(at: datetime) -> QuerySet[Obligation]:
    """Return the conditions of the approvals that the decision on their submission was made on, as of an instant."""
    decided = Decision.objects.filter(submission=OuterRef("review__submission"), verdict="approved")
    decided_on = Subquery(decided.values("dossier_digest")[:1])
    rows = Obligation.objects.filter(review__verdict=Verdict.APPROVE, review__dossier_digest=decided_on)
    return rows.filter(Q(review__withdrawal=None) | Q(review__withdrawal__withdrawn_at__gt=at))


def binding(at: datetime) -> QuerySet[Obligation]:
    """Return the conditions that bind the decision outside, as of an instant."""
    return counting(at).filter(review__submission=OuterRef("submission"))


def still_open(at: datetime) -> QuerySet[Obligation]:
    """Return those that are neither met nor late at an instant, the one that is due first on top."""
    rows = binding(at).filter(due_at__gt=at).filter(Q(end=None) | Q(end__ended_at__gt=at))
    return rows.order_by("due_at", "pk")


def late(at: datetime) -> QuerySet[Obligation]:
    """Return those whose time had run out at an instant without anybody having agreed in time that they are met."""
    return missed(binding(at), at)


def missed(rows: QuerySet[Obligation], at: datetime) -> QuerySet[Obligation]:
    """Return those of some conditions that were late at an instant, the one that was due first on top."""
    return rows.filter(Q(end=None) | Q(end__ended_at__gt=F("due_at")), due_at__lte=at).order_by("due_at", "pk")


def late_of(decision: Decision, at: datetime) -> Obligation:
    """Return the condition of one decision that was late first, which there must be."""
    rows = missed(counting(at).filter(review__submission=decision.submission_id), at)
    return rows.select_related("review")[:1].get()


def pending(at: datetime) -> QuerySet[Obligation]:
    """Return the open conditions of decisions in force at an instant, the one that is due first on top."""
    stands = Decision.objects.filter(
        Q(revocation=None) | Q(revocation__made_at__gt=at),
        submission=OuterRef("review__submission"),
        verdict="approved",
        expires_at__gt=at,
    )
    rows = counting(at).filter(Q(end=None) | Q(end__ended_at__gt=at), Exists(stands), due_at__gt=at)
    return rows.order_by("due_at", "pk")


def is_late(obligation: Obligation, at: datetime) -> bool:
    """Return whether one condition is late at an instant; its end is read with it."""
    end = getattr(obligation, "end", None)
    return at >= obligation.due_at and (end is None or end.ended_at > obligation.due_at)
