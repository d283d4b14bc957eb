"""`manage.py ensure_keys`: create the portal's signing keys where they are missing, and print the public ones.

A portal that has signed something and misses a key has lost it, so it says so instead of making another one.
"""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from audit import rotation, seal, sealer
from portal.errors import Refused


class Command(BaseCommand):
    """Create the ledger key and the decision key once, when a portal is set up."""

    help = "Create the ledger key and the decision key under KEYS_DIR where they are missing; print the public keys."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the word that a lost key is to be replaced."""
        parser.add_argument("--replace-lost", action="store_true", help="make another key in place of a lost one")

    def handle(self, *args: Any, **options: Any) -> None:
        """Create what is missing and print what others need to verify."""
        try:
            rotation.make_keys(replace_lost=options["replace_lost"])
        except Refused as error:
            raise CommandError(str(error)) from error
        for key in sealer.ledger_keys():
            self.stdout.write(f"Ledger key: {key.vkey}")
        decision = seal.decision_key()
        self.stdout.write(f"Decision key {decision.fingerprint}:\n{decision.pem}")
