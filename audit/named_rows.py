"""Comparing the rows of the record with the entries that name them, batch by batch in constant memory."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ValidationError
from django.db import connection

from audit import rows, seal
from audit.models.bases import AppendOnly

MOST_ORPHANS = 100

ORPHANS = """
SELECT t.{pk}::text FROM {table} t WHERE NOT EXISTS (SELECT 1 FROM audit_entry e WHERE e.event_id = t.recorded_in)
ORDER BY t.{pk} LIMIT %s
"""


@dataclass(frozen=True)
class Group:
    """Many rows of one table that one entry names together."""

    table: str
    event_id: str
    count: int
    root: str


class NamedRows:
    """What entries say about rows, collected by `expect` and compared with the tables by `flush` and `finish`."""

    def __init__(self, fault: Callable[[str], None]) -> None:
        self.fault = fault
        self.models = rows.recorded_models()
        self.checked = 0
        self._named: Counter[str] = Counter()
        self._single: defaultdict[str, dict[str, tuple[str, str]]] = defaultdict(dict)
        self._groups: list[Group] = []

    def expect(self, event_id: str, names: Iterable[Mapping[str, Any]]) -> None:
        """Keep what one entry says about its rows. Raises KeyError, TypeError or ValueError for what says nothing."""
        for name in names:
            table = str(name["table"])
            if table not in self.models:
                self.fault(f"The entry {event_id} names a row of {table}, a table that is not there.")
                continue
            self._named[table] += rows.count_of(name)
            if "root" in name:
                self._groups.append(Group(table, event_id, int(name["count"]), str(name["root"])))
            elif str(name["id"]) in self._single[table]:
                self.fault(f"The entry {event_id} names {table} {name['id']}, which another entry names already.")
            else:
                self._single[table][str(name["id"])] = (str(name["sha256"]), event_id)

    def flush(self) -> None:
        """Compare what was collected so far with the tables, and forget it."""
        for table, expected in self._single.items():
            self._compare(self.models[table], expected)
        for group in self._groups:
            self._compare_group(group)
        self._single.clear()
        self._groups.clear()

    def _compare(self, model: type[AppendOnly], expected: dict[str, tuple[str, str]]) -> None:
        """Compare single rows of one table."""
        table = model._meta.db_table
        try:
            keys = [model._meta.pk.to_python(key) for key in expected]
        except ValidationError as error:
            self.fault(f"An entry names a row of {table} by a key that cannot be one: {' '.join(error.messages)}")
            return
        found = {str(key): seal.digest(row) for key, row in rows.stored(model, pk__in=keys)}
        self.checked += len(found)
        for key, (sha256, event_id) in expected.items():
            if key not in found:
                self.fault(f"{table} {key} is missing; the entry {event_id} names it.")
            elif found[key] != sha256:
                self.fault(f"{table} {key} is not what the entry {event_id} recorded.")

    def _compare_group(self, group: Group) -> None:
        """Compare the rows of one table that one entry names together."""
        count = 0

        def counted() -> Iterable[bytes]:
            nonlocal count
            for _, row in rows.stored(self.models[group.table], recorded_in=group.event_id):
                count += 1
                yield row

        root = rows.group_root(counted())
        self.checked += count
        if (count, root) != (group.count, group.root):
            self.fault(
                f"The {count} rows of {group.table} under the entry {group.event_id}"
                f" are not the {group.count} rows that it recorded."
            )

    def finish(self) -> None:
        """Find rows of the record that no entry names."""
        self.flush()
        for table, model in self.models.items():
            quote = connection.ops.quote_name
            statement = ORPHANS.format(pk=quote(str(model._meta.pk.column)), table=quote(table))
            with connection.cursor() as cursor:
                cursor.execute(statement, [MOST_ORPHANS])
                orphans = [key for (key,) in cursor.fetchall()]
            for key in orphans:
                self.fault(f"{table} {key} has no entry.")
            surplus = model._base_manager.count() - self._named[table]
            if surplus > len(orphans):
                self.fault(f"{table} holds {surplus} rows more than entries name.")
