"""Geometry of the server-rendered SVG charts as plain dataclasses; templates `_chart_*.html` print them.

Bars, trends and the posture bar live here, the lineage picture in `portal.lineage`.
What is good or bad is decided by the caller.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

BAR_WIDTH, BAR_HEIGHT = 320.0, 26.0
TREND_WIDTH, TREND_HEIGHT, TREND_PAD = 240.0, 76.0, 6.0
# Below the dots a line of version numbers; a character of it is about this wide, in units of the box.
TREND_FOOT, TREND_LETTER = 17.0, 5.7
STACK_WIDTH = 640.0
COLUMNS_HEIGHT = 48.0


@dataclass(frozen=True)
class ThresholdBar:
    """One metric against its limits, in a box of 320 by 26 units; `*_x` are positions, None where there is none.

    `low_x` and `high_x` are the ends of the error that the value is known with.
    """

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
    low_x: float | None = None
    high_x: float | None = None
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


def scale(seen: list[float], *, is_share: bool) -> tuple[float, float]:
    """Return the ends of a bar that shows all of these numbers and zero; a share may have the whole from 0 to 1."""
    low, top = min(0.0, min(seen) * 1.15), max(seen)
    if is_share and low >= 0.0 and 0.5 <= top <= 1.0:
        return low, 1.0
    return low, max(top * 1.25, 0.0) or (1.0 if low == 0.0 else 0.0)


def threshold_bar(
    value: float,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    previous: float | None = None,
    unit: str = "",
    passed: bool | None = None,
    spread: tuple[float, float] | None = None,
    is_stale: bool = False,
) -> ThresholdBar:
    """Lay out one metric against its limits. Raises ValueError for NaN and infinity.

    `passed` and `is_stale` only choose the tone; `spread` is (low, high), between which the true value may lie.
    """
    low, high = scale(finite(value, minimum, maximum, previous, *(spread or ())), is_share=minimum is not None)

    def at(number: float | None) -> float | None:
        return None if number is None else place(number, low, high, BAR_WIDTH)

    zero, end = at(0.0) or 0.0, at(value) or 0.0
    allowed_from, allowed_to = at(minimum) or 0.0, BAR_WIDTH if maximum is None else (at(maximum) or 0.0)
    bounded = (minimum, maximum) != (None, None)
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
        tone="neutral" if is_stale else {True: "ok", False: "bad", None: "info"}[passed],
        low_x=at(spread[0] if spread else None),
        high_x=at(spread[1] if spread else None),
    )


@dataclass(frozen=True)
class Sample:
    """One value of a trend. `spread` is (low, high) of its error; `fault` says in words why it does not count."""

    label: str
    value: float
    spread: tuple[float, float] | None = None
    n: int | None = None
    fault: str = ""


@dataclass(frozen=True)
class TrendPoint:
    """One dot of a trend: its place, the ends of its error, and the sample; `anchor` is set where its label fits."""

    sample: Sample
    x: float
    y: float
    low_y: float | None = None
    high_y: float | None = None
    anchor: str = ""

    @property
    def label(self) -> str:
        """Return the words for the dot."""
        return self.sample.label

    @property
    def value(self) -> float:
        """Return the value."""
        return self.sample.value


@dataclass(frozen=True)
class Trend:
    """A metric over versions, oldest first, in a box of 240 by 76 units; `line` and `area` are SVG paths.

    The line leads through the values that count only.
    """

    points: tuple[TrendPoint, ...]
    line: str
    area: str
    minimum: float | None
    maximum: float | None
    minimum_y: float | None
    maximum_y: float | None
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

    @property
    def foot(self) -> float:
        """Return where the version numbers stand."""
        return self.height - 3


def trend(
    series: Iterable[Sample], *, minimum: float | None = None, maximum: float | None = None, unit: str = ""
) -> Trend:
    """Lay out samples, oldest first, with lines for the limits. Raises ValueError for NaN and infinity."""
    samples = list(series)
    ends = [end for sample in samples for end in (sample.value, *(sample.spread or ()))]
    seen = finite(*ends, minimum, maximum)
    low, high = (min(seen), max(seen)) if seen else (0.0, 1.0)
    floor = TREND_HEIGHT - TREND_FOOT

    def height_of(value: float | None) -> float | None:
        return None if value is None else round(floor - place(value, low, high, floor - TREND_PAD), 2)

    step = (TREND_WIDTH - 2 * TREND_PAD) / (len(samples) - 1) if len(samples) > 1 else 0.0
    start = TREND_PAD if len(samples) > 1 else TREND_WIDTH / 2
    anchors = anchored([sample.label for sample in samples], start, step)
    points = tuple(
        TrendPoint(
            sample,
            round(start + step * index, 2),
            height_of(sample.value) or 0.0,
            height_of(sample.spread[0]) if sample.spread else None,
            height_of(sample.spread[1]) if sample.spread else None,
            anchors.get(index, ""),
        )
        for index, sample in enumerate(samples)
    )
    counting = [point for point in points if not point.sample.fault]
    line = "M" + "L".join(f"{point.x:g} {point.y:g}" for point in counting) if len(counting) > 1 else ""
    area = f"{line}L{counting[-1].x:g} {floor:g}L{counting[0].x:g} {floor:g}Z" if line else ""
    return Trend(points, line, area, minimum, maximum, height_of(minimum), height_of(maximum), unit)


def anchored(labels: Sequence[str], start: float, step: float) -> dict[int, str]:
    """Return the places of the labels that fit without touching, with their text anchors; the newest always has one."""
    found: dict[int, str] = {}
    free = TREND_WIDTH
    for index in reversed(range(len(labels))):
        width, x = TREND_LETTER * len(labels[index]), start + step * index
        anchor = "middle" if len(labels) == 1 or 0 < index < len(labels) - 1 else "start" if index == 0 else "end"
        left = {"start": x, "middle": x - width / 2, "end": x - width}[anchor]
        if not found or (left >= 0 and left + width + TREND_LETTER <= free):
            found[index] = anchor
            free = left
    return found


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


@dataclass(frozen=True)
class Column:
    """One column with its place and its height."""

    label: str
    count: int
    x: float
    y: float
    height: float


@dataclass(frozen=True)
class Columns:
    """How many there are in each of some stretches of time, in a box of 640 by 48 units; nothing has no height."""

    columns: tuple[Column, ...]
    column_width: float
    most: int
    width: float = STACK_WIDTH
    height: float = COLUMNS_HEIGHT


def columns(counts: Sequence[tuple[str, int]], *, gap: float = 3.0, smallest: float = 3.0) -> Columns:
    """Lay out labelled counts side by side, the highest filling the box; ValueError below zero."""
    most = max((count for _, count in counts), default=0)
    width = (STACK_WIDTH - gap * max(0, len(counts) - 1)) / max(1, len(counts))
    laid = []
    for index, (label, count) in enumerate(counts):
        if count < 0:
            raise ValueError(f"A column cannot show {count} for {label}; expected zero or more.")
        height = smallest + (COLUMNS_HEIGHT - smallest) * count / most if count else 0.0
        x, y = round(index * (width + gap), 2), round(COLUMNS_HEIGHT - height, 2)
        laid.append(Column(label, count, x, y, round(height, 2)))
    return Columns(tuple(laid), round(width, 2), most)
