"""Challenges: what a new vulnerability does to versions in force, and to everything in force that is made from them.

A finding challenges a decision that did not know of it: it began to count, or grew worse, after the decision was made.
What somebody knew when they approved is the policy's matter. Whether a challenged version may still serve is computed
from these rows in `standing`; nothing is ever written when a due date passes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.utils import timezone

from audit import log
from audit.events import Event
from governance import advisories
from governance.models import Challenge, ChallengeEnd, Decision, Finding, Policy
from governance.models.findings import Triage
from registry import composition
from registry.models import State, User, Version

RULE = "vulnerabilities"
GRACE_DAYS = 14


@dataclass(frozen=True)
class Wanted:
    """A challenge that has to be written: which version, by which finding, until when to answer, under which policy."""

    version: Version
    finding: Finding
    due_at: datetime
    policy: Policy


def opened(at: datetime) -> QuerySet[Challenge]:
    """Return the challenges that stand open at an instant, the one that is due first on top."""
    return Challenge.objects.filter(opened_at__lte=at).filter(Q(end=None) | Q(end__ended_at__gt=at))


def open_of(version: Version, at: datetime | None = None) -> list[Challenge]:
    """Return a version's open challenges as of an instant, the one that is due first on top."""
    return open_for([version], at)[version.pk]


def open_for(versions: Iterable[Version], at: datetime | None = None) -> dict[int, list[Challenge]]:
    """Return the open challenges of many versions as of an instant, by the versions' ids, in one query."""
    found: defaultdict[int, list[Challenge]] = defaultdict(list)
    rows = opened(at or timezone.now()).filter(version__in=[version.pk for version in versions])
    for challenge in rows.select_related("finding__version__asset", "policy"):
        found[challenge.version_id].append(challenge)
    return found


def lock(version: Version) -> list[Version]:
    """Lock a version and everything that is made from it until the transaction ends, in the order of their ids.

    Whoever locks one of them alone has to do it before, or not lock another one: the order keeps two from waiting for
    each other.
    """
    rows = Version.objects.select_for_update(of=("self",)).select_related("asset").order_by("pk")
    return list(rows.filter(pk__in=family_of(version)))


def family_of(version: Version) -> set[int]:
    """Return the ids of a version and of everything that is made from it."""
    return {version.pk, *(edge.version_id for edge in composition.descendants(version))}


def reconsider(version: Version, *, actor: User) -> int:
    """Open and end the challenges that a version's findings bring about now. Returns how many were written.

    Doing it again writes nothing. A verb that already holds a lock has to have taken it by `lock`.
    """
    if not list(ending(version)) and not wanted(version, family_of(version)):
        return 0
    with transaction.atomic():
        members = lock(version)
        ended = [end(challenge, reason, actor=actor) for challenge, reason in ending(version)]
        begun = [begin(each, actor=actor) for each in wanted(version, {member.pk for member in members})]
    return len(ended) + len(begun)


def open_due() -> int:
    """Open the challenges that an acceptance which has run out brings about. Returns how many were written."""
    sweeps = User.objects.system("sweeps")
    told = Challenge.objects.filter(finding=OuterRef("pk"), opened_at__gte=OuterRef("accepted_until"))
    lapsed = Finding.objects.filter(~Exists(told), closed_at=None, triage=Triage.ACCEPTED)
    versions = Version.objects.filter(findings__in=lapsed.filter(accepted_until__lte=timezone.now()))
    return sum(reconsider(version, actor=sweeps) for version in versions.order_by("pk").distinct())


def end_due() -> int:
    """End the challenges that nothing keeps open any more. Returns how many rows were written."""
    sweeps = User.objects.system("sweeps")
    now = timezone.now()
    rows = opened(now).select_related("version", "finding__version", "policy")
    roots = {each.finding.version_id: each.finding.version for each in rows if why_over(each, now)}
    return sum(reconsider(roots[pk], actor=sweeps) for pk in sorted(roots))


def ending(version: Version) -> Iterator[tuple[Challenge, str]]:
    """Yield the open challenges by a version's findings that are over, each with the reason."""
    now = timezone.now()
    rows = opened(now).filter(finding__version=version).select_related("version__asset", "finding", "policy")
    for challenge in rows.order_by("version", "pk"):
        if reason := why_over(challenge, now):
            yield challenge, reason


def why_over(challenge: Challenge, at: datetime) -> str:
    """Return why a challenge is over, or nothing while it stands."""
    finding = challenge.finding
    if challenge.version.state == State.RETIRED:
        return "The version is retired."
    if finding.closed_at is not None:
        return f"{finding.vulnerability} is no longer found in it."
    if not finding.is_open_at(at):
        return f"{finding.vulnerability} was answered: {finding.get_triage_display().lower()}."
    if not advisories.reaches(finding.severity, challenge.policy.rule(RULE)):
        return f"{finding.vulnerability} is now {finding.severity}, which the policy does not block."
    return ""


def end(challenge: Challenge, reason: str, *, actor: User) -> ChallengeEnd:
    """Write that a challenge is over."""
    told = {"vulnerability": challenge.vulnerability, "reason": reason}
    with log.record(Event.CHALLENGE_ENDED, actor=actor, subject=challenge.version, **told):
        return ChallengeEnd.objects.create(challenge=challenge, reason=reason, ended_by=actor, ended_at=timezone.now())


def wanted(version: Version, members: Iterable[int]) -> list[Wanted]:
    """Return the challenges that a version's findings ask for among some versions and that are not there yet."""
    now = timezone.now()
    decisions = list(in_force(members, now))
    rows = version.findings.filter(closed_at=None).select_related("version__asset") if decisions else ()
    findings = [finding for finding in rows if finding.is_open_at(now)]
    if not findings:
        return []
    there = set(opened(now).filter(finding__version=version).values_list("version_id", "finding_id"))
    histories = read_histories(findings)
    found: dict[tuple[int, int], Wanted] = {}
    for finding in findings:
        for decision in decisions:
            due = due_at(decision, histories[finding.pk], now)
            key = (decision.version_id, finding.pk)
            if due is None or key in there or (key in found and found[key].due_at <= due):
                continue
            found[key] = Wanted(decision.version, finding, due, decision.submission.policy)
    return [found[key] for key in sorted(found)]


def in_force(members: Iterable[int], at: datetime) -> QuerySet[Decision]:
    """Return the approvals in force of some versions.

    Those that wait for their signature count: it comes within seconds, and nobody would look again.
    """
    return (
        Decision.objects.filter(version__in=list(members), verdict="approved", revocation=None, expires_at__gt=at)
        .filter(identity_digest=F("version__identity_digest"))
        .exclude(version__state=State.RETIRED)
        .select_related("version__asset", "submission__policy")
        .order_by("version", "pk")
    )


def due_at(decision: Decision, history: Sequence[Any], at: datetime) -> datetime | None:
    """Return until when a decision's version may serve on in spite of a finding, or None when it is not challenged.

    The days run from when the finding began to count, not from when somebody noticed.
    """
    policy = decision.submission.policy
    rule = policy.rule(RULE)
    asked = {*policy.content["baseline"]["rules"], *policy.environment(decision.environment)["rules"]}
    if RULE not in asked or rule.get("on_new", "challenge") != "challenge":
        return None
    began = counts_since(history, rule, at)
    if began is None or began <= decision.made_at:
        return None
    return began + timedelta(days=rule.get("grace_days", GRACE_DAYS))


def counts_since(history: Sequence[Any], rule: Mapping[str, Any], at: datetime) -> datetime | None:
    """Return since when a finding stands in a rule's way at its present severity or worse, or None when it does not.

    `history` are the finding's history rows, oldest first. A finding that grew worse counts anew.
    """
    began: datetime | None = None
    before: Any = None
    for row, following in zip(history, [*history[1:], None], strict=True):
        until = following.history_date if following else None
        starts = counts_from(row, rule, until or at)
        if starts is None:
            began = None
        elif began is None or starts > row.history_date or is_worse(row, before, rule):
            began = starts
        before = row
    return began


def counts_from(row: Any, rule: Mapping[str, Any], until: datetime) -> datetime | None:
    """Return the first instant at which one state of a finding stands in a rule's way, or None when it never does."""
    if row.closed_at is not None or not advisories.reaches(row.severity, rule):
        return None
    if row.triage == Triage.ACCEPTED and row.accepted_until is not None and row.accepted_until <= until:
        return max(row.history_date, row.accepted_until)
    return row.history_date if row.triage == Triage.OPEN else None


def is_worse(row: Any, before: Any, rule: Mapping[str, Any]) -> bool:
    """Return whether one state of a finding is of a worse severity than the one before it."""
    return advisories.rank(row.severity, rule) > advisories.rank(before.severity, rule)


def read_histories(findings: Iterable[Finding]) -> dict[int, list[Any]]:
    """Return the history rows of some findings, oldest first, by the findings' ids."""
    histories: defaultdict[int, list[Any]] = defaultdict(list)
    rows = Finding.history.filter(id__in=[finding.pk for finding in findings])
    for row in rows.order_by("history_date", "history_id"):
        histories[row.id].append(row)
    return histories


def begin(each: Wanted, *, actor: User) -> Challenge:
    """Write a challenge."""
    finding = each.finding
    told = {"vulnerability": finding.vulnerability, "severity": finding.severity, "root": finding.version.label}
    with log.record(Event.VERSION_CHALLENGED, actor=actor, subject=each.version, due=each.due_at, **told):
        return Challenge.objects.create(
            version=each.version,
            finding=finding,
            vulnerability=finding.vulnerability,
            severity=finding.severity,
            policy=each.policy,
            opened_at=timezone.now(),
            due_at=each.due_at,
        )
