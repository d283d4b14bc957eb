"""What the commands that rotate one of this portal's keys have in common: two steps, with a keyset between them."""

from __future__ import annotations

from abc import abstractmethod
from argparse import ArgumentParser
from typing import Any, ClassVar

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError

from audit import rotation
from audit.keyset import Purpose
from portal.errors import Invalid, Refused


class RotationCommand(BaseCommand):
    """Prepares the next key of a purpose, or lets it take over; the runbook is in docs/operating.md."""

    purpose: ClassVar[Purpose]
    named: ClassVar[str]

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
        public = rotation.prepare(self.purpose)
        self.stdout.write(f"The next {self.named} key is {public.fingerprint}:\n{public.pem}")
        self.stdout.write("Now `manage.py keyset draft`, have it signed, `manage.py keyset publish`, then --switch.")

    @abstractmethod
    def switch(self) -> None:
        """Let it take over, and say where the old key was put."""
