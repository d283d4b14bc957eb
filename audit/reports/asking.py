"""A question as somebody asked it: which report, narrowed how, as of when, and whether only a sample is wanted.

A sample is drawn so that anybody can draw it again from the whole file, without the portal: rank every row by the
sha256 of "<seed>:<row>", where <row> is what stands in the column `Row`, and take the lowest n. The same seed and
instant give the same rows for ever, and a larger n keeps the rows of a smaller one.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from django.db.models import BinaryField, Func, QuerySet, TextField, Value
from django.db.models.functions import Cast, Concat

from audit import seal
from audit.reports.base import Column, Filters, Found, Report, Row, as_text, count

MOST_SAMPLED = 1_000
MOST_SEED = 80
KEY = Column("Row")


@dataclass(frozen=True)
class Sample:
    """How many rows are drawn, and from which seed."""

    size: int
    seed: str

    def as_parameters(self) -> dict[str, str]:
        """Return the sample as plain text, for addresses, exports and the ledger."""
        return {"sample": str(self.size), "seed": self.seed}


@dataclass(frozen=True)
class Question:
    """One report, asked as of an instant."""

    report: Report
    filters: Filters
    as_of: datetime
    sample: Sample | None = None

    @property
    def columns(self) -> tuple[Column, ...]:
        """Return the columns of a file: those of the report, and the key of each row."""
        return (*self.report.columns, KEY)

    def population(self) -> Found:
        """Return everything that fits, whether or not it is drawn."""
        return self.report.select(self.filters, self.as_of)

    def selected(self) -> Found:
        """Return what is told: everything, or, as far as the database can draw it, what was drawn, by its ranks."""
        found = self.population()
        if self.sample is None or not isinstance(found, QuerySet):
            return found
        key = as_text(self.report.row_key)
        return found.alias(drawn_by=rank(self.sample.seed, key)).order_by("drawn_by", key)[: self.sample.size]

    def told(self) -> Iterator[tuple[str, Row]]:
        """Yield (key, row), in constant memory, or in that of the sample."""
        found, sample = self.selected(), self.sample
        pairs = self.report.told(found, self.as_of)
        if sample is None or isinstance(found, QuerySet):
            return pairs
        return iter(heapq.nsmallest(sample.size, pairs, key=lambda pair: ranked(sample.seed, pair[0])))

    def rows(self) -> Iterator[Row]:
        """Yield the rows of a file, each with its key at its end."""
        return ((*row, key) for key, row in self.told())

    def size(self, most: int | None = None) -> int:
        """Return how many things the answer is made of, or `most` when there are more."""
        found = count(self.population(), most)
        return found if self.sample is None else min(found, self.sample.size)

    def as_parameters(self) -> dict[str, str]:
        """Return the question as form fields, so that an address or an export asks exactly the same."""
        drawn = self.sample.as_parameters() if self.sample else {}
        return {**self.filters.as_parameters(), **drawn, "as_of": seal.instant(self.as_of)}


def ranked(seed: str, key: str) -> bytes:
    """Return what a row is ranked by."""
    return hashlib.sha256(f"{seed}:{key}".encode()).digest()


def rank(seed: str, key: Cast) -> Func:
    """Return the expression for what rows are ranked by: the sha256 of "<seed>:<key>" in UTF-8, as bytes."""
    text = Concat(Value(f"{seed}:"), key, output_field=TextField())
    encoded = Func(text, Value("UTF8"), function="convert_to", output_field=BinaryField())
    return Func(encoded, function="sha256", output_field=BinaryField())
