"""What may be stated about a finding, whose word counts at once, and who can be the second person. Writes nothing."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from governance import independence, lifecycle, policy
from governance.models import Finding, Policy, TriageStatement
from governance.models.advisories import Severity
from governance.models.findings import Justification, Triage
from governance.permissions import on_team, sits_for
from portal.errors import Fault, Invalid, Reason, Refused, show
from registry.models import Evidence, State, User, Version


def expect_words(status: str, justification: str, reason: str, until: datetime | None) -> None:
    """Raise Invalid unless a statement says everything that its status needs, and nothing that it cannot mean."""
    faults = []
    if status not in Triage.values:
        faults.append(Fault("status", show(status), f"one of {', '.join(Triage.values)}"))
    if status == Triage.NOT_AFFECTED and justification not in Justification.values:
        faults.append(Fault("justification", show(justification), f"one of {', '.join(Justification.values)}"))
    if status != Triage.NOT_AFFECTED and justification:
        faults.append(Fault("justification", show(justification), "nothing, except for not_affected"))
    if status == Triage.ACCEPTED and until is None:
        faults.append(Fault("until", "nothing", "the instant at which the acceptance ends"))
    if status != Triage.ACCEPTED and until is not None:
        faults.append(Fault("until", until.isoformat(), "nothing, except for accepted"))
    if faults:
        raise Invalid(*faults)
    lifecycle.expect_reason(reason)


def expect_until(version: Version, until: datetime | None, at: datetime) -> None:
    """Raise Invalid unless an acceptance ends in the future, as soon as the policy asks of every exception."""
    if until is None:
        return
    last = policy.governing(version).content["waivers"]["max_days"]
    if not at < until <= at + timedelta(days=last):
        raise Invalid(Fault("until", until.isoformat(), f"an instant within the next {last} days"))


def expect_current(finding: Finding) -> None:
    """Raise Refused when nobody has to say anything about a finding any more."""
    if finding.version.state == State.RETIRED:
        raise Refused("version_retired", f"{finding.version.label} is retired: its record is closed.")
    if finding.closed_at is not None:
        says = f"{finding.vulnerability} is no longer found in {finding.version.label}."
        raise Refused("finding_closed", says)


def expect_evidence(finding: Finding, evidence: Evidence | None) -> None:
    """Raise Invalid unless a document that is cited belongs to the finding's version."""
    if evidence is not None and evidence.version_id != finding.version_id:
        raise Invalid(Fault("evidence", evidence.filename, f"a document of {finding.version.label}"))


def counted_severity(severity: str, rules: Policy) -> str:
    """Return a severity as the policy counts it: unknown is what the policy says, high when it says nothing."""
    if severity != Severity.UNKNOWN:
        return severity
    return str(rules.rule("vulnerabilities").get("unknown", Severity.HIGH))


def needs_answer(finding: Finding, status: str, stater: User) -> bool:
    """Return whether a statement counts only once a second person has agreed.

    Opening again counts at once, because it can only make things stricter. Anything else needs security's word on
    something that security had no hand in; and whatever clears a critical vulnerability needs two people.
    """
    if status == Triage.OPEN:
        return False
    is_security = stater.kind == "person" and sits_for(stater, "security", finding)
    if not is_security or hand_in(finding, stater):
        return True
    return counted_severity(finding.severity, policy.governing(finding.version)) == Severity.CRITICAL


def hand_in(finding: Finding, person: User) -> list[str]:
    """Return each way in which a person is not independent of a finding's version, or of one that it challenges."""
    rows = Version.objects.filter(challenges__finding=finding, challenges__end=None).exclude(pk=finding.version_id)
    challenged = rows.select_related("asset").distinct()
    found = involvement(finding.version, person)
    return found + [f"{row.label}: {each}" for row in challenged for each in involvement(row, person)]


def involvement(version: Version, person: User) -> list[str]:
    """Return each way in which a person is not independent of a version: a hand in it, its submission, its team."""
    submitted = version.submissions.filter(submitted_by=person).exists()
    return described(person, independence.hand_in(version, person), submitted=submitted, team=on_team(person, version))


def described(person: User, hand: Iterable[str], *, submitted: bool, team: bool) -> list[str]:
    """Return the sentences of `involvement` from what is known already; lists that stay flat in queries ask here."""
    found = list(hand)
    if submitted:
        found.append(f"{person} submitted it.")
    if team:
        found.append(f"{person} works for the team that owns it.")
    return found


def expect_second_person(statement: TriageStatement, actor: User) -> None:
    """Raise Refused unless a statement is answered by somebody else, who had no hand in what it is about."""
    found = hand_in(statement.finding, actor)
    if is_own(statement, actor):
        found.insert(0, f"{actor} stated it.")
    if found:
        fix = "Somebody else with the role security has to answer."
        raise Refused(
            "not_independent",
            f"{actor} cannot answer this: whoever clears a vulnerability needs a second person.",
            reasons=[Reason("independence", each, fix) for each in found],
        )


def is_own(statement: TriageStatement, person: User) -> bool:
    """Return whether a statement is a person's own word: said, attached, or written in the document behind it."""
    document = statement.evidence
    author = document.author if document is not None else ""
    return statement.stated_by_id == person.pk or bool(author and person.is_known_as(author))
