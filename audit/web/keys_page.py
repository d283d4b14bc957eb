"""The page about this portal's own keys: what is believed until when, what comes next, and the newest revocation list.

The keys of others, whose signatures this portal believes, are in the admin.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from audit import keyset, rotation, seal
from audit.keyset import Document, ListedKey, Purpose
from audit.models import Keyset
from audit.web.pages import auditor
from audit.web.present import crumbs, outside
from governance import portal_keys, revocations
from governance.permissions import may
from portal.charts import BAR_WIDTH, place

SOON = timedelta(days=30)
WORDS = {Purpose.DECISION: "Decisions", Purpose.LOG: "Checkpoints of the ledger", Purpose.WITNESS: "Witness"}


@dataclass(frozen=True)
class KeyLine:
    """One key as the page shows it; `start_x`, `length` and `now_x` are positions in a bar of 320 units."""

    key: ListedKey
    words: str
    state: str
    label: str
    start_x: float
    length: float
    now_x: float


@require_safe
def keys(request: HttpRequest) -> HttpResponse:
    """Show the keys of this portal."""
    user = auditor(request, "keyset.read")
    now = timezone.now()
    document, row = keyset.newest(), Keyset.objects.first()
    newest = revocations.newest()
    context: dict[str, Any] = {
        "crumbs": crumbs() if may(user, "report.read") else [],
        "document": document,
        "row": row,
        "lines": lines(document, now) if document else [],
        "files": [] if document else files(),
        "steps": steps(document, now),
        "list": newest,
        "listed": len(revocations.read(newest)["revoked"]) if newest else 0,
        "overdue": newest is not None and newest.next_update <= now,
        **outside(),
    }
    return render(request, "audit/keys.html", context)


def lines(document: Document, now: datetime) -> list[KeyLine]:
    """Return the keys of a keyset as bars on one scale of time, those in use first."""
    low = min(key.valid_from for key in document.keys).timestamp()
    high = max(key.valid_until for key in document.keys).timestamp()
    in_use = portal_keys.in_use()

    def at(instant: datetime) -> float:
        return place(instant.timestamp(), low, high, BAR_WIDTH)

    found = []
    for key in sorted(document.keys, key=lambda key: (key.public.fingerprint not in in_use, key.purpose)):
        state, label = state_of(key, now, in_use)
        length = max(2.0, at(key.valid_until) - at(key.valid_from))
        found.append(KeyLine(key, WORDS[key.purpose], state, label, at(key.valid_from), length, at(now)))
    return found


def state_of(key: ListedKey, now: datetime, in_use: set[str]) -> tuple[str, str]:
    """Return the badge of a key: its word, and what the page calls it."""
    if key.compromised_at is not None:
        return "failed", "Compromised"
    if now >= key.valid_until:
        return "retired", "Ended"
    if key.public.fingerprint in in_use:
        return ("stale", "Ends soon") if key.valid_until - now <= SOON else ("serving", "In use")
    return ("serving", "Believed") if key.purpose == Purpose.WITNESS else ("waiting", "Not in use")


def files() -> list[dict[str, str]]:
    """Return the keys of a portal that has published no keyset."""
    try:
        decision, ledger = seal.decision_key(), seal.public_half(seal.ledger_key())
    except ImproperlyConfigured:
        return []
    return [
        {"label": WORDS[Purpose.DECISION], "value": decision.fingerprint, "kind": "digest"},
        {"label": WORDS[Purpose.LOG], "value": ledger.fingerprint, "kind": "digest"},
    ]


def steps(document: Document | None, now: datetime) -> list[dict[str, str]]:
    """Return what has to be done soon, each with the sentence that says how."""
    if document is None:
        says = "No keyset is published, so gates that work offline cannot tell which keys to believe."
        return [{"says": says, "fix": "Make three root keys on a computer without a network: docs/operating.md, Keys."}]
    due = [each for each in portal_keys.endings() if each.at - now <= SOON]
    found = [{"says": f"{each.what} ends on {each.at:%Y-%m-%d %H:%M} UTC.", "fix": each.fix} for each in due]
    for purpose in (Purpose.LOG, Purpose.DECISION):
        public = rotation.coming(purpose)
        if public is not None:
            listed = document.find(public.fingerprint)
            fix = "Let it take over: --switch." if listed else "Draft a keyset that names it and have it signed."
            found.append({"says": f"The {purpose} key {public.fingerprint[:12]}… is prepared.", "fix": fix})
    return found
