"""A table partitioned by day: the migration operations that make one, and the making of its days.

The days are made by a function of the database that runs with its owner's rights, so that the application needs no
right to create tables. It makes a day of its one table, with the append-only triggers, and nothing else. There is no
partition for everything else: rows of a day that nobody prepared are refused, not swallowed, and a day can be attached
without a lock that readers and writers would wait for. Docs: `docs/decisions/0021-serving-partitions.md`.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta
from typing import Any

from django.db import connection
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.operations import CreateModel
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState

DAYS_AHEAD = 7
# Far more than anybody keeps, and few enough that a stolen account of the application cannot fill the catalogue.
MOST_DAYS = 10_000

ADD_DAY = """
CREATE FUNCTION {function}(day date) RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, {schema}, pg_temp SET client_min_messages = warning AS $$
DECLARE
    partition text := '{table}_' || to_char(day, 'YYYYMMDD');
BEGIN
    IF day IS NULL OR day NOT BETWEEN date '2000-01-01' AND date '2199-12-31' THEN
        RAISE EXCEPTION 'There are no serving windows on %.', day USING ERRCODE = 'check_violation';
    END IF;
    IF to_regclass(format('%I.%I', '{schema}', partition)) IS NOT NULL THEN RETURN false; END IF;
    -- Two sessions that need the same day wait for each other; the second one finds it made.
    PERFORM pg_advisory_xact_lock(hashtextextended('{table} days', 0));
    IF to_regclass(format('%I.%I', '{schema}', partition)) IS NOT NULL THEN RETURN false; END IF;
    IF (SELECT count(*) FROM pg_inherits WHERE inhparent = '{schema}.{table}'::regclass) >= {most} THEN
        RAISE EXCEPTION '{table} has {most} days already.' USING ERRCODE = 'program_limit_exceeded';
    END IF;
    EXECUTE format('CREATE TABLE %I.%I (LIKE %I.%I INCLUDING ALL)', '{schema}', partition, '{schema}', '{table}');
    -- Attaching waits for no reader and no writer of the other days, which creating it in place would.
    EXECUTE format('ALTER TABLE %I.%I ATTACH PARTITION %I.%I FOR VALUES FROM (%L) TO (%L)', '{schema}', '{table}',
        '{schema}', partition, day::timestamp AT TIME ZONE 'UTC', (day + 1)::timestamp AT TIME ZONE 'UTC');
    -- The trigger for rows comes with the attaching; the one for TRUNCATE does not.
    EXECUTE format('CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON %I.%I FOR EACH STATEMENT'
        ' EXECUTE FUNCTION {schema}.audit_refuse()', '{schema}', partition);
    EXECUTE format('ALTER TABLE %I.%I ENABLE ALWAYS TRIGGER append_only_row', '{schema}', partition);
    EXECUTE format('ALTER TABLE %I.%I ENABLE ALWAYS TRIGGER append_only_truncate', '{schema}', partition);
    RETURN true;
END
$$;
REVOKE ALL ON FUNCTION {function}(date) FROM PUBLIC;
"""
ADD_AHEAD = "SELECT {function}((now() AT TIME ZONE 'UTC')::date + n) FROM generate_series(0, {days}) n"
ADD_THESE = "SELECT {function}(day) FROM unnest(%s::date[]) day ORDER BY day"
DAYS = """
SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = to_regclass(%s) ORDER BY c.relname
"""


class CreatePartitionedModel(CreateModel):
    """Create the table of a model, partitioned by ranges of its column `start`. It has no partition yet."""

    def database_forwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: Any, to_state: Any
    ) -> None:
        """Create the table as Django would, with a partition key."""
        plain = schema_editor.sql_create_table
        schema_editor.sql_create_table = f'{plain} PARTITION BY RANGE ("start")'
        try:
            super().database_forwards(app_label, schema_editor, from_state, to_state)
        finally:
            schema_editor.sql_create_table = plain


class AddDaysByFunction(Operation):
    """Create the function that adds a day to a partitioned append-only table, and the days around today.

    Comes after ProtectAppendOnly, whose triggers every day gets.
    """

    reduces_to_sql = True
    reversible = True

    def __init__(self, table: str) -> None:
        self.table = table

    def deconstruct(self) -> tuple[str, list[Any], dict[str, Any]]:
        """Return how a migration file writes this operation."""
        return type(self).__name__, [self.table], {}

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        """Change nothing in the models' state."""

    def database_forwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: Any, to_state: Any
    ) -> None:
        """Create the function, and the first days by it."""
        with schema_editor.connection.cursor() as cursor:
            cursor.execute("SELECT quote_ident(current_schema())")
            (schema,) = cursor.fetchone()
        names = {"function": function_of(self.table), "table": self.table, "schema": schema, "most": MOST_DAYS}
        schema_editor.execute(ADD_DAY.format(**names), params=None)
        schema_editor.execute(ADD_AHEAD.format(function=names["function"], days=DAYS_AHEAD), params=None)

    def database_backwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: Any, to_state: Any
    ) -> None:
        """Drop the function; the days go with their table."""
        schema_editor.execute(f"DROP FUNCTION {function_of(self.table)}(date)", params=None)

    def describe(self) -> str:
        """Return what `migrate --plan` prints."""
        return f"Let days be added to: {self.table}"


def function_of(table: str) -> str:
    """Return the name of the function that adds a day to a table."""
    return f"{table}_add_day"


def add_days(table: str, days: Iterable[date]) -> int:
    """Make the partitions of some days (UTC) where they are missing. Returns how many were made."""
    wanted = sorted(set(days))
    with connection.cursor() as cursor:
        cursor.execute(ADD_THESE.format(function=function_of(table)), [wanted])
        return sum(made for (made,) in cursor.fetchall())


def add_days_ahead(table: str, today: date) -> int:
    """Make the partitions of today and the next seven days where they are missing. Returns how many were made."""
    return add_days(table, (today + timedelta(days=ahead) for ahead in range(DAYS_AHEAD + 1)))


def days_of(table: str) -> list[str]:
    """Return the names of a table's partitions, the earliest day first."""
    with connection.cursor() as cursor:
        cursor.execute(DAYS, [table])
        return [name for (name,) in cursor.fetchall()]
