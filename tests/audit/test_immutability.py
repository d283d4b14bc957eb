"""Append-only tables, refused by the database itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import IntegrityError, ProgrammingError, connection, transaction
from django.db.migrations.writer import MigrationWriter

from audit import merkle, roles
from audit.immutability import ProtectAppendOnly, unprotected
from audit.models import Entry, Leaf, Pending
from audit.rows import recorded_models
from audit.sealer import seal_due
from audit.verifier import LEDGER_TABLES
from registry.models import Team

pytestmark = pytest.mark.django_db

# One column of each table that an attacker would like to change.
APPEND_ONLY = {
    "audit_entry": "kind",
    "audit_leaf": "leaf_hash",
    "audit_tile": "hashes",
    "audit_checkpoint": "note",
    "registry_historicalteam": "name",
}


@pytest.fixture
def ledger(say: Callable[..., Entry], make_team: Callable[[str], Team]) -> None:
    """A ledger with a row in every table."""
    make_team("risk-models")
    say(260)
    seal_due()


def refused(statement: str, *parameters: Any) -> str:
    """Return the sentence with which the database refuses a statement."""
    with pytest.raises(ProgrammingError) as error, transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement, parameters)
    return str(error.value).splitlines()[0]


@pytest.mark.parametrize("role", ["origin", "replica"])
@pytest.mark.usefixtures("ledger")
def test_the_database_refuses_to_change_what_happened(role: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('session_replication_role', %s, true)", [role])
    for table, column in APPEND_ONLY.items():
        for operation, statement in {
            "UPDATE": f"UPDATE {table} SET {column} = {column}",
            "DELETE": f"DELETE FROM {table}",
            "TRUNCATE": f"TRUNCATE {table} CASCADE",
        }.items():
            assert refused(statement) == f"The records in {table} are append-only: {operation} is refused."


@pytest.mark.usefixtures("ledger")
def test_the_database_refuses_an_upsert() -> None:
    entry = Entry.objects.order_by("id")[0]
    columns = ["body", "leaf_hash", "event_id", "kind", "subject_kind", "subject_label", "subject_id", "actor"]
    names = ", ".join([*columns, "occurred_at"])
    assert "append-only" in refused(
        f"INSERT INTO audit_entry ({names}) SELECT {names} FROM audit_entry WHERE id = %s"
        " ON CONFLICT (event_id) DO UPDATE SET kind = 'asset.changed'",
        entry.pk,
    )


def test_what_waits_may_be_taken_away_but_not_changed(say: Callable[..., Entry]) -> None:
    entry = say()
    assert "append-only" in refused("UPDATE audit_pending SET entry_id = entry_id + 1")
    assert "append-only" in refused("TRUNCATE audit_pending")
    assert Pending.objects.filter(entry=entry).delete()[0] == 1


@pytest.mark.parametrize(
    ("body", "leaf_hash"),
    [(b'{"a":1}', merkle.leaf_hash(b'{"a":2}')), (b"{", merkle.leaf_hash(b"{")), (b"", merkle.leaf_hash(b""))],
    ids=["another body's hash", "too short", "empty"],
)
def test_an_entry_carries_the_hash_of_its_body(say: Callable[..., Entry], body: bytes, leaf_hash: bytes) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        Entry(
            body=body,
            leaf_hash=leaf_hash,
            event_id="00000000-0000-0000-0000-000000000001",
            occurred_at="2026-11-23T09:00Z",
        ).save()


@pytest.mark.parametrize("index", [3, 1, 10])
def test_leaves_are_contiguous(say: Callable[..., Entry], index: int) -> None:
    say(2)
    seal_due()
    entry = say()
    with pytest.raises(IntegrityError, match=r"expects leaf 2|duplicate key|do not follow"), transaction.atomic():
        Leaf(leaf_index=index, entry=entry, leaf_hash=bytes(entry.leaf_hash)).save()


def test_a_leaf_carries_the_hash_of_its_entry(say: Callable[..., Entry]) -> None:
    entry = say()
    with pytest.raises(IntegrityError, match="hash of its entry"), transaction.atomic():
        Leaf(leaf_index=0, entry=entry, leaf_hash=bytes(32)).save()
    with pytest.raises(IntegrityError, match="hash of its entry"), transaction.atomic():
        Leaf(leaf_index=0, entry_id=entry.pk + 1, leaf_hash=bytes(entry.leaf_hash)).save()


def test_every_table_of_the_record_is_protected() -> None:
    assert unprotected({*LEDGER_TABLES, *recorded_models()}) == []


def test_a_table_whose_triggers_were_switched_off_is_named() -> None:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE audit_leaf DISABLE TRIGGER append_only_row")
        cursor.execute("ALTER TABLE audit_tile ENABLE TRIGGER append_only_truncate")
        cursor.execute("DROP TRIGGER append_only_row ON audit_entry")
    assert unprotected(LEDGER_TABLES) == ["audit_entry", "audit_leaf", "audit_tile"]
    assert unprotected(["no_such_table"]) == ["no_such_table"]


def test_protection_is_a_reversible_migration() -> None:
    operation = ProtectAppendOnly("cabinet")
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE cabinet (drawer integer)")
    with connection.schema_editor() as editor:
        operation.database_forwards("audit", editor, None, None)
    assert unprotected(["cabinet"]) == []
    with connection.schema_editor() as editor:
        operation.database_backwards("audit", editor, None, None)
    assert unprotected(["cabinet"]) == ["cabinet"]
    assert operation.describe() == "Make append-only: cabinet"


@pytest.mark.parametrize("operation", [ProtectAppendOnly("a", "b"), ProtectAppendOnly("a", deletable=True)])
def test_a_migration_file_can_name_the_operation(operation: ProtectAppendOnly) -> None:
    name, arguments, options = operation.deconstruct()
    again = ProtectAppendOnly(*arguments, **options)
    assert (again.tables, again.deletable) == (operation.tables, operation.deletable)
    assert name == "ProtectAppendOnly"
    assert MigrationWriter.serialize(operation.tables)[0] == repr(operation.tables)


def test_what_runs_with_more_rights_looks_at_temporary_tables_last(db: None) -> None:
    """A temporary table is found before all others unless the path says otherwise, the catalogue's own included."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT proname, proconfig::text FROM pg_proc WHERE prosecdef AND proname LIKE 'audit\\_%%'", [])
        paths = dict(cursor.fetchall())
        cursor.execute("SELECT current_schema()")
        [schema] = cursor.fetchone()
    assert set(paths) == {"audit_enqueue", "audit_servingwindow_add_day"}
    assert all(f"search_path=pg_catalog, {schema}, pg_temp" in path for path in paths.values())
    guards = "".join(roles.guarding(["audit_entry"], schema=schema))
    assert guards.count("SET search_path = pg_catalog, pg_temp AS") == guards.count("search_path") == 3
