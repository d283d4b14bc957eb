"""The readable history of governed rows: django-simple-history, told by the current recording who did what.

It differs from the library in what cannot happen: a save without a recording, a history row that says something else
than the row in the database, a history that runs backwards, and any of the library's ways around itself.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import models
from django.db.models import Max, OuterRef, Subquery
from django.utils import timezone
from simple_history.manager import HistoricalQuerySet
from simple_history.models import HistoricalRecords

from audit.identifiers import uuid7
from audit.models.bases import AppendOnly, AppendOnlyQuerySet
from audit.recording import require


class HistoryRow(AppendOnly):
    """The base of all history tables: added inside a recording, named by its entry, never changed."""

    class Meta:
        abstract = True


class HistoryQuerySet(AppendOnlyQuerySet[Any], HistoricalQuerySet):
    """The library's queries over a history that cannot be updated or deleted."""


class History(HistoricalRecords):
    """`history = History()` on a Governed model keeps every state of its rows."""

    def __init__(self, **options: Any) -> None:
        if options.get("m2m_fields") or options.get("cascade_delete_history"):
            raise TypeError("Govern the rows of the relation by themselves, and keep the history of deleted rows.")
        defaults: dict[str, Any] = {
            "bases": (HistoryRow,),
            "history_id_field": models.UUIDField(default=uuid7, editable=False),
            "user_model": settings.AUTH_USER_MODEL,
            "user_db_constraint": False,
            "historical_queryset": HistoryQuerySet,
        }
        super().__init__(**{**defaults, **options})

    def add_extra_methods(self, cls: type[models.Model]) -> None:
        """Leave out the library's `save_without_historical_record`."""

    def fields_included(self, model: type[models.Model]) -> list[models.Field[Any, Any]]:
        """Return the fields that the history keeps: all but the excluded and the unrecorded ones."""
        unrecorded: frozenset[str] = getattr(model, "unrecorded_fields", frozenset())
        return [field for field in super().fields_included(model) if field.name not in unrecorded]

    def post_save(self, instance: models.Model, created: bool, using: str | None = None, **kwargs: Any) -> None:
        """Add a history row after every save, whatever the library's switches say."""
        fields = kwargs.get("update_fields")
        if fields and set(fields) <= getattr(instance, "unrecorded_fields", frozenset()):
            return
        self.create_historical_record(instance, "+" if created else "~", using=using)

    def pre_delete(self, instance: models.Model, **kwargs: Any) -> None:
        """Keep the row as the database holds it, because it is gone when its last history row is made."""
        instance._row_before_delete = self._stored(instance)  # type: ignore[attr-defined]

    def post_delete(self, instance: models.Model, using: str | None = None, **kwargs: Any) -> None:
        """Add the last history row of a deleted row."""
        self.create_historical_record(instance, "-", using=using)

    def create_historical_record(self, instance: models.Model, history_type: str, using: str | None = None) -> None:
        """Add one history row that copies the stored row, told by the current recording."""
        recording = require(f"Changing {instance._meta.label}")
        stored: Any = getattr(instance, "_row_before_delete", None) if history_type == "-" else self._stored(instance)
        actor = recording.actor
        stored._history_user = actor if isinstance(actor, get_user_model()) else None
        stored._change_reason = recording.event.value
        stored._history_date = self._after(stored.newest_history)
        super().create_historical_record(stored, history_type, using=using)

    def _stored(self, instance: models.Model) -> models.Model:
        """Return the row as the database holds it now, with the time of its newest history row."""
        model = type(instance)
        rows = getattr(model, self.manager_name).model._base_manager
        own = rows.filter(**{model._meta.pk.attname: OuterRef("pk")}).order_by().values(model._meta.pk.attname)
        newest = Subquery(own.annotate(newest=Max("history_date")).values("newest"))
        return model._base_manager.annotate(newest_history=newest).get(pk=instance.pk)

    def _after(self, newest: datetime | None) -> datetime:
        """Return the time now, or just after the newest history row where another host's clock is ahead."""
        now = timezone.now()
        return now if newest is None or newest < now else newest + timedelta(microseconds=1)
