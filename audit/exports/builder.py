"""Building what was requested. Rows are the queue: killing a worker at any point loses nothing and doubles nothing.

A worker claims an export under a lease and tells its progress, which keeps the lease alive. Whoever finds the lease
run out starts again; a worker that has lost its lease finds out and stores nothing.
"""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any, BinaryIO, cast

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from audit import log
from audit.events import Event
from audit.exports import copying, facts, files, package, pdf, period, requests, tables
from audit.exports.archive import Archive
from audit.models import Export, ExportState
from audit.reports.asking import Question
from audit.reports.base import Row, count
from portal.errors import Invalid, Refused
from registry.models import User
from registry.storage import Stored, Unreadable

logger = logging.getLogger(__name__)
LEASE = timedelta(minutes=10)
BEAT = 2.0
MAX_ATTEMPTS = 3
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


def answer(question: Question, form: str, *, actor: User) -> Export:
    """Ask for the answer to a question as a file, and build a small one before returning; a worker builds a long one.

    A small one is claimed in the transaction that asks for it, so no worker can take it away. When this process dies
    over it, a worker finds its lease run out, as after any other. Raises what `requests.request_answer` raises.
    """
    is_small = requests.is_small(question, form)
    with transaction.atomic():
        export = requests.request_answer(question, form, actor=actor, rings=not is_small)
        claimed = claim(Export.objects.filter(pk=export.pk)) if is_small else None
    if claimed is not None:
        work(claimed)
    return Export.objects.get(pk=export.pk)


def again(export: Export, *, actor: User) -> Export:
    """Ask for the same as of the same instant once more, after a file was removed or could not be built."""
    if export.kind in requests.BUNDLES:
        return requests.request_again(export, actor=actor)
    return answer(requests.question_of(export), export.parameters["format"], actor=actor)


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
            stored = files.put(cast(BinaryIO, spool), claimed)
        finish(claimed, stored, told)
    except LeaseLost:
        logger.warning("The export %s was taken over by another worker.", claimed.pk)
    except (Refused, Invalid, Unreadable) as error:
        fail(claimed, str(error))


def make(export: Export, target: BinaryIO, tick: Tick) -> dict[str, Any]:
    """Write an export's file and return what the ledger says about it."""
    if export.kind in requests.BUNDLES:
        with Archive(target, requests.as_of(export), file_name(export).removesuffix(".zip")) as archive:
            return write_bundle(export, archive, tick)
    question = requests.question_of(export)
    total = question.size()
    mine(export).update(parameters={**export.parameters, "rows": total})
    told = {"rows": write_table(export, question, target, total, tick)}
    if question.sample is None:
        return told
    return {**told, "population": count(question.population())}


def write_bundle(export: Export, archive: Archive, tick: Tick) -> dict[str, Any]:
    """Write the evidence bundle of a version or of a period, and return what the ledger says about it."""
    if export.kind == requests.BUNDLE:
        return package.write(archive, export.parameters["version"], requests.as_of(export), tick)
    since, until = (datetime.fromisoformat(export.parameters[name]) for name in ("since", "until"))
    return period.write(archive, since, until, requests.as_of(export), tick)


def write_table(export: Export, question: Question, target: BinaryIO, total: int, tick: Tick) -> int:
    """Write the answer to a question in the form that was asked for, and return how many rows it has."""
    form = export.parameters["format"]
    if form == "csv" and copying.can_copy(question):
        return copying.write_csv(target, question, total, tick)
    rows = counted(question.rows(), total, tick)
    if form == "csv":
        return tables.write_csv(target, question.columns, rows)
    if form == "pdf":
        return pdf.write(target, question.columns, rows, facts.about(export), key=question.sample is not None)
    return tables.write_xlsx(target, question.columns, rows, facts.about(export))


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


def finish(claimed: Export, stored: Stored, told: dict[str, Any]) -> None:
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


def cancel(export: Export, *, actor: User) -> None:
    """Give up an export that is not finished; whoever builds it finds out and stores nothing.

    Raises Refused with code `finished` when it is done or has failed already.
    """
    with log.record(Event.EXPORT_CANCELLED, actor=actor, subject=export):
        actor.require("report.export")
        open_still = Export.objects.filter(pk=export.pk, state__in=(ExportState.QUEUED, ExportState.RUNNING))
        told = {"error": f"{actor} cancelled it.", "finished_at": timezone.now()}
        if not open_still.update(state=ExportState.FAILED, **told):
            raise Refused("finished", "This export is finished already; there is nothing to cancel.")


def remove_due(limit: int = 200) -> int:
    """Remove the files of exports that were built long enough ago; return how many. They can be asked for again.

    The rows stay, and so do their entries: whoever kept a file can still hold its sha256 against the ledger.
    """
    old = timezone.now() - timedelta(days=settings.EXPORT_DAYS)
    found = Export.objects.filter(state=ExportState.DONE, finished_at__lt=old).exclude(file="").order_by("finished_at")
    removed = 0
    for export in found[:limit]:
        files.remove(export)
        removed += Export.objects.filter(pk=export.pk).update(file="", size=None)
    return removed


def file_name(export: Export) -> str:
    """Return the name under which an export is saved, such as decisions-20261123T090000Z.csv."""
    instant = f"{requests.as_of(export):%Y%m%dT%H%M%SZ}"
    if export.kind == requests.PERIOD:
        first, last = (datetime.fromisoformat(export.parameters[name]) for name in ("since", "until"))
        return f"period-{first:%Y%m%d}-{last:%Y%m%d}-{instant}.zip"
    if export.kind == requests.BUNDLE:
        return f"{export.parameters['version'].replace('@', '-').replace('+', '-')}-{instant}.zip"
    name, _, form = export.kind.rpartition(".")
    return f"{name}-sample-{instant}.{form}" if "sample" in export.parameters else f"{name}-{instant}.{form}"
