"""Findings: one known vulnerability in one component of one version's SBOM, and what people have said about it."""

from __future__ import annotations

import uuid
from datetime import datetime

from django.db import models

from audit.history import History
from audit.models import AppendOnly, Governed
from governance.models.advisories import Severity
from registry.models import Evidence, User, Version


class Triage(models.TextChoices):
    """What people have said about a finding."""

    OPEN = "open", "Open"
    FIXED = "fixed", "Fixed"
    NOT_AFFECTED = "not_affected", "Not affected"
    ACCEPTED = "accepted", "Accepted"


class Justification(models.TextChoices):
    """Why a version is not affected: the five reasons of OpenVEX 0.2 (and CSAF), none of which is free text."""

    COMPONENT_NOT_PRESENT = "component_not_present", "The component is not in it"
    CODE_NOT_PRESENT = "vulnerable_code_not_present", "The vulnerable code is not in it"
    CODE_NOT_IN_PATH = "vulnerable_code_not_in_execute_path", "The vulnerable code is never reached"
    CODE_NOT_CONTROLLABLE = (
        "vulnerable_code_cannot_be_controlled_by_adversary",
        "An attacker cannot reach the vulnerable code",
    )
    MITIGATED = "inline_mitigations_already_exist", "A mitigation is built in"


class Finding(Governed):
    """One vulnerability (by the group name of its aliases) in one component of one version."""

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    version = models.ForeignKey(Version, on_delete=models.PROTECT, related_name="findings")
    vulnerability = models.CharField(max_length=100, db_index=True)
    advisory_ids = models.JSONField(default=list)
    summary = models.TextField(blank=True)
    purl = models.CharField(max_length=600)
    fixed_in = models.JSONField(default=list, blank=True)
    severity = models.CharField(max_length=10, choices=Severity)
    certain = models.BooleanField(
        default=True, help_text="Off: the version could not be compared, so somebody must look."
    )
    triage = models.CharField(
        max_length=12, choices=Triage, default=Triage.OPEN, help_text="The cache of the newest statement that counts."
    )
    accepted_until = models.DateTimeField(null=True)
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

    def is_open_at(self, at: datetime) -> bool:
        """Return whether somebody still has to do something about it; an acceptance ends by itself."""
        if self.closed_at is not None and self.closed_at <= at:
            return False
        if self.triage == Triage.ACCEPTED:
            return self.accepted_until is not None and self.accepted_until <= at
        return self.triage == Triage.OPEN


class TriageStatement(AppendOnly):
    """What one person, or one VEX document, says about a finding. Whether it counts is told by the answer to it."""

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    finding = models.ForeignKey(Finding, on_delete=models.PROTECT, related_name="statements")
    status = models.CharField(max_length=12, choices=Triage)
    justification = models.CharField(max_length=60, choices=Justification, blank=True)
    reason = models.TextField(max_length=4000)
    until = models.DateTimeField(null=True)
    needs_answer = models.BooleanField(help_text="On: it counts only once a second person has agreed.")
    evidence = models.ForeignKey(
        Evidence, on_delete=models.PROTECT, related_name="triage_statements", null=True, help_text="The VEX document."
    )
    stated_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    stated_at = models.DateTimeField()

    class Meta:
        ordering = ["pk"]
        constraints = [models.CheckConstraint(condition=models.Q(status__in=Triage.values), name="triage_known")]

    def __str__(self) -> str:
        return f"{self.get_status_display()}: {self.finding}"

    @property
    def ledger_ref(self) -> tuple[str, str, str]:
        """Return (kind, label, id) for an entry about this statement."""
        return ("triage", str(self.finding), str(self.public_id))


class TriageAnswer(AppendOnly):
    """The second person's yes or no to a statement."""

    statement = models.OneToOneField(TriageStatement, on_delete=models.PROTECT, related_name="answer")
    agreed = models.BooleanField()
    note = models.TextField(max_length=4000, blank=True)
    answered_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    answered_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{'Yes' if self.agreed else 'No'} to {self.statement}"
