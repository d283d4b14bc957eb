"""The verbs of triage: state, answer, open again. Statements and answers are rows for good; a finding keeps a cache.

The newest statement that counts wins. A statement that waits for its answer is superseded by any newer one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, TypeVar

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet, Subquery
from django.utils import timezone

from audit import log
from audit.events import Event
from governance import challenges, lifecycle, policy
from governance.checks import runner
from governance.models import Finding, Policy, TriageAnswer, TriageStatement
from governance.models.advisories import Severity
from governance.models.findings import Triage
from governance.triage import rules
from portal.errors import Fault, Invalid, Refused, show
from portal.jobs import Job, ring
from registry.models import Evidence, State, User, Version

MAX_AT_ONCE = 500
CHECK = "vulnerabilities"
Thing = TypeVar("Thing")
Made = TypeVar("Made")


def state(
    finding: Finding,
    *,
    actor: User,
    status: str,
    justification: str = "",
    reason: str,
    until: datetime | None = None,
    evidence: Evidence | None = None,
) -> TriageStatement:
    """State about a finding that it is open, fixed, not affected (and why), or accepted until an instant.

    It counts at once or when a second person has agreed: see `rules.needs_answer`. Raises Invalid for a statement that
    does not say what its status needs, and Refused for a finding that is closed.
    """
    said = {"status": status, "justification": justification, "reason": reason, "until": until}
    return speak(finding, said, actor=actor, evidence=evidence, at=timezone.now())


def state_all(
    findings: Iterable[Finding],
    *,
    actor: User,
    status: str,
    justification: str = "",
    reason: str,
    until: datetime | None = None,
) -> list[TriageStatement]:
    """State the same about many findings, such as one vulnerability in many versions: all of them or none."""
    said = {"status": status, "justification": justification, "reason": reason, "until": until}
    now = timezone.now()
    return all_or_none("findings", findings, lambda row: speak(row, said, actor=actor, at=now), lambda row: row)


def speak(
    finding: Finding, said: dict[str, Any], *, actor: User, at: datetime, evidence: Evidence | None = None
) -> TriageStatement:
    """Record what a person says: lock, ask, expect, write, tell. What is said at once has one instant."""
    rules.expect_words(**said)
    status = str(said["status"])
    with log.record(Event.FINDING_TRIAGED, actor=actor, subject=finding, status=status, source="person") as entry:
        finding = lock(finding)
        actor.require("finding.triage", finding)
        rules.expect_current(finding)
        rules.expect_until(finding.version, said["until"], at)
        rules.expect_evidence(finding, evidence)
        statement = write(finding, said, by=actor, at=at, evidence=evidence, actor=actor)
        entry.note(**noted(statement))
    return statement


def answer(statement: TriageStatement, *, actor: User, agreed: bool, note: str = "") -> TriageAnswer:
    """Agree or disagree with a statement that waits, as the second person. What is agreed to counts from now on.

    Raises Refused when it waits no longer, or when the actor is not independent of it.
    """
    said = "agreed" if agreed else "disagreed"
    with log.record(Event.TRIAGE_ANSWERED, actor=actor, subject=statement.finding, answer=said) as entry:
        finding = lock(statement.finding)
        statement = TriageStatement.objects.select_related("evidence", "stated_by").get(pk=statement.pk)
        statement.finding = finding
        actor.require("finding.answer", finding)
        rules.expect_current(finding)
        expect_waiting(statement)
        rules.expect_second_person(statement, actor)
        if agreed:
            expect_unended(statement)
        else:
            lifecycle.expect_reason(note)
        lifecycle.expect_text("note", note)
        given = TriageAnswer.objects.create(
            statement=statement, agreed=agreed, note=note, answered_by=actor, answered_at=timezone.now()
        )
        entry.note(statement=str(statement.public_id), status=statement.status)
        if agreed:
            settle(statement, actor=actor)
    return given


def answer_all(
    statements: Iterable[TriageStatement], *, actor: User, agreed: bool, note: str = ""
) -> list[TriageAnswer]:
    """Give the same answer to many statements, all of them or none."""
    return all_or_none(
        "statements",
        statements,
        lambda row: answer(row, actor=actor, agreed=agreed, note=note),
        lambda row: row.finding,
    )


def all_or_none(
    name: str, rows: Iterable[Thing], act: Callable[[Thing], Made], about: Callable[[Thing], Finding]
) -> list[Made]:
    """Do one thing to each row in one transaction. All versions are locked first, in the order of their ids."""
    found: Sequence[Thing] = sorted(rows, key=lambda row: (about(row).version_id, about(row).pk))
    if not 0 < len(found) <= MAX_AT_ONCE:
        raise Invalid(Fault(name, show(len(found)), f"1 to {MAX_AT_ONCE} of them"))
    with transaction.atomic():
        families = {pk for version in {about(row).version for row in found} for pk in challenges.family_of(version)}
        list(Version.objects.select_for_update().filter(pk__in=families).order_by("pk").values_list("pk"))
        return [act(row) for row in found]


def lock(finding: Finding) -> Finding:
    """Lock the version with everything made from it, which the finding may challenge, then the finding."""
    challenges.lock(finding.version)
    rows = Finding.objects.select_for_update(of=("self",)).select_related("version__asset__team")
    return rows.get(pk=finding.pk)


def write(
    finding: Finding,
    said: dict[str, Any],
    *,
    by: User,
    actor: User,
    at: datetime | None = None,
    evidence: Evidence | None = None,
) -> TriageStatement:
    """Write a statement about a locked finding, inside the caller's record, and let it count if it does at once."""
    statement = TriageStatement.objects.create(
        finding=finding,
        evidence=evidence,
        needs_answer=rules.needs_answer(finding, said["status"], by),
        stated_by=by,
        stated_at=at or timezone.now(),
        **said,
    )
    if not statement.needs_answer:
        settle(statement, actor=actor)
    return statement


def noted(statement: TriageStatement) -> dict[str, Any]:
    """Return what the ledger says about a statement, besides its row."""
    return {
        "statement": str(statement.public_id),
        "justification": statement.justification,
        "until": statement.until,
        "waits": statement.needs_answer,
        "severity": statement.finding.severity,
    }


def settle(statement: TriageStatement, *, actor: User) -> None:
    """Let a statement count: the finding remembers it, and whatever depends on the finding is asked again."""
    finding = statement.finding
    finding.triage, finding.accepted_until = statement.status, statement.until
    finding.save(update_fields=["triage", "accepted_until"])
    challenges.reconsider(finding.version, actor=actor)
    ask_again(finding.version)


def ask_again(version: Version) -> None:
    """Queue the check of vulnerabilities under every policy that it is asked under now."""
    if not version.is_frozen or version.state == State.RETIRED:
        return
    asked: dict[int, Policy] = {
        row.policy_id: row.policy for row in version.submissions.filter(state="open").select_related("policy")
    }
    # A version of a kind that no policy governs any more may still have findings; nothing is asked of it.
    with suppress(Refused):
        governing = policy.governing(version)
        asked[governing.pk] = governing
    for each in asked.values():
        if CHECK in runner.slugs_of(each):
            runner.request(version, [CHECK], each, actor=User.objects.system("runner"))
    ring(Job.RUN_CHECKS)


def waiting() -> QuerySet[TriageStatement]:
    """Return the statements that wait for their second person, oldest first."""
    newer = TriageStatement.objects.filter(finding=OuterRef("finding"), pk__gt=OuterRef("pk"))
    rows = TriageStatement.objects.filter(needs_answer=True, answer__isnull=True, finding__closed_at=None)
    return rows.exclude(finding__version__state=State.RETIRED).exclude(Exists(newer)).order_by("pk")


def expect_waiting(statement: TriageStatement) -> None:
    """Raise Refused unless a statement of a locked finding waits for its answer."""
    if not statement.needs_answer:
        raise Refused("no_answer_needed", f"The statement about {statement.finding} counts already.")
    if TriageAnswer.objects.filter(statement=statement).exists():
        raise Refused("triage_answered", f"The statement about {statement.finding} is answered already.")
    if TriageStatement.objects.filter(finding=statement.finding_id, pk__gt=statement.pk).exists():
        says = f"Something newer was stated about {statement.finding}: answer that."
        raise Refused("triage_superseded", says)


def expect_unended(statement: TriageStatement) -> None:
    """Raise Refused when the time of an acceptance passed before anybody agreed."""
    if statement.until is not None and statement.until <= timezone.now():
        raise Refused("acceptance_over", f"The stated time of {statement.finding} is over. State it again.")


def effective_at(statement: TriageStatement) -> datetime | None:
    """Return since when a statement counts, or None when it does not: it waits, or somebody disagreed."""
    if not statement.needs_answer:
        return statement.stated_at
    given = getattr(statement, "answer", None)
    return given.answered_at if given is not None and given.agreed else None


def in_force(finding: Finding, at: datetime) -> TriageStatement | None:
    """Return the statement that counted at an instant; None means that the finding was open by itself.

    Read from rows that nobody can change. An acceptance that is over counts for nothing, and nothing older comes back
    in its place; neither does what was said before a finding was closed and found again.
    """
    since = found_again_at(finding, at)
    for statement in finding.statements.select_related("answer").order_by("-pk"):
        counted = effective_at(statement)
        if counted is not None and counted <= at:
            if since is not None and counted < since:
                return None
            return None if statement.until is not None and statement.until <= at else statement
    return None


def found_again_at(finding: Finding, at: datetime) -> datetime | None:
    """Return when a finding that had been closed was opened again, the last time before an instant."""
    again, was_closed = None, False
    rows = finding.history.filter(history_date__lte=at).order_by("history_date", "history_id")
    for when, closed_at, triage in rows.values_list("history_date", "closed_at", "triage"):
        if was_closed and closed_at is None and triage == Triage.OPEN:
            again = when
        was_closed = closed_at is not None
    return again


def reopen_due() -> int:
    """Open again what one person alone had cleared before it turned out to be critical. Returns how many."""
    sweeps = User.objects.system("sweeps")
    counted = TriageStatement.objects.filter(finding=OuterRef("pk")).filter(
        Q(needs_answer=False) | Q(answer__agreed=True)
    )
    rows = (
        Finding.objects.filter(closed_at=None, severity__in=(Severity.CRITICAL, Severity.UNKNOWN))
        .exclude(triage=Triage.OPEN)
        .exclude(version__state=State.RETIRED)
        .annotate(was_agreed=Subquery(counted.order_by("-pk").values("needs_answer")[:1]))
        .filter(was_agreed=False)
        .select_related("version__asset")
    )
    return sum(reopen(found, actor=sweeps) for found in rows)


def reopen(found: Finding, *, actor: User) -> bool:
    """Open a finding again under the clock's own name; returns whether there was a reason to."""
    said = {"status": Triage.OPEN, "justification": "", "until": None}
    reason = "Its severity is critical now, and one person alone had cleared it: a second one has to look."
    with log.record(Event.FINDING_TRIAGED, actor=actor, subject=found, status=said["status"], source="sweep") as entry:
        finding = lock(found)
        actor.require("sweep", finding)
        severity = rules.counted_severity(finding.severity, policy.governing(finding.version))
        if finding.triage == Triage.OPEN or severity != Severity.CRITICAL:
            entry.skip()
            return False
        entry.note(**noted(write(finding, {**said, "reason": reason}, by=actor, actor=actor)))
    return True
