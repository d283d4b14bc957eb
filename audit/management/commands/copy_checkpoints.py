"""`manage.py copy_checkpoints`: bring checkpoints outside now, and say how every place is."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from audit import copies
from audit.copies.hook import Hook
from portal.errors import Invalid


class Command(BaseCommand):
    """Bring the newest checkpoints to all places at once; the clock does it every minute anyhow."""

    help = "Bring checkpoints to the places of CHECKPOINT_PLACES and WITNESSES now. Exits with 1 when one got none."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the switch that prints secrets."""
        parser.add_argument("--secrets", action="store_true", help="only print the secrets of webhooks, for receivers")

    def handle(self, *args: Any, **options: Any) -> None:
        """Bring what is due, also where a place rests, and print one line for each place."""
        try:
            places = copies.places()
        except Invalid as error:
            raise CommandError(f"The settings cannot be read: {error}") from error
        if options["secrets"]:
            for place in places:
                if isinstance(place, Hook):
                    self.stdout.write(f"{place.words}: {place.secret}")
            return
        brought = copies.copy_due(at_once=True)
        found = copies.standings()
        for each in found:
            got = f"{each.size} entries, {each.at:%Y-%m-%d %H:%M:%S} UTC" if each.at else "nothing yet"
            self.stdout.write(f"{each.words}: {got}. {each.error}".strip())
        self.stdout.write(f"{brought} copies were brought." if found else "No place is configured.")
        if any(each.error for each in found):
            raise CommandError("Not every place got its copy.")
