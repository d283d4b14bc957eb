"""Files by COPY: the same bytes as row by row, in memory that does not grow with the rows."""

from __future__ import annotations

import io
import tracemalloc

import pytest
from django.db import connection
from django.utils import timezone

from audit.exports import copying, tables
from audit.models import Entry
from audit.reports import BY_SLUG, REPORTS, Filters
from audit.reports.asking import Question, Sample
from audit.reports.base import PlainReport
from tests.audit.reports.stories import prompt
from tests.factories import Walk

PLAIN = [report.slug for report in REPORTS if isinstance(report, PlainReport)]
MULTIPLY = """
INSERT INTO audit_entry (body, leaf_hash, event_id, kind, subject_kind, subject_label, subject_id, actor, occurred_at)
SELECT body, leaf_hash, gen_random_uuid(), kind, subject_kind, %s || n, subject_id, actor, occurred_at
FROM (SELECT * FROM audit_entry ORDER BY id LIMIT 1) one, generate_series(1, %s) n
"""


def told(share: float) -> None:
    """Hear how far it is."""
    assert 0 <= share <= 1


def both(question: Question) -> tuple[bytes, bytes]:
    """Return the CSV that the database writes, and the one that is written row by row."""
    fast, slow = io.BytesIO(), io.BytesIO()
    assert copying.write_csv(fast, question, question.size(), told) == question.size()
    tables.write_csv(slow, question.columns, question.rows())
    return fast.getvalue(), slow.getvalue()


@pytest.mark.parametrize("slug", PLAIN)
def test_the_database_writes_the_same_bytes_as_we_do_row_by_row(slug: str, walk: Walk) -> None:
    prompt(walk)
    for label in ("=1+1 ", 'a"b,c\r\nd ', "@sum ", "\tx ", "＝1 ", "- ", "", "\\. "):
        with connection.cursor() as cursor:
            cursor.execute(MULTIPLY, [label, 2])
    now = timezone.now()
    for question in (
        Question(BY_SLUG[slug], Filters(), now),
        Question(BY_SLUG[slug], Filters(), now, Sample(5, "50% of ='s")),
    ):
        fast, slow = both(question)
        assert fast == slow
        assert fast.count(b"\n") > 5


def test_memory_does_not_grow_with_the_rows(walk: Walk) -> None:
    peaks = []
    for more in (5_000, 45_000):
        with connection.cursor() as cursor:
            cursor.execute(MULTIPLY, ["entry ", more])
        question = Question(BY_SLUG["ledger"], Filters(), timezone.now())
        with open("/dev/null", "wb") as nowhere:  # noqa: PTH123 -- a device
            tracemalloc.start()
            copying.write_csv(nowhere, question, question.size(), told)
            copied = tracemalloc.get_traced_memory()[1]
            tracemalloc.reset_peak()
            tables.write_csv(nowhere, question.columns, question.rows())
            written = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        peaks.append((copied, written))
    assert Entry.objects.count() > 50_000
    assert all(late < 1.5 * early + 500_000 for early, late in zip(*peaks, strict=True)), peaks
