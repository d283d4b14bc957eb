"""Append-only tables, refused by the database itself: the migration operations and the question whether they hold.

The triggers are ENABLE ALWAYS, so that replication roles do not get around them. Only the owner of a table or a
superuser can remove them; that they are there is part of `audit.verifier`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db import connection
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState

ROW_TRIGGER, TRUNCATE_TRIGGER = "append_only_row", "append_only_truncate"

REFUSAL = """
BEGIN
    RAISE EXCEPTION 'The records in % are append-only: % is refused.', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'insufficient_privilege';
END
"""
REFUSE = f"CREATE OR REPLACE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS $${REFUSAL}$$"

PROTECT = """
CREATE TRIGGER {row} BEFORE {events} ON {table} FOR EACH ROW EXECUTE FUNCTION audit_refuse();
CREATE TRIGGER {truncate} BEFORE TRUNCATE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse();
ALTER TABLE {table} ENABLE ALWAYS TRIGGER {row};
ALTER TABLE {table} ENABLE ALWAYS TRIGGER {truncate};
"""

RELEASE = """
DROP TRIGGER {row} ON {table};
DROP TRIGGER {truncate} ON {table};
"""

LEDGER = """
ALTER TABLE audit_entry ADD CONSTRAINT entry_body_size CHECK (octet_length(body) BETWEEN 2 AND 65535);
ALTER TABLE audit_entry ADD CONSTRAINT entry_leaf_hash CHECK (leaf_hash = sha256('\\x00'::bytea || body));
ALTER TABLE audit_tile ADD CONSTRAINT tile_hashes CHECK (octet_length(hashes) = width * 32);
ALTER TABLE audit_checkpoint ADD CONSTRAINT checkpoint_root CHECK (octet_length(root) = 32);

CREATE FUNCTION audit_enqueue() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    INSERT INTO audit_pending (entry_id) VALUES (NEW.id);
    RETURN NULL;
END
$$;
-- It runs with its owner's rights, so no temporary table of whoever calls it may stand in the queue's place.
DO $$ BEGIN
    EXECUTE format('ALTER FUNCTION audit_enqueue() SET search_path = pg_catalog, %I, pg_temp', current_schema());
END $$;
CREATE TRIGGER enqueue AFTER INSERT ON audit_entry FOR EACH ROW EXECUTE FUNCTION audit_enqueue();

CREATE FUNCTION audit_expect_contiguous() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    low bigint; high bigint; added bigint; expected bigint; wrong bigint;
BEGIN
    SELECT min(leaf_index), max(leaf_index), count(*) INTO low, high, added FROM fresh;
    IF added = 0 THEN RETURN NULL; END IF;
    SELECT coalesce(max(leaf_index) + 1, 0) INTO expected FROM audit_leaf WHERE leaf_index < low;
    IF low <> expected OR high <> low + added - 1
        OR EXISTS (SELECT 1 FROM audit_leaf WHERE leaf_index > high) THEN
        RAISE EXCEPTION 'Leaves % to % do not follow the ledger, which expects leaf %.', low, high, expected
            USING ERRCODE = 'check_violation';
    END IF;
    SELECT min(f.leaf_index) INTO wrong
        FROM fresh f LEFT JOIN audit_entry e ON e.id = f.entry_id WHERE e.leaf_hash IS DISTINCT FROM f.leaf_hash;
    IF wrong IS NOT NULL THEN
        RAISE EXCEPTION 'Leaf % does not carry the hash of its entry.', wrong USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER contiguous AFTER INSERT ON audit_leaf REFERENCING NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION audit_expect_contiguous();
ALTER TABLE audit_leaf ENABLE ALWAYS TRIGGER contiguous;
"""

UNDO_LEDGER = """
DROP TRIGGER contiguous ON audit_leaf;
DROP FUNCTION audit_expect_contiguous();
DROP TRIGGER enqueue ON audit_entry;
DROP FUNCTION audit_enqueue();
ALTER TABLE audit_checkpoint DROP CONSTRAINT checkpoint_root;
ALTER TABLE audit_tile DROP CONSTRAINT tile_hashes;
ALTER TABLE audit_entry DROP CONSTRAINT entry_leaf_hash;
ALTER TABLE audit_entry DROP CONSTRAINT entry_body_size;
"""


class ProtectAppendOnly(Operation):
    """Make tables append-only: UPDATE, DELETE and TRUNCATE are refused. `deletable` allows DELETE, for a queue."""

    reduces_to_sql = True
    reversible = True

    def __init__(self, *tables: str, deletable: bool = False) -> None:
        self.tables = tables
        self.deletable = deletable

    def deconstruct(self) -> tuple[str, list[Any], dict[str, Any]]:
        """Return how a migration file writes this operation."""
        return type(self).__name__, list(self.tables), {"deletable": True} if self.deletable else {}

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        """Change nothing in the models' state."""

    def database_forwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: Any, to_state: Any
    ) -> None:
        """Create the triggers, and the function that they share if it is missing."""
        schema_editor.execute(REFUSE, params=None)
        events = "UPDATE" if self.deletable else "UPDATE OR DELETE"
        self._on_each_table(schema_editor, PROTECT, events=events)

    def database_backwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: Any, to_state: Any
    ) -> None:
        """Drop the triggers."""
        self._on_each_table(schema_editor, RELEASE)

    def _on_each_table(self, schema_editor: BaseDatabaseSchemaEditor, statement: str, **names: str) -> None:
        """Execute a statement for each table."""
        for table in self.tables:
            quoted = schema_editor.quote_name(table)
            filled = statement.format(table=quoted, row=ROW_TRIGGER, truncate=TRUNCATE_TRIGGER, **names)
            schema_editor.execute(filled, params=None)

    def describe(self) -> str:
        """Return what `migrate --plan` prints."""
        return f"Make append-only: {', '.join(self.tables)}"


# The trigger for every row that is to be updated or deleted, that of the queue, whose rows may go, and the one for
# TRUNCATE, by the bits of pg_trigger.tgtype; without a condition, without a list of columns, with our own function.
HOLDING = """
WITH asked AS (
    SELECT c.oid, c.relname FROM pg_class c
    WHERE c.relnamespace = ANY (current_schemas(false)::regnamespace[]) AND c.relname = ANY (%(tables)s)
), concerned AS (
    SELECT oid, relname FROM asked
    UNION SELECT c.oid, c.relname
    FROM asked JOIN pg_inherits i ON i.inhparent = asked.oid JOIN pg_class c ON c.oid = i.inhrelid
)
SELECT concerned.relname, (
    SELECT count(*) FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
    WHERE t.tgrelid = concerned.oid AND t.tgenabled = 'A' AND t.tgqual IS NULL AND t.tgattr = ''
    AND p.proname = 'audit_refuse' AND p.prosrc = %(body)s
    AND (
        t.tgname = %(row)s AND t.tgtype = CASE relname WHEN 'audit_pending' THEN 19 ELSE 27 END
        OR t.tgname = %(truncate)s AND t.tgtype = 34
    )
) = 2 FROM concerned ORDER BY 1
"""


def unprotected(tables: Iterable[str]) -> list[str]:
    """Return those of the tables, and of their partitions, on which the append-only triggers do not hold.

    That is when one is missing, not enabled ALWAYS, or narrowed, and when the function they share says something else.
    """
    wanted = sorted(tables)
    names: dict[str, Any] = {"tables": wanted, "body": REFUSAL, "row": ROW_TRIGGER, "truncate": TRUNCATE_TRIGGER}
    with connection.cursor() as cursor:
        cursor.execute(HOLDING, names)
        holding = dict(cursor.fetchall())
    return sorted(
        {table for table in wanted if table not in holding} | {name for name, holds in holding.items() if not holds}
    )
