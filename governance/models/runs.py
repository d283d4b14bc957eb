"""Check requests are the queue; check runs are the recorded answers, which never change."""

from __future__ import annotations

import uuid

from django.db import models

from audit.models import AppendOnly
from governance.models.policies import Policy
from registry.models import User, Version


class Outcome(models.TextChoices):
    """What a check answered. An error is never green."""

    PASSED = "passed", "Passed"
    FAILED = "failed", "Failed"
    ERROR = "error", "Error"
    NOT_APPLICABLE = "not_applicable", "Not applicable"


class CheckRequest(models.Model):
    """One question waiting for a worker. The row is deleted in the transaction that records the answer."""

    version = models.ForeignKey(Version, on_delete=models.CASCADE, related_name="check_requests")
    check_slug = models.CharField(max_length=40)
    policy = models.ForeignKey(Policy, on_delete=models.PROTECT, related_name="+")
    requested_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    requested_at = models.DateTimeField()
    attempts = models.PositiveSmallIntegerField(default=0)
    lease_until = models.DateTimeField(null=True)

    class Meta:
        ordering = ["pk"]
        constraints = [models.UniqueConstraint(fields=["version", "check_slug", "policy"], name="check_request_once")]

    def __str__(self) -> str:
        return f"{self.check_slug} of {self.version}"


class CheckRun(AppendOnly):
    """One recorded answer, bound to the digest of what was looked at and to the policy it was asked under."""

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    version = models.ForeignKey(Version, on_delete=models.PROTECT, related_name="check_runs")
    check_slug = models.CharField(max_length=40)
    outcome = models.CharField(max_length=15, choices=Outcome)
    says = models.TextField()
    fix = models.TextField(blank=True)
    facts = models.JSONField(default=dict)
    tool = models.CharField(max_length=80)
    tool_version = models.CharField(max_length=80)
    input_digest = models.CharField(max_length=64)
    policy = models.ForeignKey(Policy, on_delete=models.PROTECT, related_name="+")
    valid_until = models.DateTimeField(null=True)
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField()

    class Meta:
        ordering = ["-ended_at", "-pk"]
        indexes = [models.Index(fields=["version", "check_slug", "-id"], name="check_run_newest")]

    def __str__(self) -> str:
        return f"{self.check_slug} {self.outcome}"

    @property
    def ledger_ref(self) -> tuple[str, str, str]:
        """Return (kind, label, id) for an entry about this answer."""
        return ("check", f"{self.check_slug} of {self.version.label}", str(self.public_id))
