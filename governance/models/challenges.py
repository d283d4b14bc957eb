"""Challenges: a version in force whose standing a new vulnerability puts in doubt, with the date until which to act."""

from __future__ import annotations

import uuid

from django.db import models

from audit.models import AppendOnly
from governance.models.advisories import Severity
from governance.models.findings import Finding
from governance.models.policies import Policy
from registry.models import User, Version


class Challenge(AppendOnly):
    """One version challenged by one finding: its own, or one of a version that it is made from.

    It may serve until `due_at`; what still stands open then may not.
    """

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    version = models.ForeignKey(Version, on_delete=models.PROTECT, related_name="challenges")
    finding = models.ForeignKey(Finding, on_delete=models.PROTECT, related_name="challenges")
    vulnerability = models.CharField(max_length=100, db_index=True)
    severity = models.CharField(max_length=10, choices=Severity)
    policy = models.ForeignKey(Policy, on_delete=models.PROTECT, related_name="+")
    opened_at = models.DateTimeField()
    due_at = models.DateTimeField()

    class Meta:
        ordering = ["due_at", "pk"]
        indexes = [models.Index(fields=["version", "opened_at"], name="challenge_of_version")]

    def __str__(self) -> str:
        return f"{self.vulnerability} against {self.version.label}"

    @property
    def ledger_ref(self) -> tuple[str, str, str]:
        """Return (kind, label, id) for an entry about this challenge."""
        return ("challenge", str(self), str(self.public_id))


class ChallengeEnd(AppendOnly):
    """Why and when a challenge was over."""

    challenge = models.OneToOneField(Challenge, on_delete=models.PROTECT, related_name="end")
    reason = models.TextField()
    ended_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    ended_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"End of {self.challenge}"
