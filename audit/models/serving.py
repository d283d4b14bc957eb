"""Who was served by what: batches of serving windows as they were reported. Strings and digests, no foreign keys out.

Production may report a digest that was never registered, and the record must be able to say so.
"""

from __future__ import annotations

import uuid
from datetime import timedelta

from django.db import models
from django.db.models import F, Q

from audit.models.bases import AppendOnly, InsertOnly

LONGEST_WINDOW = timedelta(days=1)


class ServingBatch(AppendOnly):
    """One report of up to 50,000 windows by one source. `rows_root` is the Merkle root over the row hashes in order."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    source = models.CharField(max_length=80)
    batch_id = models.CharField(max_length=120)
    actor = models.CharField(max_length=80)
    received_at = models.DateTimeField()
    first_start = models.DateTimeField()
    last_end = models.DateTimeField()
    row_count = models.IntegerField()
    request_count = models.BigIntegerField()
    rows_root = models.CharField(max_length=64)

    class Meta:
        verbose_name_plural = "serving batches"
        ordering = ["-received_at"]
        constraints = [models.UniqueConstraint(fields=["source", "batch_id"], name="serving_batch_once")]

    def __str__(self) -> str:
        return f"{self.source}/{self.batch_id}"

    @property
    def ledger_ref(self) -> tuple[str, str, str]:
        """Return (kind, label, id) for entries about this batch."""
        return ("serving-batch", str(self), str(self.pk))

    @property
    def ledger_digest(self) -> str:
        """Return the root over the batch's rows."""
        return self.rows_root


class ServingWindow(InsertOnly):
    """`customer` was served by `digest` in `deployment` over [start, end). The batch's entry names it by its root."""

    batch = models.ForeignKey(
        ServingBatch, on_delete=models.PROTECT, related_name="windows", db_constraint=False, db_index=False
    )
    line = models.IntegerField(help_text="The place in the batch, from 1.")
    deployment = models.CharField(max_length=120)
    customer = models.CharField(max_length=120)
    digest = models.CharField(max_length=64)
    environment = models.CharField(max_length=40)
    consumer = models.CharField(max_length=120, blank=True)
    start = models.DateTimeField()
    end = models.DateTimeField()
    requests = models.BigIntegerField()
    row_hash = models.BinaryField()

    class Meta:
        ordering = ["start", "id"]
        constraints = [
            models.UniqueConstraint(fields=["batch", "line"], name="serving_window_line_once"),
            models.CheckConstraint(
                condition=Q(end__gt=F("start")) & Q(end__lte=F("start") + LONGEST_WINDOW), name="serving_window_length"
            ),
            models.CheckConstraint(condition=Q(requests__gte=0), name="serving_window_requests"),
        ]
        indexes = [
            models.Index(fields=["customer", "start"], name="serving_by_customer"),
            models.Index(fields=["digest", "start"], name="serving_by_digest"),
        ]

    def __str__(self) -> str:
        return f"{self.customer} in {self.deployment} from {self.start:%Y-%m-%d %H:%M}"


class ServingConflict(AppendOnly):
    """A batch that was sent again with other windows. The first report stands; this records the contradiction."""

    batch = models.ForeignKey(ServingBatch, on_delete=models.PROTECT, related_name="conflicts", db_constraint=False)
    actor = models.CharField(max_length=80)
    received_at = models.DateTimeField()
    row_count = models.IntegerField()
    rows_root = models.CharField(max_length=64)
    differences = models.JSONField(help_text="The first lines that differ: line, first report, second report.")

    class Meta:
        ordering = ["-received_at"]
        constraints = [models.UniqueConstraint(fields=["batch", "rows_root"], name="serving_conflict_once")]

    def __str__(self) -> str:
        return f"conflict about {self.batch_id}"
