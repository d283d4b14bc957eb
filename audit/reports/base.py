"""What a report is: one auditor's question, answered row by row as of an instant, in constant memory.

Reports read and never write. How rows become a page is known by `audit.web`, how they become a file by `audit.exports`.
A question as somebody asked it, with its filters, its instant and perhaps a sample, is in `asking`.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from itertools import islice
from typing import Any, ClassVar, Self

from django.db.models import Expression, F, Model, QuerySet, TextField, Value
from django.db.models.functions import Cast, Concat
from django.utils.dateparse import parse_datetime

from audit import seal

CHUNK = 2_000

Cell = str | int | datetime | None
Row = tuple[Cell, ...]
Sentence = tuple[Cell, str]
# What a report selects: a lazy query, or things that were put together from several.
Found = QuerySet[Any] | Sequence[Any]


@dataclass(frozen=True)
class Column:
    """One column. `kind` is text, note, word, time, number, digest, asset, version, decision, entry, link or account.

    Pages show the brief columns, and a brief note under the brief column before it; files have all of them. An account
    is a ledger name, beside which pages and PDFs show a person's. `source` is for plain reports: the path of a field,
    or an expression, that the database answers the cell with.
    """

    title: str
    kind: str = "text"
    brief: bool = False
    source: str | Expression = ""


@dataclass(frozen=True)
class Filters:
    """Which part of an answer is wanted; empty means all.

    `asset` is a name or name@number, `person` a part of a name or a ledger name, `event` an event or a family such as
    `seat.`, `word` one of the report's own words. `since` is inclusive and `until` exclusive, by the time of the
    report's first column.
    """

    asset: str = ""
    environment: str = ""
    customer: str = ""
    deployment: str = ""
    person: str = ""
    role: str = ""
    rule: str = ""
    event: str = ""
    word: str = ""
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


@dataclass(frozen=True)
class Picture:
    """What a report draws above its rows: a partial and what it needs."""

    template: str
    context: Mapping[str, Any]


def written(value: str | datetime) -> str:
    """Return a filter's value as text."""
    return seal.instant(value) if isinstance(value, datetime) else value


class Report(ABC):
    """One question. `slug` is stable for ever: addresses, exports and the ledger name it.

    `filters` names the fields of Filters that the question can be narrowed by; `words` are the values of the filter
    `word`, under the label `word_label`, shown as `titles` has them. `note` is a sentence for the foot of the page,
    `nothing` and `hint` what it says instead of rows where there are none.
    `row_key` is the path or the expression of what names a row for ever: samples are drawn by it.
    """

    slug: ClassVar[str]
    title: ClassVar[str]
    question: ClassVar[str]
    columns: ClassVar[tuple[Column, ...]]
    filters: ClassVar[tuple[str, ...]]
    words: ClassVar[tuple[str, ...]] = ()
    titles: ClassVar[Mapping[str, str]] = {}
    word_label: ClassVar[str] = "Outcome"
    note: ClassVar[str] = ""
    nothing: ClassVar[str] = "Nothing, as of that instant."
    hint: ClassVar[str] = "Widen the question, or choose a later instant."
    row_key: ClassVar[str | Expression] = "pk"

    @abstractmethod
    def select(self, filters: Filters, as_of: datetime) -> Found:
        """Return what the answer is made of, in its order, as it was known at an instant. Lazy."""

    @abstractmethod
    def tell(self, found: Sequence[Any], as_of: datetime) -> Iterable[Row]:
        """Return one row for each of the selected things, asking the database a fixed number of times for all."""

    @abstractmethod
    def say(self, row: Row) -> str:
        """Return a row as one sentence."""

    def sentences(self, found: Sequence[Any], as_of: datetime) -> Iterable[Sentence]:
        """Return when and what, for a page that shows only that; a report may save queries here."""
        for row in self.tell(found, as_of):
            yield row[0], self.say(row)

    def picture(self, filters: Filters, as_of: datetime) -> Picture | None:
        """Return what is drawn above the rows, in a fixed number of queries; nothing by default."""
        return None

    def rows(self, filters: Filters, as_of: datetime) -> Iterator[Row]:
        """Yield the whole answer as of an instant, in constant memory however long it is."""
        for _, row in self.told(self.select(filters, as_of), as_of):
            yield row

    def told(self, found: Found, as_of: datetime) -> Iterator[tuple[str, Row]]:
        """Yield (key, row) for the whole of what was selected, in constant memory.

        Where rows are put together from several things, a row's key is a digest of what it says.
        """
        source = found.iterator(chunk_size=CHUNK) if isinstance(found, QuerySet) else iter(found)
        while batch := list(islice(source, CHUNK)):
            rows = self.tell(batch, as_of)
            if isinstance(found, QuerySet):
                yield from zip(map(self.key, batch), rows, strict=True)
            else:
                yield from ((digest_of(row), row) for row in rows)

    def key(self, thing: Any) -> str:
        """Return the key of one of the selected things, as `row_key` answers it."""
        return str(thing.pk)

    def cell(self, row: Row, title: str) -> Cell:
        """Return the cell of a row under a heading."""
        return row[[column.title for column in self.columns].index(title)]


class PlainReport(Report):
    """A report whose every cell the database can answer by itself, so that a file of it is made by COPY.

    Each column has a `source`; `find` takes the place of `select` and `tell`.
    """

    @abstractmethod
    def find(self, filters: Filters, as_of: datetime) -> QuerySet[Any]:
        """Return the rows that the answer is made of, in its order, as they were known at an instant. Lazy."""

    def select(self, filters: Filters, as_of: datetime) -> QuerySet[Any]:
        """Return (key, cell, cell, …) for each row."""
        cells = {f"cell_{number}": answered_by(column) for number, column in enumerate(self.columns)}
        return self.find(filters, as_of).annotate(key=as_text(self.row_key), **cells).values_list("key", *cells)

    def tell(self, found: Sequence[Any], as_of: datetime) -> Iterator[Row]:
        """Yield the rows as the database gave them."""
        for _, *cells in found:
            yield tuple(cells)

    def key(self, thing: Any) -> str:
        """Return the key of a row, which is its first value."""
        return str(thing[0])


def count(found: Found, most: int | None = None) -> int:
    """Return how many things were selected, or `most` when there are more."""
    if not isinstance(found, QuerySet):
        return min(len(found), len(found) if most is None else most)
    keys = (found if found.query.is_sliced else found.order_by()).values("pk")
    return int((keys if most is None else keys[:most]).count())


def answered_by(column: Column) -> Any:
    """Return the expression that answers a cell with text, a number or an instant."""
    if column.kind in {"time", "number"}:
        return F(column.source) if isinstance(column.source, str) else column.source
    return as_text(column.source)


def as_text(source: str | Expression) -> Cast:
    """Return an expression for a field, or for what another expression answers, as text."""
    return Cast(F(source) if isinstance(source, str) else source, TextField())


def digest_of(row: Row) -> str:
    """Return what names a row that was put together: the first 16 hex digits of the sha256 over its cells."""
    cells = "\x1f".join("" if cell is None else str(cell) for cell in row)
    return hashlib.sha256(cells.encode()).hexdigest()[:16]


def joined(*parts: str) -> Expression:
    """Return an expression for texts one after the other: paths of fields, and plain texts that begin with `=`."""
    pieces = [Value(part[1:]) if part.startswith("=") else Cast(F(part), TextField()) for part in parts]
    return Concat(*pieces, output_field=TextField())


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
