"""Who was given which powers, by whom, and when they were taken away; and what administrators did."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from django.db.models import F, Func, Q, QuerySet, TextField, Value

from audit import log
from audit.events import Event
from audit.models import Entry
from audit.reports.base import Column, Filters, Report, Row
from audit.reports.entries import tell
from audit.reports.names import ledger_names_like, names_of

# What changes powers, by the first word of the event. Grants on one asset are told apart in `granting`.
FAMILIES = {
    "roles": "seat",
    "teams": "team",
    "accounts": "person",
    "tokens": "token",
    "trusted keys": "key|root|keyset",
    "deputies": "delegation",
    "policies": "policy",
    "webhooks": "webhook",
}
GRANTS = "grants on assets"
SHARED, UNSHARED = "shared", "unshared"


class Access(Report):
    """Every change of what somebody may do, as the ledger has it."""

    slug = "access"
    title = "Access"
    question = "Who was given or lost which powers, and what did administrators do?"
    filters = ("asset", "person", "role", "word", "since", "until")
    words = (*FAMILIES, GRANTS)
    word_label = "Powers"
    columns = (
        Column("When", "time", brief=True),
        Column("What", brief=True),
        Column("By", brief=True),
        Column("Account"),
        Column("About", brief=True),
        Column("Given to or taken from", brief=True),
        Column("Its account"),
        Column("Role", brief=True),
        Column("Change", brief=True),
        Column("Scopes"),
        Column("Event"),
        Column("Ledger entry", "entry", brief=True),
    )

    def select(self, filters: Filters, as_of: datetime) -> QuerySet[Entry]:
        """Return the entries about powers written by then, newest first."""
        until = filters.until if filters.until is not None and filters.until <= as_of else None
        rows = log.entries(since=filters.since, until=until).filter(occurred_at__lte=as_of)
        found = in_words(rows.annotate(text=content()), filters.word)
        if filters.asset:
            found = found.filter(subject_kind="asset", subject_label=filters.asset.partition("@")[0])
        if filters.role:
            found = found.filter(text__contains=f'"role":"{filters.role}"')
        if filters.person:
            found = found.filter(about_any_of(ledger_names_like(filters.person)))
        return found.order_by("-occurred_at", "-pk")

    def tell(self, found: Sequence[Entry], as_of: datetime) -> Iterator[Row]:
        """Yield a row for each entry."""
        receivers = [receiver_of(entry) for entry in found]
        names = names_of(filter(None, receivers))
        for (entry, actor, subject, says), receiver in zip(tell(found), receivers, strict=True):
            details = entry.details
            yield (
                entry.occurred_at,
                says,
                actor,
                entry.actor,
                subject,
                names[receiver] if receiver else None,
                receiver or None,
                str(details["role"]) if details.get("role") else None,
                change_of(details),
                ", ".join(map(str, details.get("scopes") or ())) or None,
                entry.kind,
                str(entry.event_id),
            )

    def say(self, row: Row) -> str:
        """Return the entry's own sentence."""
        return str(row[1]).rstrip(".")


def content() -> Func:
    """Return the expression for the text of an entry."""
    return Func(F("body"), Value("UTF8"), function="convert_from", output_field=TextField())


def granting() -> Q:
    """Return what is true of entries about grants on one asset.

    A quotation mark inside a text is escaped in JSON, so that nothing anybody writes looks like the name of a field.
    """
    named = Q(text__contains=f'"{SHARED}":') | Q(text__contains=f'"{UNSHARED}":')
    return Q(kind=Event.ASSET_CHANGED.value) & named


def in_words(rows: QuerySet[Any], word: str) -> QuerySet[Any]:
    """Return the entries about powers of one sort, or of all."""
    families = [FAMILIES[word]] if word in FAMILIES else [] if word else list(FAMILIES.values())
    kinds = (
        [event.value for event in Event if re.match(rf"(?:{'|'.join(families)})\.", event.value)] if families else []
    )
    return rows.filter(Q(kind__in=kinds) | granting() if word in {"", GRANTS} else Q(kind__in=kinds))


def about_any_of(ledger_names: Sequence[str]) -> Q:
    """Return what is true of entries that somebody made, that are about them, or that name them as the receiver."""
    found = Q(actor__in=ledger_names)
    found |= Q(subject_kind="person", subject_id__in=[name.partition(":")[2] for name in ledger_names])
    for name in ledger_names:
        found |= Q(text__contains=f'"account":"{name}"') | Q(text__contains=f'"deputy":"{name}"')
    return found


def receiver_of(entry: Entry) -> str:
    """Return the ledger name of whoever an entry gave something to or took it from, if it names an account."""
    named = entry.details.get("account") or entry.details.get("deputy") or ""
    if isinstance(named, str) and ":" in named:
        return named
    return f"{entry.subject_label.partition(' ')[0]}:{entry.subject_id}" if entry.subject_kind == "person" else ""


def change_of(details: dict[str, object]) -> str | None:
    """Return what was changed, in a word or two."""
    for name, words in ((SHARED, "granted"), (UNSHARED, "took back")):
        if details.get(name):
            return f"{words} {str(details[name]).replace('_', ' ')}"
    return str(details["change"]) if details.get("change") else None
