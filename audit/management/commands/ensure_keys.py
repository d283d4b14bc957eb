"""`manage.py ensure_keys`: create the portal's signing keys where they are missing, and print the public ones."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from audit import seal, sealer


class Command(BaseCommand):
    """Create the ledger key and the decision key once, when a portal is set up."""

    help = "Create the ledger key and the decision key under KEYS_DIR where they are missing; print the public keys."

    def handle(self, *args: Any, **options: Any) -> None:
        """Create what is missing and print what others need to verify."""
        seal.ensure_keys()
        for key in sealer.ledger_keys():
            self.stdout.write(f"Ledger key: {key.vkey}")
        decision = seal.decision_key()
        self.stdout.write(f"Decision key {decision.fingerprint}:\n{decision.pem}")
