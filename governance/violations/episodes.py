"""Episodes: windows of violations counted into stretches, one for each digest, environment, deployment and kind.

An episode is open until somebody answers, and an answer is for everything served until then: a window that began
before it, and not before the episode did, is counted there however late it is reported. Any other begins an episode,
or belongs to the one that is open. What is counted follows corrections: a window counts as its highest sequence says.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from django.db import connection
from django.db.models import F
from django.db.models.functions import Greatest, Least
from django.utils import timezone

from audit import log
from audit.events import Event
from audit.models import ServingBatch
from governance.models import Violation
from governance.models.violations import ViolationState
from governance.violations import telling
from registry.models import User

if TYPE_CHECKING:
    from governance.violations.judging import Group, Offence

# digest, environment, deployment, kind
What = tuple[str, str, str, str]

# What a batch adds to the windows and requests of each group. Of a row that corrects, or is corrected, only the
# difference counts: `known` is the highest of the same window among batches that are judged, or later in this one.
COUNT = """
SELECT w.digest, w.environment, w.deployment, w.consumer, w.start,
    sum(CASE WHEN known.sequence > w.sequence THEN 0
        ELSE (w.requests > 0)::int - coalesce((known.requests > 0)::int, 0) END)::bigint,
    sum(CASE WHEN known.sequence > w.sequence THEN 0 ELSE w.requests - coalesce(known.requests, 0) END)::bigint
FROM audit_servingwindow w LEFT JOIN LATERAL (
    SELECT o.sequence, o.requests FROM audit_servingwindow o
    WHERE o.customer = w.customer AND o.start = w.start AND o.deployment = w.deployment
    AND o.environment = w.environment AND o.digest = w.digest AND o.config_digest = w.config_digest
    AND o.consumer = w.consumer AND o.source = w.source AND o.sequence <> w.sequence
    AND o.start >= %(since)s AND o.start < %(until)s
    AND (
        o.batch_id = w.batch_id AND o.sequence > w.sequence
        OR NOT EXISTS (SELECT FROM audit_unjudgedbatch u WHERE u.batch_id = o.batch_id)
    )
    ORDER BY o.sequence DESC LIMIT 1
) known ON true
WHERE w.batch_id = %(batch)s AND w.start >= %(since)s AND w.start < %(until)s AND w.digest = ANY (%(digests)s)
GROUP BY 1, 2, 3, 4, 5
"""
NAME_CUSTOMERS = """
INSERT INTO governance_affectedcustomer (violation_id, customer)
SELECT DISTINCT %(violation)s::bigint, w.customer FROM audit_servingwindow w
JOIN unnest(%(digests)s::text[], %(environments)s::text[], %(deployments)s::text[], %(consumers)s::text[],
    %(starts)s::timestamptz[]) AS g (digest, environment, deployment, consumer, start)
ON (w.digest, w.environment, w.deployment, w.consumer, w.start)
    = (g.digest, g.environment, g.deployment, g.consumer, g.start)
WHERE w.batch_id = %(batch)s AND w.start >= %(since)s AND w.start < %(until)s AND w.requests > 0
ON CONFLICT DO NOTHING
"""


class Count(NamedTuple):
    """What a group adds: how many windows with requests, and how many requests. Corrections may take away."""

    windows: int
    requests: int


Counts = Mapping[tuple[str, str, str, str, datetime], Count]


def count(batch: ServingBatch, digests: Collection[str]) -> Counts:
    """Return what a batch adds for some digests, by (digest, environment, deployment, consumer, start)."""
    span = {"since": batch.first_start, "until": batch.last_end}
    told: dict[str, Any] = {"batch": batch.pk, "digests": list(digests), **span}
    with connection.cursor() as cursor:
        cursor.execute(COUNT, told)
        return {tuple(row[:5]): Count(*row[5:]) for row in cursor.fetchall()}


def add(batch: ServingBatch, what: What, groups: Mapping[Group, Offence], counts: Counts, *, is_many: bool) -> None:
    """Count the groups of one violation into its episodes, and open one for those that belong to none."""
    known = list(Violation.objects.filter(**named(what)).select_for_update().order_by("pk"))
    shares: dict[Violation | None, list[Group]] = {}
    for group in groups:
        shares.setdefault(episode_of(known, group.start), []).append(group)
    for episode, share in shares.items():
        added = [counts[key_of(group)] for group in share]
        windows, requests = sum(each.windows for each in added), sum(each.requests for each in added)
        if not (windows or requests):
            continue
        serving_ones = [group for group, each in zip(share, added, strict=True) if each.windows > 0] or share
        first = min(serving_ones, key=lambda group: group.start)
        last = max(group.start for group in serving_ones)
        # A correction that takes something away belongs to an episode; without one there is nothing to take it from.
        if episode is None and windows <= 0:
            continue
        found = episode or open_episode(batch, what, first.start, groups[first], is_many=is_many)
        Violation.objects.filter(pk=found.pk).update(
            windows=F("windows") + windows,
            requests=F("requests") + requests,
            first_window=Least("first_window", first.start),
            last_window=Greatest("last_window", last),
        )
        name_customers(found, batch, share)


def named(what: What) -> dict[str, str]:
    """Return what a violation is about as conditions."""
    return dict(zip(("digest", "environment", "deployment", "kind"), what, strict=True))


def key_of(group: Group) -> tuple[str, str, str, str, datetime]:
    """Return a group as counts know it."""
    return group.digest, group.environment, group.deployment, group.consumer, group.start


def episode_of(known: Collection[Violation], start: datetime) -> Violation | None:
    """Return the episode that a window belongs to by its start: one whose answer was for it, else the open one."""
    for each in known:
        if each.answered_at is not None and each.first_window <= start <= each.answered_at:
            return each
    return next((each for each in known if each.state == ViolationState.OPEN), None)


def open_episode(batch: ServingBatch, what: What, start: datetime, offence: Offence, *, is_many: bool) -> Violation:
    """Open an episode that begins with a window, and tell those who have to act."""
    digest = "" if is_many and offence.version is None else what[0]
    violation = Violation(
        **{**named(what), "digest": digest},
        source=batch.source,
        version=offence.version,
        rule=offence.reason.rule,
        says=offence.reason.says,
        fix=offence.reason.fix,
        opened_at=timezone.now(),
        first_window=start,
        last_window=start,
    )
    told = {"kind": violation.kind, "digest": digest, "environment": what[1], "deployment": what[2]}
    actor = User.objects.system("sweeps")
    with log.record(Event.VIOLATION_OPENED, actor=actor, subject=violation, batch=str(batch), **told):
        violation.save()
        telling.tell(violation)
    return violation


def name_customers(violation: Violation, batch: ServingBatch, groups: Collection[Group]) -> None:
    """Remember whom the windows of a batch served during a violation."""
    told: dict[str, Any] = {
        "violation": violation.pk,
        "batch": batch.pk,
        "since": batch.first_start,
        "until": batch.last_end,
        "digests": [group.digest for group in groups],
        "environments": [group.environment for group in groups],
        "deployments": [group.deployment for group in groups],
        "consumers": [group.consumer for group in groups],
        "starts": [group.start for group in groups],
    }
    with connection.cursor() as cursor:
        cursor.execute(NAME_CUSTOMERS, told)
