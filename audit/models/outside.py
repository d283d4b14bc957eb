"""What others hold or say about the ledger: copies of checkpoints elsewhere, cosignatures, keysets, verifications.

Copies are jobs and change freely. Everything else here is added once and kept.
"""

from __future__ import annotations

from django.db import models

from audit.models.bases import AppendOnly, InsertOnly
from audit.models.ledger import DATABASE_CLOCK


class CheckpointCopy(models.Model):
    """That one checkpoint is to be, or was, brought to one place outside: a row that is the queue."""

    place = models.CharField(max_length=200, help_text="The name of the place; never an address with a secret in it.")
    size = models.BigIntegerField(help_text="The size of the checkpoint.")
    due_at = models.DateTimeField(help_text="When the next attempt is due.")
    sent_at = models.DateTimeField(null=True)
    attempts = models.SmallIntegerField(default=0)
    error = models.CharField(max_length=500, blank=True)

    class Meta:
        verbose_name_plural = "checkpoint copies"
        ordering = ["-size", "place"]
        constraints = [models.UniqueConstraint(fields=["place", "size"], name="checkpoint_copy_once")]
        indexes = [
            models.Index(fields=["due_at"], name="checkpoint_copy_due", condition=models.Q(sent_at__isnull=True)),
            models.Index(fields=["place", "-size"], name="checkpoint_copy_newest"),
        ]

    def __str__(self) -> str:
        return f"checkpoint of {self.size} entries for {self.place}"


class Cosignature(InsertOnly):
    """The signature line by which a witness on another host says that it saw a checkpoint (C2SP tlog-cosignature)."""

    size = models.BigIntegerField()
    witness = models.CharField(max_length=200)
    line = models.TextField()
    received_at = models.DateTimeField(db_default=DATABASE_CLOCK, editable=False)

    class Meta:
        ordering = ["-size", "witness"]
        constraints = [models.UniqueConstraint(fields=["size", "witness"], name="cosignature_once")]

    def __str__(self) -> str:
        return f"{self.witness} on {self.size} entries"


class Keyset(AppendOnly):
    """One keyset: which keys of this portal are to be believed for what and when, signed offline by its root keys."""

    number = models.IntegerField(unique=True)
    envelope = models.JSONField(help_text="The DSSE envelope, signed by the root keys.")
    sha256 = models.CharField(max_length=64, help_text="Of the signed payload.")
    issued_at = models.DateTimeField()
    expires_at = models.DateTimeField()

    class Meta:
        ordering = ["-number"]
        constraints = [models.CheckConstraint(condition=models.Q(number__gt=0), name="keyset_number")]

    def __str__(self) -> str:
        return f"keyset {self.number}"

    @property
    def ledger_ref(self) -> tuple[str, str, str]:
        """Return (kind, label, id) for entries about this keyset."""
        return ("keyset", str(self), str(self.number))

    @property
    def ledger_digest(self) -> str:
        """Return the sha256 of what the root keys signed."""
        return self.sha256


class Verification(AppendOnly):
    """One look of the portal at its own record, nightly or when somebody asks: what was compared, what was wrong."""

    started_at = models.DateTimeField()
    finished_at = models.DateTimeField()
    entries = models.BigIntegerField()
    rows = models.BigIntegerField(help_text="How many rows of the record were compared with the entries.")
    size = models.BigIntegerField(help_text="How many sealed entries there were.")
    root = models.CharField(max_length=64, blank=True)
    compared_with = models.CharField(max_length=300, blank=True, help_text="The copy outside that it was held against.")
    faults = models.JSONField(default=list, help_text="What was wrong, in sentences; the first thousand.")
    fault_count = models.IntegerField(default=0)

    class Meta:
        ordering = ["-started_at"]
        indexes = [models.Index(fields=["-started_at"], name="verification_newest")]

    def __str__(self) -> str:
        return f"verification of {self.started_at:%Y-%m-%d %H:%M}"

    @property
    def ledger_ref(self) -> tuple[str, str, str]:
        """Return (kind, label, id) for entries about this verification."""
        return ("verification", str(self), str(self.pk))
