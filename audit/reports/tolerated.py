"""What was being tolerated at an instant: waivers, accepted findings, allowed globals, conditions still to be met."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar

from django.db.models import QuerySet

from audit.reports.base import Column, Filters, Picture, Report, Row
from governance import tolerances
from governance.tolerances import KINDS, Asked, Tolerance
from portal import charts
from registry.models import User


class Everything(Asked):
    """The same question without a person in front of it: all assets, and all rows instead of the first."""

    def first(self, rows: QuerySet[Any], *, ends: str, asset: str) -> tuple[list[Any], int]:
        """Return all rows that are asked about, the first that ends on top."""
        seen = rows.filter(**{f"{asset}__slug": self.asset}) if self.asset else rows
        return list(seen.order_by(ends, "pk")), 0


class Tolerated(Report):
    """Every exception in force at the instant, whatever sort of exception it is."""

    slug = "tolerated"
    title = "Tolerated"
    question = "What is being tolerated, as of that instant?"
    filters = ("asset", "environment", "rule", "word", "person")
    words = tuple(KINDS)
    titles: ClassVar[Mapping[str, str]] = KINDS
    word_label = "Sort of exception"
    columns = (
        Column("Ends", "time", brief=True),
        Column("Sort", "word", brief=True),
        Column("What", brief=True),
        Column("Why", "note", brief=True),
        Column("Rule or role", brief=True),
        Column("Asset", "asset", brief=True),
        Column("Version", "version", brief=True),
        Column("Environment", brief=True),
        Column("Granted by", brief=True),
        Column("Granting account"),
        Column("Asked by"),
        Column("Since", "time", brief=True),
        Column("What makes up for it"),
        Column("Rests on it"),
        Column("Where", "link"),
    )

    def select(self, filters: Filters, as_of: datetime) -> list[Tolerance]:
        """Return what was tolerated then, the first that ends on top."""
        asset, _, number = filters.asset.partition("@")
        found, _ = tolerances.found(Everything(User(), as_of, asset, filters.rule))
        return [row for row in found if fits(row, filters, number)]

    def tell(self, found: Sequence[Tolerance], as_of: datetime) -> Iterator[Row]:
        """Yield a row for each exception."""
        for row in found:
            yield (
                row.until,
                row.kind,
                row.title,
                row.why,
                row.rule,
                row.asset.slug,
                row.version.label if row.version else None,
                row.environment or None,
                str(row.granted_by) if row.granted_by else None,
                row.granted_by.ledger_name if row.granted_by else None,
                str(row.asked_by) if row.asked_by else None,
                row.since,
                row.control or None,
                "; ".join(f"{each.version.label} for {each.environment} ({each.public_id})" for each in row.rests),
                row.url,
            )

    def key(self, thing: Any) -> str:
        """Return what names an exception."""
        version = thing.version.label if thing.version else ""
        return "/".join(
            (thing.kind, thing.asset.slug, version, thing.environment, thing.title, thing.since.isoformat())
        )

    def say(self, row: Row) -> str:
        """Return "vulnerabilities is tolerated on fraud-scorer until 21 Feb 2027"."""
        until, _, what, _, _, asset, *_ = row
        return f"{what} is tolerated on {asset} until {until:%-d %b %Y}"

    def picture(self, filters: Filters, as_of: datetime) -> Picture | None:
        """Return how many exceptions of each sort were in force."""
        counted = Counter(row.kind for row in self.select(filters, as_of))
        if not counted:
            return None
        bar = charts.stacked_bar([charts.Part(KINDS[kind], counted[kind], "warn") for kind in KINDS])
        return Picture("audit/_stack_picture.html", {"title": "By sort", "bars": [("Exceptions by sort", bar)]})


def fits(row: Tolerance, filters: Filters, number: str) -> bool:
    """Return whether an exception is among those that are asked about; one without an environment is about all."""
    if filters.word not in {"", row.kind} or (row.environment and filters.environment not in {"", row.environment}):
        return False
    if number and (row.version is None or row.version.number != number):
        return False
    named = filters.person.casefold()
    people = [str(each).casefold() for each in (row.granted_by, row.asked_by) if each is not None]
    return not named or any(named in each for each in people)
