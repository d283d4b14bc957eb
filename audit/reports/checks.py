"""Which checks ran, with which tool, on which input, and what they answered."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db.models import Count, ExpressionWrapper, IntegerField, OuterRef, QuerySet, Subquery
from django.db.models.fields.json import KeyTextTransform

from audit.reports.base import Column, Filters, PlainReport, Row, joined, narrowed
from governance.models import CheckRun
from governance.models.runs import Outcome


def which() -> ExpressionWrapper[Any]:
    """Return how often the check of the run outside had answered about its version under its policy, with that run."""
    same = {name: OuterRef(name) for name in ("version", "check_slug", "policy")}
    rows = CheckRun.objects.filter(**same, pk__lte=OuterRef("pk")).order_by().values("version")
    return ExpressionWrapper(Subquery(rows.annotate(runs=Count("pk")).values("runs")), IntegerField())


class Checks(PlainReport):
    """Every recorded answer of every check."""

    slug = "checks"
    title = "Checks"
    question = "Which checks ran, and what did they answer?"
    filters = ("asset", "rule", "word", "since", "until")
    words = tuple(Outcome.values)
    word_label = "Outcome"
    columns = (
        Column("Answered", "time", brief=True, source="ended_at"),
        Column("Check", brief=True, source="check_slug"),
        Column("Version", "version", brief=True, source=joined("version__asset__slug", "=@", "version__number")),
        Column("Outcome", "word", brief=True, source="outcome"),
        Column("Says", "note", brief=True, source="says"),
        Column("Tool", brief=True, source="tool"),
        Column("Tool version", brief=True, source="tool_version"),
        Column("Input digest", "digest", source="input_digest"),
        Column("Advisories matched", source=KeyTextTransform("imports", "facts")),
        Column("Which run of it", "number", source=which()),
        Column("Policy", source=joined("policy__name", "= v", "policy__number")),
        Column("Policy digest", "digest", source="policy__digest"),
        Column("Started", "time", source="started_at"),
        Column("Fresh until", "time", source="valid_until"),
        Column("Run", source="public_id"),
        Column("Ledger entry", "entry", brief=True, source="recorded_in"),
    )

    def find(self, filters: Filters, as_of: datetime) -> QuerySet[CheckRun]:
        """Return the answers given by then, newest first."""
        rows = narrowed(CheckRun.objects.all(), filters, as_of, at="ended_at")
        if filters.rule:
            rows = rows.filter(check_slug=filters.rule)
        if filters.word:
            rows = rows.filter(outcome=filters.word)
        return rows.order_by("-ended_at", "-pk")

    def say(self, row: Row) -> str:
        """Return "sbom of fraud-scorer@2.1.0 answered passed"."""
        _, check, version, outcome, *_ = row
        return f"{check} of {version} answered {str(outcome).replace('_', ' ')}"
