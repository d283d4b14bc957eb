"""The bell rings here: tasks of the audit app. Each calls one function that looks for due work by itself."""

from __future__ import annotations

from celery import shared_task

from audit import sealer
from audit.exports import builder
from portal.jobs import Job

BATCHES = 20


@shared_task(name=Job.SEAL.value)
def seal() -> None:
    """Seal what waits, batch by batch; the next ring goes on where this one stops."""
    for _ in range(BATCHES):
        if not sealer.seal_due():
            break


@shared_task(name=Job.BUILD_EXPORTS.value)
def build_exports() -> None:
    """Build the exports that wait."""
    builder.exports_due()
