"""A database with the four roles of a production portal, all its tables filled; and acting as one of the roles."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.db import connection, transaction
from pytest_django import DjangoDbBlocker

from audit import roles, sealer
from governance import decisions, sweeps
from portal.demo.walk import Walk
from tests.factories import import_advisories, osv
from tests.living import fill_a_tile, live
from tests.scene import staged


def names() -> roles.Roles:
    """Return roles of this database alone: roles belong to the server, which parallel test processes share."""
    return roles.Roles.named(f"roles_of_{connection.settings_dict['NAME']}")


def make_roles(prefix: str) -> None:
    """Make the roles as the command does."""
    database = connection.settings_dict["NAME"]
    with connection.cursor() as cursor:
        for statement in roles.statements(roles.Roles.named(prefix), schema="public", database=database):
            cursor.execute(statement)


@contextmanager
def acting_as(role: str) -> Iterator[None]:
    """Have the rights of a role and no others, as after signing in as it."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_user")
        (before,) = cursor.fetchone()
        cursor.execute(f'SET ROLE "{role}"')
        try:
            yield
        finally:
            # An error that a test provokes ends in a savepoint, so the way back is always open.
            cursor.execute(f'SET ROLE "{before}"')


class DividedWalk(Walk):
    """A walk by a portal whose worker may not seal: another process does."""

    def work(self) -> None:
        """Do what is due, each with its own rights."""
        for _ in range(5):
            done = sweeps.answer_checks_due() + decisions.sign_due()
            with acting_as(names().sealer):
                sealer.seal_due()
            if not done:
                return


@pytest.fixture(scope="module")
def lived(
    django_db_setup: None, django_db_blocker: DjangoDbBlocker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Walk]:
    """Live through everything with the rights of the application, seal with those of the sealer."""
    folder = tmp_path_factory.mktemp("roles")
    with django_db_blocker.unblock(), transaction.atomic():
        make_roles(names().owner.removesuffix("_owner"))
        with staged(folder) as walk:
            with acting_as(names().application):
                import_advisories(walk.cast, folder, osv("GHSA-3333-scipy-mild", "scipy", fixed="99.0", severity="LOW"))
                live(DividedWalk(**vars(walk)), folder)
            fill_a_tile(walk)
            connection.check_constraints()
            yield walk
        transaction.set_rollback(True)
