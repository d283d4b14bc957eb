"""Rows as CSV and as XLSX: written one by one, in constant memory, and never as live formulas."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import BinaryIO, NamedTuple

import xlsxwriter

from audit.reports.base import Cell, Column, Row

# What makes a spreadsheet take text for a formula: OWASP, "CSV Injection". The last four are full-width forms.
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
MOST_SHEET_ROWS = 1_000_000
MOST_CELL = 32_767
TOGETHER = 500
FORMATS = {
    "csv": "text/csv; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "pdf": "application/pdf",
}
WIDTHS = {"time": 21, "number": 12, "digest": 20, "word": 16, "version": 26}


class About(NamedTuple):
    """What a workbook or a PDF says about itself: a title, (label, text) pairs, the question first, and a last line."""

    title: str
    facts: Sequence[tuple[str, str]]
    as_of: datetime
    footer: str = ""


def defuse(text: str) -> str:
    """Return text that no spreadsheet takes for a formula: with an apostrophe before one."""
    return f"'{text}" if text.startswith(FORMULA) else text


def as_text(cell: Cell) -> str | int:
    """Return a cell as CSV has it: times as 2026-11-23T09:00:00.000000Z, text defused, nothing as nothing."""
    if isinstance(cell, datetime):
        return f"{cell.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='microseconds')}Z"
    if isinstance(cell, str):
        return defuse(cell)
    return "" if cell is None else cell


def heading_line(columns: Sequence[Column]) -> bytes:
    """Return the first line of a CSV."""
    line = io.StringIO(newline="")
    csv.writer(line).writerow([column.title for column in columns])
    return line.getvalue().encode()


def write_csv(target: BinaryIO, columns: Sequence[Column], rows: Iterable[Row]) -> int:
    """Write a table as CSV (RFC 4180, UTF-8, one line of headings) and return how many rows it has."""
    count = 0
    target.write(heading_line(columns))
    lines = io.StringIO(newline="")
    out = csv.writer(lines)
    for row in rows:
        out.writerow([as_text(cell) for cell in row])
        count += 1
        if not count % TOGETHER:
            target.write(lines.getvalue().encode())
            lines.seek(0)
            lines.truncate()
    target.write(lines.getvalue().encode())
    return count


def write_xlsx(
    target: BinaryIO,
    columns: Sequence[Column],
    rows: Iterable[Row],
    about: About,
    *,
    most_rows: int = MOST_SHEET_ROWS,
) -> int:
    """Write a table as a workbook and return how many rows it has.

    Text stays text, whatever it looks like. A sheet holds `most_rows`; longer tables go on in the next one.
    """
    options = {
        "constant_memory": True,
        "strings_to_formulas": False,
        "strings_to_urls": False,
        "strings_to_numbers": False,
    }
    with xlsxwriter.Workbook(target, options) as book:
        book.set_properties({"title": about.title, "created": about.as_of.astimezone(UTC).replace(tzinfo=None)})
        _write_about(book, about)
        sheets = _Sheets(book, columns, most_rows)
        for row in rows:
            sheets.write(row)
        return sheets.count


class _Sheets:
    """The sheets of one table: a new one whenever the last is full."""

    def __init__(self, book: xlsxwriter.Workbook, columns: Sequence[Column], most_rows: int) -> None:
        self._book = book
        self._columns = columns
        self._most_rows = most_rows
        self._heading = book.add_format({"bold": True, "bottom": 1})
        self._time = book.add_format({"num_format": 'yyyy-mm-dd hh:mm:ss "UTC"', "align": "left"})
        self.count = 0
        self._open()

    def _open(self) -> None:
        """Begin a sheet with the headings, which stay in sight."""
        number = self.count // self._most_rows
        self._sheet = self._book.add_worksheet("Rows" if number == 0 else f"Rows {number + 1}")
        self._sheet.freeze_panes(1, 0)
        for index, column in enumerate(self._columns):
            self._sheet.set_column(index, index, WIDTHS.get(column.kind, 24))
            self._sheet.write_string(0, index, column.title, self._heading)

    def write(self, row: Row) -> None:
        """Write one row."""
        if self.count and self.count % self._most_rows == 0:
            self._open()
        line = self.count % self._most_rows + 1
        for index, cell in enumerate(row):
            if isinstance(cell, datetime):
                self._sheet.write_datetime(line, index, cell.astimezone(UTC).replace(tzinfo=None), self._time)
            elif isinstance(cell, int):
                self._sheet.write_number(line, index, cell)
            elif cell:
                self._sheet.write_string(line, index, shortened(cell))
        self.count += 1


def shortened(text: str) -> str:
    """Return text that fits into a cell of a workbook, ending in an ellipsis where something is left out."""
    return text if len(text) <= MOST_CELL else f"{text[: MOST_CELL - 1]}…"


def _write_about(book: xlsxwriter.Workbook, about: About) -> None:
    """Write the first sheet: what was asked, as of when, by which filters."""
    sheet = book.add_worksheet("About")
    sheet.set_column(0, 0, 20)
    sheet.set_column(1, 1, 90)
    sheet.write_string(0, 0, about.title, book.add_format({"bold": True, "font_size": 14}))
    for line, (label, text) in enumerate(about.facts, 2):
        sheet.write_string(line, 0, label)
        sheet.write_string(line, 1, shortened(text))
