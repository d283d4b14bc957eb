"""What becomes of decisions when this portal's own keys change, and who is warned before one of them ends.

Keysets and the files of keys live in `audit.keyset` and `audit.rotation`. Keys of others, whose signatures this portal
believes, are another matter: `governance.keys`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.core.exceptions import ImproperlyConfigured
from django.db import transaction
from django.db.models import Max
from django.urls import reverse
from django.utils import timezone

from audit import keyset, log, rotation, seal
from audit.events import Event
from audit.keyset import Document, Purpose
from audit.models import Cosignature, Leaf
from governance import decisions, notices
from governance.models import Decision
from portal.errors import Refused
from registry.models import Seat, User

WARN_DAYS = (30, 7, 1)
LOST = (
    "It was signed with a key that is compromised since {since}, and no witness had cosigned the ledger with it"
    " in before. Submit the version again and have it reviewed: the new decision is signed with the new key."
)


class Ending(NamedTuple):
    """Something about keys that ends: what, when, and what to do before."""

    what: str
    at: datetime
    fix: str


def publish(envelope: Mapping[str, Any], *, actor: User) -> tuple[Document, list[Decision]]:
    """Publish a signed keyset, and revoke what it makes doubtful in the same transaction; return both.

    Raises as `rotation.publish`.
    """
    actor.require("keyset.publish")
    with transaction.atomic():
        document = rotation.publish(envelope, actor=actor)
        return document, [revoked for key in document.of(Purpose.DECISION) for revoked in _end_doubtful(key, actor)]


def _end_doubtful(key: keyset.ListedKey, actor: User) -> Iterator[Decision]:
    """Revoke the unexpired approvals signed by a compromised key that nothing outside proves to be older."""
    if key.compromised_at is None:
        return
    for decision in doubtful(key):
        reason = LOST.format(since=f"{key.compromised_at:%Y-%m-%d %H:%M} UTC")
        yield decisions.revoke(decision, actor=actor, reason=reason, rule="keyset.publish")


def doubtful(key: keyset.ListedKey) -> list[Decision]:
    """Return the approvals in force that a compromised key signed and that are not proved to be older than that.

    Proof is the leaf of the entry about the signature under a checkpoint that a witness cosigned, or that was copied
    outside, before the key was lost.
    """
    if key.compromised_at is None:
        return []
    size = anchored_before(key.compromised_at)
    signed = Decision.objects.filter(verdict="approved", revocation=None, signature__keyid=key.public.fingerprint)
    return [each for each in signed.filter(expires_at__gt=timezone.now()) if not is_anchored(each, size)]


def is_anchored(decision: Decision, size: int) -> bool:
    """Return whether the entry about a decision's signature is one of the first `size` leaves."""
    told = log.entries(kind=Event.DECISION_SIGNED, subject=decision)
    return Leaf.objects.filter(entry__in=told.values("pk"), leaf_index__lt=size).exists()


def anchored_before(at: datetime) -> int:
    """Return how many leaves a witness had cosigned before an instant.

    Cosignatures are added once, with the database's time. Rows about copies change freely, so they prove nothing here.
    """
    seen: int | None = Cosignature.objects.filter(received_at__lt=at).aggregate(size=Max("size"))["size"]
    return seen or 0


def in_use() -> set[str]:
    """Return the key ids of the files that this host signs with; a web host may have no ledger key."""
    found = set()
    with suppress(ImproperlyConfigured):
        found.add(seal.decision_key().fingerprint)
    with suppress(ImproperlyConfigured):
        found.add(seal.public_half(seal.ledger_key()).fingerprint)
    return found


def endings() -> list[Ending]:
    """Return what ends of the newest keyset: the keyset itself, and the keys that sign now; soonest first."""
    document = keyset.newest()
    if document is None:
        return []
    found = [
        Ending(
            f"Keyset {document.version}",
            document.expires_at,
            "Draft the next keyset, have it signed, publish it. Gates that work offline refuse everything after that.",
        )
    ]
    held = in_use()
    for key in document.keys:
        if key.public.fingerprint in held and key.compromised_at is None:
            command = "rotate_ledger_key" if key.purpose == Purpose.LOG else "rotate_decision_key"
            fix = f"Rotate it: manage.py {command}, as docs/operating.md says."
            found.append(Ending(f"The {key.purpose} key {key.public.fingerprint[:12]}…", key.valid_until, fix))
    return sorted(found, key=lambda ending: ending.at)


def fault() -> str:
    """Return the sentence that says why nothing new is believed outside, while the keyset or the decision key ended."""
    document, now = keyset.newest(), timezone.now()
    if document is None:
        return ""
    if document.expires_at <= now:
        return f"Keyset {document.version} expired on {document.expires_at:%Y-%m-%d %H:%M} UTC; publish the next one."
    try:
        keyset.expect_signing(now)
    except Refused as error:
        return str(error)
    except ImproperlyConfigured:
        # This host has no decision key. One that signs says so by itself.
        return ""
    return ""


def warn_due() -> int:
    """Tell administrators of what ends soon, 30, 7 and 1 days before. Returns how many notices are new."""
    now = timezone.now()
    return sum(_warn(ending, now) for ending in endings() if ending.at - now <= timedelta(days=max(WARN_DAYS)))


def _warn(ending: Ending, now: datetime) -> int:
    """Write the nearest warning of one ending, once."""
    days = min(days for days in WARN_DAYS if ending.at - now <= timedelta(days=days))
    people = [seat.user for seat in Seat.objects.filter(role="administrator").select_related("user")]
    verb = "ended" if ending.at <= now else "ends"
    with transaction.atomic():
        return notices.tell(
            notices.Kind.KEY_ENDING,
            cause=f"portal-key:{ending.what}:{ending.at:%Y-%m-%dT%H:%M}:{days}",
            to=people,
            subject=f"{ending.what} {verb} on {ending.at:%Y-%m-%d %H:%M} UTC",
            text=ending.fix,
            url=reverse("audit:keys"),
        )
