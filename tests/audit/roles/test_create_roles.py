"""`manage.py create_roles`: the roles are made, again and again, or printed for somebody who may make them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, transaction
from pytest_django import Settings

from audit import roles
from portal import startup
from tests.audit.roles.conftest import acting_as

pytestmark = pytest.mark.django_db
PREFIX = "made_by_command"
MADE = roles.Roles.named(PREFIX)


def create_roles(*options: str) -> str:
    """Run the command and return what it says."""
    said = StringIO()
    call_command("create_roles", *options, prefix=PREFIX, stdout=said)
    return said.getvalue()


def ask(question: str, *parameters: object) -> list[tuple[object, ...]]:
    """Return the database's answer."""
    with connection.cursor() as cursor:
        cursor.execute(question, parameters)
        return list(cursor.fetchall())


@pytest.fixture
def signed_in(db: None) -> Iterator[None]:
    """Be signed in as the application itself, not as somebody who could become anybody."""
    create_roles()
    with connection.cursor() as cursor:
        cursor.execute(f"SET SESSION AUTHORIZATION {MADE.application}")
        yield
        cursor.execute("RESET SESSION AUTHORIZATION")


def grants() -> list[tuple[object, ...]]:
    """Return who owns what and who has which rights on it."""
    tables = "SELECT relname, pg_get_userbyid(relowner), relacl::text FROM pg_class"
    return ask(f"{tables} WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') ORDER BY 1")


def test_connecting_as_more_than_the_application_is_warned_of_with_what_to_do(settings: Settings) -> None:
    def warned() -> list[str]:
        return [f"{each.id} {each.msg} {each.hint}" for each in startup.check_role(None, databases=["default"])]

    create_roles()
    settings.DEMO = settings.DEBUG = False
    for role, word in (("", "a superuser"), (MADE.owner, "the owner of the tables")):
        with acting_as(role) if role else nullcontext():
            (said,) = warned()
        assert said.startswith(f"portal.W011 The portal connects as {word}")
        assert "manage.py create_roles" in said
        assert "docs/operating.md" in said
    for role in (MADE.application, MADE.sealer, MADE.verifier):
        with acting_as(role):
            assert warned() == []
    assert startup.check_role(None) == []
    settings.DEMO = True
    assert warned() == []


def test_running_it_again_changes_nothing() -> None:
    assert "have their rights on" in create_roles()
    before = grants()
    assert {owner for _, owner, _ in before} == {MADE.owner}
    create_roles()
    assert grants() == before


def test_it_takes_away_what_somebody_added() -> None:
    create_roles()
    before = grants()
    with connection.cursor() as cursor:
        cursor.execute(f"GRANT UPDATE, TRUNCATE ON audit_entry TO {MADE.application}, PUBLIC")
    assert grants() != before
    create_roles()
    assert grants() == before


def test_only_the_owner_cannot_sign_in_and_nobody_is_more_than_a_role() -> None:
    create_roles()
    found = ask(
        "SELECT rolname, rolcanlogin, rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls"
        " FROM pg_roles WHERE rolname = ANY (%s)",
        list(MADE),
    )
    assert {name: (can, more) for name, can, more in found} == {name: (name != MADE.owner, False) for name in MADE}


def test_printing_changes_nothing() -> None:
    said = create_roles("--print")
    assert said.startswith("BEGIN;")
    assert f'GRANT SELECT, DELETE ON "public"."audit_pending" TO "{MADE.sealer}";' in said
    assert "PASSWORD" not in said
    assert ask("SELECT count(*) FROM pg_roles WHERE rolname = ANY (%s)", list(MADE)) == [(0,)]


def test_the_guard_comes_and_goes() -> None:
    count = "SELECT count(*) FROM pg_event_trigger WHERE evtname LIKE 'audit_guard%%' AND evtenabled = 'A'"
    create_roles("--guard")
    assert ask(count) == [(2,)]
    create_roles()
    assert ask(count) == [(2,)]
    create_roles("--no-guard")
    assert ask(count) == [(0,)]


def test_days_of_serving_windows_are_made_by_the_application_with_and_without_the_guard() -> None:
    for day, options in {"2031-01-01": (), "2031-01-02": ("--guard",)}.items():
        create_roles(*options)
        with acting_as(MADE.application):
            assert ask("SELECT audit_servingwindow_add_day(%s::date)", day) == [(True,)]
        refused = ("DROP TABLE {}", "ALTER TABLE {} DISABLE TRIGGER USER", "TRUNCATE {}", "SELECT FROM {}")
        for statement in refused:
            said = pytest.raises(DatabaseError, match=r"permission denied|must be owner")
            with acting_as(MADE.application), said, transaction.atomic():
                ask(statement.format("audit_servingwindow_" + day.replace("-", "")))


def test_whoever_may_not_make_roles_is_told_and_nothing_is_changed() -> None:
    create_roles()
    with pytest.raises(CommandError, match="Nothing was changed"), transaction.atomic(), acting_as(MADE.application):
        create_roles()


@pytest.mark.usefixtures("signed_in")
@pytest.mark.parametrize("statement", ["SET ROLE countersign", f"SET ROLE {MADE.owner}", f"SET ROLE {MADE.sealer}"])
def test_the_application_becomes_nobody_else(statement: str) -> None:
    with pytest.raises(DatabaseError, match="permission denied"), transaction.atomic():
        ask(statement)


@pytest.mark.usefixtures("signed_in")
def test_the_application_knows_that_it_may_not_seal() -> None:
    assert not roles.may_seal()
