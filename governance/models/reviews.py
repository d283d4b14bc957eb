"""Reviews: one person's verdict for one role on one dossier digest. Never changed, only followed by another."""

from __future__ import annotations

import uuid

from django.db import models

from audit.models import AppendOnly
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
    verdict = models.CharField(max_length=16, choices=Verdict)
    note = models.TextField(blank=True)
    dossier_digest = models.CharField(max_length=64)
    dossier = models.JSONField(default=dict)
    given_at = models.DateTimeField()
    authenticated_at = models.DateTimeField(null=True)
    authenticated_by = models.CharField(max_length=40, blank=True)

    class Meta:
        ordering = ["given_at", "pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["submission", "reviewer", "dossier_digest"], name="review_once_per_person_and_dossier"
            ),
            models.UniqueConstraint(
                fields=["submission", "role", "dossier_digest"],
                condition=models.Q(verdict="approve"),
                name="review_one_approval_per_role",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.verdict} for {self.role}"

    @property
    def ledger_ref(self) -> tuple[str, str, str]:
        """Return (kind, label, id) for an entry about this review."""
        return ("review", f"{self.role} on {self.submission}", str(self.public_id))
