"""What contradicts an earlier report: never written over it, always kept, once.

Who is told of it is none of the ledger's business; `governance.violations` looks for conflicts that nobody was told of.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID

from django.utils import timezone

from audit import merkle, seal
from audit.events import Event
from audit.log import record
from audit.models import ServingBatch, ServingConflict, ServingWindow
from audit.recording import Actor
from audit.serving.windows import Columns, Window

MOST_DIFFERENCES = 20


class Skipped(NamedTuple):
    """A line of a batch that was not written, because its row is there already, from a line of some batch."""

    line: int
    is_same: bool
    batch: UUID
    line_there: int


def record_resent(actor: Actor, known: ServingBatch, windows: Columns, hashes: Sequence[bytes], root: str) -> None:
    """Record once that a known batch was sent again with these other windows."""
    if known.conflicts.filter(rows_root=root).exists():
        return
    total = known.row_count + known.replayed_count + known.conflict_count
    # What the first report only replayed stands in another batch, and is not looked for there.
    stored = {line: bytes(row_hash) for line, row_hash in rows_of(known).values_list("line", "row_hash")}
    differing = (
        line
        for line in range(1, max(len(hashes), total) + 1)
        if not total >= line <= len(hashes) or stored.get(line, hashes[line - 1]) != hashes[line - 1]
    )
    lines = list(itertools.islice(differing, MOST_DIFFERENCES))
    first = {row.line: shown(row) for row in rows_of(known) if row.line in lines}
    differences = [
        {
            "line": line,
            "first": first.get(line),
            "second": shown(windows.at(line - 1)) if line <= len(windows) else None,
        }
        for line in lines
    ]
    told = {"expected": known.received_root, "seen": root, "rowCount": len(windows), "lines": lines}
    with record(Event.SERVING_CONFLICTED, actor=actor, subject=known, **told):
        keep(actor, known, len(windows), root, differences, is_resent=True)


def record_rows(
    actor: Actor,
    batch: ServingBatch,
    contradicting: Sequence[Skipped],
    windows: Columns,
    hashes: Sequence[bytes],
) -> None:
    """Record that rows of a new batch contradict what was reported before."""
    root = merkle.root(hashes[row.line - 1] for row in contradicting).hex()
    differences = [
        {
            "line": row.line,
            "first": {**shown(window_at(row)), "batch": str(ServingBatch.objects.get(pk=row.batch))},
            "second": shown(windows.at(row.line - 1)),
        }
        for row in contradicting[:MOST_DIFFERENCES]
    ]
    told = {"seen": root, "rowCount": len(contradicting), "lines": [each["line"] for each in differences]}
    with record(Event.SERVING_CONTRADICTED, actor=actor, subject=batch, **told):
        keep(actor, batch, len(contradicting), root, differences, is_resent=False)


def keep(
    actor: Actor, batch: ServingBatch, count: int, root: str, differences: list[dict[str, Any]], *, is_resent: bool
) -> None:
    """Insert one conflict."""
    ServingConflict.objects.create(
        batch=batch,
        is_resent=is_resent,
        actor=actor.ledger_name,
        received_at=timezone.now(),
        row_count=count,
        rows_root=root,
        differences=differences,
    )


def rows_of(batch: ServingBatch) -> Any:
    """Return the windows that a batch added, in the order of its lines."""
    return batch.windows.filter(start__gte=batch.first_start, start__lt=batch.last_end).order_by("line")


def window_at(skipped: Skipped) -> ServingWindow:
    """Return the window that was there before."""
    return rows_of(ServingBatch.objects.get(pk=skipped.batch)).get(line=skipped.line_there)


def shown(window: Window | ServingWindow) -> dict[str, Any]:
    """Return a window as plain data for a conflict."""
    found: dict[str, Any] = seal.plain({name: getattr(window, name) for name in Window._fields})
    return found
