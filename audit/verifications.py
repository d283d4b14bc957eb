"""The portal's own check of its record: every night, and when somebody asks. What it finds is kept under an entry.

What is compared is known by `audit.verifier`; who is told of a contradiction, by `governance.contradictions`. Whoever
asks is an entry, and entries are the queue: a check is due while nobody has looked since.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, time, timedelta
from typing import Protocol

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import connection
from django.utils import timezone

from audit import copies, log
from audit.events import Event
from audit.models import Checkpoint, Entry, Verification
from audit.verifier import VerifyReport, verify
from portal import progress
from portal.jobs import Job, ring

LOCK = 0xC0_57_16
CHECK = "check of the record"
OVERDUE = timedelta(hours=36)
MOST_WORDS = 300


class Asker(Protocol):
    """Whoever asks: has a name in the ledger, and is asked whether they may."""

    @property
    def ledger_name(self) -> str:
        """Return `person:…`."""

    def require(self, rule: str, obj: object = None) -> None:
        """Raise PermissionDenied unless the permission table allows it."""


class WholeRecord:
    """The subject of an entry that is about the record as a whole."""

    @property
    def ledger_ref(self) -> tuple[str, str, str]:
        """Return (kind, label, id)."""
        return ("ledger", settings.LEDGER_ORIGIN, settings.LEDGER_ORIGIN)


def ask(*, actor: Asker) -> bool:
    """Ask for a check as soon as a worker is free. Returns whether it is a new question: one that waits is enough."""
    with log.record(Event.VERIFICATION_ASKED, actor=actor, subject=WholeRecord()) as entry:
        actor.require("record.verify")
        is_new = asked() is None
        if not is_new:
            entry.skip()
    ring(Job.CHECK_RECORD)
    return is_new


def asked() -> Entry | None:
    """Return the entry by which somebody asked for a check that has not been made yet."""
    newest = Verification.objects.first()
    asking = log.entries(kind=Event.VERIFICATION_ASKED, since=newest.started_at if newest else None)
    return asking.first()


def is_due(now: datetime | None = None) -> bool:
    """Return whether somebody has asked, or the night's check has not begun. An empty ledger is not checked."""
    if not Checkpoint.objects.exists():
        return False
    newest = Verification.objects.first()
    return newest is None or newest.started_at < last_night(now or timezone.now()) or asked() is not None


def last_night(now: datetime) -> datetime:
    """Return the last instant at which a nightly check was to begin."""
    today = datetime.combine(now.date(), time(settings.VERIFY_HOUR), tzinfo=now.tzinfo)
    return today if today <= now else today - timedelta(days=1)


def verify_due() -> Verification | None:
    """Check the record if that is due and nobody else is at it, and keep what was found."""
    if not is_due():
        return None
    with alone() as is_alone:
        return keep() if is_alone and is_due() else None


@contextmanager
def alone() -> Iterator[bool]:
    """Be the only process that checks the record, if no other one is."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [LOCK])
        (is_alone,) = cursor.fetchone()
        try:
            yield is_alone
        finally:
            if is_alone:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [LOCK])


def keep() -> Verification:
    """Check the record against itself and the newest copy outside, and keep what was found under an entry."""
    started_at, looked = timezone.now(), copies.look()
    total = Checkpoint.objects.values_list("size", flat=True).first() or 0
    with progress.of(CHECK, total) as tick:
        report = verify(looked.newest.note if looked.newest else None, tick)
    for contradiction in looked.contradictions():
        report.fault(contradiction)
    row = Verification(
        started_at=started_at,
        finished_at=timezone.now(),
        entries=report.entries,
        rows=report.rows,
        size=report.leaves,
        root=report.root,
        compared_with=held_against(looked),
        # What stands in the database may hold anything, but PostgreSQL's JSON takes no NUL.
        faults=[fault.replace("\0", "�") for fault in report.faults],
        fault_count=len(report.faults) + report.further,
    )
    tell(row, report)
    return row


def held_against(looked: copies.Looked) -> str:
    """Return which copies outside the record was held against, in words; empty when there was none."""
    if looked.newest is None:
        return ""
    words = f"{looked.newest.size} entries at {looked.newest.where}"[: MOST_WORDS - 60]
    words += f"; other places: {len(looked.others)}" if looked.others else ""
    return words + (f"; places that could not be read: {len(looked.unread)}" if looked.unread else "")


def tell(row: Verification, report: VerifyReport) -> None:
    """Store what a check found, and tell the ledger."""
    checker = get_user_model().objects.system("checker")
    said = {"entries": report.entries, "rows": report.rows, "size": row.size, "root": row.root}
    if report.is_sound:
        with log.record(Event.LEDGER_VERIFIED, actor=checker, subject=row, **said):
            row.save()
    else:
        with log.record(Event.LEDGER_CONTRADICTED, actor=checker, subject=row, **said, faults=row.fault_count):
            row.save()


def overdue(now: datetime | None = None) -> str:
    """Return the sentence that says that nobody has checked the record for too long, or an empty text."""
    newest = Verification.objects.first()
    if newest is None or (now or timezone.now()) - newest.finished_at < OVERDUE:
        return ""
    return f"The record was last checked at {newest.finished_at:%Y-%m-%d %H:%M} UTC; it should be every night."
