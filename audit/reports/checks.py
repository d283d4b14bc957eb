"""Which checks ran, with which tool, on which input, and what they answered."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from django.db.models import QuerySet

from audit.reports.base import Column, Filters, Report, Row, key_of, narrowed
from governance.models import CheckRun


class Checks(Report):
    """Every recorded answer of every check."""

    slug = "checks"
    title = "Checks"
    question = "Which checks ran, and what did they answer?"
    filters = ("asset", "since", "until")
    columns = (
        Column("Answered", "time", brief=True),
        Column("Check", brief=True),
        Column("Version", "version", brief=True),
        Column("Outcome", "word", brief=True),
        Column("Says", "note", brief=True),
        Column("Tool", brief=True),
        Column("Tool version", brief=True),
        Column("Input digest", "digest"),
        Column("Policy"),
        Column("Policy digest", "digest"),
        Column("Started", "time"),
        Column("Fresh until", "time"),
        Column("Run"),
        Column("Ledger entry", "entry", brief=True),
    )

    def select(self, filters: Filters, as_of: datetime) -> QuerySet[CheckRun]:
        """Return the answers given by then, newest first."""
        rows = narrowed(CheckRun.objects.all(), filters, as_of, at="ended_at")
        related = rows.select_related("version__asset", "policy").defer("facts", "policy__text", "policy__content")
        return related.order_by("-ended_at", "-pk")

    def tell(self, found: Sequence[CheckRun], as_of: datetime) -> Iterator[Row]:
        """Yield a row for each answer."""
        for run in found:
            yield (
                run.ended_at,
                run.check_slug,
                run.version.label,
                run.outcome,
                run.says,
                run.tool,
                run.tool_version,
                run.input_digest,
                str(run.policy),
                run.policy.digest,
                run.started_at,
                run.valid_until,
                str(run.public_id),
                key_of(run),
            )

    def say(self, row: Row) -> str:
        """Return "sbom of fraud-scorer@2.1.0 answered passed"."""
        _, check, version, outcome, *_ = row
        return f"{check} of {version} answered {str(outcome).replace('_', ' ')}"
