"""The trusted-key registry: whose signatures count as provenance, for which builders, and for how long."""

from __future__ import annotations

from datetime import datetime

from django.db import models

from audit.history import History
from audit.models import Governed
from registry.models import User


class TrustedKey(Governed):
    """One public key. A signature counts while the key is valid and not revoked, for the builders it speaks for."""

    name = models.CharField(max_length=120, unique=True)
    public_pem = models.TextField("public key (PEM)")
    fingerprint = models.CharField(max_length=64, unique=True, editable=False)
    builders = models.JSONField(default=list, help_text="The builder ids this key may speak for.")
    owner = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    valid_from = models.DateTimeField()
    valid_until = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True, blank=True)
    revoke_reason = models.CharField(max_length=500, blank=True)
    history = History()

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    @property
    def ledger_ref(self) -> tuple[str, str, str]:
        """Return (kind, label, id) for an entry about this key."""
        return ("key", self.name, self.fingerprint)

    def is_valid_at(self, at: datetime) -> bool:
        """Return whether signatures by this key count at an instant."""
        return self.valid_from <= at < self.valid_until and (self.revoked_at is None or at < self.revoked_at)
