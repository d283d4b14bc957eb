"""Every role tries every operation on every table, and gets exactly what it should: the whole table of rights.

What is expected is written down here once more, by hand, and not taken from `audit.roles`. All tables of the record
hold rows, because triggers fire for rows alone; every attempt is undone.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.apps import apps
from django.db import connection

from audit import roles
from audit.models import InsertOnly
from audit.verifier import verify
from portal.demo.walk import Walk
from tests.audit.roles.conftest import acting_as, names

pytestmark = pytest.mark.django_db

TREE = {"audit_leaf", "audit_tile", "audit_checkpoint"}
FIXED = {"django_migrations", "django_content_type", "auth_permission"}
PARTICULAR = {
    "audit_entry": "entry",
    "audit_pending": "pending",
    "audit_cosignature": "outside",
    "audit_keyset": "keyset",
    "audit_checkpointcopy": "copies",
    **dict.fromkeys(TREE, "tree"),
    **dict.fromkeys(FIXED, "fixed"),
}
# S, I, U, D: SELECT, INSERT, UPDATE, DELETE. Nothing else is anybody's but the owner's.
MAY = {
    "application": {
        "entry": "S",
        "pending": "S",
        "tree": "S",
        "outside": "SI",
        "keyset": "SI",
        "copies": "SIUD",
        "fixed": "S",
        "record": "SI",
        "changing": "SIUD",
        "elsewhere": "SIUD",
    },
    "sealer": {"entry": "S", "pending": "SD", "tree": "SI", "outside": "SI", "keyset": "S", "copies": "SIUD"},
    "verifier": dict.fromkeys(
        ("entry", "pending", "tree", "outside", "keyset", "copies", "fixed", "record", "changing"), "S"
    ),
}
DATA = {
    "SELECT": ("S", "SELECT count(*) FROM {table}"),
    "INSERT": ("SI", "INSERT INTO {table} SELECT * FROM {table} LIMIT 1"),
    "UPDATE": ("SU", "UPDATE {table} SET {column} = {column}"),
    "DELETE": ("D", "DELETE FROM {table}"),
    "TRUNCATE": ("-", "TRUNCATE {table} {cascade}"),
    "UPSERT": (
        "SIU",
        (
            "INSERT INTO {table} SELECT * FROM {table} LIMIT 1"
            " ON CONFLICT ({key}) DO UPDATE SET {column} = excluded.{column}"
        ),
    ),
    "MERGE UPDATE": (
        "SU",
        "MERGE INTO {table} t USING (SELECT 1) s ON true WHEN MATCHED THEN UPDATE SET {column} = t.{column}",
    ),
    "MERGE DELETE": ("SD", "MERGE INTO {table} t USING (SELECT 1) s ON true WHEN MATCHED THEN DELETE"),
}
DEFINITION = {
    "DISABLE TRIGGER": "ALTER TABLE {table} DISABLE TRIGGER USER",
    "REWRITE": "ALTER TABLE {table} ALTER COLUMN {column} TYPE text USING 'rewritten'",
    "DROP TABLE": "DROP TABLE {table} CASCADE",
    "CREATE TRIGGER": "CREATE TRIGGER x BEFORE UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION audit_refuse()",
    "CREATE RULE": "CREATE RULE x AS ON UPDATE TO {table} DO INSTEAD NOTHING",
    "RENAME": "ALTER TABLE {table} RENAME TO x",
    "OWN": "ALTER TABLE {table} OWNER TO CURRENT_USER; ALTER TABLE {table} DISABLE TRIGGER USER",
    # A GRANT by somebody who has nothing to give is no error, only without effect.
    "GRANT": (
        "DO $x$ BEGIN GRANT UPDATE ON {table} TO PUBLIC;"
        " IF NOT has_table_privilege('{verifier}', '{table}', 'UPDATE') THEN RAISE insufficient_privilege; END IF;"
        " END $x$"
    ),
}
# Errors that come after the right to try was there: what a constraint says, or that it cannot be done this way.
AFTERWARDS = ("23", "0A000", "42804", "42P16", "2BP01", "55006")
ATTEMPT = """
CREATE FUNCTION attempt(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    said text;
BEGIN
    EXECUTE statement;
    RAISE EXCEPTION 'undone' USING ERRCODE = 'UNDON';
EXCEPTION
    WHEN insufficient_privilege THEN
        GET STACKED DIAGNOSTICS said = MESSAGE_TEXT;
        RETURN CASE WHEN said LIKE '%are append-only%' THEN 'append-only'
            WHEN said LIKE '%only a superuser changes%' THEN 'guarded' ELSE 'no right' END;
    WHEN OTHERS THEN
        RETURN CASE SQLSTATE WHEN 'UNDON' THEN 'done' ELSE SQLSTATE || ' ' || SQLERRM END;
END
$$
"""


def kinds() -> dict[str, str]:
    """Return what kind of table each table of the database is."""
    found = {}
    for model in apps.get_models(include_auto_created=True):
        ours = model._meta.app_label in {"registry", "governance", "audit"}
        changing = "changing" if ours else "elsewhere"
        found[model._meta.db_table] = "record" if issubclass(model, InsertOnly) else changing
    return found | PARTICULAR


KINDS = kinds()
FROZEN = {table for table, kind in KINDS.items() if kind in {"entry", "pending", "tree", "outside", "keyset", "record"}}


def wanted(role: str, table: str, operation: str, *, is_empty: bool) -> str:
    """Return what an attempt to read or change rows has to end in; without rows, no trigger fires for one."""
    kind = KINDS[table]
    if role == "owner":
        goes_away = kind == "pending" and operation in {"DELETE", "MERGE DELETE"}
        changes = operation == "TRUNCATE" or not (operation in {"SELECT", "INSERT"} or goes_away or is_empty)
        return "append-only" if table in FROZEN and changes else "done"
    held = MAY[role].get(kind, "")
    return "done" if set(DATA[operation][0]) <= set(held) else "no right"


@pytest.fixture
def attempts(lived: Walk, db: None) -> None:
    """Have a function that tries a statement, undoes it, and says what came of it."""
    with connection.cursor() as cursor:
        cursor.execute(ATTEMPT)
        cursor.execute("GRANT EXECUTE ON FUNCTION attempt TO PUBLIC")


def facts_of(table: str) -> dict[str, str]:
    """Return what statements about a table need to know."""
    with connection.cursor() as cursor:
        columns = connection.introspection.get_table_description(cursor, table)
        key = connection.introspection.get_primary_key_columns(cursor, table)
    return {
        "table": table,
        "column": columns[-1].name,
        "key": ", ".join(key or ()),
        "cascade": "CASCADE" if table in FROZEN else "",
        "verifier": names().verifier,
    }


def outcomes(role: str, statements: list[str]) -> list[str]:
    """Try statements as a role, each undone, and return what came of each."""
    with acting_as(role), connection.cursor() as cursor:
        cursor.execute("SELECT attempt(s) FROM unnest(%s::text[]) WITH ORDINALITY t(s, n) ORDER BY n", [statements])
        return [said for (said,) in cursor.fetchall()]


def surprises(role: str, asked: list[tuple[str, str, str, str]]) -> Iterator[str]:
    """Yield the cells that are not what they should be, of (table, operation, statement, wanted)."""
    found = outcomes(role, [statement for _, _, statement, _ in asked])
    for (table, operation, _, should), said in zip(asked, found, strict=True):
        # With the guard, what cannot be done anyway fails before it is asked.
        if said != should and not (said.startswith(AFTERWARDS) and should in {"done", "guarded"}):
            yield f"{operation} {table} as {role}: {said}, not {should}"


def test_every_table_of_the_database_is_in_the_matrix(lived: Walk, db: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')"
            " AND NOT relispartition"
        )
        there = {name for (name,) in cursor.fetchall()}
    assert there == set(KINDS) == set(roles.rights())


def test_every_verb_works_with_the_rights_of_the_application(lived: Walk, db: None) -> None:
    """The fixture has walked them all; what it wrote is there, and a verifier finds nothing wrong with it."""
    with acting_as(names().verifier):
        report = verify()
    assert report.faults == []
    assert report.rows > 100


def test_an_entry_says_itself_neither_when_it_was_recorded_nor_by_whom(lived: Walk, db: None) -> None:
    written = ", ".join(roles.rights()["audit_entry"].columns)
    assert not {"id", "recorded_at", "db_user"} & set(written.split(", "))
    with connection.cursor() as cursor:
        cursor.execute(ATTEMPT)
    copied = f"INSERT INTO audit_entry ({written}{{more}}) SELECT {written}{{more}} FROM audit_entry LIMIT 1"
    tries = [copied.format(more=more) for more in ("", ", recorded_at", ", db_user", ", id")]
    found = outcomes(names().application, tries)
    assert [said.partition(" ")[0] for said in found] == ["23505", "no", "no", "no"]


@pytest.mark.usefixtures("attempts")
@pytest.mark.parametrize("role", roles.Roles._fields)
def test_each_role_reads_and_changes_what_it_should_and_nothing_else(role: str) -> None:
    with connection.cursor() as cursor:
        counted = [f"SELECT '{table}' WHERE NOT EXISTS (SELECT FROM {table})" for table in sorted(FROZEN)]
        cursor.execute(" UNION ".join(counted))
        empty = {table for (table,) in cursor.fetchall()}
    asked = [
        (table, operation, statement.format(**facts), wanted(role, table, operation, is_empty=table in empty))
        for table in sorted(KINDS)
        for facts in [facts_of(table)]
        for operation, (_, statement) in DATA.items()
    ]
    assert list(surprises(getattr(names(), role), asked)) == []


@pytest.mark.usefixtures("attempts")
@pytest.mark.parametrize("role", ["application", "sealer", "verifier"])
def test_nobody_but_the_owner_changes_what_the_tables_are(role: str) -> None:
    asked = [
        (table, operation, statement.format(**facts_of(table)), "no right")
        for table in sorted(KINDS)
        for operation, statement in DEFINITION.items()
    ]
    assert list(surprises(getattr(names(), role), asked)) == []


@pytest.mark.usefixtures("attempts")
@pytest.mark.parametrize("is_guarded", [False, True], ids=["alone", "guarded"])
def test_the_owner_changes_what_the_tables_are_unless_they_are_guarded(is_guarded: bool) -> None:
    guard(is_guarded)
    asked = [
        (table, operation, statement.format(**facts_of(table)), "guarded" if is_guarded else "done")
        for table in sorted(FROZEN)
        for operation, statement in DEFINITION.items()
    ]
    assert list(surprises(names().owner, asked)) == []


def guard(is_on: bool) -> None:
    """Install the event triggers, or do without."""
    with connection.cursor() as cursor:
        for statement in roles.guarding(FROZEN, schema="public") if is_on else ():
            cursor.execute(statement)


ESCAPES = [
    "SET session_replication_role = replica",
    "CREATE TABLE x (y integer)",
    "CREATE SCHEMA x",
    "CREATE TEMPORARY TABLE audit_entry (y integer)",
    "CREATE ROLE x",
    "CREATE FUNCTION x() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
    "CREATE OR REPLACE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
    "ALTER FUNCTION audit_refuse() RENAME TO x",
    "DROP FUNCTION audit_refuse() CASCADE",
    "CREATE EVENT TRIGGER x ON ddl_command_end EXECUTE FUNCTION audit_refuse()",
    "COPY audit_entry TO PROGRAM 'true'",
    "DO $x$ BEGIN PERFORM lo_import('/etc/hostname'); END $x$",
]


@pytest.mark.usefixtures("attempts")
@pytest.mark.parametrize("role", ["application", "sealer", "verifier"])
def test_there_is_no_way_around(role: str) -> None:
    asked = [("everything", statement, statement, "no right") for statement in ESCAPES]
    assert list(surprises(getattr(names(), role), asked)) == []


@pytest.mark.usefixtures("attempts")
def test_a_guard_holds_the_functions_too() -> None:
    guard(True)
    owner = names().owner
    held = [statement for statement in ESCAPES if "audit_refuse()" in statement and "EVENT" not in statement]
    assert outcomes(owner, held) == ["guarded"] * 3
    assert outcomes(owner, ["SET session_replication_role = replica", "DROP EVENT TRIGGER audit_guard_drop"]) == (
        ["no right"] * 2
    )
    # What is not of the record goes on being the owner's to migrate.
    assert outcomes(owner, ["CREATE TABLE x (y integer)", "ALTER TABLE registry_user ADD x integer"]) == ["done"] * 2
    with connection.cursor() as cursor:
        for statement in roles.unguarding(schema="public"):
            cursor.execute(statement)
    assert outcomes(owner, held) == ["done"] * 3
