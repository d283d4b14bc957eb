"""Which exports were asked for, by whom, of what, and which file with which digest came of each.

Only entries of the ledger are read. The rows by which exports are built are jobs, which change; their entries stay.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar

from django.db.models import Exists, OuterRef, QuerySet
from django.urls import reverse

from audit import log
from audit.events import Event
from audit.models import Entry
from audit.reports.base import Column, Filters, Report, Row, narrowed
from audit.reports.names import ledger_names_like, names_of

BUILT, CANCELLED, UNFINISHED = "built", "cancelled", "unfinished"
ENDS = {BUILT: Event.EXPORT_BUILT, CANCELLED: Event.EXPORT_CANCELLED}
BUNDLES = {"bundle": "evidence bundle of a version", "period": "evidence bundle of a period"}


class Exports(Report):
    """Every export that was requested, with its file if one was built by then."""

    slug = "exports"
    title = "Exports"
    question = "Which exports were taken, by whom, of what, with which digest?"
    note = "Whoever may export can save a file that is there more than once; the record has the request and the file."
    nothing = "Nobody had asked for an export by then."
    filters = ("person", "word", "since", "until")
    words = (BUILT, CANCELLED, UNFINISHED)
    titles: ClassVar[Mapping[str, str]] = {BUILT: "Built", CANCELLED: "Cancelled", UNFINISHED: "No file by then"}
    word_label = "Came of it"
    row_key = "event_id"
    columns = (
        Column("Requested", "time", brief=True),
        Column("Export", brief=True),
        Column("Of what", "note", brief=True),
        Column("Requested by", brief=True),
        Column("Requesting account"),
        Column("As of", "time", brief=True),
        Column("Came of it", "word", brief=True),
        Column("Ended", "time"),
        Column("Cancelled by"),
        Column("Cancelling account"),
        Column("File", brief=True),
        Column("sha256", "digest", brief=True),
        Column("Bytes", "number"),
        Column("Rows", "number", brief=True),
        Column("Identifier"),
        Column("Where", "link", brief=True),
        Column("Requested in", "entry"),
        Column("Ledger entry", "entry", brief=True),
    )

    def select(self, filters: Filters, as_of: datetime) -> QuerySet[Entry]:
        """Return the entries of the requests made by then, newest first."""
        rows = narrowed(log.entries(kind=Event.EXPORT_REQUESTED), filters, as_of, at="occurred_at")
        if filters.person:
            rows = rows.filter(actor__in=ledger_names_like(filters.person))
        if filters.word in ENDS:
            rows = rows.filter(ended(as_of, ENDS[filters.word]))
        elif filters.word:
            rows = rows.exclude(ended(as_of, *ENDS.values()))
        return rows

    def tell(self, found: Sequence[Entry], as_of: datetime) -> Iterator[Row]:
        """Yield a row for each request, with what came of it by the instant."""
        about = {"subject_kind": "export", "subject_id__in": [entry.subject_id for entry in found]}
        ends = Entry.objects.filter(**about, kind__in=ENDS.values(), occurred_at__lte=as_of)
        ending = {entry.subject_id: entry for entry in ends}
        names = names_of(entry.actor for entry in (*found, *ending.values()))
        for entry in found:
            end, asked = ending.get(entry.subject_id), entry.details["parameters"]
            file, is_cancelled = end.details if end else {}, end is not None and end.kind == Event.EXPORT_CANCELLED
            yield (
                entry.occurred_at,
                what(entry.subject_label, asked),
                of_what(asked),
                names[entry.actor],
                entry.actor,
                datetime.fromisoformat(asked["as_of"]),
                UNFINISHED if end is None else CANCELLED if is_cancelled else BUILT,
                end.occurred_at if end else None,
                names[end.actor] if end and is_cancelled else None,
                end.actor if end and is_cancelled else None,
                file.get("file"),
                file.get("sha256"),
                file.get("size"),
                file.get("rows"),
                entry.subject_id,
                reverse("audit:export", args=[entry.subject_id]),
                str(entry.event_id),
                str((end or entry).event_id),
            )

    def key(self, thing: Any) -> str:
        """Return the entry of a request."""
        return str(thing.event_id)

    def say(self, row: Row) -> str:
        """Return "Iris Auditor asked for decisions as CSV"."""
        _, export, _, by, *_ = row
        return f"{by} asked for {export}"


def ended(as_of: datetime, *kinds: Event) -> Exists:
    """Return whether the export of the request outside had come to one of these ends by an instant."""
    ends = Entry.objects.filter(subject_kind="export", subject_id=OuterRef("subject_id"), kind__in=kinds)
    return Exists(ends.filter(occurred_at__lte=as_of))


def what(kind: str, asked: Mapping[str, Any]) -> str:
    """Return what sort of export was asked for, such as "decisions as CSV"."""
    return BUNDLES.get(kind) or f"{asked['report']} as {asked['format'].upper()}"


def of_what(asked: Mapping[str, Any]) -> str | None:
    """Return the version, the period, or the filters and the sample that were asked for; nothing for a whole report."""
    if "version" in asked:
        return str(asked["version"])
    if "since" in asked:
        return f"{asked['since']} until {asked['until']}"
    words = [f"{name} {value}" for name, value in asked.get("filters", {}).items()]
    sample = asked.get("sample")
    return ", ".join([*words, *([f"a sample of {sample['size']}, seed {sample['seed']}"] if sample else [])]) or None
