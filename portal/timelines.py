"""Geometry of the picture of spans over time; the template `_chart_timeline.html` prints it.

Each line has one row for each thing that served on it, so that what ran at the same time lies one above the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from portal.charts import place

WIDTH, ROW = 640.0, 10.0
SMALLEST = 2.0
MOST_LINES = 12


@dataclass(frozen=True)
class Span:
    """Something of a name ran on a line over [start, end); `word` says in which condition, `tone` draws it."""

    line: str
    name: str
    start: datetime
    end: datetime
    tone: str
    word: str
    hollow: bool = False


@dataclass(frozen=True)
class Bar:
    """One span with its place, in units of the box."""

    span: Span
    x: float
    y: float
    width: float
    height: float = ROW - 2


@dataclass(frozen=True)
class Line:
    """One line of the picture: its name, the names of what ran on it, and its bars in a box of its own height."""

    label: str
    names: tuple[str, ...]
    bars: tuple[Bar, ...]
    height: float


@dataclass(frozen=True)
class Timeline:
    """Lines over one axis from `start` to `end`; `more` lines are not drawn."""

    start: datetime
    end: datetime
    lines: tuple[Line, ...]
    more: int
    width: float = WIDTH


def timeline(spans: Sequence[Span], *, ends: tuple[datetime | None, datetime | None] = (None, None)) -> Timeline:
    """Lay spans out over the time between two ends, by default from the first to the last; ValueError for none."""
    if not spans:
        raise ValueError("A timeline needs at least one span.")
    start = ends[0] or min(span.start for span in spans)
    end = ends[1] or max(span.end for span in spans)
    named: dict[str, list[Span]] = {}
    for span in spans:
        named.setdefault(span.line, []).append(span)
    lines = [lay(label, found, start, end) for label, found in list(named.items())[:MOST_LINES]]
    return Timeline(start, end, tuple(lines), max(0, len(named) - MOST_LINES))


def lay(label: str, spans: Sequence[Span], start: datetime, end: datetime) -> Line:
    """Lay out one line: a row for each name in the order of its first span, hollow spans across all of them."""
    names = tuple(dict.fromkeys(span.name for span in spans if not span.hollow))
    rows = {name: number for number, name in enumerate(names)}
    height = ROW * max(1, len(names))
    bars = []
    for span in spans:
        left, right = (
            place(at.timestamp(), start.timestamp(), end.timestamp(), WIDTH) for at in (span.start, span.end)
        )
        x = min(left, WIDTH - SMALLEST)
        width = round(max(SMALLEST, right - x), 2)
        row, tall = (0, height - 2) if span.hollow else (rows[span.name], ROW - 2)
        bars.append(Bar(span, x, round(row * ROW + 1, 2), width, tall))
    return Line(label, names, tuple(bars), height)
