"""Opens the first administrator's account, from whom all other accounts come."""

from __future__ import annotations

import getpass
import os
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from audit import rotation
from portal.errors import Invalid, Refused
from registry import people
from registry.models import User


class Command(BaseCommand):
    """Open an administrator's account and make the keys; the password comes from ADMIN_PASSWORD or a prompt."""

    help = "Open an administrator's account, and make the portal's keys where there are none."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take who it is."""
        parser.add_argument("username")
        parser.add_argument("--name", required=True)
        parser.add_argument("--email", required=True)

    def handle(self, *args: Any, **options: Any) -> None:
        """Open the account and give it the administrator's seat."""
        password = os.environ.get("ADMIN_PASSWORD") or getpass.getpass("Password: ")
        setup = User.objects.system("setup")
        try:
            rotation.make_keys()
            account = people.open_account(
                options["username"],
                actor=setup,
                name=options["name"],
                email=options["email"],
                password=password,
                admin=True,
            )
            people.give_seat(account, "administrator", actor=setup)
        except (Invalid, Refused) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{account} can sign in and administer.")
