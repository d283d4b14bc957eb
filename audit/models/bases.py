"""The two kinds of tables of the record: governed rows that change with a history, and rows that are only added.

What is checked here is the honest programmer. What holds against everybody else is in the database
(`audit.immutability`) and in the ledger (`audit.verifier`, `audit.drift`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, Self, TypeVar

from django.db import models
from django.db.models.base import ModelBase
from django.db.models.signals import pre_save
from django.dispatch import receiver

from audit.recording import UnrecordedChange, require

Row_co = TypeVar("Row_co", bound=models.Model, covariant=True)


class GovernedQuerySet(models.QuerySet[Row_co]):
    """A query set that refuses what would change rows without their history: update, delete and everything in bulk."""

    def update(self, **kwargs: Any) -> int:
        """Update fields that are outside the record; refuse all others."""
        if set(kwargs) <= getattr(self.model, "unrecorded_fields", frozenset()):
            return super().update(**kwargs)
        raise UnrecordedChange(f"{self.model._meta.label}.objects.update(); change each row with save() instead.")

    def delete(self) -> tuple[int, dict[str, int]]:
        """Refuse."""
        raise UnrecordedChange(f"{self.model._meta.label}.objects.delete(); delete each row by itself instead.")

    def bulk_create(self, objs: Iterable[Any], *args: Any, **kwargs: Any) -> list[Any]:
        """Refuse."""
        raise UnrecordedChange(f"{self.model._meta.label}.objects.bulk_create(); create each row by itself instead.")

    def bulk_update(self, objs: Iterable[Any], *args: Any, **kwargs: Any) -> int:
        """Refuse."""
        raise UnrecordedChange(f"{self.model._meta.label}.objects.bulk_update(); save each row by itself instead.")


class Governed(models.Model):
    """A row that changes only inside a recording, and keeps every state it had in its `history = History()`.

    `unrecorded_fields` names fields that are no part of the record, such as the time of last use: they may be saved
    with `update_fields`, or updated in bulk, without an entry, and the history leaves them out.
    """

    unrecorded_fields: ClassVar[frozenset[str]] = frozenset()

    objects = models.Manager.from_queryset(GovernedQuerySet)()

    class Meta:
        abstract = True
        base_manager_name = "objects"

    def save(
        self,
        *,
        force_insert: bool | tuple[ModelBase, ...] = False,
        force_update: bool = False,
        using: str | None = None,
        update_fields: Iterable[str] | None = None,
    ) -> None:
        """Save inside a recording. Raises UnrecordedChange outside of one."""
        named = None if update_fields is None else list(update_fields)
        if not named or not set(named) <= self.unrecorded_fields:
            require(f"Saving {self._meta.label}")
        super().save(force_insert=force_insert, force_update=force_update, using=using, update_fields=named)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        """Delete inside a recording. Raises UnrecordedChange outside of one."""
        require(f"Deleting {self._meta.label}")
        return super().delete(*args, **kwargs)


class InsertOnlyQuerySet(models.QuerySet[Row_co]):
    """A query set that refuses update and delete. The database refuses them too; this says so earlier."""

    def update(self, **kwargs: Any) -> int:
        """Refuse."""
        raise UnrecordedChange(f"{self.model._meta.label} rows are append-only and cannot be updated.")

    def delete(self) -> tuple[int, dict[str, int]]:
        """Refuse."""
        raise UnrecordedChange(f"{self.model._meta.label} rows are append-only and cannot be deleted.")

    def bulk_update(self, objs: Iterable[Any], *args: Any, **kwargs: Any) -> int:
        """Refuse."""
        return self.update()


class InsertOnly(models.Model):
    """A row that is inserted once. The base of the ledger's own tables, which are written by the ledger alone."""

    objects = models.Manager.from_queryset(InsertOnlyQuerySet)()

    class Meta:
        abstract = True
        base_manager_name = "objects"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Insert the row. Raises UnrecordedChange for a row that is stored already."""
        if not self._state.adding:
            raise UnrecordedChange(f"{self._meta.label} {self.pk} is append-only and cannot be saved again.")
        super().save(*args, **{**kwargs, "force_insert": True})

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        """Refuse."""
        raise UnrecordedChange(f"{self._meta.label} {self.pk} is append-only and cannot be deleted.")


class AppendOnlyQuerySet(InsertOnlyQuerySet[Row_co]):
    """A query set of recorded rows: inserting in bulk is allowed inside a recording."""

    def bulk_create(self, objs: Iterable[Any], *args: Any, **kwargs: Any) -> list[Any]:
        """Insert many rows inside a recording. Raises UnrecordedChange outside of one, and for upserts."""
        if kwargs.get("update_conflicts"):
            self.update()
        rows = list(objs)
        for row in rows:
            row.join_recording()
        return super().bulk_create(rows, *args, **kwargs)


class AppendOnly(InsertOnly):
    """A row that is inserted once, inside a recording, whose entry names the row by its hash."""

    recorded_in = models.UUIDField(
        editable=False, db_index=True, help_text="The event id of the ledger entry that names this row."
    )

    objects = models.Manager.from_queryset(AppendOnlyQuerySet)()  # type: ignore[misc]  # narrower than the base's

    class Meta:
        abstract = True
        base_manager_name = "objects"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Insert the row inside a recording. Raises UnrecordedChange outside of one, and for a stored row."""
        if self._state.adding:
            self.join_recording()
        super().save(*args, **kwargs)

    def join_recording(self) -> Self:
        """Make this row one that the current recording will name. Raises UnrecordedChange when there is none."""
        recording = require(f"Adding {self._meta.label}")
        self.recorded_in = recording.event_id
        recording.models.add(type(self))
        return self


@receiver(pre_save)
def refuse_fixtures(sender: type[models.Model], raw: bool = False, **kwargs: Any) -> None:
    """Refuse `loaddata` and other raw saves, which call no save() of ours and would commit before anybody looked."""
    if raw and issubclass(sender, Governed | InsertOnly):
        raise UnrecordedChange(f"Loading {sender._meta.label} from a fixture; walk the verbs instead.")
