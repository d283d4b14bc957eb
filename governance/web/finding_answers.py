"""How findings look as JSON, and what a service may say about them."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from django.utils import timezone
from ninja import Schema
from pydantic import StringConstraints

from audit import seal
from governance import challenges
from governance.models import Finding, TriageStatement
from governance.triage import sentences, tasks
from governance.triage.statements import effective_at
from registry.models import Version
from registry.web.doors import Part, absolute


class StatementPart(Part):
    """What a service says about a finding. Only a person accepts a risk."""

    status: Literal["not_affected", "fixed", "open"]
    justification: Annotated[str, StringConstraints(max_length=60)] = ""
    reason: Annotated[str, StringConstraints(min_length=3, max_length=4000, pattern=r"^[^\x00]*$")]


class StatementAnswer(Schema):
    """One statement: `counts` since when it counts, null while it waits for security or when nobody agreed."""

    id: str
    status: str
    justification: str
    reason: str
    until: str | None
    stated_at: str
    counts: str | None
    document: str | None


class FindingAnswer(Schema):
    """One vulnerability in one component: `open` when somebody still has to do something about it.

    `counted` is the statement that its triage rests on, `waiting` the one that waits for an answer, `due` the date of
    the challenge that it brings about.
    """

    id: str
    vulnerability: str
    advisories: list[str]
    summary: str
    severity: str
    certain: bool
    package: str
    fixed_in: list[str]
    triage: str
    open: bool
    found_at: str
    closed_at: str | None
    due: str | None
    counted: StatementAnswer | None
    waiting: StatementAnswer | None
    url: str


def findings(version: Version) -> list[FindingAnswer]:
    """Return the findings of a version, open and severe ones first, in a fixed number of queries."""
    due = {each.finding_id: each.due_at for each in reversed(challenges.open_of(version))}
    now = timezone.now()
    return [
        FindingAnswer(
            id=str(row.public_id),
            vulnerability=row.vulnerability,
            advisories=row.advisory_ids,
            summary=row.summary,
            severity=row.severity,
            certain=row.certain,
            package=row.purl,
            fixed_in=row.fixed_in,
            triage=row.triage,
            open=row.is_open_at(now),
            found_at=seal.instant(row.found_at),
            closed_at=seal.instant(row.closed_at) if row.closed_at else None,
            due=seal.instant(due[row.pk]) if row.pk in due else None,
            counted=statement(sentences.counted(row)),
            waiting=statement(sentences.waits(row)),
            url=absolute(sentences.address(row.vulnerability)),
        )
        for row in tasks.tab(version)
    ]


def statement(said: TriageStatement | None) -> StatementAnswer | None:
    """Return one statement."""
    return said_as(said) if said is not None else None


def said_as(said: TriageStatement) -> StatementAnswer:
    """Return one statement that is there."""
    counts = effective_at(said)
    return StatementAnswer(
        id=str(said.public_id),
        status=said.status,
        justification=said.justification,
        reason=said.reason,
        until=seal.instant(said.until) if said.until else None,
        stated_at=seal.instant(said.stated_at),
        counts=seal.instant(counts) if counts else None,
        document=said.evidence.filename if said.evidence else None,
    )


def of(version: Version, public_id: UUID) -> Finding | None:
    """Return one finding of a version."""
    return version.findings.select_related("version__asset__team").filter(public_id=public_id).first()
