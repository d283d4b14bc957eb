"""Judging batches of serving windows, each once, by the standing at the time of its windows, however late they arrive.

A window is a violation when its digest was not allowed to serve at any instant of it. Where it was allowed for a part,
nobody can tell in which part the requests came: the window in which a decision was made or revoked accuses nobody.
Because a standing at a past instant never changes, what is revoked later makes nothing of before a violation.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import connection, transaction
from django.utils import timezone

from audit import serving
from audit.models import ServingBatch, UnjudgedBatch
from audit.models.serving import GRID
from governance.models.violations import ViolationKind
from governance.over_time import StandingsOverTime
from governance.standing import Standing
from governance.violations import episodes
from portal.errors import Reason
from registry.models import Version

MOST_BATCHES = 50
# A batch with more different violations than this has one for each version, or for all that nobody registered.
MOST_APART = 100
ONE_AT_A_TIME = "SELECT pg_try_advisory_xact_lock(hashtextextended('serving judging', 0))"
KINDS = {
    "retired": ViolationKind.RETIRED,
    "sunset": ViolationKind.RETIRED,
    "revoked": ViolationKind.REVOKED,
    "waiver_revoked": ViolationKind.REVOKED,
    "expired": ViolationKind.EXPIRED,
    "obligation_late": ViolationKind.EXPIRED,
    "challenged": ViolationKind.CHALLENGED,
    "deprecated": ViolationKind.NEW_CONSUMER,
}
UNREGISTERED = Reason(
    "unregistered",
    "Nothing with this identity digest was registered then.",
    "Whoever runs the deployment serves a version that is in force, or registers this one and has it approved.",
)


@dataclass(frozen=True)
class Group:
    """The windows of a batch that differ only in customer and configuration: they are judged as one."""

    digest: str
    environment: str
    deployment: str
    consumer: str
    start: datetime

    @property
    def end(self) -> datetime:
        """Return when its windows are over."""
        return self.start + GRID


@dataclass(frozen=True)
class Offence:
    """Why a group should not have been served: the first no, about which version."""

    kind: str
    reason: Reason
    version: Version | None


def judge_due() -> int:
    """Judge the batches that wait and whose windows are over, the first that came first. Returns how many.

    One transaction for each, by one worker at a time: killed at any point, a batch is judged or still waits.
    """
    judged = 0
    while judged < MOST_BATCHES and judge_next():
        judged += 1
    return judged


def judge_next() -> bool:
    """Judge one batch. Returns whether there was one, and nobody else judging."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(ONE_AT_A_TIME)
            (is_mine,) = cursor.fetchone()
        waiting = UnjudgedBatch.objects.filter(batch__last_end__lte=timezone.now()).select_related("batch")
        due = waiting.order_by("batch__received_at", "pk").first() if is_mine else None
        if due is None:
            return False
        judge(due.batch)
        due.delete()
    return True


def judge(batch: ServingBatch) -> None:
    """Find the windows of one batch that should not have been served, and count them into violations."""
    found: dict[episodes.What, dict[Group, Offence]] = defaultdict(dict)
    for group, offence in offences(groups_of(batch)):
        found[group.digest, group.environment, group.deployment, offence.kind][group] = offence
    if not found:
        return
    counts = episodes.count(batch, {group.digest for groups in found.values() for group in groups})
    apart = len(found) <= MOST_APART
    for what, groups in (found if apart else together(found)).items():
        episodes.add(batch, what, groups, counts, is_many=not apart)


def groups_of(batch: ServingBatch) -> list[Group]:
    """Return what a batch says was served, without how often and to whom."""
    names = ("digest", "environment", "deployment", "consumer", "start")
    rows = serving.rows_of(batch).order_by(*names).values_list(*names).distinct()
    return [Group(*row) for row in rows]


def offences(groups: Sequence[Group]) -> Iterable[tuple[Group, Offence]]:
    """Yield the groups that were not allowed to serve at any instant of their windows, each with why."""
    over_time = StandingsOverTime(groups)
    for group in groups:
        answers = over_time.during(group)
        if not any(answer is not None and answer.allow for answer in answers):
            yield group, offence_of(next((answer for answer in answers if answer is not None), None))


def offence_of(answer: Standing | None) -> Offence:
    """Return the offence that the first no amounts to; None means that nothing was registered."""
    if answer is None or answer.version is None:
        return Offence(ViolationKind.UNKNOWN, UNREGISTERED, None)
    reason = answer.reasons[0]
    return Offence(KINDS.get(reason.rule, ViolationKind.UNDECIDED), reason, answer.version)


def together(found: dict[episodes.What, dict[Group, Offence]]) -> dict[episodes.What, dict[Group, Offence]]:
    """Return many violations as few: by version and kind, and all that nobody registered as one."""
    merged: dict[episodes.What, dict[Group, Offence]] = defaultdict(dict)
    for (digest, _, _, kind), groups in found.items():
        merged["" if kind == ViolationKind.UNKNOWN else digest, "", "", kind] |= groups
    return merged
