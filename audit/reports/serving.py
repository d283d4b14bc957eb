"""What served whom between two instants, and whether a decision was in force while it did."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from django.db.models import QuerySet

from audit.models import ServingWindow
from audit.models.serving import LONGEST_WINDOW
from audit.reports.base import Column, Filters, Report, Row, key_of, of_asset
from audit.reports.judging import judge
from registry.models import Version


class Serving(Report):
    """Every reported serving window, judged by the decisions of its time."""

    slug = "serving"
    title = "Serving"
    question = "What served which customer, and was it governed?"
    filters = ("customer", "asset", "environment", "since", "until")
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
        """Return the windows reported by then that overlap the period, oldest first.

        The batches are narrowed too, because they are few: they lead to the windows of a period by an index.
        """
        rows = ServingWindow.objects.filter(batch__received_at__lte=as_of)
        if filters.since is not None:
            rows = rows.filter(end__gt=filters.since, start__gt=filters.since - LONGEST_WINDOW)
            rows = rows.filter(batch__last_end__gt=filters.since)
        if filters.until is not None:
            rows = rows.filter(start__lt=filters.until, batch__first_start__lt=filters.until)
        if filters.customer:
            rows = rows.filter(customer=filters.customer)
        if filters.environment:
            rows = rows.filter(environment=filters.environment)
        if filters.asset:
            versions = Version.objects.filter(**of_asset(filters.asset)).exclude(identity_digest="")
            rows = rows.filter(digest__in=versions.values("identity_digest"))
        # Prefetched, because thousands of windows share a batch; a join would make one anew for each of them.
        return rows.prefetch_related("batch").defer("row_hash").order_by("start", "pk")

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

    def say(self, row: Row) -> str:
        """Return "acme was served by fraud-scorer@2.1.0 (governed)"."""
        customer, version, digest = (self.cell(row, title) for title in ("Customer", "Version", "Identity digest"))
        return f"{customer} was served by {version or str(digest)[:12]} ({self.cell(row, 'Governed')})"
