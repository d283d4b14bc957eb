"""Who was served by what: batches of serving windows as they were reported. Strings and digests, no foreign keys out.

Production may report a digest that was never registered, and the record must be able to say so. The table of windows
is partitioned by day; how its partitions come to be lives in `audit.partitions`.
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta

from django.db import models
from django.db.models import F, Func, Q, Value

from audit.models.bases import AppendOnly, InsertOnly

# All windows begin on this grid and last one step of it, so that two of them never overlap in part.
GRID = timedelta(minutes=5)
GRID_ORIGIN = datetime(2000, 1, 1, tzinfo=UTC)


class Completeness(models.TextChoices):
    """What a source says about its own counting."""

    COMPLETE = "complete"
    SAMPLED = "sampled"
    GAP = "gap"


class ServingBatch(AppendOnly):
    """One report of up to 50,000 windows by one source, and what of it was new.

    `rows_root` is the Merkle root over the hashes of the rows that it added, in the order of their lines;
    `received_root` the one over all rows that it had, by which the same batch is known again.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    source = models.CharField(max_length=80)
    batch_id = models.CharField(max_length=120)
    actor = models.CharField(max_length=80)
    received_at = models.DateTimeField()
    first_start = models.DateTimeField()
    last_end = models.DateTimeField()
    row_count = models.IntegerField(help_text="How many windows it added.")
    replayed_count = models.IntegerField(default=0, help_text="How many were known already, just the same.")
    conflict_count = models.IntegerField(default=0, help_text="How many contradicted what was reported before.")
    request_count = models.BigIntegerField(help_text="The requests of the windows it added.")
    rows_root = models.CharField(max_length=64)
    received_root = models.CharField(max_length=64)

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
        """Return the root over the rows that the batch added."""
        return self.rows_root


class UnjudgedBatch(models.Model):
    """That nobody has looked yet whether the windows of a batch should have been served: a row that is the queue."""

    batch = models.OneToOneField(ServingBatch, on_delete=models.CASCADE, primary_key=True, related_name="unjudged")

    class Meta:
        verbose_name_plural = "unjudged batches"

    def __str__(self) -> str:
        return f"{self.batch} waits to be judged"


class ServingWindow(InsertOnly):
    """`customer` was served by `digest` in `deployment` over [start, end). The batch's entry names it by its root.

    Of rows that differ only in their `sequence` the highest one counts: a correction is a row of its own.
    """

    pk = models.CompositePrimaryKey(
        "customer",
        "start",
        "deployment",
        "environment",
        "digest",
        "config_digest",
        "consumer",
        "source",
        "sequence",
    )
    start = models.DateTimeField()
    end = models.DateTimeField()
    requests = models.BigIntegerField()
    errors = models.BigIntegerField(default=0)
    batch = models.ForeignKey(
        ServingBatch, on_delete=models.PROTECT, related_name="windows", db_constraint=False, db_index=False
    )
    line = models.IntegerField(help_text="The place in the batch as it was sent, from 1.")
    sequence = models.SmallIntegerField(default=0, help_text="0, and one more for each correction.")
    customer = models.CharField(max_length=120)
    deployment = models.CharField(max_length=120)
    digest = models.CharField(max_length=64)
    config_digest = models.CharField(max_length=64, blank=True, help_text="Of prompt, adapters and parameters.")
    environment = models.CharField(max_length=40)
    consumer = models.CharField(max_length=120, blank=True)
    source = models.CharField(max_length=80)
    completeness = models.CharField(max_length=8, choices=Completeness, default=Completeness.COMPLETE)
    row_hash = models.BinaryField()

    class Meta:
        ordering = ["start", "customer", "deployment"]
        constraints = [
            models.CheckConstraint(
                condition=Q(start=Func(Value(GRID), F("start"), Value(GRID_ORIGIN), function="date_bin")),
                name="serving_window_grid",
            ),
            models.CheckConstraint(condition=Q(end=F("start") + GRID), name="serving_window_length"),
            models.CheckConstraint(
                condition=Q(requests__gte=0, errors__gte=0, errors__lte=F("requests"), sequence__gte=0),
                name="serving_window_counts",
            ),
            models.CheckConstraint(condition=Q(completeness__in=Completeness.values), name="serving_window_complete"),
        ]
        indexes = [
            models.Index(fields=["digest", "start"], name="serving_by_digest"),
            models.Index(fields=["batch"], name="serving_by_batch"),
        ]

    def __str__(self) -> str:
        return f"{self.customer} in {self.deployment} from {self.start:%Y-%m-%d %H:%M}"


class ServingConflict(AppendOnly):
    """A report that contradicts an earlier one, which stands: a batch sent again, or rows that another batch had.

    `batch` is the one that stands when a whole batch was sent again with other windows; else the one with the rows.
    """

    batch = models.ForeignKey(ServingBatch, on_delete=models.PROTECT, related_name="conflicts", db_constraint=False)
    is_resent = models.BooleanField(help_text="Whether the whole batch was sent again with other windows.")
    actor = models.CharField(max_length=80)
    received_at = models.DateTimeField()
    row_count = models.IntegerField()
    rows_root = models.CharField(max_length=64)
    differences = models.JSONField(help_text="The first lines that differ: line, first report, second report.")

    class Meta:
        ordering = ["-received_at"]
        constraints = [models.UniqueConstraint(fields=["batch", "rows_root"], name="serving_conflict_once")]
        indexes = [models.Index(fields=["-received_at"], name="serving_conflict_newest")]

    def __str__(self) -> str:
        return f"conflict about {self.batch}"
