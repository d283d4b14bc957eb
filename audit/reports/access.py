"""Who was given which powers, by whom, and when they were taken away: roles, teams, accounts, tokens, trusted keys."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import datetime

from django.db.models import QuerySet

from audit import log
from audit.events import Event
from audit.models import Entry
from audit.reports.base import Column, Filters, Report, Row
from audit.reports.entries import tell

POWERS = tuple(event.value for event in Event if re.match(r"(seat|team|person|token|key)\.", event.value))


class Access(Report):
    """Every change of what somebody may do, as the ledger has it."""

    slug = "access"
    title = "Access"
    question = "Who could act, and who gave them the power to?"
    filters = ("since", "until")
    columns = (
        Column("When", "time", brief=True),
        Column("What", brief=True),
        Column("By", brief=True),
        Column("Account"),
        Column("About", brief=True),
        Column("Role", brief=True),
        Column("Event"),
        Column("Ledger entry", "entry", brief=True),
    )

    def select(self, filters: Filters, as_of: datetime) -> QuerySet[Entry]:
        """Return the entries about powers written by then, newest first."""
        until = filters.until if filters.until is not None and filters.until <= as_of else None
        found = log.entries(since=filters.since, until=until).filter(kind__in=POWERS, occurred_at__lte=as_of)
        return found.order_by("-occurred_at", "-pk")

    def tell(self, found: Sequence[Entry], as_of: datetime) -> Iterator[Row]:
        """Yield a row for each entry."""
        for entry, actor, subject, says in tell(found):
            role = entry.details.get("role")
            yield (
                entry.occurred_at,
                says,
                actor,
                entry.actor,
                subject,
                str(role) if role else None,
                entry.kind,
                str(entry.event_id),
            )

    def say(self, row: Row) -> str:
        """Return the entry's own sentence."""
        return str(row[1]).rstrip(".")
