"""The ledger: what a verb with an entry costs, and sealing and verifying with everything on one core."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from django.db import connection
from django.utils import timezone

from audit import log, merkle, rows, seal, sealer, verifier
from audit.events import Event
from audit.identifiers import uuid7
from audit.models import Entry, Pending
from audit.named_rows import NamedRows
from benchmarks.measure import once, say
from registry.models import Team, User

VERBS = 200
COPY = (
    "COPY audit_entry (body, leaf_hash, event_id, kind, subject_kind, subject_label, subject_id, actor, occurred_at)"
    " FROM STDIN"
)


def measure(count: int) -> tuple[float, float]:
    """Write, seal and verify entries; returns sealed and verified entries a second, on one core."""
    actor = User.objects.system("bench")
    drain()
    written = once(lambda: [write(actor, number) for number in range(VERBS)])
    say(f"ledger: verbs with an entry and a row, {VERBS}", f"{VERBS / written:,.0f}/s")
    fill(count)
    waiting, known = Pending.objects.count(), Entry.objects.count()
    with one_core() as backend:
        sealed = taken(f"ledger: seal {waiting:,}", waiting, drain, backend, "aim 40,000/s")
        report: list[verifier.VerifyReport] = []
        text = f"ledger: verify {known:,}, all included"
        checked = taken(text, known, lambda: report.append(verifier.verify()), backend, "aim 100,000/s")
        if report[0].faults:
            raise RuntimeError(report[0].faults[0])
        measure_named(actor, backend)
    return sealed, checked


def measure_named(actor: User, backend: int) -> None:
    """Say how fast rows that entries name are compared with their hashes."""
    for number in range(40):
        with log.record(Event.TEAM_CHANGED, actor=actor, subject=Team.objects.all()[0]):
            for _ in range(rows.LISTED):
                Team.objects.create(slug=f"bench-{uuid4()}", name=f"Team {number}")
    named = NamedRows(print)
    for entry in log.entries(kind=Event.TEAM_CHANGED)[:40]:
        named.expect(str(entry.event_id), entry.document["rows"])
    taken("ledger: verify rows that entries name", 40 * rows.LISTED, named.flush, backend)


def taken(name: str, count: int, work: Callable[[], object], backend: int, aim: str = "") -> float:
    """Do the work, and say how many a second of one core's time, and by the clock; returns the first."""
    before = spent(backend)
    by_clock = once(work)
    busy = spent(backend) - before
    note = f"{aim} of one core's time, with the database's; {count / by_clock:,.0f}/s by the clock"
    say(name, f"{count / busy:,.0f}/s", note.strip())
    return count / busy


def spent(backend: int) -> float:
    """Return the seconds that this process and its database backend have been at work."""
    times = Path(f"/proc/{backend}/stat").read_text().rpartition(")")[2].split()
    return time.process_time() + (int(times[11]) + int(times[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def one_core() -> Iterator[int]:
    """Keep this process and its database backend, whose process id is given, on one core."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        backend: int = cursor.fetchone()[0]
    free = os.sched_getaffinity(0)
    for process in (0, backend):
        os.sched_setaffinity(process, {max(free)})
    yield backend
    for process in (0, backend):
        os.sched_setaffinity(process, free)


def write(actor: User, number: int) -> None:
    """Write one entry with a row as a verb does."""
    team = Team(slug=f"bench-{uuid4()}", name=f"Team {number}")
    with log.record(Event.TEAM_CHANGED, actor=actor, subject=team):
        team.save()


def fill(count: int) -> None:
    """Put in entries as reviews write them, all at once, because what is measured comes afterwards."""
    with connection.cursor() as cursor, cursor.copy(COPY) as out:
        for number in range(count):
            out.write_row(entry(number))


def entry(number: int) -> list[Any]:
    """Return the row of one entry of the usual size."""
    event, at, actor = uuid7(), timezone.now(), f"person:{uuid4()}"
    subject = {
        "kind": "submission",
        "label": f"fraud-scorer@2.1.{number} for production",
        "id": str(uuid4()),
        "digest": "ab" * 32,
    }
    body = seal.canonical(
        {
            "schema": log.SCHEMA,
            "eventId": str(event),
            "kind": "review.given",
            "occurredAt": seal.instant(at),
            "actor": actor,
            "subject": subject,
            "details": {"verdict": "approve", "role": "security", "dossier": "cd" * 32},
            "rows": [],
            "requestId": str(uuid4()),
        }
    )
    columns = ["review.given", subject["kind"], subject["label"], subject["id"], actor, at]
    return [body, merkle.leaf_hash(body), event, *columns]


def drain() -> None:
    """Seal until nothing is left."""
    while sealer.seal_due():
        pass
