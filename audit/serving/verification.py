"""Holding the stored windows against the batches that added them: every hash and every root is computed anew."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from django.db import connection
from django.db.models import Sum

from audit import merkle
from audit.models import ServingBatch, ServingWindow
from audit.serving.conflicts import rows_of
from audit.serving.windows import Columns, Window

MOST_NAMED = 20
CHUNK = 5_000
STRANGERS = """
SELECT w.customer, w.deployment, w.start::text FROM audit_servingwindow w
LEFT JOIN audit_servingbatch b ON b.id = w.batch_id AND w.start >= b.first_start AND w.start < b.last_end
WHERE b.id IS NULL LIMIT %s
"""


def find() -> Iterator[str]:
    """Yield one sentence for each batch whose windows are not those that its entry names, and for strange windows.

    The batches are compared with their entries elsewhere, as all rows of the record are. In constant memory.
    """
    for batch in ServingBatch.objects.order_by("received_at", "pk").iterator(chunk_size=500):
        if said := compare(batch):
            yield said
    expected = ServingBatch.objects.aggregate(rows=Sum("row_count"))["rows"] or 0
    stored = ServingWindow.objects.count()
    if stored != expected:
        yield f"There are {stored:,} serving windows; the batches added {expected:,}."
        with connection.cursor() as cursor:
            cursor.execute(STRANGERS, [MOST_NAMED])
            for customer, deployment, start in cursor.fetchall():
                yield f"No batch added the window of {customer} in {deployment} from {start}."


def compare(batch: ServingBatch) -> str:
    """Return what is wrong with the windows of one batch, or an empty text.

    Their order is proved by the root. Their lines are, where all that was reported was new; else only their range is.
    """
    frontier, line = merkle.Frontier(), 0
    rows = rows_of(batch).values_list("row_hash", *Window._fields, "line").iterator(chunk_size=CHUNK)
    while chunk := list(islice(rows, CHUNK)):
        computed = list(Columns.of(row[1:-1] for row in chunk).leaf_hashes())
        for row, row_hash in zip(chunk, computed, strict=True):
            if bytes(row[0]) != row_hash:
                window = Window(*row[1:-1])
                where = f"{window.customer} in {window.deployment} from {window.start:%Y-%m-%d %H:%M}"
                return f"A window of {batch} is not what was reported: {where}."
            if row[-1] <= line:
                return f"Two windows of {batch} stand on the line {line}."
            line = row[-1]
            frontier.append(row_hash)
    if line > batch.row_count + batch.replayed_count + batch.conflict_count:
        return f"A window of {batch} stands on the line {line}, which the report did not have."
    if (frontier.size, frontier.root().hex()) != (batch.row_count, batch.rows_root):
        return f"The {frontier.size:,} windows of {batch} are not the {batch.row_count:,} that its entry names."
    return ""
