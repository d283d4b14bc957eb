"""`manage.py rotate_ledger_key`: prepare the next ledger key, and with --switch let it take over."""

from __future__ import annotations

from audit import rotation
from audit.keyset import Purpose
from audit.management.key_rotation import RotationCommand
from registry.models import User


class Command(RotationCommand):
    """Rotate the ledger key in two steps, with a keyset between them; the runbook is in docs/operating.md."""

    help = "Prepare the next ledger key; with --switch, after a keyset has named it, let it take over."
    purpose = Purpose.LOG
    named = "ledger"

    def switch(self) -> None:
        """Let it take over."""
        kept = rotation.switch_ledger_key(actor=User.objects.system("keys"))
        self.stdout.write(f"Checkpoints are signed with the new key. Destroy the old one: {kept}")
