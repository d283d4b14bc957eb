"""`manage.py rotate_decision_key`: prepare the next decision key, and with --switch let it take over."""

from __future__ import annotations

from audit import rotation
from audit.keyset import Purpose
from audit.management.key_rotation import RotationCommand
from governance import decisions
from registry.models import User


class Command(RotationCommand):
    """Rotate the decision key in two steps, with a keyset between them; the runbook is in docs/operating.md."""

    help = "Prepare the next decision key; with --switch, after a keyset has named it, let it take over."
    purpose = Purpose.DECISION
    named = "decision"

    def switch(self) -> None:
        """Let it take over."""
        rotation.expect_named(Purpose.DECISION)
        while decisions.sign_due():
            # What was decided before the new key is valid has to be signed with the old one.
            self.stdout.write("Signed what was waiting.")
        kept = rotation.switch_decision_key(actor=User.objects.system("keys"))
        self.stdout.write(f"Decisions are signed with the new key. Destroy the old one: {kept}")
