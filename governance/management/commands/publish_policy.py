"""Publishes a policy text from the shell, for the first installation and for releases."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from governance import policy
from portal.errors import Invalid, Refused
from registry.models import User


class Command(BaseCommand):
    """Validate a policy text and publish it as the next version; publishing the newest text again changes nothing."""

    help = "Publish a policy text (by default the one that comes with this release)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take the file."""
        parser.add_argument("file", nargs="?", type=Path, default=policy.FOLDER / "default.yaml")
        parser.add_argument("--check", action="store_true", help="only validate the text")

    def handle(self, *args: Any, **options: Any) -> None:
        """Publish, and say what is in force now."""
        try:
            text = options["file"].read_text(encoding="utf-8")
            content = policy.read(text)
            if options["check"]:
                self.stdout.write(f"{options['file']} is a valid policy named {content['name']}.")
                return
            published = policy.publish(text, actor=User.objects.system("setup"))
        except (OSError, UnicodeDecodeError, Invalid, Refused) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{published} is in force, digest {published.digest}.")
