"""Reviews: one person's verdict for one role on one dossier digest. Never changed, only followed by another row.

Beside them what surrounds a verdict: conditions, taking it back, handing a role over, and standing in for somebody.
"""

from __future__ import annotations

import uuid
from datetime import datetime

from django.db import models

from audit.history import History
from audit.models import AppendOnly, Governed
from governance.models.submissions import Submission
from registry.models import User


class Verdict(models.TextChoices):
    """What a reviewer says."""

    APPROVE = "approve", "Approve"
    REQUEST_CHANGES = "request_changes", "Request changes"
    REJECT = "reject", "Reject"


class Review(AppendOnly):
    """One verdict. It counts while the submission's dossier digest is the one it was given on."""

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    submission = models.ForeignKey(Submission, on_delete=models.PROTECT, related_name="reviews")
    role = models.CharField(max_length=40)
    reviewer = models.ForeignKey(User, on_delete=models.PROTECT, related_name="reviews")
    on_behalf_of = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+", null=True, blank=True)
    verdict = models.CharField(max_length=16, choices=Verdict)
    note = models.TextField(blank=True)
    dossier_digest = models.CharField(max_length=64)
    dossier = models.JSONField(default=dict)
    given_at = models.DateTimeField()
    authenticated_at = models.DateTimeField(null=True, blank=True)
    authenticated_by = models.CharField(max_length=40, blank=True)
    follows = models.ForeignKey(
        "ReviewWithdrawal",
        on_delete=models.PROTECT,
        related_name="+",
        null=True,
        blank=True,
        help_text="The verdict that was taken back before this one could be given.",
    )

    class Meta:
        ordering = ["given_at", "pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["submission", "reviewer", "dossier_digest", "follows"],
                nulls_distinct=False,
                name="review_once_per_person_and_dossier",
            ),
            models.UniqueConstraint(
                fields=["submission", "role", "dossier_digest", "follows"],
                condition=models.Q(verdict="approve"),
                nulls_distinct=False,
                name="review_one_approval_per_role",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.verdict} for {self.role}"

    @property
    def ledger_ref(self) -> tuple[str, str, str]:
        """Return (kind, label, id) for an entry about this review."""
        return ("review", f"{self.role} on {self.submission}", str(self.public_id))


class ReviewWithdrawal(AppendOnly):
    """A reviewer took a verdict back before anything was promoted on it."""

    review = models.OneToOneField(Review, on_delete=models.PROTECT, related_name="withdrawal")
    reason = models.TextField(max_length=4000)
    withdrawn_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    withdrawn_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.review}, taken back"


class Obligation(AppendOnly):
    """A condition of an approval: what has to be done until when. Late means that the decision ends."""

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    review = models.ForeignKey(Review, on_delete=models.PROTECT, related_name="obligations")
    says = models.TextField(max_length=4000)
    due_at = models.DateTimeField()

    class Meta:
        ordering = ["due_at", "pk"]

    def __str__(self) -> str:
        return self.says[:80]

    @property
    def ledger_ref(self) -> tuple[str, str, str]:
        """Return (kind, label, id) for an entry about this obligation."""
        return ("obligation", f"{self.review.role} on {self.review.submission}", str(self.public_id))


class ObligationEnd(AppendOnly):
    """The reviewer's role agreed that an obligation is met."""

    obligation = models.OneToOneField(Obligation, on_delete=models.PROTECT, related_name="end")
    note = models.TextField(max_length=4000)
    ended_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    ended_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.obligation}: met"


class Handover(AppendOnly):
    """A reviewer passed a role's answer on, to a named person or back to the group."""

    submission = models.ForeignKey(Submission, on_delete=models.PROTECT, related_name="handovers")
    role = models.CharField(max_length=40)
    giver = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    receiver = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+", null=True, blank=True)
    reason = models.TextField(max_length=4000)
    handed_at = models.DateTimeField()

    class Meta:
        ordering = ["pk"]

    def __str__(self) -> str:
        return f"{self.role} on {self.submission}, to {self.receiver or 'the group'}"


class Delegation(Governed):
    """One person stands in for another in one role, from one instant to another. Never passed on."""

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    role = models.CharField(max_length=40)
    giver = models.ForeignKey(User, on_delete=models.PROTECT, related_name="delegations_given")
    deputy = models.ForeignKey(User, on_delete=models.PROTECT, related_name="delegations_received")
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    reason = models.TextField(max_length=4000, blank=True)
    made_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)
    history = History()

    class Meta:
        ordering = ["-starts_at", "-pk"]
        constraints = [
            models.CheckConstraint(condition=~models.Q(giver=models.F("deputy")), name="delegation_to_somebody_else"),
            models.CheckConstraint(
                condition=models.Q(ends_at__gt=models.F("starts_at")), name="delegation_ends_after_it_starts"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.deputy} for {self.giver} as {self.role}"

    @property
    def ledger_ref(self) -> tuple[str, str, str]:
        """Return (kind, label, id) for an entry about this delegation."""
        return ("delegation", f"role {self.role}", str(self.public_id))

    def is_in_force(self, at: datetime) -> bool:
        """Return whether the deputy may answer at an instant."""
        return self.starts_at <= at < self.ends_at and (self.ended_at is None or at < self.ended_at)
