"""Drift: governed rows that were changed behind the portal's back, found by comparing them with their own history.

Generic over every governed model. The comparison runs in the database, and only what differs comes back.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.db import connection, models

from audit.models.bases import Governed

CHANGED = """
SELECT r.{pk}::text, h.history_id IS NULL OR h.history_type = '-', {different}
FROM {table} r LEFT JOIN LATERAL (
    SELECT * FROM {history} WHERE {pk} = r.{pk} ORDER BY history_date DESC, history_id DESC LIMIT 1
) h ON true
WHERE h.history_id IS NULL OR h.history_type = '-' OR ({current}) IS DISTINCT FROM ({newest})
ORDER BY r.{pk} LIMIT %s
"""

GONE = """
SELECT h.{pk}::text FROM (
    SELECT DISTINCT ON ({pk}) {pk}, history_type FROM {history} ORDER BY {pk}, history_date DESC, history_id DESC
) h WHERE h.history_type <> '-' AND NOT EXISTS (SELECT 1 FROM {table} r WHERE r.{pk} = h.{pk})
ORDER BY h.{pk} LIMIT %s
"""


@dataclass(frozen=True)
class Drift:
    """One governed row that is not what its history says. `fields` are the columns that differ."""

    table: str
    id: str
    what: str
    fields: tuple[str, ...] = ()

    def __str__(self) -> str:
        named = f" ({', '.join(self.fields)})" if self.fields else ""
        return f"{self.table} {self.id} {self.what}{named}."


def governed_models() -> list[type[Governed]]:
    """Return every concrete governed model, by table."""
    found = [model for model in apps.get_models() if issubclass(model, Governed) and not model._meta.proxy]
    return sorted(found, key=lambda model: model._meta.db_table)


def find(limit: int = 1_000) -> Iterator[Drift]:
    """Yield up to `limit` drifted rows for each governed table: changed, added or deleted without an entry."""
    for model in governed_models():
        yield from find_in(model, limit)


def find_in(model: type[Governed], limit: int = 1_000) -> Iterator[Drift]:
    """Yield the drifted rows of one governed model."""
    manager_name = getattr(model._meta, "simple_history_manager_attribute", None)
    table = model._meta.db_table
    if manager_name is None:
        yield Drift(table, "(all rows)", "are governed but keep no history")
        return
    history: type[models.Model] = getattr(model, manager_name).model
    kept = {field.column for field in history._meta.concrete_fields}
    shared = [str(field.column) for field in model._meta.concrete_fields if field.column in kept]
    for identifier, unknown, different in _rows(CHANGED, model, history, shared, limit):
        if unknown:
            yield Drift(table, identifier, "was added without an entry: no history knows it")
        else:
            fields = tuple(column for column, differs in zip(shared, different, strict=True) if differs)
            yield Drift(table, identifier, "was changed without an entry: its newest history differs", fields)
    for (identifier,) in _rows(GONE, model, history, shared, limit):
        yield Drift(table, identifier, "was deleted without an entry: its history goes on")


def _rows(
    template: str, model: type[models.Model], history: type[models.Model], shared: list[str], limit: int
) -> list[tuple[Any, ...]]:
    """Return the answer to one comparison of a table with its history table."""
    quote = connection.ops.quote_name
    columns = [quote(column) for column in shared]
    statement = template.format(
        pk=quote(str(model._meta.pk.column)),
        table=quote(model._meta.db_table),
        history=quote(history._meta.db_table),
        different=f"ARRAY[{', '.join(f'r.{column} IS DISTINCT FROM h.{column}' for column in columns)}]",
        current=", ".join(f"r.{column}" for column in columns),
        newest=", ".join(f"h.{column}" for column in columns),
    )
    with connection.cursor() as cursor:
        cursor.execute(statement, [limit])
        return list(cursor.fetchall())
