"""The doorbell: verbs ring it after commit, workers answer.

Rows are the queue, so a lost ring costs seconds and no work.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
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
    COPY_CHECKPOINTS = "audit.copy_checkpoints"
    BUILD_EXPORTS = "audit.build_exports"
    REMOVE_EXPORTS = "audit.remove_exports"
    RUN_CHECKS = "governance.run_checks"
    SIGN_DECISIONS = "governance.sign_decisions"
    ISSUE_REVOCATIONS = "governance.issue_revocations"
    SWEEP = "governance.sweep"
    SEND_NOTICES = "governance.send_notices"
    JUDGE_SERVING = "governance.judge_serving"
    PREPARE_DAYS = "audit.prepare_days"
    CHECK_RECORD = "audit.check_record"


_here: dict[Job, Callable[[], bool]] = {}


def answer_here(job: Job, work: Callable[[], bool]) -> None:
    """Let whoever rings a job with `at_once` do it here and now; `work` returns whether it could."""
    _here[job] = work


def ring(job: Job, *, at_once: bool = False) -> None:
    """Ask a worker to look at its rows once the current transaction has committed.

    With `at_once` the work is done in this process, right after the commit, and a worker is asked where that fails.
    """
    transaction.on_commit(lambda: _do(job) if at_once else _send(job), robust=True)


def _do(job: Job) -> None:
    """Do a job here, or ask a worker where that fails: this process may have no key or no right for it."""
    try:
        if job in _here and _here[job]():
            return
    except Exception:
        logger.warning("%s could not be done at once; a worker is asked.", job.value, exc_info=True)
    _send(job)


def _send(job: Job) -> None:
    """Send the ring, and let the clock's own ring do it when the broker cannot be reached."""
    try:
        current_app.send_task(job.value, retry=False, ignore_result=True, expires=EXPIRES)
    except (OperationalError, OSError) as error:
        logger.warning("The broker did not take %s (%s); the clock will ring it again.", job.value, error)
