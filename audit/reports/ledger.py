"""What happened: every entry of the ledger, as it is stored, with its place in the tree and the hash that is proved."""

from __future__ import annotations

from datetime import datetime

from django.db.models import QuerySet, TextField, Value
from django.db.models.expressions import Func

from audit import log
from audit.models import Entry
from audit.reports.base import Column, Filters, PlainReport, Row
from audit.reports.names import ledger_names_like


class Hex(Func):
    """Bytes as lower-case hex."""

    function = "encode"
    output_field = TextField()

    def __init__(self, path: str) -> None:
        super().__init__(path, Value("hex"))


class Ledger(PlainReport):
    """Every entry, newest first."""

    slug = "ledger"
    title = "Ledger"
    question = "What happened, entry by entry?"
    note = "Newest first, as in its files. CSV and XLSX have accounts by their opaque names, as the ledger itself."
    filters = ("event", "person", "since", "until")
    row_key = "event_id"
    columns = (
        Column("Happened", "time", brief=True, source="occurred_at"),
        Column("Event", brief=True, source="kind"),
        Column("By", "account", brief=True, source="actor"),
        Column("About", brief=True, source="subject_label"),
        Column("Kind", source="subject_kind"),
        Column("Identifier", source="subject_id"),
        Column("Place", "number", brief=True, source="leaf__leaf_index"),
        Column("Leaf hash", "digest", source=Hex("leaf_hash")),
        Column("Recorded", "time", source="recorded_at"),
        Column("Ledger entry", "entry", brief=True, source="event_id"),
    )

    def find(self, filters: Filters, as_of: datetime) -> QuerySet[Entry]:
        """Return the entries written by then, newest first."""
        found = log.entries(kind=filters.event, since=filters.since, until=filters.until)
        if filters.person:
            found = found.filter(actor__in=ledger_names_like(filters.person))
        return found.filter(occurred_at__lte=as_of).order_by("-pk")

    def say(self, row: Row) -> str:
        """Return "person:… did review.given about fraud-scorer@2.1.0"."""
        _, event, by, about, *_ = row
        return f"{by} did {event} about {about}"
