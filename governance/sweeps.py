"""Work the clock does. Every function is idempotent and safe to run twice, in parallel, and after a week's pause.

A late sweep never makes anything valid for longer: validity is computed at read time by `standing`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils import timezone

from governance import (
    challenges,
    contradictions,
    decisions,
    findings,
    hygiene,
    lifecycle,
    notices,
    obligations,
    outside,
    portal_keys,
    relicensing,
    reminders,
    submissions,
    triage,
    unsealed,
    violations,
    waivers,
)
from governance.checks import runner
from registry.models import State, User, Version


def answer_checks_due() -> int:
    """Match what imports have touched, queue what has become stale, answer what is queued, admit what is green.

    Returns how many versions were matched, checks answered, and statements taken out of VEX documents.
    """
    matched = findings.rematch_due()
    runner.queue_due()
    relicensing.ask_due()
    answered = runner.run_due()
    # After both: whatever has just been found may be named in a document that was there before.
    stated = triage.take_in_due()
    submissions.admit_due()
    return matched + answered + stated


def judge_serving_due() -> int:
    """Judge reported serving windows, and tell of reports that contradict each other. Returns how much was done."""
    return violations.judge_due() + violations.tell_conflicts_due()


def sweep_due() -> int:
    """Do everything that time has brought about. Returns how many rows changed."""
    ended = obligations.revoke_late_due() + submissions.lapse_due() + lapse_approvals_due() + waivers.warn_due()
    # A challenge begins when an acceptance runs out; what nothing keeps open any more moves nothing.
    opened = challenges.open_due() + triage.reopen_due() + challenges.end_due()
    # And it ends when its version is retired.
    moved = act_due() + challenges.end_due()
    told = reminders.remind_due() + obligations.tell_due() + portal_keys.warn_due()
    told += outside.tell_due() + unsealed.tell_due() + contradictions.tell_due()
    return ended + told + opened + moved + submissions.refresh_due()


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


def act_due() -> int:
    """Make the moves of hygiene whose time has come, and warn of those to come. Returns how many of both."""
    now = timezone.now()
    ahead = now + hygiene.horizon()
    found = hygiene.coming(at=now, until=ahead)
    moved = sum(act(each) for each in found if each.at <= now)
    # A move may bring about another one: what is deprecated has a sunset.
    return moved + sum(warn(each, now) for each in (hygiene.coming(at=now, until=ahead) if moved else found))


def act(foreseen: hygiene.Foreseen) -> bool:
    """Make one move, if it is still due once nobody else can change the version. Returns whether it was made."""
    sweeps, now = User.objects.system("sweeps"), timezone.now()
    with transaction.atomic():
        # With what is made from it, because retiring a version challenges that.
        challenges.lock(foreseen.version)
        mine = Version.objects.filter(pk=foreseen.version.pk)
        due = [each for each in hygiene.coming(mine, at=now, until=now) if each.what == foreseen.what]
        if not due:
            return False
        move(due[0], now, actor=sweeps)
        tell_done(due[0])
    return True


def move(due: hygiene.Foreseen, now: datetime, *, actor: User) -> None:
    """Retire a locked version, or deprecate it where it may still be serving; the reason names fact and rule."""
    asked: dict[str, Any] = {"actor": actor, "reason": due.why, "cause": due.what, "rule": "sweep"}
    if due.sunset_in is None:
        submissions.retire(due.version, **asked)
    else:
        lifecycle.deprecate(due.version, successor=None, sunset_at=now + due.sunset_in, **asked)


def warn(foreseen: hygiene.Foreseen, now: datetime) -> bool:
    """Write the nearest warning of a move that is due, once. Returns whether it was written now."""
    reached = [warning for warning in foreseen.warnings if warning.at <= now]
    if not reached or foreseen.due is None:
        return False
    nearest = min(reached, key=lambda warning: warning.days)
    if nearest.written is not None:
        return False
    version = foreseen.version
    with transaction.atomic():
        told = notices.tell(
            notices.Kind.HYGIENE_WARNING,
            cause=hygiene.cause(version, foreseen.what, foreseen.due, nearest.days),
            to=foreseen.told,
            subject=f"{version.label} will be {foreseen.target} on {foreseen.at:%Y-%m-%d %H:%M} UTC",
            text=f"{foreseen.why} Only a waiver of the rule {foreseen.what} postpones it: ask for one on its page.",
            url=version.get_absolute_url(),
            asset=version.asset,
        )
    return bool(told)


def tell_done(done: hygiene.Foreseen) -> None:
    """Write that the clock has moved a version."""
    version = done.version
    notices.tell(
        notices.Kind.HYGIENE_DONE,
        cause=hygiene.cause(version, done.what, done.due or done.at, "done"),
        to=done.told,
        subject=f"{version.label} is {done.target}",
        text=done.why,
        url=version.get_absolute_url(),
        asset=version.asset,
    )
