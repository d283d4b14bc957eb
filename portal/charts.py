"""Geometry of the server-rendered SVG charts as plain dataclasses; templates `_chart_*.html` print them.

Bars, trends and the posture bar live here, the lineage picture in `portal.lineage`.
What is good or bad is decided by the caller.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

BAR_WIDTH, BAR_HEIGHT = 320.0, 26.0
TREND_WIDTH, TREND_HEIGHT, TREND_PAD = 240.0, 56.0, 6.0
STACK_WIDTH = 640.0


@dataclass(frozen=True)
class ThresholdBar:
    """One metric against its limits, in a box of 320 by 26 units; `*_x` are positions, None where there is none."""

    value: float
    value_width: float
    zero_x: float
    allowed_x: float
    allowed_width: float
    minimum: float | None
    maximum: float | None
    minimum_x: float | None
    maximum_x: float | None
    previous: float | None
    previous_x: float | None
    unit: str
    tone: str
    width: float = BAR_WIDTH
    height: float = BAR_HEIGHT


def place(value: float, low: float, high: float, width: float) -> float:
    """Return where a value lies between two ends, in units of the width, rounded to two decimals."""
    share = 0.5 if high == low else (value - low) / (high - low)
    return round(min(1.0, max(0.0, share)) * width, 2)


def finite(*values: float | None) -> list[float]:
    """Return the given numbers without None; raise ValueError naming the first that is not finite."""
    given = [float(value) for value in values if value is not None]
    for value in given:
        if not math.isfinite(value):
            raise ValueError(f"A chart cannot show {value}; expected a finite number.")
    return given


def threshold_bar(
    value: float,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    previous: float | None = None,
    unit: str = "",
    passed: bool | None = None,
) -> ThresholdBar:
    """Lay out one metric against its limits; `passed` only chooses the tone. Raises ValueError for NaN and infinity."""
    seen = finite(value, minimum, maximum, previous)
    low = min(0.0, min(seen) * 1.15)
    top = max(seen)
    is_share = minimum is not None and low >= 0.0 and 0.5 <= top <= 1.0
    high = 1.0 if is_share else max(top * 1.25, 0.0) or (1.0 if low == 0.0 else 0.0)

    def at(number: float | None) -> float | None:
        return None if number is None else place(number, low, high, BAR_WIDTH)

    zero, end = place(0.0, low, high, BAR_WIDTH), place(value, low, high, BAR_WIDTH)
    allowed_from, allowed_to = at(minimum) or 0.0, BAR_WIDTH if maximum is None else (at(maximum) or 0.0)
    bounded = minimum is not None or maximum is not None
    return ThresholdBar(
        value=float(value),
        value_width=max(1.5, round(abs(end - zero), 2)),
        zero_x=min(zero, end),
        allowed_x=allowed_from,
        allowed_width=round(max(0.0, allowed_to - allowed_from), 2) if bounded else 0.0,
        minimum=minimum,
        maximum=maximum,
        minimum_x=at(minimum),
        maximum_x=at(maximum),
        previous=previous,
        previous_x=at(previous),
        unit=unit,
        tone={True: "ok", False: "bad", None: "info"}[passed],
    )


@dataclass(frozen=True)
class TrendPoint:
    """One dot of a trend: its place, and the words for it."""

    label: str
    value: float
    x: float
    y: float


@dataclass(frozen=True)
class Trend:
    """A metric over versions, oldest first, in a box of 240 by 56 units; `line` and `area` are SVG paths."""

    points: tuple[TrendPoint, ...]
    line: str
    area: str
    limit: float | None
    limit_y: float | None
    unit: str
    width: float = TREND_WIDTH
    height: float = TREND_HEIGHT

    @property
    def last(self) -> TrendPoint | None:
        """Return the newest point, None for an empty trend."""
        return self.points[-1] if self.points else None

    @property
    def first(self) -> TrendPoint | None:
        """Return the oldest point, None for an empty trend."""
        return self.points[0] if self.points else None


def trend(series: Iterable[tuple[str, float]], *, limit: float | None = None, unit: str = "") -> Trend:
    """Lay out (label, value) pairs, oldest first, with an optional limit line; ValueError for NaN and infinity."""
    pairs = list(series)
    seen = finite(*(value for _, value in pairs), limit)
    low, high = (min(seen), max(seen)) if seen else (0.0, 1.0)
    inner_width, inner_height = TREND_WIDTH - 2 * TREND_PAD, TREND_HEIGHT - 2 * TREND_PAD

    def height_of(value: float) -> float:
        return round(TREND_HEIGHT - TREND_PAD - place(value, low, high, inner_height), 2)

    step = inner_width / (len(pairs) - 1) if len(pairs) > 1 else 0.0
    start = TREND_PAD if len(pairs) > 1 else TREND_WIDTH / 2
    points = tuple(
        TrendPoint(label, float(value), round(start + step * index, 2), height_of(float(value)))
        for index, (label, value) in enumerate(pairs)
    )
    line = "M" + "L".join(f"{point.x:g} {point.y:g}" for point in points) if len(points) > 1 else ""
    area = f"{line}L{points[-1].x:g} {TREND_HEIGHT:g}L{points[0].x:g} {TREND_HEIGHT:g}Z" if line else ""
    limit_y = None if limit is None else height_of(limit)
    return Trend(points=points, line=line, area=area, limit=limit, limit_y=limit_y, unit=unit)


@dataclass(frozen=True)
class Part:
    """What a posture bar is made of: a word, how many, its tone, and the page that lists them."""

    label: str
    count: int
    tone: str
    url: str = ""


@dataclass(frozen=True)
class Segment:
    """One part of a posture bar with its place and its share of the whole in per cent."""

    part: Part
    x: float
    width: float
    percent: float


@dataclass(frozen=True)
class StackedBar:
    """A whole divided into parts, in a box 640 units wide; parts of zero have no segment but stay in the legend."""

    parts: tuple[Part, ...]
    segments: tuple[Segment, ...]
    total: int
    width: float = STACK_WIDTH


def stacked_bar(parts: Sequence[Part], *, gap: float = 2.0, smallest: float = 4.0) -> StackedBar:
    """Divide the width between the parts by their counts; parts above zero stay visible; ValueError below zero."""
    for part in parts:
        if part.count < 0:
            raise ValueError(f"A posture bar cannot show {part.count} for {part.label}; expected zero or more.")
    shown = [part for part in parts if part.count]
    total = sum(part.count for part in shown)
    room = STACK_WIDTH - gap * max(0, len(shown) - 1)
    spare = room - smallest * len(shown)
    segments, x = [], 0.0
    for part in shown:
        width = smallest + spare * part.count / total
        segments.append(Segment(part, round(x, 2), round(width, 2), round(100 * part.count / total, 1)))
        x += width + gap
    return StackedBar(parts=tuple(parts), segments=tuple(segments), total=total)
