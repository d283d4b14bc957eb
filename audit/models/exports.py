"""Exports to build: rows that are the queue. They are jobs, not records, and change freely; their entries do not."""

from __future__ import annotations

import uuid

from django.db import models


class ExportState(models.TextChoices):
    """How far an export is."""

    QUEUED = "queued", "Queued"
    RUNNING = "running", "Running"
    DONE = "done", "Done"
    FAILED = "failed", "Failed"


class Export(models.Model):
    """One export that somebody asked for: what, with which parameters, how far it is, and the file when it is done."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    kind = models.CharField(max_length=60)
    parameters = models.JSONField(default=dict)
    requested_by = models.CharField(max_length=80, help_text="The ledger name of whoever asked.")
    requested_at = models.DateTimeField()
    state = models.CharField(max_length=10, choices=ExportState, default=ExportState.QUEUED)
    progress = models.SmallIntegerField(default=0, help_text="In per cent.")
    file = models.CharField(max_length=255, blank=True, help_text="The name of the file in the storage.")
    sha256 = models.CharField(max_length=64, blank=True)
    size = models.BigIntegerField(null=True, help_text="In bytes.")
    finished_at = models.DateTimeField(null=True)
    lease_until = models.DateTimeField(null=True, help_text="Until when the worker that claimed it may go on.")
    attempts = models.SmallIntegerField(default=0)
    error = models.TextField(blank=True)

    class Meta:
        ordering = ["-requested_at"]
        constraints = [
            models.CheckConstraint(condition=models.Q(progress__range=(0, 100)), name="export_progress"),
            models.CheckConstraint(condition=models.Q(state__in=ExportState.values), name="export_state_known"),
        ]
        indexes = [
            models.Index(
                fields=["requested_at"], name="export_due", condition=models.Q(state__in=["queued", "running"])
            )
        ]

    def __str__(self) -> str:
        return f"{self.kind} of {self.requested_at:%Y-%m-%d %H:%M}"

    @property
    def ledger_ref(self) -> tuple[str, str, str]:
        """Return (kind, label, id) for entries about this export."""
        return ("export", self.kind, str(self.pk))

    @property
    def ledger_digest(self) -> str:
        """Return the sha256 of the file, once it is built."""
        return self.sha256
