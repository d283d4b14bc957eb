"""A portal's keys as they change: a keyset is published, and another decision key takes over."""

from __future__ import annotations

from audit import rotation
from audit.keyset import Purpose
from governance import revocations
from portal.demo.roots import publish_next
from registry.models import User


def rotate_decision_key() -> None:
    """Walk the runbook of the decision key, and issue a revocation list with the new one."""
    publish_next()
    rotation.prepare(Purpose.DECISION)
    publish_next()
    rotation.switch_decision_key(actor=User.objects.system("keys"))
    revocations.issue_due()
