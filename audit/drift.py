"""Drift: governed rows that were changed behind the portal's back, found by comparing them with their own history.

Generic over every governed model. The comparison runs in the database, and only what differs comes back: what, when,
and which entry was the last to tell of the row. Tables that keep no history register a comparison of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.apps import apps
from django.db import connection, models
from django.db.models import Max

from audit.models import Entry, Verification
from audit.models.bases import Governed

LONGEST_VALUE = 60
# What stands in a column of such a name is nobody's to read in a report, the auditors' included.
HIDDEN = ("secret", "password", "token", "url", "address", "email")

# The commit time of the row as it is now is known where the server keeps those; see docs/operating.md.
CHANGED = """
SELECT
    r.{pk}::text, h.history_id IS NULL OR h.history_type = '-', {different}, {now}, {then}, h.recorded_in, {committed}
FROM {table} r LEFT JOIN LATERAL (
    SELECT * FROM {history} WHERE {pk} = r.{pk} ORDER BY history_date DESC, history_id DESC LIMIT 1
) h ON true
WHERE h.history_id IS NULL OR h.history_type = '-' OR ({current}) IS DISTINCT FROM ({newest})
ORDER BY r.{pk} LIMIT %s
"""

GONE = """
SELECT h.{pk}::text, h.recorded_in FROM (
    SELECT DISTINCT ON ({pk}) {pk}, history_type, recorded_in FROM {history}
    ORDER BY {pk}, history_date DESC, history_id DESC
) h WHERE h.history_type <> '-' AND NOT EXISTS (SELECT 1 FROM {table} r WHERE r.{pk} = h.{pk})
ORDER BY h.{pk} LIMIT %s
"""


class Difference(NamedTuple):
    """One column that holds something else than it should, both as texts, cut short and without secrets."""

    column: str
    was: str
    now: str

    def __str__(self) -> str:
        return f"{self.column} is {self.now}, was {self.was}" if self.was or self.now else self.column


@dataclass(frozen=True)
class Drift:
    """One row that is not what the record says: what was done to it, when, and the last entry that tells of it."""

    table: str
    id: str
    what: str
    differences: tuple[Difference, ...] = ()
    at: datetime | None = None
    after: datetime | None = None
    last_entry: str = ""

    @property
    def fields(self) -> tuple[str, ...]:
        """Return the columns that differ."""
        return tuple(difference.column for difference in self.differences)

    def __str__(self) -> str:
        named = f" ({'; '.join(map(str, self.differences))})" if self.differences else ""
        return f"{self.table} {self.id} {self.what}{named}.{self._when()}{self._entry()}"

    def _when(self) -> str:
        """Return when it happened, as exactly as that can be known."""
        if self.at is not None:
            return f" It was committed at {self.at:%Y-%m-%d %H:%M:%S} UTC."
        return f" It happened after {self.after:%Y-%m-%d %H:%M:%S} UTC." if self.after else ""

    def _entry(self) -> str:
        """Return which entry is missing."""
        if self.last_entry:
            return f" No entry tells of it; the last one about this row is {self.last_entry}."
        return " No entry tells of this row at all." if self.at or self.after else ""


Source = Callable[[int], Iterable[Drift]]
_sources: dict[str, Source] = {}


def register(name: str, source: Source) -> None:
    """Look for drift here as well: `source(limit)` yields it. A second registration of a name replaces the first."""
    _sources[name] = source


def governed_models() -> list[type[Governed]]:
    """Return every concrete governed model, by table."""
    found = [model for model in apps.get_models() if issubclass(model, Governed) and not model._meta.proxy]
    return sorted(found, key=lambda model: model._meta.db_table)


def find(limit: int = 1_000) -> Iterator[Drift]:
    """Yield up to `limit` drifted rows for each table: changed, added or deleted without an entry."""
    for model in governed_models():
        yield from find_in(model, limit)
    for _, source in sorted(_sources.items()):
        yield from source(limit)


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
    for key, is_unknown, differs, now, then, event, at in _rows(CHANGED, model, history, shared, limit):
        what = "was changed without an entry: its newest history differs"
        found = tuple(
            difference(column, was, new)
            for column, other, was, new in zip(shared, differs, then, now, strict=True)
            if other and not is_unknown
        )
        if is_unknown:
            what = "was added without an entry: no history knows it"
        yield Drift(table, key, what, found, *when(at, event), last_entry=str(event or ""))
    for key, event in _rows(GONE, model, history, shared, limit):
        what = "was deleted without an entry: its history goes on"
        yield Drift(table, key, what, (), *when(None, event), last_entry=str(event))


def difference(column: str, was: object, now: object) -> Difference:
    """Return what a column holds and should hold, without secrets."""
    if any(word in column for word in HIDDEN):
        return Difference(column, "", "")
    return Difference(column, shortened(was), shortened(now))


def shortened(value: object) -> str:
    """Return a value in quotes, cut where it is long."""
    if value is None:
        return "empty"
    text = " ".join(str(value).split())
    return f"“{text if len(text) <= LONGEST_VALUE else text[:LONGEST_VALUE] + '…'}”"


def when(committed: datetime | None, event: UUID | str | None) -> tuple[datetime | None, datetime | None]:
    """Return when a row was changed, if the server knows, and the latest instant at which it was still right.

    That is the last verification that found nothing, or the last entry about the row, whichever is later.
    """
    sound = Verification.objects.filter(fault_count=0).aggregate(at=Max("started_at"))["at"]
    told = Entry.objects.filter(event_id=event).aggregate(at=Max("recorded_at"))["at"] if event else None
    return committed, max(filter(None, (sound, told)), default=None)


def keeps_commit_times() -> bool:
    """Return whether the server remembers when each transaction was committed."""
    with connection.cursor() as cursor:
        cursor.execute("SHOW track_commit_timestamp")
        return bool(cursor.fetchone() == ("on",))


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
        now=f"ARRAY[{', '.join(f'r.{column}::text' for column in columns)}]",
        then=f"ARRAY[{', '.join(f'h.{column}::text' for column in columns)}]",
        current=", ".join(f"r.{column}" for column in columns),
        newest=", ".join(f"h.{column}" for column in columns),
        committed="pg_xact_commit_timestamp(r.xmin)" if keeps_commit_times() else "NULL::timestamptz",
    )
    with connection.cursor() as cursor:
        cursor.execute(statement, [limit])
        return list(cursor.fetchall())
