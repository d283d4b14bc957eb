"""What happened, as the timeline partial prints it: entries of the ledger with names and icons."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.urls import reverse

from audit.models import Entry
from audit.reports.names import names_of
from governance.permissions import may
from registry.models import User

# the beginning of an event's name: (icon, tone)
LOOKS = {
    "review.given": ("person", "accent"),
    "submission.opened": ("upload", "info"),
    "submission.closed": ("lock", "neutral"),
    "decision.made": ("decision", "accent"),
    "decision.signed": ("key", "ok"),
    "decision.revoked": ("fail", "bad"),
    "evidence.": ("evidence", "info"),
    "check.": ("policy", "neutral"),
    "waiver.": ("waiver", "warn"),
    "finding.": ("findings", "warn"),
    "version.promoted": ("serving", "ok"),
    "version.rolled_back": ("rollback", "warn"),
    "version.": ("next", "neutral"),
    "consumer.": ("link", "neutral"),
}


def events(entries: Iterable[Entry], reader: User) -> list[dict[str, Any]]:
    """Return entries as events in the given order; only who may read the ledger gets the links into it."""
    rows = list(entries)
    names = names_of(row.actor for row in rows)
    links = may(reader, "ledger.read")
    return [event(row, names[row.actor], links=links) for row in rows]


def event(row: Entry, name: str, *, links: bool) -> dict[str, Any]:
    """Return one entry as an event."""
    icon, tone = next((look for start, look in LOOKS.items() if row.kind.startswith(start)), ("open", "neutral"))
    return {
        "at": row.occurred_at,
        "actor": "",
        "says": row.say(name),
        "icon": icon,
        "tone": tone,
        "url": reverse("audit:entry", args=[row.event_id]) if links else "",
        "link": "Entry",
    }
