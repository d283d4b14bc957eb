"""Figures of exports: the whole ledger as CSV against bare COPY of the same columns, XLSX and PDF, and their memory."""

from __future__ import annotations

import tempfile
import tracemalloc
from collections.abc import Callable
from typing import Any, BinaryIO, cast

from django.db import connection
from django.utils import timezone

from audit.exports import copying, pdf, tables
from audit.models import Entry
from audit.reports import BY_SLUG, Filters
from audit.reports.asking import Question, Sample
from benchmarks.measure import once, say

MORE = """
INSERT INTO audit_entry (body, leaf_hash, event_id, kind, subject_kind, subject_label, subject_id, actor, occurred_at)
SELECT body, leaf_hash, gen_random_uuid(), kind, subject_kind, subject_label, subject_id, actor, occurred_at
FROM (SELECT * FROM audit_entry ORDER BY id LIMIT 1) one, generate_series(1, %s)
"""
BARE = """COPY (
SELECT e.occurred_at, e.kind, e.actor, e.subject_label, e.subject_kind, e.subject_id, l.leaf_index,
       encode(e.leaf_hash, 'hex'), e.recorded_at, e.event_id, e.event_id
FROM audit_entry e LEFT JOIN audit_leaf l ON l.entry_id = e.id ORDER BY e.id
) TO STDOUT WITH (FORMAT csv)"""


def measure_exports(count: int) -> float:
    """Export at least so many entries in every form; returns the share of bare COPY's speed that CSV has."""
    with connection.cursor() as cursor:
        cursor.execute(MORE, [max(0, count - Entry.objects.count())])
        cursor.execute("ANALYZE audit_entry")
    question = Question(BY_SLUG["ledger"], Filters(), timezone.now())
    rows = question.size()
    with tempfile.TemporaryFile() as nowhere:
        target = cast(BinaryIO, nowhere)
        bare = again(target, lambda: copy(target))
        fast = again(target, lambda: copying.write_csv(target, question, rows, lambda share: None))
        slow = again(target, lambda: tables.write_csv(target, question.columns, question.rows()))
        about = tables.About("Ledger", [("Question", question.report.question)], question.as_of)
        sheet = again(target, lambda: tables.write_xlsx(target, question.columns, question.rows(), about))
        tracemalloc.start()
        copying.write_csv(target, question, rows, lambda share: None)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        drawn = Question(question.report, question.filters, question.as_of, Sample(25, "2026-Q4"))
        sample = once(lambda: list(drawn.rows()))
        some = Question(question.report, question.filters, question.as_of, Sample(1_000, "2026-Q4"))
        paper = once(lambda: pdf.write(target, some.columns, some.rows(), about, key=True))
    say(f"export {rows:,} entries as CSV", f"{rows / fast:,.0f}/s", f"{bare / fast:.0%} of COPY, aim 50 %")
    say("  its memory", f"{peak / 1024:,.0f} kB", "the same at ten times the rows")
    say("  the same row by row", f"{rows / slow:,.0f}/s", f"{bare / slow:.0%} of COPY, for reports that are not plain")
    say("  as XLSX", f"{rows / sheet:,.0f}/s")
    say(f"  a sample of 25 out of {rows:,}", f"{sample:.2f} s")
    say("  1,000 rows of it as PDF", f"{paper:.2f} s")
    return bare / fast


def again(target: BinaryIO, work: Callable[[], Any]) -> float:
    """Return the wall time of writing to an empty file."""
    target.seek(0)
    target.truncate()
    return once(work)


def copy(target: BinaryIO) -> None:
    """Write the same columns as the database prints them, nothing defused and no time in UTC."""
    with connection.cursor() as cursor, cursor.copy(BARE) as source:
        for data in source:
            target.write(data)
