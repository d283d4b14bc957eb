"""What served whom between two instants, and whether a decision was in force while it did."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from django.db.models import QuerySet

from audit.models import ServingWindow
from audit.reports.base import Column, Filters, Report, Row, joined, key_of
from audit.reports.judging import judge
from audit.reports.windows import digests_of, reported


class Serving(Report):
    """Every reported serving window, judged by the decisions of its time."""

    slug = "serving"
    title = "Serving windows"
    question = "Which serving windows were reported, one by one?"
    filters = ("customer", "asset", "environment", "since", "until")
    row_key = joined("batch_id", "=/", "line")
    columns = (
        Column("From", "time", brief=True),
        Column("To", "time", brief=True),
        Column("Customer", brief=True),
        Column("Deployment", brief=True),
        Column("Environment", brief=True),
        Column("Consumer"),
        Column("Version", "version", brief=True),
        Column("Identity digest", "digest"),
        Column("Requests", "number", brief=True),
        Column("Governed", "word", brief=True),
        Column("Why not", "note", brief=True),
        Column("Decision", "decision"),
        Column("Batch"),
        Column("Reported", "time"),
        Column("Ledger entry", "entry", brief=True),
    )

    def select(self, filters: Filters, as_of: datetime) -> QuerySet[ServingWindow]:
        """Return the windows reported by then that overlap the period, oldest first."""
        rows = reported(filters, as_of)
        if filters.asset:
            rows = rows.filter(digest__in=digests_of(filters.asset, as_of))
        # Prefetched, because thousands of windows share a batch; a join would make one anew for each of them.
        return rows.prefetch_related("batch").defer("row_hash").order_by("start", "batch", "line")

    def tell(self, found: Sequence[ServingWindow], as_of: datetime) -> Iterator[Row]:
        """Yield a row for each window."""
        for window, judged in zip(found, judge(found), strict=True):
            yield (
                window.start,
                window.end,
                window.customer,
                window.deployment,
                window.environment,
                window.consumer,
                judged.version or None,
                window.digest,
                window.requests,
                judged.verdict,
                judged.why,
                judged.decision or None,
                str(window.batch),
                window.batch.received_at,
                key_of(window.batch),
            )

    def key(self, thing: ServingWindow) -> str:
        """Return the batch and the line in it."""
        return f"{thing.batch_id}/{thing.line}"

    def say(self, row: Row) -> str:
        """Return "acme was served by fraud-scorer@2.1.0 (governed)"."""
        customer, version, digest = (self.cell(row, title) for title in ("Customer", "Version", "Identity digest"))
        return f"{customer} was served by {version or str(digest)[:12]} ({self.cell(row, 'Governed')})"
