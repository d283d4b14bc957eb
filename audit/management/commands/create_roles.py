"""`manage.py create_roles`: make the roles of a production database and give them their rights, or print the SQL."""

from __future__ import annotations

from argparse import ArgumentParser, BooleanOptionalAction
from collections.abc import Iterable
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import ProgrammingError, connection, transaction

from audit import roles, rows
from audit.verifier import LEDGER_TABLES


class Command(BaseCommand):
    """Make owner, application, sealer and verifier, and give each exactly its rights; again after each migration."""

    help = "Make the database roles and give them their rights. Safe to run again; run it after each migrate."
    requires_migrations_checks = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the options."""
        parser.add_argument("--print", action="store_true", help="print the SQL and change nothing")
        parser.add_argument("--prefix", default="countersign", help="what the roles' names begin with")
        parser.add_argument(
            "--guard",
            action=BooleanOptionalAction,
            default=None,
            help="also refuse DDL on the record to the owner (superusers only); --no-guard takes that away again",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Run or print the statements."""
        statements = list(self.statements(options["prefix"], options["guard"]))
        if options["print"]:
            self.stdout.write("BEGIN;\n" + "\n".join(statements) + "\nCOMMIT;")
            return
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                for statement in statements:
                    # One by one, and without parameters, so that a percent sign means itself.
                    cursor.execute(statement)
        except ProgrammingError as error:
            raise CommandError(
                f"Nothing was changed: {error}\nRun this as a superuser, or as a role that may create roles and owns"
                " the database, or hand what --print says to somebody who can."
            ) from error
        names = ", ".join(roles.Roles.named(options["prefix"]))
        self.stdout.write(self.style.SUCCESS(f"{names} have their rights on {len(roles.rights())} tables."))

    def statements(self, prefix: str, guard: bool | None) -> Iterable[str]:
        """Yield everything that is to be run."""
        with connection.cursor() as cursor:
            cursor.execute("SELECT current_schema(), current_database()")
            schema, database = cursor.fetchone()
        yield from roles.statements(roles.Roles.named(prefix), schema=schema, database=database)
        if guard:
            yield from roles.guarding({*LEDGER_TABLES, *rows.recorded_models()}, schema=schema)
        elif guard is False:
            yield from roles.unguarding(schema=schema)
