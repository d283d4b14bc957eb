"""Globals that a security reviewer allows in the artifacts of one asset, exactly and for a while."""

from __future__ import annotations

import uuid
from datetime import datetime

from django.db import models

from audit.history import History
from audit.models import Governed
from registry.models import Asset, User


class GlobalUse(models.TextChoices):
    """What a pickle may do with a global; the values are the kinds of the scanner's allow-list."""

    CALL = "call", "Call it"
    CLASS = "class", "Make an instance of it"
    REF = "ref", "Name it"


class AllowedGlobal(Governed):
    """One exception from the scanner's allow-list: `module.name` in artifacts of one asset, until it expires."""

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    asset = models.ForeignKey(Asset, on_delete=models.PROTECT, related_name="allowed_globals")
    module = models.CharField(max_length=300)
    name = models.CharField(max_length=300)
    use = models.CharField(max_length=10, choices=GlobalUse)
    reason = models.TextField(max_length=4000)
    allowed_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    allowed_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    revoked_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+", null=True)
    revoked_at = models.DateTimeField(null=True)
    history = History()

    class Meta:
        ordering = ["-allowed_at", "-pk"]
        constraints = [
            models.CheckConstraint(condition=models.Q(use__in=GlobalUse.values), name="allowed_global_use_known"),
        ]

    def __str__(self) -> str:
        return f"{self.module}.{self.name} in {self.asset.slug}"

    @property
    def ledger_ref(self) -> tuple[str, str, str]:
        """Return (kind, label, id) for an entry about this exception."""
        return ("global", str(self), str(self.public_id))

    def is_in_force(self, at: datetime) -> bool:
        """Return whether scans may count on the exception at an instant."""
        return self.allowed_at <= at < self.expires_at and (self.revoked_at is None or at < self.revoked_at)
