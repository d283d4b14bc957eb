"""Tables as files: nothing in them is ever run by a spreadsheet, and everything in them can be read back."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime
from typing import Any

import openpyxl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.exports import tables
from audit.reports import Column

COLUMNS = (Column("When", "time"), Column("Who"), Column("Count", "number"))
AT = datetime(2026, 11, 23, 9, 0, 0, 123456, tzinfo=UTC)
ABOUT = tables.About("Decisions", [("Question", "=1+1"), ("As of", "2026-11-23")], AT)
HARMFUL = [
    "=cmd|' /C calc'!A0",
    "+1+1",
    "-1+1",
    "@SUM(1+1)",
    "\t=1+1",
    "\r=1+1",
    "\n=1+1",
    "＝1+1",
    '=HYPERLINK("https://example.com","x")',
]
# Everything a database column can hold: no NUL, no lone surrogates.
TEXT = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=60)


def as_csv(*rows: Any) -> list[list[str]]:
    """Return what a spreadsheet reads from the CSV of these rows, without the headings."""
    out = io.BytesIO()
    assert tables.write_csv(out, COLUMNS, rows) == len(rows)
    assert not out.closed
    read = list(csv.reader(io.StringIO(out.getvalue().decode("utf-8"), newline="")))
    assert read[0] == ["When", "Who", "Count"]
    return read[1:]


def as_workbook(*rows: Any, most_rows: int = tables.MOST_SHEET_ROWS) -> Any:
    """Return the workbook of these rows as another library reads it, formulas and all."""
    out = io.BytesIO()
    assert tables.write_xlsx(out, COLUMNS, rows, ABOUT, most_rows=most_rows) == len(rows)
    return openpyxl.load_workbook(io.BytesIO(out.getvalue()))


@pytest.mark.parametrize("text", HARMFUL)
def test_what_a_spreadsheet_takes_for_a_formula_begins_with_an_apostrophe(text: str) -> None:
    assert as_csv((AT, text, 1)) == [["2026-11-23T09:00:00.123456Z", f"'{text}", "1"]]


@given(TEXT)
def test_a_cell_of_a_csv_never_begins_like_a_formula_and_loses_nothing(text: str) -> None:
    [[_, cell, _]] = as_csv((AT, text, 1))
    assert not cell.startswith(tables.FORMULA)
    assert cell in (text, f"'{text}")


def test_nothing_is_nothing_and_numbers_stay_numbers() -> None:
    assert as_csv((None, "", -5)) == [["", "", "-5"]]
    sheet = as_workbook((None, "", -5))["Rows"]
    assert [cell.value for cell in sheet[2]] == [None, None, -5]


@pytest.mark.parametrize("text", [*HARMFUL, "{=1+1}", "https://example.com", "mailto:a@example.com", "12", "1e5"])
def test_text_stays_text_in_a_workbook(text: str) -> None:
    sheet = as_workbook((AT, text, 1))["Rows"]
    assert sheet["B2"].data_type == "s"
    assert sheet["B2"].hyperlink is None
    assert sheet["B2"].value.replace("_x000D_", "\r") == text


def test_a_workbook_says_what_it_answers_and_holds_real_times_in_utc() -> None:
    book = as_workbook((AT, "Rhea", 1))
    assert book.sheetnames == ["About", "Rows"]
    assert [cell.value for cell in book["About"]["B"]] == [None, None, "=1+1", "2026-11-23"]
    assert book["About"]["B3"].data_type == "s"
    assert book["Rows"]["A2"].value == AT.replace(microsecond=123000, tzinfo=None)
    assert "UTC" in book["Rows"]["A2"].number_format


def test_a_long_workbook_goes_on_in_the_next_sheet_with_its_headings() -> None:
    book = as_workbook(*((AT, f"row {number}", number) for number in range(7)), most_rows=3)
    assert book.sheetnames == ["About", "Rows", "Rows 2", "Rows 3"]
    assert [sheet.max_row for sheet in book.worksheets[1:]] == [4, 4, 2]
    assert [cell.value for cell in book["Rows 3"][1]] == ["When", "Who", "Count"]
    assert book["Rows 3"]["C2"].value == 6


def test_a_text_that_is_too_long_for_a_cell_ends_in_an_ellipsis() -> None:
    cell = as_workbook((AT, "x" * 40_000, 1))["Rows"]["B2"].value
    assert (len(cell), cell[-2:]) == (32_767, "x…")
    assert as_csv((AT, "x" * 40_000, 1))[0][1] == "x" * 40_000
