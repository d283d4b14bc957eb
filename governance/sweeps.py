"""Work the clock does. Every function is idempotent and safe to run twice, in parallel, and after a week's pause.

A late sweep never makes anything valid for longer: validity is computed at read time by `standing`.
"""

from __future__ import annotations

from django.db import transaction
from django.db.models import OuterRef, Subquery
from django.utils import timezone

from governance import challenges, decisions, findings, lifecycle, submissions, triage
from governance.checks import runner
from governance.models import Transition
from registry.models import State, User, Version


def answer_checks_due() -> int:
    """Match what imports have touched, queue what has become stale, answer what is queued, admit what is green.

    Returns how many versions were matched, checks answered, and statements taken out of VEX documents.
    """
    matched = findings.rematch_due()
    runner.queue_due()
    answered = runner.run_due()
    # After both: whatever has just been found may be named in a document that was there before.
    stated = triage.take_in_due()
    submissions.admit_due()
    return matched + answered + stated


def sweep_due() -> int:
    """Do everything that time has brought about. Returns how many rows changed."""
    ended = submissions.lapse_due() + lapse_approvals_due() + retire_sunset_due()
    # A challenge begins when an acceptance runs out, and ends when its version is retired.
    opened = challenges.open_due() + triage.reopen_due()
    return ended + challenges.end_due() + opened + submissions.refresh_due()


def lapse_approvals_due() -> int:
    """Bring back to candidate the approved versions whose production decision has ended. Returns how many."""
    sweeps = User.objects.system("sweeps")
    lapsed = 0
    for found in Version.objects.filter(state=State.APPROVED):
        with transaction.atomic():
            version = lifecycle.lock(found)
            decisions.settle_state(version, actor=sweeps, cause="sweep")
            lapsed += version.state != State.APPROVED
    return lapsed


def retire_sunset_due() -> int:
    """Retire the deprecated versions whose sunset has passed. Returns how many."""
    sweeps = User.objects.system("sweeps")
    last = Transition.objects.filter(version=OuterRef("pk")).order_by("-at", "-pk").values("sunset_at")[:1]
    over = Version.objects.annotate(sunset=Subquery(last)).filter(state=State.DEPRECATED, sunset__lte=timezone.now())
    retired = 0
    for version in over:
        with transaction.atomic():
            if lifecycle.lock(version).state != State.DEPRECATED:
                continue
            lifecycle.retire(
                version, actor=sweeps, reason="Its announced sunset has passed.", cause="sunset", rule="sweep"
            )
            retired += 1
    return retired
