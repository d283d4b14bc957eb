"""Reports as PDF: tagged, with what was asked and how the ledger was, and nothing that people wrote is ever markup."""

from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pypdf
import pytest
from django.utils import timezone

from audit.exports import builder, pdf, requests
from audit.exports.tables import About
from audit.models import Checkpoint, Export
from audit.reports import BY_SLUG, Column
from audit.reports.asking import Question, Sample
from audit.reports.base import Filters, Row
from portal.errors import Refused
from tests.audit.exports.test_builder import content
from tests.factories import Walk

AT = datetime(2026, 11, 23, 9, 0, 0, 123456, tzinfo=UTC)
COLUMNS = (
    Column("When", "time", brief=True),
    Column("Customer", brief=True),
    Column("Why", "note", brief=True),
    Column("Hidden"),
    Column("Row"),
)
COMMANDS = [
    '#read("/etc/passwd")',
    '#import "@preview/cetz:0.3.0"',
    '#include "report.typ"',
    "*bold* _it_ $x^2$ `raw` <label> @ref // comment",
    "#set page(width: 1pt)",
    "] #panic() [",
    "\\u{41} = Heading",
]


def about(*facts: tuple[str, str]) -> About:
    """Return what a file says about itself."""
    return About("Approvals", [("Question", "Who approved what, and when?"), *facts], AT, "export 12")


def made(*rows: Row, **options: Any) -> pypdf.PdfReader:
    """Return the PDF of some rows."""
    out = io.BytesIO()
    assert pdf.write(out, COLUMNS, rows, about(("As of", "2026-11-23")), **options) == len(rows)
    return pypdf.PdfReader(io.BytesIO(out.getvalue()))


def words(reader: pypdf.PdfReader) -> str:
    """Return the text of all pages in one line, without the places at which long words may break."""
    return " ".join("\n".join(page.extract_text() for page in reader.pages).replace("\u200b", "").split())


def tags(node: Any) -> Iterator[str]:
    """Yield the kinds of all elements of the structure."""
    node = node.get_object()
    if isinstance(node, list):
        for each in node:
            yield from tags(each)
    elif isinstance(node, dict):
        if "/S" in node:
            yield node["/S"]
        if "/K" in node:
            yield from tags(node["/K"])


def test_a_pdf_is_tagged_has_title_and_language_and_a_table_with_headings() -> None:
    reader = made(*((AT, f"c{number}", "", "x", str(number)) for number in range(80)))
    root: Any = reader.trailer["/Root"]
    assert root["/MarkInfo"]["/Marked"]
    assert root["/Lang"] == "en-GB"
    assert root["/ViewerPreferences"]["/DisplayDocTitle"]
    assert reader.metadata is not None
    assert reader.metadata.title == "Approvals"
    assert b"<pdfuaid:part>1</pdfuaid:part>" in root["/Metadata"].get_object().get_data()
    kinds = list(tags(root["/StructTreeRoot"]["/K"]))
    assert {"/Table", "/THead", "/TBody", "/TH", "/TD"} <= set(kinds)
    assert kinds.count("/TH") == 2
    assert len(reader.pages) > 1
    assert f"Page 2 of {len(reader.pages)}" in words(reader)
    assert "Countersign · export 12" in words(reader)


def test_it_has_the_columns_of_the_page_and_the_key_only_where_a_sample_needs_it() -> None:
    row = (AT, "acme", "Because.", "secret", "4711")
    assert "2026-11-23 09:00:00Z acme Because." in words(made(row))
    assert "4711" not in words(made(row))
    assert "4711" in words(made(row, key=True))
    assert "secret" not in words(made(row, key=True))


@pytest.mark.parametrize("text", COMMANDS)
def test_what_looks_like_a_command_is_printed_as_it_is(text: str) -> None:
    said = words(made((AT, text, text, None, "1")))
    assert said.count(text) == 2
    assert "root:" not in said


@pytest.mark.parametrize("text", ["Žižek", "Дмитрий Ω", "“quoted” – €5 …"])
def test_letters_of_other_alphabets_are_there(text: str) -> None:
    assert text in words(made((AT, text, "", None, "1")))


def test_what_no_font_has_and_what_nobody_could_see_is_spelled_and_never_missing() -> None:
    said = words(made((AT, "a\u202eb \U000e0041 \x07 \ue000", "", None, "1")))
    assert "a<U+202E>b <U+E0041> <U+0007> <U+E000>" in said
    said = words(made((AT, "𒀀 cuneiform", "", None, "1")))
    assert "𒀀" in said or "<U+12000> cuneiform" in said


def test_a_cell_that_is_too_long_is_shortened_and_a_long_word_finds_places_to_break() -> None:
    said = words(made((AT, "z" * 5_000, "", None, "1")))
    assert said.count("z") == pdf.MOST_CELL - 1
    assert "…" in said


def test_an_empty_answer_says_so() -> None:
    assert "Nothing, as of that instant." in words(made())


def test_more_rows_than_anybody_reads_are_refused_with_the_limit_and_the_ways_out() -> None:
    rows = ((AT, "c", "", None, str(number)) for number in range(pdf.MOST_ROWS + 1))
    with pytest.raises(Refused, match=r"5,000 rows at most.*ask for a sample, or take CSV or XLSX"):
        pdf.write(io.BytesIO(), COLUMNS, rows, about())


def test_a_pdf_that_cannot_be_set_is_refused_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pdf, "PATIENCE", 0.001)
    with pytest.raises(Refused, match=r"could not be set: it took more than 0.001 seconds. Take CSV or XLSX instead"):
        made((AT, "c", "", None, "1"))


def test_a_report_as_pdf_says_who_asked_as_of_when_and_how_the_ledger_was(walk: Walk) -> None:
    walk.work()
    sample = Sample(3, "#2026-Q4")
    question = Question(BY_SLUG["access"], Filters(), timezone.now(), sample)
    export = builder.build_now(requests.request_answer(question, "pdf", actor=walk.cast.iris))
    assert (export.state, export.error) == ("done", "")
    said = words(pypdf.PdfReader(io.BytesIO(content(export))))
    newest = Checkpoint.objects.first()
    assert newest is not None
    assert "Iris Auditor" in said
    assert f"{newest.size:,} sealed entries" in said
    assert bytes(newest.root).hex() in said
    assert export.parameters["as_of"] in said
    assert "seed #2026-Q4: those with the lowest sha256" in said
    assert export.file.startswith("access-sample-")
    assert Export.objects.count() == 1
