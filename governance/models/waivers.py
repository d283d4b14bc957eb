"""Waivers: granted exceptions from one rule for one version in one environment, for a while."""

from __future__ import annotations

import uuid
from datetime import datetime

from django.db import models

from audit.history import History
from audit.models import Governed
from governance.models.findings import Finding
from governance.models.policies import Policy
from registry.models import User, Version


class WaiverState(models.TextChoices):
    """Where a waiver stands. Expiry is not a state: it is computed from `expires_at` whenever somebody asks."""

    REQUESTED = "requested", "Requested"
    GRANTED = "granted", "Granted"
    REFUSED = "refused", "Refused"
    REVOKED = "revoked", "Revoked"


class Waiver(Governed):
    """One exception. `environment` may be `baseline`, for a rule that guards the way to candidate."""

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    version = models.ForeignKey(Version, on_delete=models.PROTECT, related_name="waivers")
    environment = models.CharField(max_length=40)
    rule = models.CharField(max_length=40)
    finding = models.ForeignKey(
        Finding,
        on_delete=models.PROTECT,
        related_name="waivers",
        null=True,
        blank=True,
        help_text="None means the whole rule.",
    )
    extends = models.ForeignKey("self", on_delete=models.PROTECT, related_name="extensions", null=True, blank=True)
    policy = models.ForeignKey(Policy, on_delete=models.PROTECT, related_name="+")
    state = models.CharField(max_length=10, choices=WaiverState, default=WaiverState.REQUESTED)
    reason = models.TextField(max_length=4000)
    compensating_control = models.TextField(max_length=4000)
    requested_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    requested_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    decided_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+", null=True)
    decided_at = models.DateTimeField(null=True)
    decision_note = models.TextField(blank=True)
    revoked_at = models.DateTimeField(null=True)
    history = History()

    class Meta:
        ordering = ["-requested_at", "-pk"]
        constraints = [
            models.CheckConstraint(condition=models.Q(state__in=WaiverState.values), name="waiver_state_known"),
            models.CheckConstraint(
                condition=models.Q(decided_by__isnull=True) | ~models.Q(decided_by=models.F("requested_by")),
                name="waiver_needs_a_second_person",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.rule} for {self.version.label} in {self.environment}"

    @property
    def ledger_ref(self) -> tuple[str, str, str]:
        """Return (kind, label, id) for an entry about this waiver."""
        return ("waiver", str(self), str(self.public_id))

    def is_in_force(self, at: datetime) -> bool:
        """Return whether the waiver covers its rule at an instant."""
        granted = self.decided_at is not None and self.state in {WaiverState.GRANTED, WaiverState.REVOKED}
        if not granted or self.decided_at is None or not self.decided_at <= at < self.expires_at:
            return False
        return self.revoked_at is None or at < self.revoked_at
