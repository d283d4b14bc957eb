"""Re-licensing: an outside fact about a version whose content never changes. What was registered stays as it is."""

from __future__ import annotations

import uuid

from django.db import models

from audit.models import AppendOnly
from registry.models.assets import Version
from registry.models.people import User


class Relicensing(AppendOnly):
    """From an instant on, whoever holds the rights licenses a version otherwise. The newest one counts."""

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    version = models.ForeignKey(Version, on_delete=models.PROTECT, related_name="relicensings")
    licence = models.CharField(max_length=200, help_text="An SPDX expression.")
    before = models.CharField(max_length=200, blank=True)
    source = models.CharField(max_length=1000, help_text="Where that is said, such as an address.")
    reason = models.TextField(max_length=4000)
    recorded_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    recorded_at = models.DateTimeField()

    class Meta:
        ordering = ["-recorded_at", "-pk"]

    def __str__(self) -> str:
        return f"{self.version.label} is now {self.licence}"
