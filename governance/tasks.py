"""Doors for the clock and the doorbell: each task calls one function that does whatever rows are due."""

from celery import shared_task

from governance import decisions, notices, revocations, sweeps
from portal.jobs import Job


@shared_task(name=Job.RUN_CHECKS)
def run_checks() -> None:
    """Answer the checks that are due."""
    sweeps.answer_checks_due()


@shared_task(name=Job.SIGN_DECISIONS)
def sign_decisions() -> None:
    """Sign the decisions that are due."""
    decisions.sign_due()


@shared_task(name=Job.ISSUE_REVOCATIONS)
def issue_revocations() -> None:
    """Issue a revocation list where one is due."""
    revocations.issue_due()


@shared_task(name=Job.SWEEP)
def sweep() -> None:
    """Do what time has brought about."""
    sweeps.sweep_due()


@shared_task(name=Job.JUDGE_SERVING)
def judge_serving() -> None:
    """Judge what was reported as served."""
    sweeps.judge_serving_due()


@shared_task(name=Job.SEND_NOTICES)
def send_notices() -> None:
    """Deliver the notices that are due."""
    notices.send_due()
