"""Which record answers which point of the EU AI Act, the NIST AI RMF and ISO/IEC 42001, as it was mapped by then."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar

from audit.reports.base import Column, Filters, Picture, Report, Row
from audit.reports.controls import DISCLAIMER, Control, all_controls, frameworks
from portal import charts


class Controls(Report):
    """Every point of every framework that was mapped by the instant, with what of it our records show."""

    slug = "controls"
    title = "Controls"
    question = "Which record has to do with which point of which framework?"
    note = DISCLAIMER
    filters = ("word",)
    words = tuple(framework.slug for framework in frameworks())
    titles: ClassVar[Mapping[str, str]] = {framework.slug: framework.title for framework in frameworks()}
    word_label = "Framework"
    columns = (
        Column("Framework", brief=True),
        Column("Point", brief=True),
        Column("Asks in our words", "note", brief=True),
        Column("Our records", "word", brief=True),
        Column("What they show", "note", brief=True),
        Column("Reports", brief=True),
        Column("Records", brief=True),
        Column("Evidence", brief=True),
        Column("Checks"),
        Column("Stays with the organisation", brief=True),
        Column("Number checked", "word"),
        Column("Text that was mapped"),
        Column("Mapped on"),
        Column("Source"),
        Column("How it was checked"),
    )

    def select(self, filters: Filters, as_of: datetime) -> tuple[Control, ...]:
        """Return the points that were mapped by then, in the order of their texts."""
        day = as_of.astimezone(UTC).date()
        mapped = (control for control in all_controls() if control.framework.as_of <= day)
        return tuple(control for control in mapped if filters.word in {"", control.framework.slug})

    def tell(self, found: Sequence[Control], as_of: datetime) -> Iterator[Row]:
        """Yield a row for each point."""
        for control in found:
            framework = control.framework
            yield (
                framework.title,
                control.number,
                control.asks,
                "a part" if control.is_touched else "nothing",
                control.shows,
                ", ".join(control.reports) or None,
                ", ".join(control.records) or None,
                ", ".join(control.evidence) or None,
                ", ".join(control.checks) or None,
                control.stays,
                "no" if control.unchecked else "yes",
                framework.text,
                framework.as_of.isoformat(),
                framework.source,
                framework.checked,
            )

    def key(self, thing: Any) -> str:
        """Return what names a point."""
        return str(thing.key)

    def say(self, row: Row) -> str:
        """Return "Our records show a part of Annex IV, 2(g) of EU AI Act"."""
        framework, number, _, extent, *_ = row
        return f"Our records show {extent} of {number} of {framework}"

    def picture(self, filters: Filters, as_of: datetime) -> Picture | None:
        """Return, for each framework, of how many points our records show a part."""
        found = self.select(filters, as_of)
        bars = []
        for framework in dict.fromkeys(control.framework for control in found):
            mine = [control for control in found if control.framework == framework]
            touched = sum(control.is_touched for control in mine)
            parts = [charts.Part("A part", touched, "info"), charts.Part("Nothing", len(mine) - touched, "neutral")]
            bars.append((f"{framework.title}, mapped on {framework.as_of:%-d %b %Y}", charts.stacked_bar(parts)))
        text = f"{DISCLAIMER} Of some frameworks a selection of points is mapped, so a bar is no score."
        drawn = {"title": "Points that our records have to do with", "bars": bars, "text": text}
        return Picture("audit/_stack_picture.html", drawn) if bars else None
