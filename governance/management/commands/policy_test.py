"""manage.py policy_test: reads policy texts and runs their own test cases, as publishing does. Asks no database."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand

from governance import cases, policy
from portal.errors import Invalid


class Command(BaseCommand):
    """Run the cases of each text, and exit with 1 unless all of them could be published."""

    help = "Run the test cases that policy texts carry, and try whether they notice small changes. Needs no database."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take the files."""
        parser.add_argument("file", nargs="+", type=Path)

    def handle(self, *args: Any, **options: Any) -> None:
        """Print what came of every file."""
        answers = [self.try_file(path) for path in options["file"]]
        if not all(answers):
            sys.exit(1)

    def try_file(self, path: Path) -> bool:
        """Print what came of one file, and return whether it could be published."""
        try:
            content = policy.read(path.read_bytes().decode("utf-8", "surrogateescape"))
        except (OSError, Invalid) as error:
            self.stdout.write(f"{path}: refused")
            for line in error.faults if isinstance(error, Invalid) else [error]:
                self.stdout.write(f"  {line}")
            return False
        report = cases.run(content)
        self.stdout.write(f"{path}: {'green' if report.is_green else 'not green'} (policy {content['name']})")
        for sentence in report.sentences:
            self.stdout.write(f"  {sentence}")
        return report.is_green
