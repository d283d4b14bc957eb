"""Findings: one known vulnerability in one component of one version's SBOM, with its triage."""

from __future__ import annotations

import uuid

from django.db import models

from audit.history import History
from audit.models import Governed
from governance.models.advisories import Severity
from registry.models import Version


class Triage(models.TextChoices):
    """What people have said about a finding."""

    OPEN = "open", "Open"
    FIXED = "fixed", "Fixed"
    NOT_AFFECTED = "not_affected", "Not affected"
    ACCEPTED = "accepted", "Accepted"


class Finding(Governed):
    """One vulnerability (by the group name of its aliases) in one component of one version."""

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    version = models.ForeignKey(Version, on_delete=models.PROTECT, related_name="findings")
    vulnerability = models.CharField(max_length=100)
    advisory_ids = models.JSONField(default=list)
    summary = models.TextField(blank=True)
    purl = models.CharField(max_length=600)
    fixed_in = models.JSONField(default=list, blank=True)
    severity = models.CharField(max_length=10, choices=Severity)
    certain = models.BooleanField(
        default=True, help_text="Off: the version could not be compared, so somebody must look."
    )
    triage = models.CharField(max_length=12, choices=Triage, default=Triage.OPEN)
    triage_reason = models.TextField(blank=True)
    found_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True)
    history = History()

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(fields=["version", "vulnerability", "purl"], name="finding_once"),
            models.CheckConstraint(condition=models.Q(triage__in=Triage.values), name="finding_triage_known"),
        ]

    def __str__(self) -> str:
        return f"{self.vulnerability} in {self.purl}"

    @property
    def ledger_ref(self) -> tuple[str, str, str]:
        """Return (kind, label, id) for an entry about this finding."""
        return ("finding", f"{self.vulnerability} in {self.version.label}", str(self.public_id))
