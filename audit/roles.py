"""The four roles of a production database, and what each may do with each table: derived from the models, as SQL.

The statements are made here and run by `manage.py create_roles`. What even the owner of the tables cannot do is said
by the triggers of `audit.immutability`. Why the roles are as they are: docs/decisions/0017-database-roles.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from django.apps import apps
from django.db import connection, models

from audit.models import Checkpoint, CheckpointCopy, Cosignature, Entry, InsertOnly, Keyset, Leaf, Pending, Tile

OURS = frozenset({"registry", "governance", "audit"})
# Filled by `migrate` and only read afterwards.
FIXED = ("django_migrations", "django_content_type", "auth_permission")
# Filled in by the database: who acts can neither choose a place in storage nor put another time or user.
GIVEN_BY_DATABASE = frozenset({"id", "recorded_at", "db_user"})
READ, ADD = "SELECT", "INSERT"
EVERYTHING = (READ, ADD, "UPDATE", "DELETE")
# Rows that verbs lock before they add what answers them: a decision its signature, an allowance its revocation.
LOCKED = frozenset({"governance_decision", "governance_allowedglobal", "governance_finding", "governance_policy"})


class Roles(NamedTuple):
    """The names of the roles in the cluster. Portals that share a cluster have prefixes of their own."""

    owner: str
    application: str
    sealer: str
    verifier: str

    @classmethod
    def named(cls, prefix: str) -> Roles:
        """Return the roles of a prefix."""
        return cls(*(f"{prefix}_{role}" for role in cls._fields))


@dataclass(frozen=True)
class Rights:
    """What each role but the owner may do with one table; `ADD` may be narrowed to `columns`.

    `lockable` is the column on which the application has UPDATE, because SELECT … FOR UPDATE asks for that. The
    triggers refuse every UPDATE of an append-only table all the same.
    """

    application: tuple[str, ...] = ()
    sealer: tuple[str, ...] = ()
    verifier: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    lockable: str = ""


def rights() -> dict[str, Rights]:
    """Return THE table of rights, by table. What is in the database and not in here is the owner's alone."""
    found = {table: Rights(application=(READ,), verifier=(READ,)) for table in FIXED}
    for model in apps.get_models(include_auto_created=True):
        if model._meta.managed and not model._meta.proxy and model._meta.db_table not in found:
            found[model._meta.db_table] = rights_of(model)
    return dict(sorted(found.items()))


def rights_of(model: type[models.Model]) -> Rights:
    """Return who may do what with the table of one model."""
    table = model._meta.db_table
    if model in LEDGER:
        return LEDGER[model]
    if issubclass(model, InsertOnly):
        return Rights((READ, ADD), (), (READ,), lockable=str(model._meta.pk.column) if table in LOCKED else "")
    # Sessions and second factors are no part of the record, and nobody verifies them.
    return Rights(EVERYTHING, (), (READ,) if model._meta.app_label in OURS else ())


def written(model: type[models.Model]) -> tuple[str, ...]:
    """Return the columns of a table that the database does not fill in by itself."""
    return tuple(str(field.column) for field in model._meta.concrete_fields if field.column not in GIVEN_BY_DATABASE)


TREE = Rights((READ,), (READ, ADD), (READ,))
LEDGER: Mapping[type[models.Model], Rights] = {
    Entry: Rights((READ, ADD), (READ,), (READ,), columns=written(Entry)),
    Pending: Rights((READ,), (READ, "DELETE"), (READ,)),
    Leaf: TREE,
    Tile: TREE,
    Checkpoint: TREE,
    Cosignature: Rights((READ, ADD), (READ, ADD), (READ,)),
    Keyset: Rights((READ, ADD), (READ,), (READ,)),
    CheckpointCopy: Rights(EVERYTHING, EVERYTHING, (READ,)),
}


def may_seal() -> bool:
    """Return whether whoever is connected now may put entries into the tree, as the sealer may."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT has_table_privilege('audit_leaf', 'INSERT')")
        return bool(cursor.fetchone()[0])


def excess() -> str:
    """Return what whoever is connected now is beyond what the application needs to be; empty when nothing.

    A superuser or a member of the owner of the tables can take away the triggers that keep the record as it is.
    """
    with connection.cursor() as cursor:
        cursor.execute(EXCESS)
        found = cursor.fetchone()
    if found is None:
        return ""
    is_superuser, is_owner = found
    if is_superuser:
        return "a superuser"
    return "the owner of the tables" if is_owner else ""


def statements(roles: Roles, *, schema: str, database: str) -> Iterator[str]:
    """Yield the statements that make the roles and give them exactly their rights, whatever they had before.

    To be run in one transaction, by a superuser or by a role that may create roles and owns the database and what is
    in it. They can be run again at any time; a table that a migration has added is nobody's until they are. Passwords
    are not theirs to set.
    """
    yield from making(roles)
    yield from owning(roles, quoted(schema), quoted(database))
    others = ", ".join(map(quoted, roles[1:]))
    for kind in ("TABLES", "SEQUENCES", "FUNCTIONS"):
        yield f"REVOKE ALL ON ALL {kind} IN SCHEMA {quoted(schema)} FROM PUBLIC, {others};"
    for table, given in rights().items():
        yield from granting(roles, f"{quoted(schema)}.{quoted(table)}", given)
    yield CALLABLE.format(schema=literal(schema), application=quoted(roles.application))


def making(roles: Roles) -> Iterator[str]:
    """Yield what makes the roles where they are missing. The owner cannot sign in: it is taken on by SET ROLE."""
    for role in roles:
        yield MAKE.format(role=quoted(role), login="NOLOGIN" if role == roles.owner else "LOGIN")


def owning(roles: Roles, schema: str, database: str) -> Iterator[str]:
    """Yield what gives schema, tables and functions to the owner, and takes from all others the right to add any."""
    owner, others = quoted(roles.owner), ", ".join(map(quoted, roles[1:]))
    yield MEMBER.format(owner=owner, name=literal(roles.owner), database=database)
    yield f"REVOKE ALL ON DATABASE {database} FROM PUBLIC, {others};"
    yield f"GRANT CONNECT ON DATABASE {database} TO {owner}, {others};"
    yield f"ALTER SCHEMA {schema} OWNER TO {owner};"
    yield f"REVOKE ALL ON SCHEMA {schema} FROM PUBLIC, {others};"
    yield f"GRANT USAGE ON SCHEMA {schema} TO {others};"
    yield OWN.format(schema=literal(schema.strip('"').replace('""', '"')), owner=owner, name=literal(roles.owner))


def granting(roles: Roles, table: str, given: Rights) -> Iterator[str]:
    """Yield the grants on one table."""
    for role, allowed in zip(roles[1:], (given.application, given.sealer, given.verifier), strict=True):
        if allowed:
            yield f"GRANT {', '.join(narrowed(right, given) for right in allowed)} ON {table} TO {quoted(role)};"
    if given.lockable:
        yield f"GRANT UPDATE ({quoted(given.lockable)}) ON {table} TO {quoted(roles.application)};"


def narrowed(right: str, given: Rights) -> str:
    """Return a right as GRANT names it, with the columns that it is limited to."""
    return f"{right} ({', '.join(map(quoted, given.columns))})" if right == ADD and given.columns else right


def guarding(tables: Iterable[str], *, schema: str) -> Iterator[str]:
    """Yield the event triggers that refuse DDL on the record's tables to whoever is no superuser, the owner included.

    Only a superuser can make them, and only a superuser runs a migration of the record's tables while they stand.
    """
    names = ", ".join(map(literal, sorted(tables)))
    yield GUARD.format(schema=quoted(schema), names=names, text=literal(schema))
    for event, function in GUARDS.items():
        yield f"DROP EVENT TRIGGER IF EXISTS {function};"
        yield f"CREATE EVENT TRIGGER {function} ON {event} EXECUTE FUNCTION {quoted(schema)}.{function}();"
        yield f"ALTER EVENT TRIGGER {function} ENABLE ALWAYS;"


def unguarding(*, schema: str) -> Iterator[str]:
    """Yield what takes the event triggers away again."""
    for function in GUARDS.values():
        yield f"DROP EVENT TRIGGER IF EXISTS {function};"
        yield f"DROP FUNCTION IF EXISTS {quoted(schema)}.{function}();"
    yield f"DROP FUNCTION IF EXISTS {quoted(schema)}.audit_guarded(oid);"


def quoted(name: str) -> str:
    """Return a name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Return a text as an SQL string."""
    return "'" + text.replace("'", "''") + "'"


EXCESS = """
SELECT r.rolsuper, pg_has_role(r.oid, c.relowner, 'MEMBER') FROM pg_roles r, pg_class c
WHERE r.rolname = current_user AND c.oid = to_regclass('audit_entry')"""

MAKE = """
DO $$ BEGIN CREATE ROLE {role} {login}; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$;
ALTER ROLE {role} {login};"""

# Whoever is no superuser can only give things to a role that they are in and that could have made them.
MEMBER = """
DO $$ BEGIN
    IF NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
        EXECUTE 'GRANT {owner} TO CURRENT_USER';
        EXECUTE 'GRANT CREATE ON DATABASE {database} TO {owner}';
    END IF;
END $$;"""

# Partitions too, which no statement about their parent would reach. What belongs to a column or an extension follows.
OWN = """
DO $own$
DECLARE
    found record;
BEGIN
    FOR found IN
        SELECT c.oid::regclass::text AS name, CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END AS kind
        FROM pg_class c
        WHERE c.relnamespace = {schema}::regnamespace AND c.relkind IN ('r', 'p', 'S')
        AND pg_get_userbyid(c.relowner) <> {name}
        AND NOT EXISTS (
            SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
            AND (d.deptype = 'e' OR c.relkind = 'S' AND d.deptype IN ('a', 'i'))
        )
    LOOP
        EXECUTE format('ALTER %s %s OWNER TO {owner}', found.kind, found.name);
    END LOOP;
    FOR found IN
        SELECT p.oid::regprocedure::text AS name FROM pg_proc p
        WHERE p.pronamespace = {schema}::regnamespace AND pg_get_userbyid(p.proowner) <> {name}
        AND p.proname LIKE 'audit\\_%' AND p.proname NOT LIKE 'audit\\_guard%'
    LOOP
        EXECUTE format('ALTER FUNCTION %s OWNER TO {owner}', found.name);
    END LOOP;
END
$own$;"""

# What runs with its owner's rights is what the application may call; triggers are called by the tables themselves.
CALLABLE = """
DO $callable$
DECLARE
    found record;
BEGIN
    FOR found IN
        SELECT p.oid::regprocedure::text AS name FROM pg_proc p
        WHERE p.pronamespace = {schema}::regnamespace AND p.prosecdef AND p.proname LIKE 'audit\\_%'
        AND p.prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype)
    LOOP
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO {application}', found.name);
    END LOOP;
END
$callable$;"""

GUARDS: Mapping[str, str] = {"ddl_command_end": "audit_guard_change", "sql_drop": "audit_guard_drop"}

# A table is guarded when it is listed, or a partition of one that is. Partitions are made by functions that run with
# the rights of their owner, so these are given to the superuser who installs the guard.
GUARD = """
CREATE OR REPLACE FUNCTION {schema}.audit_guarded(asked oid) RETURNS boolean LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp AS $guarded$
    -- By its triggers as well: a table that was renamed is still the same.
    SELECT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = asked AND tgname LIKE 'append\\_only\\_%') OR EXISTS (
        SELECT FROM pg_class c WHERE c.relnamespace = {text}::regnamespace AND c.relname IN ({names})
        AND asked IN (SELECT c.oid UNION SELECT inhrelid FROM pg_inherits WHERE inhparent = c.oid)
    )
$guarded$;
DO $makers$
DECLARE
    maker record;
BEGIN
    FOR maker IN
        SELECT p.oid::regprocedure::text AS name FROM pg_proc p
        WHERE p.pronamespace = {text}::regnamespace AND p.prosecdef AND p.proname LIKE 'audit\\_%\\_add\\_day'
    LOOP
        EXECUTE format('ALTER FUNCTION %s OWNER TO CURRENT_USER', maker.name);
    END LOOP;
END
$makers$;
CREATE OR REPLACE FUNCTION {schema}.audit_guard_change() RETURNS event_trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $guard$
DECLARE
    done record;
    concerned oid;
BEGIN
    IF (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN RETURN; END IF;
    FOR done IN SELECT * FROM pg_event_trigger_ddl_commands() LOOP
        concerned := CASE done.classid
            WHEN 'pg_trigger'::regclass THEN (SELECT tgrelid FROM pg_trigger WHERE oid = done.objid)
            WHEN 'pg_rewrite'::regclass THEN (SELECT ev_class FROM pg_rewrite WHERE oid = done.objid)
            WHEN 'pg_policy'::regclass THEN (SELECT polrelid FROM pg_policy WHERE oid = done.objid)
            WHEN 'pg_class'::regclass THEN done.objid
        END;
        IF done.command_tag IN ('GRANT', 'REVOKE', 'ALTER DEFAULT PRIVILEGES')
            OR (concerned IS NOT NULL AND {schema}.audit_guarded(concerned))
            OR done.classid = 'pg_proc'::regclass AND (
                done.object_identity LIKE '%.audit\\_%' OR EXISTS (
                    SELECT FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
                    WHERE t.tgfoid = done.objid AND {schema}.audit_guarded(t.tgrelid)
                )
            ) THEN
            RAISE EXCEPTION '% on % is refused: only a superuser changes how the record is kept.',
                done.command_tag, coalesce(done.object_identity, done.object_type)
                USING ERRCODE = 'insufficient_privilege';
        END IF;
    END LOOP;
END
$guard$;
CREATE OR REPLACE FUNCTION {schema}.audit_guard_drop() RETURNS event_trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $guard$
DECLARE
    gone record;
BEGIN
    IF (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN RETURN; END IF;
    FOR gone IN SELECT * FROM pg_event_trigger_dropped_objects() LOOP
        IF gone.address_names && ARRAY[{names}]
            OR gone.object_type = 'trigger' AND gone.address_names[3] LIKE 'append\\_only\\_%'
            OR gone.object_type = 'function' AND gone.object_name LIKE 'audit\\_%' THEN
            RAISE EXCEPTION 'Dropping % is refused: only a superuser changes how the record is kept.',
                gone.object_identity USING ERRCODE = 'insufficient_privilege';
        END IF;
    END LOOP;
END
$guard$;"""
