"""Keeps the findings of a version in step with its newest SBOM and the advisories that are known."""

from __future__ import annotations

from collections.abc import Iterable

from django.utils import timezone

from audit import log
from audit.events import Event
from governance import advisories
from governance.models import Finding
from governance.models.findings import Triage
from registry import evidence
from registry.models import SbomComponent, User, Version


def rematch(version: Version, *, actor: User) -> list[Finding]:
    """Open what the advisories newly say about the version's newest SBOM, close what they no longer say.

    Triage is kept: a finding that people have answered stays answered while it is found.
    """
    row = evidence.newest(version, "sbom")
    components: Iterable[SbomComponent] = row.sbom_components.exclude(purl="") if row else ()
    matches = {(match.vulnerability, match.purl): match for match in advisories.match(components)}
    known = {(finding.vulnerability, finding.purl): finding for finding in version.findings.all()}
    found = set()
    for key, match in matches.items():
        finding = known.get(key) or renamed(match, known.values())
        if finding is None:
            finding = open_finding(version, match, actor=actor)
        else:
            refresh(finding, match, actor=actor)
        found.add(finding.pk)
    for finding in known.values():
        if finding.pk not in found and finding.closed_at is None:
            close(finding, actor=actor)
    return list(version.findings.all())


def renamed(match: advisories.Match, known: Iterable[Finding]) -> Finding | None:
    """Return the finding that a match continues under another name, as when a CVE id arrives later."""
    ids = set(match.advisory_ids)
    return next((each for each in known if each.purl == match.purl and ids & set(each.advisory_ids)), None)


def open_finding(version: Version, match: advisories.Match, *, actor: User) -> Finding:
    """Write a new finding."""
    finding = Finding(
        version=version,
        vulnerability=match.vulnerability,
        advisory_ids=list(match.advisory_ids),
        summary=match.summary,
        purl=match.purl,
        fixed_in=list(match.fixed_in),
        severity=match.severity,
        certain=match.certain,
        found_at=timezone.now(),
    )
    with log.record(
        Event.FINDING_OPENED,
        actor=actor,
        subject=finding,
        vulnerability=match.vulnerability,
        severity=match.severity,
        purl=match.purl,
    ):
        finding.save()
    return finding


def refresh(finding: Finding, match: advisories.Match, *, actor: User) -> None:
    """Bring a known finding up to date, and open it again when it had been closed."""
    fresh = {
        "vulnerability": match.vulnerability,
        "advisory_ids": list(match.advisory_ids),
        "summary": match.summary,
        "fixed_in": list(match.fixed_in),
        "severity": match.severity,
        "certain": match.certain,
        "closed_at": None,
    }
    changed = [name for name, value in fresh.items() if getattr(finding, name) != value]
    if not changed:
        return
    with log.record(
        Event.FINDING_OPENED,
        actor=actor,
        subject=finding,
        vulnerability=finding.vulnerability,
        severity=match.severity,
        purl=finding.purl,
    ):
        for name in changed:
            setattr(finding, name, fresh[name])
        if "closed_at" in changed:
            finding.triage = Triage.OPEN
        finding.save()


def close(finding: Finding, *, actor: User) -> None:
    """Close a finding that is no longer found."""
    with log.record(Event.FINDING_CLOSED, actor=actor, subject=finding, vulnerability=finding.vulnerability):
        finding.closed_at = timezone.now()
        finding.save(update_fields=["closed_at"])
