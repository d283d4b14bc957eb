"""Building what was requested. Rows are the queue: killing a worker at any point loses nothing and doubles nothing.

A worker claims an export under a lease and tells its progress, which keeps the lease alive. Whoever finds the lease
run out starts again; a worker that has lost its lease finds out and stores nothing.
"""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from typing import Any, BinaryIO, cast

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from audit import log
from audit.events import Event
from audit.exports import package, requests, tables
from audit.models import Export, ExportState
from audit.reports.base import Row
from portal.errors import Invalid, Refused
from registry import storage
from registry.models import User

logger = logging.getLogger(__name__)
LEASE = timedelta(minutes=10)
BEAT = 2.0
MAX_ATTEMPTS = 3
MAX_BYTES = 50 * 1024**3
DONE_IN = 99

Tick = Callable[[float], None]


class LeaseLost(Exception):
    """Somebody else builds this export now, because this worker was silent for too long."""


def exports_due(limit: int = 20) -> int:
    """Build exports that wait, or whose worker went silent. Returns how many. Safe to run many times at once."""
    built = 0
    while built < limit and (claimed := claim(Export.objects.all())) is not None:
        work(claimed)
        built += 1
    return built


def build_now(export: Export) -> Export:
    """Build one export at once, unless a worker has it already, and return it as it is then."""
    claimed = claim(Export.objects.filter(pk=export.pk))
    if claimed is not None:
        work(claimed)
    return Export.objects.get(pk=export.pk)


def claim(among: QuerySet[Export]) -> Export | None:
    """Take the oldest due export under a lease, passing over what another worker holds."""
    now = timezone.now()
    due = Q(state=ExportState.QUEUED) | Q(state=ExportState.RUNNING, lease_until__lt=now)
    with transaction.atomic():
        found = among.select_for_update(skip_locked=True).filter(due).order_by("requested_at", "pk").first()
        if found is not None:
            found.state, found.attempts, found.lease_until = ExportState.RUNNING, found.attempts + 1, now + LEASE
            found.save(update_fields=["state", "attempts", "lease_until"])
    return found


def work(claimed: Export) -> None:
    """Build a claimed export and store it whole, or write down why not."""
    if claimed.attempts > MAX_ATTEMPTS:
        fail(claimed, f"It was begun {MAX_ATTEMPTS} times and its worker was ended each time.")
        return
    try:
        with tempfile.TemporaryFile() as spool:
            told = make(claimed, cast(BinaryIO, spool), heart_of(claimed))
            spool.seek(0)
            stored = storage.put(cast(BinaryIO, spool), max_bytes=MAX_BYTES)
        finish(claimed, stored, told)
    except LeaseLost:
        logger.warning("The export %s was taken over by another worker.", claimed.pk)
    except (Refused, Invalid, storage.Unreadable) as error:
        fail(claimed, str(error))


def make(export: Export, target: BinaryIO, tick: Tick) -> dict[str, Any]:
    """Write an export's file and return what the ledger says about it."""
    if export.kind == requests.BUNDLE:
        return package.write(target, export.parameters["version"], requests.as_of(export), tick)
    report, filters, as_of = requests.question_of(export)
    total = report.select(filters, as_of).order_by().count()
    rows = counted(report.rows(filters, as_of), total, tick)
    if export.parameters["format"] == "csv":
        return {"rows": tables.write_csv(target, report.columns, rows)}
    return {"rows": tables.write_xlsx(target, report.columns, rows, about(export))}


def about(export: Export) -> tables.About:
    """Return what the workbook of a table says about itself."""
    report, filters, as_of = requests.question_of(export)
    facts = [
        ("Question", report.question),
        ("As of", as_of.isoformat()),
        *((name.replace("_", " ").capitalize(), value) for name, value in filters.as_parameters().items()),
        ("Export", str(export.pk)),
        ("Requested", export.requested_at.isoformat()),
        ("Check", "The sha256 of this file stands in the ledger entry export.built of this export."),
    ]
    return tables.About(report.title, facts, as_of)


def counted(rows: Iterable[Row], total: int, tick: Tick) -> Iterator[Row]:
    """Yield the rows and tell how far they are."""
    for number, row in enumerate(rows, 1):
        yield row
        tick(number / max(total, number))


def heart_of(claimed: Export, beat: float = BEAT) -> Tick:
    """Return a function that stores progress (0 to 1) and keeps the lease, once in `beat` seconds at most.

    It raises LeaseLost once another worker has taken over.
    """
    last = time.monotonic()

    def tick(share: float) -> None:
        nonlocal last
        if time.monotonic() - last < beat:
            return
        last = time.monotonic()
        told = {"progress": int(share * DONE_IN), "lease_until": timezone.now() + LEASE}
        if not mine(claimed).update(**told):
            raise LeaseLost(claimed.pk)

    return tick


def mine(claimed: Export) -> QuerySet[Export]:
    """Return the export's row while this claim on it is the newest."""
    return Export.objects.filter(pk=claimed.pk, attempts=claimed.attempts, state=ExportState.RUNNING)


def finish(claimed: Export, stored: storage.Stored, told: dict[str, Any]) -> None:
    """Write down that the file is there, in one transaction with the entry that names its sha256."""
    with log.record(Event.EXPORT_BUILT, actor=User.objects.system("exports"), subject=claimed) as entry:
        export = mine(claimed).select_for_update().first()
        if export is None:
            entry.skip()
            return
        export.state, export.progress, export.finished_at = ExportState.DONE, 100, timezone.now()
        export.file, export.sha256, export.size = file_name(export), stored.sha256, stored.size
        export.save()
        entry.about(export)
        entry.note(sha256=stored.sha256, size=stored.size, file=export.file, **told)


def fail(claimed: Export, why: str) -> None:
    """Write down that an export cannot be built, with a sentence for whoever asked."""
    mine(claimed).update(state=ExportState.FAILED, error=why[:2000], finished_at=timezone.now())


def file_name(export: Export) -> str:
    """Return the name under which an export is saved, such as decisions-20261123T090000Z.csv."""
    instant = f"{requests.as_of(export):%Y%m%dT%H%M%SZ}"
    if export.kind == requests.BUNDLE:
        return f"{export.parameters['version'].replace('@', '-').replace('+', '-')}-{instant}.zip"
    name, _, form = export.kind.rpartition(".")
    return f"{name}-{instant}.{form}"
