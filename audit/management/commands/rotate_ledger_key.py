"""`manage.py rotate_ledger_key`: prepare the next ledger key, and with --switch let it take over."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError

from audit import rotation
from audit.keyset import Purpose
from portal.errors import Invalid, Refused
from registry.models import User


class Command(BaseCommand):
    """Rotate the ledger key in two steps, with a keyset between them; the runbook is in docs/operating.md."""

    help = "Prepare the next ledger key; with --switch, after a keyset has named it, let it take over."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the second step."""
        parser.add_argument("--switch", action="store_true", help="let the prepared key take over")

    def handle(self, *args: Any, **options: Any) -> None:
        """Do one step and say what comes next."""
        try:
            self.switch() if options["switch"] else self.prepare()
        except (Invalid, Refused, ImproperlyConfigured, OSError) as error:
            raise CommandError(str(error)) from error

    def prepare(self) -> None:
        """Make the next key where there is none."""
        public = rotation.prepare(Purpose.LOG)
        self.stdout.write(f"The next ledger key is {public.fingerprint}:\n{public.pem}")
        self.stdout.write("Now `manage.py keyset draft`, have it signed, `manage.py keyset publish`, then --switch.")

    def switch(self) -> None:
        """Let it take over."""
        kept = rotation.switch_ledger_key(actor=User.objects.system("keys"))
        self.stdout.write(f"Checkpoints are signed with the new key. Destroy the old one: {kept}")
