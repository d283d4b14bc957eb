"""The doorbell: verbs ring it after commit, workers answer.

Rows are the queue, so a lost ring costs seconds and no work.
"""

from __future__ import annotations

import logging
from enum import StrEnum

from celery import current_app
from django.db import transaction
from kombu.exceptions import OperationalError

logger = logging.getLogger(__name__)
# A ring that waited this many seconds has been overtaken by the clock; workers drop it unheard.
EXPIRES = 30


class Job(StrEnum):
    """The names of all background jobs. Each is a Celery task of the same name that takes no arguments."""

    SEAL = "audit.seal"
    BUILD_EXPORTS = "audit.build_exports"
    RUN_CHECKS = "governance.run_checks"
    SIGN_DECISIONS = "governance.sign_decisions"
    SWEEP = "governance.sweep"
    SEND_NOTICES = "governance.send_notices"


def ring(job: Job) -> None:
    """Ask a worker to look at its rows once the current transaction has committed."""
    transaction.on_commit(lambda: _send(job), robust=True)


def _send(job: Job) -> None:
    """Send the ring, and let the clock's own ring do it when the broker cannot be reached."""
    try:
        current_app.send_task(job.value, retry=False, ignore_result=True, expires=EXPIRES)
    except (OperationalError, OSError) as error:
        logger.warning("The broker did not take %s (%s); the clock will ring it again.", job.value, error)
