"""Publishes the first version of a policy from the shell. Changes take two people, in the portal or through its API."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from governance import policy
from portal.errors import Invalid, Refused
from registry.models import User


class Command(BaseCommand):
    """Validate a policy text and publish it where no version of its name is there; the newest again changes nothing."""

    help = "Publish the first version of a policy (by default the one that comes with this release)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take the file."""
        parser.add_argument("file", nargs="?", type=Path, help="a policy text; left out, the shipped one")
        parser.add_argument("--check", action="store_true", help="only validate the text")

    def handle(self, *args: Any, **options: Any) -> None:
        """Publish, and say what is in force now."""
        try:
            text = options["file"].read_text(encoding="utf-8") if options["file"] else policy.shipped()
            content = policy.read(text)
            if options["check"]:
                self.stdout.write(f"{options['file'] or 'The shipped text'} is a valid policy named {content['name']}.")
                return
            setup = User.objects.system("setup")
            # An upgrade runs this too: another shipped text changes nothing by itself.
            published = policy.install(text, actor=setup) if options["file"] else policy.install_shipped(actor=setup)
        except (OSError, UnicodeDecodeError, Invalid, Refused) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{published} is in force, digest {published.digest}.")
        if published.content != content:
            self.stdout.write("This release ships another text: propose it on the page of policies, if you want it.")
