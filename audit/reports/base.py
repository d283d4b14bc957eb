"""What a report is: one auditor's question, answered row by row as of an instant, in constant memory.

Reports read and never write. How rows become a page is known by `audit.web`, how they become a file by `audit.exports`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from itertools import islice
from typing import Any, ClassVar, Self

from django.db.models import Model, QuerySet
from django.utils.dateparse import parse_datetime

from audit import seal

CHUNK = 2_000

Cell = str | int | datetime | None
Row = tuple[Cell, ...]


@dataclass(frozen=True)
class Column:
    """One column. `kind` is text, note, word, time, number, digest, version, decision or entry.

    Pages show the brief columns, and a brief note under the brief column before it; files have all of them.
    """

    title: str
    kind: str = "text"
    brief: bool = False


@dataclass(frozen=True)
class Filters:
    """Which part of an answer is wanted; empty means all.

    `asset` is a name or name@number, `since` inclusive, `until` exclusive, by the time of the report's first column.
    """

    asset: str = ""
    environment: str = ""
    customer: str = ""
    since: datetime | None = None
    until: datetime | None = None

    def as_parameters(self) -> dict[str, str]:
        """Return the filters that are set as plain text, for addresses, exports and the ledger."""
        found = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: written(value) for name, value in found.items() if value}

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, str]) -> Self:
        """Return the filters that `as_parameters` wrote down."""
        times = {name: parse_datetime(parameters[name]) for name in ("since", "until") if name in parameters}
        return cls(**{**parameters, **times})  # type: ignore[arg-type]  # the names are those of the fields


def written(value: str | datetime) -> str:
    """Return a filter's value as text."""
    return seal.instant(value) if isinstance(value, datetime) else value


class Report(ABC):
    """One question. `slug` is stable for ever: addresses, exports and the ledger name it.

    `filters` names the fields of Filters that the question can be narrowed by.
    """

    slug: ClassVar[str]
    title: ClassVar[str]
    question: ClassVar[str]
    columns: ClassVar[tuple[Column, ...]]
    filters: ClassVar[tuple[str, ...]]

    @abstractmethod
    def select(self, filters: Filters, as_of: datetime) -> QuerySet[Any]:
        """Return what the answer is made of, in its order, as it was known at an instant. Lazy."""

    @abstractmethod
    def tell(self, found: Sequence[Any], as_of: datetime) -> Iterable[Row]:
        """Return one row for each of the selected things, asking the database a fixed number of times for all."""

    @abstractmethod
    def say(self, row: Row) -> str:
        """Return a row as one sentence."""

    def rows(self, filters: Filters, as_of: datetime) -> Iterator[Row]:
        """Yield the whole answer as of an instant, in constant memory however long it is."""
        found = self.select(filters, as_of).iterator(chunk_size=CHUNK)
        while batch := list(islice(found, CHUNK)):
            yield from self.tell(batch, as_of)

    def cell(self, row: Row, title: str) -> Cell:
        """Return the cell of a row under a heading."""
        return row[[column.title for column in self.columns].index(title)]


def narrowed(
    rows: QuerySet[Any], filters: Filters, as_of: datetime, *, at: str, version: str = "version", environment: str = ""
) -> QuerySet[Any]:
    """Return the rows that existed at an instant and that the filters ask for.

    `at` is the path from a row to its instant; `version` and `environment` lead to what else is filtered by.
    """
    rows = rows.filter(**{f"{at}__lte": as_of})
    if filters.since is not None:
        rows = rows.filter(**{f"{at}__gte": filters.since})
    if filters.until is not None:
        rows = rows.filter(**{f"{at}__lt": filters.until})
    if filters.asset:
        rows = rows.filter(**of_asset(filters.asset, version))
    if filters.environment and environment:
        rows = rows.filter(**{environment: filters.environment})
    return rows


def of_asset(name: str, version: str = "") -> dict[str, str]:
    """Return the conditions for versions of an asset, or for the one version of `asset@number`."""
    path = f"{version}__" if version else ""
    slug, _, number = name.partition("@")
    conditions = {f"{path}asset__slug": slug}
    return {**conditions, f"{path}number": number} if number else conditions


def key_of(row: Model) -> str:
    """Return the event id of the ledger entry that names a recorded row."""
    return str(row.recorded_in)  # type: ignore[attr-defined]  # every AppendOnly row has one
