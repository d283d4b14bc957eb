"""Rows as a tagged PDF for people: the columns of the page, in a bounded number of rows, set by a child process.

The template is `report.typ`. It gets data and never markup, so a name that looks like a command is printed as it is.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from audit.exports import typesetting
from audit.exports.tables import About
from audit.reports.base import Cell, Column, Row
from audit.reports.names import accounts_in
from portal.errors import Refused

MOST_ROWS = 5_000
MOST_CELL = 1_000
PATIENCE = 300
# The letters that the fonts inside typst surely have. Others depend on the fonts of the host.
PLAIN = re.compile(
    r"[ -~\u00a1-\u00ac\u00ae-\u02ff\u0384-\u038a\u038e-\u03a1\u03a3-\u0481\u200b\u2010-\u2027\u2030-\u203a\n]*"
)
LONG = re.compile(r"\S{25,}")
WIDTHS = {"time": 5, "number": 4, "word": 5, "digest": 6, "version": 7, "entry": 6, "decision": 6}
SPELLED = "Letters that no font here has are written as their code points, such as <U+4E2D>."


class Unset(Exception):
    """The child process did not give a PDF: its last line says why."""


def write(target: BinaryIO, columns: Sequence[Column], rows: Iterable[Row], about: About, *, key: bool = False) -> int:
    """Write a table as a PDF/UA-1 and return how many rows it has; `key` keeps the last column, the row's key.

    Only brief columns are in it, as on the page. Raises Refused with code `too-long` beyond 5,000 rows.
    """
    shown = [(index, column) for index, column in enumerate(columns) if column.brief]
    kept = [*shown, (len(columns) - 1, columns[-1])] if key else shown
    found = list(islice(rows, MOST_ROWS + 1))
    if len(found) > MOST_ROWS:
        raise too_long()
    names = accounts_in(columns, found)
    lines = [line_of(row, kept, names) for row in found]
    headed = [column for _, column in kept if column.kind != "note"]
    told = {
        "title": about.title,
        "portal": "Countersign",
        "question": about.facts[0][1],
        "footer": about.footer,
        "created": int(about.as_of.timestamp()),
        "facts": [[label, text] for label, text in about.facts[1:]],
        "headings": [column.title for column in headed],
        "widths": [WIDTHS.get(column.kind, 8) for column in headed],
        "rows": lines,
        "empty": "Nothing, as of that instant.",
    }
    target.write(typeset(told))
    return len(lines)


def too_long() -> Refused:
    """Return the refusal of a PDF with more rows than anybody reads."""
    return Refused(
        "too-long",
        f"A PDF holds {MOST_ROWS:,} rows at most, and this answer has more. "
        "Narrow the question, ask for a sample, or take CSV or XLSX, which hold all of it.",
    )


def line_of(row: Row, kept: Sequence[tuple[int, Column]], names: Mapping[str, str]) -> list[str]:
    """Return the cells of a row as texts, notes below the cell before them and accounts below names, as on the page."""
    line: list[str] = []
    for index, column in kept:
        text = bounded(as_text(row[index], column.kind))
        if (name := names.get(str(row[index]), text)) != text and column.kind == "account":
            text = f"{bounded(name)}\n{text}"
        if column.kind != "note":
            line.append(text)
        elif text:
            line[-1] = f"{line[-1]}\n{text}"
    return line


def as_text(cell: Cell, kind: str) -> str:
    """Return a cell as people read it: instants to the second in UTC, and a dash for nothing."""
    if isinstance(cell, datetime):
        return f"{cell.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z"
    if cell is None or cell == "":
        return "" if kind == "note" else "–"
    return str(cell)


def bounded(text: str) -> str:
    """Return a text that fits into a cell, with places to break words that are too long for a line."""
    short = text if len(text) <= MOST_CELL else f"{text[: MOST_CELL - 1]}…"
    return LONG.sub(lambda word: "\u200b".join(re.findall(r".{1,16}", word.group(), re.DOTALL)), short)


def typeset(told: dict[str, Any]) -> bytes:
    """Return what was told as a PDF, with the letters of the host's fonts where they are enough, else spelled out.

    Raises Refused with code `unset` when there is no PDF either way.
    """
    visible = mapped(told, lambda text: shown(text, keep_foreign=True))
    try:
        return set_by_child(visible)
    except Unset:
        spelled = mapped(told, lambda text: shown(text, keep_foreign=False))
        spelled["facts"].append(["Letters", SPELLED])
    try:
        return set_by_child(spelled)
    except Unset as error:
        raise Refused("unset", f"The PDF could not be set: {error}. Take CSV or XLSX instead.") from error


def mapped(value: Any, change: Any) -> Any:
    """Return plain data with every text in it changed."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {name: mapped(each, change) for name, each in value.items()}
    return [mapped(each, change) for each in value] if isinstance(value, list) else value


def shown(text: str, *, keep_foreign: bool) -> str:
    """Return a text in which nothing is invisible: controls, and foreign letters unless kept, become code points."""
    if PLAIN.fullmatch(text):
        return text
    return "".join(
        letter if PLAIN.fullmatch(letter) or (keep_foreign and is_letter(letter)) else spell(letter) for letter in text
    )


def is_letter(letter: str) -> bool:
    """Return whether something is there to be seen: no control, no change of direction, nothing unassigned."""
    return unicodedata.category(letter)[0] not in "CZ"


def spell(letter: str) -> str:
    """Return the code point of a letter."""
    return " " if unicodedata.category(letter) == "Zs" else f"<U+{ord(letter):04X}>"


def set_by_child(told: dict[str, Any]) -> bytes:
    """Return the PDF that a child process sets. Raises Unset when it fails or takes more than five minutes."""
    command = [sys.executable, "-I", str(Path(typesetting.__file__))]
    try:
        done = subprocess.run(  # noqa: S603 -- our own script, and nothing that was asked for is in the command
            command, input=json.dumps(told).encode(), capture_output=True, timeout=PATIENCE, check=False, env={}
        )
    except subprocess.TimeoutExpired as error:
        raise Unset(f"it took more than {PATIENCE} seconds") from error
    if done.returncode or not done.stdout.startswith(b"%PDF-"):
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise Unset(said[-1][:300] if said else f"the child process ended with {done.returncode}")
    return done.stdout
