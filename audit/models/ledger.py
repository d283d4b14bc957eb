"""The ledger's tables: entries, what waits to be sealed, leaves, tiles and signed checkpoints.

No foreign key leaves this app and none needs a constraint: the record must outlive its subjects, and the triggers of
`audit.immutability` check what a constraint would, at a fraction of the cost.
"""

from __future__ import annotations

import json
from functools import cached_property
from typing import Any

from django.db import models
from django.db.models.expressions import Func
from django.db.models.fields import NOT_PROVIDED

from audit import events
from audit.models.bases import InsertOnly

MAX_BODY = 65_535
DATABASE_CLOCK = Func(function="clock_timestamp", output_field=models.DateTimeField())
DATABASE_USER = Func(template="session_user", output_field=models.TextField())


class Entry(InsertOnly):
    """One entry of the ledger. `body` holds the exact RFC 8785 bytes; the other columns repeat them for searching."""

    body = models.BinaryField()
    leaf_hash = models.BinaryField()
    event_id = models.UUIDField(unique=True)
    kind = models.CharField(max_length=40)
    subject_kind = models.CharField(max_length=40)
    subject_label = models.CharField(max_length=300)
    subject_id = models.CharField(max_length=100)
    actor = models.CharField(max_length=80)
    occurred_at = models.DateTimeField()
    recorded_at = models.DateTimeField(db_default=DATABASE_CLOCK, editable=False)
    db_user = models.TextField(db_default=DATABASE_USER, editable=False)

    class Meta:
        verbose_name_plural = "entries"
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["subject_kind", "subject_id", "-id"], name="entry_by_subject"),
            models.Index(fields=["kind", "-id"], name="entry_by_kind"),
            models.Index(fields=["actor", "-id"], name="entry_by_actor"),
            models.Index(fields=["occurred_at"], name="entry_by_time"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.subject_label}"

    def _do_insert(
        self, manager: models.Manager[Any], using: str | None, fields: Any, returning_fields: Any, raw: bool
    ) -> list[Any]:
        """Insert without naming what the database fills in, because the application has no right to these columns."""
        written = [field for field in fields if field.db_default is NOT_PROVIDED]
        return super()._do_insert(manager, using, written, returning_fields, raw)  # type: ignore[misc]

    @cached_property
    def document(self) -> dict[str, Any]:
        """Return what the body says."""
        parsed: dict[str, Any] = json.loads(bytes(self.body))
        return parsed

    @property
    def details(self) -> dict[str, Any]:
        """Return the details of the event."""
        details: dict[str, Any] = self.document["details"]
        return details

    def say(self, actor: str = "", subject: str = "") -> str:
        """Return the entry's sentence, with names to show for actor and subject in place of the opaque ones."""
        told = subject or self.subject_label
        return events.sentence(self.kind, actor=actor or self.actor, subject=told, details=self.details)


class Pending(models.Model):
    """An entry that waits to be sealed: the only table of the ledger from which rows go away, by sealing."""

    entry = models.OneToOneField(
        Entry, primary_key=True, on_delete=models.DO_NOTHING, db_constraint=False, related_name="pending"
    )

    class Meta:
        verbose_name_plural = "pending"

    def __str__(self) -> str:
        return f"entry {self.entry_id} waits"


class Leaf(InsertOnly):
    """The place of an entry in the Merkle tree: contiguous from 0, in the order of sealing."""

    leaf_index = models.BigIntegerField(primary_key=True)
    entry = models.OneToOneField(Entry, on_delete=models.DO_NOTHING, db_constraint=False, related_name="leaf")
    leaf_hash = models.BinaryField()

    class Meta:
        verbose_name_plural = "leaves"
        ordering = ["leaf_index"]

    def __str__(self) -> str:
        return f"leaf {self.leaf_index}"


class Tile(InsertOnly):
    """256 consecutive hashes of one level of the tree, after C2SP tlog-tiles; above level 0 also narrower states."""

    level = models.SmallIntegerField()
    index = models.BigIntegerField()
    width = models.SmallIntegerField()
    hashes = models.BinaryField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["level", "index", "width"], name="tile_once"),
            models.CheckConstraint(condition=models.Q(width__range=(1, 256)), name="tile_width"),
        ]

    def __str__(self) -> str:
        return f"tile {self.level}/{self.index} of {self.width}"


class Checkpoint(InsertOnly):
    """The signed statement that the first `size` entries have this root. `note` is the C2SP signed note."""

    size = models.BigIntegerField(primary_key=True)
    root = models.BinaryField()
    note = models.TextField()
    created_at = models.DateTimeField(db_default=DATABASE_CLOCK, editable=False)

    class Meta:
        ordering = ["-size"]
        constraints = [models.CheckConstraint(condition=models.Q(size__gt=0), name="checkpoint_not_empty")]

    def __str__(self) -> str:
        return f"checkpoint of {self.size} entries"
