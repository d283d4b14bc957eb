"""`manage.py docs`: write the generated pages of `docs/`, or compare them with the code."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from portal import handbook


class Command(BaseCommand):
    """Write the pages, or exit with 1 where a committed page differs."""

    help = "Write docs/lifecycle.md, checks.md, events.md and permissions.md from the code; --check only compares."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the comparison."""
        parser.add_argument("--check", action="store_true", help="write nothing; fail where a page differs")

    def handle(self, *args: Any, **options: Any) -> None:
        """Write or compare."""
        changed = handbook.drifted()
        if options["check"] and changed:
            raise CommandError(f"These pages differ from the code: {', '.join(changed)}. Run `manage.py docs`.")
        for name in changed:
            (handbook.FOLDER / name).write_text(handbook.text_of(name), encoding="utf-8")
            self.stdout.write(f"Wrote docs/{name}.")
