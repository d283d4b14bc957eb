"""Submissions: a version asks for one environment under one pinned policy version."""

from __future__ import annotations

import uuid
from datetime import datetime

from django.db import models
from django.urls import reverse

from audit.history import History
from audit.models import Governed
from governance.models.policies import Policy
from registry.models import User, Version


class SubmissionState(models.TextChoices):
    """Where a submission stands. Unanswered is no: it lapses."""

    OPEN = "open", "Open"
    APPROVED = "approved", "Approved"
    REJECTED = "rejected", "Rejected"
    WITHDRAWN = "withdrawn", "Withdrawn"
    SUPERSEDED = "superseded", "Superseded"
    LAPSED = "lapsed", "Lapsed"


class Submission(Governed):
    """One request for one environment. At most one is open for a version and environment."""

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    version = models.ForeignKey(Version, on_delete=models.PROTECT, related_name="submissions")
    environment = models.CharField(max_length=40)
    policy = models.ForeignKey(Policy, on_delete=models.PROTECT, related_name="submissions")
    state = models.CharField(max_length=10, choices=SubmissionState, default=SubmissionState.OPEN)
    dossier_digest = models.CharField(max_length=64)
    note = models.TextField(max_length=4000, blank=True)
    submitted_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="submissions")
    submitted_at = models.DateTimeField()
    due_at = models.DateTimeField()
    policy_until = models.DateTimeField(
        null=True, blank=True, help_text="Until when it may be decided under a policy that a newer one has replaced."
    )
    closed_at = models.DateTimeField(null=True)
    closed_because = models.TextField(blank=True)
    history = History()

    class Meta:
        ordering = ["due_at", "pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["version", "environment"], condition=models.Q(state="open"), name="submission_open_once"
            ),
            models.CheckConstraint(condition=models.Q(state__in=SubmissionState.values), name="submission_state_known"),
        ]

    def __str__(self) -> str:
        return f"{self.version.label} for {self.environment}"

    def get_absolute_url(self) -> str:
        """Return the address of the review page."""
        return reverse("governance:submission", args=[self.public_id])

    @property
    def ledger_ref(self) -> tuple[str, str, str]:
        """Return (kind, label, id) for an entry about this submission."""
        return ("submission", str(self), str(self.public_id))

    @property
    def ledger_digest(self) -> str:
        """Return the dossier digest the submission stands on."""
        return self.dossier_digest

    @property
    def ends_at(self) -> datetime:
        """Return when it lapses unanswered: when its answer is due, or its older policy ends before that."""
        return min(filter(None, (self.due_at, self.policy_until)))

    @property
    def is_open(self) -> bool:
        """Return whether the submission still waits for an answer."""
        return self.state == SubmissionState.OPEN
