"""The bell rings here: tasks of the audit app. Each calls one function that looks for due work by itself."""

from __future__ import annotations

from celery import shared_task
from django.utils import timezone

from audit import copies, partitions, sealer, verifications
from audit.exports import builder
from audit.models import ServingWindow
from portal.jobs import Job, ring

BATCHES = 20
# In seconds: a check walks along the whole ledger, however long that has become.
LONGEST_CHECK = 6 * 3600


@shared_task(name=Job.SEAL.value)
def seal() -> None:
    """Seal what waits, batch by batch; the next ring goes on where this one stops."""
    for batch in range(BATCHES):
        if not sealer.seal_due():
            break
        if batch == 0:
            ring(Job.COPY_CHECKPOINTS)


@shared_task(name=Job.COPY_CHECKPOINTS.value)
def copy_checkpoints() -> None:
    """Bring new checkpoints outside, and have them cosigned."""
    copies.copy_due()


@shared_task(name=Job.BUILD_EXPORTS.value)
def build_exports() -> None:
    """Build the exports that wait."""
    builder.exports_due()


@shared_task(name=Job.REMOVE_EXPORTS.value)
def remove_exports() -> None:
    """Remove the files of exports whose time is over."""
    builder.remove_due()


@shared_task(name=Job.CHECK_RECORD.value, time_limit=LONGEST_CHECK)
def check_record() -> None:
    """Check the record, once a night and when somebody has asked."""
    verifications.verify_due()


@shared_task(name=Job.PREPARE_DAYS.value)
def prepare_days() -> None:
    """Make the partitions of serving windows for the days to come."""
    partitions.add_days_ahead(ServingWindow._meta.db_table, timezone.now().date())
