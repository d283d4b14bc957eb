"""manage.py scan: judges files and folders. The command itself is governance.scanning.command."""

from __future__ import annotations

import argparse
import sys
from typing import TextIO, cast

from django.core.management.base import BaseCommand

from governance.scanning import command


class Command(BaseCommand):
    """Scan files, and all files in folders, without ever loading one."""

    help = "Judge whether files are safe to load: pass, held, rejected or error, with the reasons. Nothing is loaded."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the command's arguments."""
        command.add_arguments(parser)

    def handle(self, *args: object, **options: object) -> None:
        """Scan every path and print what was found."""
        status = command.run(argparse.Namespace(**options), cast(TextIO, self.stdout))
        if status:
            sys.exit(status)
