"""When the record was checked, against which copy outside, what was found, and who had asked for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar

from django.db.models import OuterRef, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce
from django.urls import reverse

from audit import log
from audit.events import Event
from audit.models import Verification
from audit.reports.base import Column, Filters, Report, Row, narrowed
from audit.reports.names import ledger_names_like, names_of

SOUND, CONTRADICTED = "sound", "contradicted"
NONE = "none"
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


class Integrity(Report):
    """Every check of the record, by the clock or because somebody asked."""

    slug = "integrity"
    title = "Integrity"
    question = "When was the record checked, against which copy, and what was found?"
    note = "What a check found stands on its own page. Where nobody asked, it was the check of the night."
    nothing = "The record had not been checked by then."
    filters = ("person", "word", "since", "until")
    words = (SOUND, CONTRADICTED)
    titles: ClassVar[Mapping[str, str]] = {SOUND: "Nothing wrong", CONTRADICTED: "Contradicted"}
    word_label = "Found"
    row_key = "recorded_in"
    columns = (
        Column("Checked", "time", brief=True),
        Column("Found", "word", brief=True),
        Column("Contradictions", "number", brief=True),
        Column("Copy outside", brief=True),
        Column("Asked by", brief=True),
        Column("Asking account"),
        Column("Asked", "time"),
        Column("Began", "time"),
        Column("Entries", "number", brief=True),
        Column("Rows", "number", brief=True),
        Column("Sealed entries", "number"),
        Column("Root", "digest", brief=True),
        Column("Where", "link", brief=True),
        Column("Ledger entry", "entry", brief=True),
    )

    def select(self, filters: Filters, as_of: datetime) -> QuerySet[Verification]:
        """Return the checks that had ended by then, newest first."""
        rows = narrowed(Verification.objects.all(), filters, as_of, at="finished_at").annotate(before=before())
        asking = asked_for()
        rows = rows.annotate(asked_by=Subquery(asking.values("actor")), asked_at=Subquery(asking.values("occurred_at")))
        if filters.person:
            rows = rows.filter(asked_by__in=ledger_names_like(filters.person))
        if filters.word:
            rows = rows.filter(fault_count__gt=0) if filters.word == CONTRADICTED else rows.filter(fault_count=0)
        return rows.order_by("-finished_at", "-pk")

    def tell(self, found: Sequence[Any], as_of: datetime) -> Iterator[Row]:
        """Yield a row for each check; what contradicts what is read on its page, which asks who reads it."""
        names = names_of(row.asked_by for row in found if row.asked_by)
        for row in found:
            yield (
                row.finished_at,
                CONTRADICTED if row.fault_count else SOUND,
                row.fault_count,
                row.compared_with or NONE,
                names.get(row.asked_by),
                row.asked_by,
                row.asked_at,
                row.started_at,
                row.entries,
                row.rows,
                row.size,
                row.root,
                reverse("audit:verification", args=[row.pk]),
                str(row.recorded_in),
            )

    def key(self, thing: Any) -> str:
        """Return the entry that names a check."""
        return str(thing.recorded_in)

    def say(self, row: Row) -> str:
        """Return "The record was checked against 1200 entries at folder /copies: nothing wrong"."""
        _, found, _, copy, *_ = row
        against = "no copy outside" if copy == NONE else copy
        return f"The record was checked against {against}: {self.titles[str(found)].lower()}"


def before() -> Any:
    """Return when the check before the one outside began, long ago for the first one."""
    earlier = Verification.objects.filter(started_at__lt=OuterRef("started_at")).order_by("-started_at")
    return Coalesce(Subquery(earlier.values("started_at")[:1]), Value(LONG_AGO))


def asked_for() -> QuerySet[Any]:
    """Return the entry by which somebody asked for the check outside: the first since the check before it began."""
    asking = log.entries(kind=Event.VERIFICATION_ASKED).order_by("pk")
    return asking.filter(occurred_at__gte=OuterRef("before"), occurred_at__lt=OuterRef("started_at"))[:1]
