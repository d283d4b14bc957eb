"""What happened, as the timeline partial prints it: entries of the ledger with names and icons."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import groupby
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

VERBS = {"approve": "approved", "request_changes": "requested changes", "reject": "rejected"}


def events(entries: Iterable[Entry], reader: User, *, notes: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
    """Return entries as events in the given order; answers of checks that follow each other become one event.

    `notes` are the words of reviews by their ids. Only who may read the ledger gets the links into it.
    """
    rows = list(entries)
    names = names_of(name for row in rows for name in named(row))
    links = may(reader, "ledger.read")
    found = []
    for is_check, group in groupby(rows, key=lambda row: row.kind == "check.answered"):
        together = list(group)
        if is_check and len(together) > 1:
            found.append(answers(together))
        else:
            found += [event(row, names, notes or {}, links=links) for row in together]
    return found


def named(row: Entry) -> list[str]:
    """Return whom an entry names: who acted, on whose behalf, and to whom a review was handed."""
    others = [row.details.get("on_behalf_of"), row.details.get("to") if row.kind == "review.handed" else ""]
    return [row.actor, *(str(name) for name in others if name)]


def event(row: Entry, names: Mapping[str, str], notes: Mapping[str, str], *, links: bool) -> dict[str, Any]:
    """Return one entry as an event."""
    icon, tone = next((look for start, look in LOOKS.items() if row.kind.startswith(start)), ("open", "neutral"))
    return {
        "at": row.occurred_at,
        "actor": "",
        "says": said(row, names),
        "note": notes.get(str(row.details.get("review")), ""),
        "icon": icon,
        "tone": tone,
        "url": reverse("audit:entry", args=[row.event_id]) if links else "",
        "link": "Entry",
    }


def voice(row: Entry, names: Mapping[str, str]) -> str:
    """Return who did it, and on whose behalf, if any: "Sol for Rhea"."""
    behalf = row.details.get("on_behalf_of")
    return f"{names[row.actor]} for {names[str(behalf)]}" if behalf else names[row.actor]


def said(row: Entry, names: Mapping[str, str]) -> str:
    """Return an entry's sentence; a verdict is told by its verb, because the page it stands on names the rest."""
    name = voice(row, names)
    if row.kind == "review.handed":
        receiver = names.get(str(row.details.get("to")), "the group")
        return f"{name} handed the review for {row.details.get('role')} to {receiver}."
    if row.kind == "review.withdrawn":
        return f"{name} took the verdict for {row.details.get('role')} back."
    verb = VERBS.get(str(row.details.get("verdict"))) if row.kind == "review.given" else None
    return f"{name} {verb} for {row.details.get('role')}." if verb else row.say(name)


def answers(rows: list[Entry]) -> dict[str, Any]:
    """Return several answers of checks as one event, by outcome."""
    said: dict[str, list[str]] = {}
    for row in rows:
        said.setdefault(str(row.details.get("outcome", "…")), []).append(str(row.details.get("check", "…")))
    red = said.keys() & {"failed", "error"}
    return {
        "at": rows[0].occurred_at,
        "actor": "",
        "says": f"{len(rows)} checks answered.",
        "note": "\n".join(
            f"{outcome.replace('_', ' ')}: {', '.join(sorted(slugs))}" for outcome, slugs in said.items()
        ),
        "icon": "policy",
        "tone": "bad" if red else "ok",
    }
