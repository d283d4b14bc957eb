"""Entries of the ledger the way people ask for them and read them: found by a part of a name, told with names."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from django.db.models import QuerySet

from audit import log
from audit.models import Entry
from audit.reports.names import ledger_names_like, names_of


class Told(NamedTuple):
    """One entry with the names of who did it and of what it is about, and its sentence with both."""

    entry: Entry
    actor: str
    subject: str
    says: str


def search(
    *,
    kind: str = "",
    subject: str = "",
    actor: str = "",
    since: datetime | None = None,
    until: datetime | None = None,
) -> QuerySet[Entry]:
    """Return entries with their leaves, newest first.

    `kind` is an event or a family such as `review.`, `subject` a part of the name of what they are about, `actor` a
    part of a name or a whole ledger name. `since` is inclusive and `until` exclusive.
    """
    found = log.entries(kind=kind, since=since, until=until)
    if subject:
        found = found.filter(subject_label__icontains=subject)
    if actor:
        found = found.filter(actor__in=ledger_names_like(actor))
    return found.select_related("leaf")


def tell(found: Iterable[Entry]) -> list[Told]:
    """Return entries with the names of people in place of the opaque ones, in one query for all."""
    listed = list(found)
    accounts = [account_of(entry) for entry in listed]
    names = names_of({*(entry.actor for entry in listed), *filter(None, accounts)})
    told = []
    for entry, account in zip(listed, accounts, strict=True):
        actor, subject = names[entry.actor], names[account] if account else entry.subject_label
        told.append(Told(entry, actor, subject, entry.say(actor, subject)))
    return told


def account_of(entry: Entry) -> str:
    """Return the ledger name of the account that an entry is about, or nothing when it is about something else."""
    if entry.subject_kind != "person":
        return ""
    return f"{entry.subject_label.partition(' ')[0]}:{entry.subject_id}"
