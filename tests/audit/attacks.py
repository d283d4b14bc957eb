"""A database superuser at work: what every tampering needs to pick, change, drop and copy rows of any table."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from django.db import Error, transaction

# How a value of a type becomes another one.
OTHERWISE = {
    "boolean": "NOT {c}",
    "character varying": "CASE WHEN {c} = '' THEN 'x' WHEN left({c}, 1) = 'x' THEN 'y' || substr({c}, 2)"
    " ELSE 'x' || substr({c}, 2) END",
    "text": "{c} || 'x'",
    "smallint": "{c} + 1",
    "integer": "{c} + 1",
    "bigint": "{c} + 1",
    "numeric": "{c} + 1",
    "timestamp with time zone": "{c} + interval '1 second'",
    "date": "{c} + 1",
    "uuid": "gen_random_uuid()",
    "jsonb": "jsonb_build_object('forged', {c})",
    "bytea": "set_bit({c}, 0, 1 - get_bit({c}, 0))",
}


@dataclass
class Attack:
    """A superuser at work on a ledger of `size` sealed entries, of which somebody kept the checkpoint over `old`."""

    cursor: Any
    dice: random.Random
    size: int
    old: int

    @property
    def index(self) -> int:
        """Return one of the entries that the kept checkpoint covers."""
        return self.dice.randrange(self.old)

    def run(self, statement: str, *values: object) -> list[Any]:
        """Run a statement and return its rows."""
        self.cursor.execute(statement, values)
        return list(self.cursor.fetchall()) if self.cursor.description else []

    def one_of(self, *deeds: Callable[[Attack], object]) -> None:
        """Do one of several things."""
        self.dice.choice(deeds)(self)

    def body_at(self, index: int) -> tuple[int, bytes]:
        """Return (id, body) of the entry at a leaf."""
        [(identifier, body)] = self.run(
            "SELECT e.id, e.body FROM audit_leaf l JOIN audit_entry e ON e.id = l.entry_id WHERE leaf_index = %s", index
        )
        return identifier, bytes(body)

    def value(self, tables: Iterable[str], columns: Callable[[str], set[str]] | None = None) -> None:
        """Change one value of one row of one of the tables, as far as the table's own constraints allow."""
        candidates = [(table, column, kind) for table in tables for column, kind in self.columns(table)]
        candidates = [each for each in candidates if columns is None or each[1] in columns(each[0])]
        for table, column, kind in self.dice.sample(candidates, len(candidates)):
            quoted = f'"{column}"'
            place = self.run(f"SELECT tableoid, ctid FROM {table} WHERE {quoted} IS NOT NULL")
            if not place or kind not in OTHERWISE:
                continue
            try:
                with transaction.atomic():
                    changed = f"UPDATE {table} SET {quoted} = {OTHERWISE[kind].format(c=quoted)}"
                    self.run(f"{changed} WHERE tableoid = %s AND ctid = %s", *self.dice.choice(place))
                    return
            except Error:
                continue
        raise AssertionError("nothing could be changed")

    def columns(self, table: str) -> list[Any]:
        """Return the columns of a table that has rows, with their types."""
        if not self.run(f"SELECT 1 FROM {table} LIMIT 1"):
            return []
        return self.run(
            "SELECT column_name, data_type FROM information_schema.columns WHERE table_schema = current_schema()"
            " AND table_name = %s AND is_generated = 'NEVER' ORDER BY ordinal_position",
            table,
        )

    def drop_a_row(self, *tables: str) -> None:
        """Delete one row of one of the tables."""
        filled = [(table, *place) for table in tables for place in self.run(f"SELECT tableoid, ctid FROM {table}")]
        table, *place = self.dice.choice(filled)
        self.run(f"DELETE FROM {table} WHERE tableoid = %s AND ctid = %s", *place)

    def copy_a_row(self, table: str, **changed: str) -> None:
        """Add a row that is like another one but for some columns."""
        names = [name for name, _ in self.columns(table)]
        picked = ", ".join(changed.get(name, f'"{name}"') for name in names)
        listed = ", ".join(f'"{name}"' for name in names)
        [place] = self.dice.sample(self.run(f"SELECT tableoid, ctid FROM {table}"), 1)
        self.run(
            f"INSERT INTO {table} ({listed}) SELECT {picked} FROM {table} WHERE tableoid = %s AND ctid = %s", *place
        )
