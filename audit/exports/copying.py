"""Plain reports as CSV at the speed of the database: COPY of the very expressions that pages read.

A file made here is the file that `tables.write_csv` would make of the same rows, byte for byte.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, BinaryIO

from django.db import connection, connections
from django.db.models import QuerySet

from audit.exports.tables import FORMULA, heading_line
from audit.reports.asking import Question
from audit.reports.base import Column, PlainReport

TOGETHER = 1_000
# What never begins like a formula: hex and identifiers.
SAFE = frozenset({"digest", "entry", "decision"})
STAMP = """to_char({0} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""
FIRSTS = ", ".join(str(ord(each)) for each in FORMULA)


def can_copy(question: Question) -> bool:
    """Return whether the database can write the answer by itself."""
    return isinstance(question.report, PlainReport)


def write_csv(target: BinaryIO, question: Question, total: int, tick: Callable[[float], None]) -> int:
    """Write a plain report as CSV, in constant memory, and return how many rows it has.

    `tick` is called with the share that is done, 0 to 1. Raises TypeError for a report that is not plain.
    """
    selected = question.selected()
    if not isinstance(question.report, PlainReport) or not isinstance(selected, QuerySet):
        raise TypeError(f"The database cannot write {question.report.slug} by itself.")
    statement, parameters = statement_of(question, selected)
    target.write(heading_line(question.columns))
    count = 0
    # The connection is busy until the last row is read, so progress is told over another one, which a thread has.
    with ThreadPoolExecutor(1) as beside, connection.cursor() as cursor, cursor.copy(statement, parameters) as source:
        lines: list[bytes] = []
        for line in source:
            # The server ends lines with a line feed alone; RFC 4180 wants both.
            lines.append(bytes(line)[:-1])
            if len(lines) == TOGETHER:
                target.write(b"\r\n".join([*lines, b""]))
                count += len(lines)
                lines.clear()
                beside.submit(tick, count / max(total, count)).result()
        beside.submit(connections.close_all).result()
        target.write(b"\r\n".join([*lines, b""]) if lines else b"")
    return count + len(lines)


def statement_of(question: Question, selected: QuerySet[Any]) -> tuple[str, tuple[Any, ...]]:
    """Return the COPY statement for what was selected, and its parameters."""
    inner, parameters = selected.query.sql_with_params()
    columns = question.report.columns
    names = [f"c{number}" for number in range(len(columns))]
    cells = ", ".join(text_of(name, column) for name, column in zip(names, columns, strict=True))
    told = ", ".join(["k", *names])
    rows = f"SELECT {cells}, k FROM ({inner}) AS answer({told})"  # noqa: S608 -- only our own names and expressions
    return f"COPY ({rows}) TO STDOUT WITH (FORMAT csv)", parameters


def text_of(name: str, column: Column) -> str:
    """Return the SQL for a cell as CSV has it: instants written out, text defused, nothing as nothing."""
    if column.kind == "time":
        return STAMP.format(name)
    if column.kind == "number":
        return name
    if column.kind in SAFE:
        return f"nullif({name}, '')"
    return f"CASE WHEN ascii({name}) IN ({FIRSTS}) THEN '''' || {name} ELSE nullif({name}, '') END"
