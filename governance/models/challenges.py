"""Challenges: a version in force whose standing something new puts in doubt, with the date until which to act.

Something new is a vulnerability found in it or in what it is made from, or what became of a base: retired, re-licensed.
"""

from __future__ import annotations

import uuid

from django.db import models

from audit.models import AppendOnly
from governance.models.advisories import Severity
from governance.models.findings import Finding
from governance.models.policies import Policy
from registry.models import User, Version


class Cause(models.TextChoices):
    """What puts a version in doubt."""

    FINDING = "finding", "A vulnerability"
    BASE_RETIRED = "base_retired", "A base was retired"
    RELICENSED = "relicensed", "A licence changed"


class Challenge(AppendOnly):
    """One version challenged by its root: itself or a version that it is made from, and what became of that.

    It may serve until `due_at`; what still stands open then may not. `finding`, `vulnerability` and `severity` are
    there when the cause is a vulnerability.
    """

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    version = models.ForeignKey(Version, on_delete=models.PROTECT, related_name="challenges")
    cause = models.CharField(max_length=20, choices=Cause, default=Cause.FINDING)
    root = models.ForeignKey(Version, on_delete=models.PROTECT, related_name="challenges_caused")
    finding = models.ForeignKey(Finding, on_delete=models.PROTECT, related_name="challenges", null=True, blank=True)
    vulnerability = models.CharField(max_length=100, db_index=True, blank=True)
    severity = models.CharField(max_length=10, choices=Severity, blank=True)
    policy = models.ForeignKey(Policy, on_delete=models.PROTECT, related_name="+")
    opened_at = models.DateTimeField()
    due_at = models.DateTimeField()

    class Meta:
        ordering = ["due_at", "pk"]
        indexes = [models.Index(fields=["version", "opened_at"], name="challenge_of_version")]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(cause="finding", finding__isnull=False)
                | (~models.Q(cause="finding") & models.Q(finding__isnull=True)),
                name="challenge_has_its_cause",
            )
        ]

    def __str__(self) -> str:
        return f"{self.vulnerability or self.get_cause_display()} against {self.version.label}"

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
