"""Answers of several parts, one after the other: each a query of its own, counted and cut without reading the rest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, overload

from django.db.models import QuerySet

from audit.reports.base import CHUNK, Found, count


class Thing(NamedTuple):
    """One row of one part, with the part's word."""

    word: str
    row: Any

    @property
    def key(self) -> str:
        """Return what names this row among all parts."""
        return f"{self.word}:{self.row.pk}"


class Chained(Sequence[Thing]):
    """Parts one after the other, each under its word."""

    def __init__(self, parts: Sequence[tuple[str, Found]]) -> None:
        self._parts = tuple(parts)

    def __len__(self) -> int:
        return sum(count(found) for _, found in self._parts)

    @overload
    def __getitem__(self, place: int) -> Thing: ...
    @overload
    def __getitem__(self, place: slice) -> list[Thing]: ...
    def __getitem__(self, place: int | slice) -> Any:
        if isinstance(place, int):
            return self[place : place + 1][0]
        start, wanted = place.start or 0, None if place.stop is None else place.stop - (place.start or 0)
        found: list[Thing] = []
        for word, rows in self._parts:
            if wanted is not None and len(found) >= wanted:
                break
            skipped = start
            start = max(0, start - count(rows)) if start else 0
            more = None if wanted is None else skipped + wanted - len(found)
            found += [Thing(word, row) for row in rows[skipped:more]]
        return found

    def __iter__(self) -> Iterator[Thing]:
        for word, rows in self._parts:
            source = rows.iterator(chunk_size=CHUNK) if isinstance(rows, QuerySet) else rows
            yield from (Thing(word, row) for row in source)
