"""Keeps the findings of a version in step with its newest SBOM and the advisories that are known.

A version's rows are compared under a lock, so that two workers who look at once write each finding, and each challenge
that comes of it, once.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from audit import log
from audit.events import Event
from governance import advisories, challenges, policy
from governance.models import CheckRequest, Decision, Finding
from governance.models.findings import Triage
from portal.errors import Refused
from registry.models import SbomComponent, User, Version

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Difference:
    """What the advisories say otherwise than the findings: new matches, changed findings, and those no longer found."""

    fresh: list[advisories.Match]
    changed: list[tuple[Finding, dict[str, Any]]]
    gone: list[Finding]

    @property
    def is_none(self) -> bool:
        """Return whether nothing differs."""
        return not (self.fresh or self.changed or self.gone)


def rematch_due() -> int:
    """Match again the versions that use a package which an import touched. Returns how many were matched.

    Safe to run twice, in parallel, and after a worker was killed: a package leaves the queue when all its versions
    have been matched. A version whose matching breaks gets its check asked, which says so.
    """
    runner = User.objects.system("runner")
    matched = 0
    while (batch := advisories.next_batch()) is not None:
        for pk in batch.versions():
            with transaction.atomic():
                if not advisories.claim():
                    return matched
                rematch_or_ask(Version.objects.select_related("asset").get(pk=pk), batch, actor=runner)
            matched += 1
        batch.done()
    return matched


def rematch_or_ask(version: Version, batch: advisories.Batch, *, actor: User) -> None:
    """Match a version's touched packages, or leave it to its check: one that breaks must not stop all others."""
    try:
        with transaction.atomic():
            rematch(version, actor=actor, batch=batch)
    except Exception:
        logger.exception("Matching advisories for %s failed.", version)
        if version.is_frozen:
            ask_check(version, actor=actor)


def ask_check(version: Version, *, actor: User) -> None:
    """Queue the check of a version's vulnerabilities, which matches everything again or answers error."""
    try:
        rules = policy.governing(version)
    except Refused:
        # Without a policy nothing of this kind is in force.
        return
    asked = {"requested_by": actor, "requested_at": timezone.now()}
    CheckRequest.objects.get_or_create(version=version, check_slug=challenges.RULE, policy=rules, defaults=asked)


def rematch(version: Version, *, actor: User, batch: advisories.Batch | None = None) -> list[Finding]:
    """Open what the advisories newly say about the version's newest SBOM, close what they no longer say.

    With a batch, only about its packages. Triage is kept: a finding that people have answered stays answered while it
    is found. What newly stands in the way of a version in force challenges it in the same transaction.
    """
    if not compare(version, batch).is_none:
        with transaction.atomic():
            challenges.lock(version)
            difference = compare(version, batch)
            for match in difference.fresh:
                open_finding(version, match, actor=actor)
            for finding, fresh in difference.changed:
                refresh(finding, fresh, actor=actor)
            for finding in difference.gone:
                close(finding, actor=actor)
            challenges.reconsider(version, actor=actor)
    return list(version.findings.all())


def compare(version: Version, batch: advisories.Batch | None = None) -> Difference:
    """Return what has to change in a version's findings, without changing it."""
    components = components_of(version)
    known: Iterable[Finding] = version.findings.select_related("version__asset")
    if batch is not None:
        components = batch.among(components)
        purls = set(components.values_list("purl", flat=True))
        known = [finding for finding in known if finding.purl in purls]
    matches = {(match.vulnerability, match.purl): match for match in advisories.match(components)}
    left = {(finding.vulnerability, finding.purl): finding for finding in known}
    pairs = [(match, left.pop(key)) for key, match in matches.items() if key in left]
    paired = {match for match, _ in pairs}
    fresh = []
    for match in (each for each in matches.values() if each not in paired):
        if finding := renamed(match, left.values()):
            pairs.append((match, left.pop((finding.vulnerability, finding.purl))))
        else:
            fresh.append(match)
    changed = [(finding, changes) for match, finding in pairs if (changes := differing(finding, match))]
    return Difference(fresh, changed, [finding for finding in left.values() if finding.closed_at is None])


def components_of(version: Version) -> QuerySet[SbomComponent]:
    """Return the components in which vulnerabilities are looked for: those of the newest SBOM of this very artifact.

    Once the version was approved, every SBOM of the artifact counts: the bytes cannot change any more, so a newer
    document that names less is no proof that something is gone. Saying so is the matter of triage.
    """
    rows = list(version.evidence.filter(kind="sbom"))
    identities = {version.artifact_sha256, version.identity_digest} - {""}
    about = [row for row in rows if identities & set(row.subject_digests)] or rows[:1]
    if not Decision.objects.filter(version=version, verdict="approved").exists():
        about = about[:1]
    return SbomComponent.objects.filter(evidence__in=about)


def renamed(match: advisories.Match, known: Iterable[Finding]) -> Finding | None:
    """Return the finding that a match continues under another name, as when a CVE id arrives later."""
    ids = set(match.advisory_ids)
    return next((each for each in known if each.purl == match.purl and ids & set(each.advisory_ids)), None)


def differing(finding: Finding, match: advisories.Match) -> dict[str, Any]:
    """Return the fields in which a match says something else than its finding, with what it says."""
    fresh = {**said_by(match), "closed_at": None}
    changed = {name: value for name, value in fresh.items() if getattr(finding, name) != value}
    if "closed_at" in changed:
        # It was gone and is back: what people said then was about another build.
        changed |= {"triage": Triage.OPEN, "accepted_until": None}
    return changed


def said_by(match: advisories.Match) -> dict[str, Any]:
    """Return the fields of a finding that come from a match."""
    return {
        "vulnerability": match.vulnerability,
        "advisory_ids": list(match.advisory_ids),
        "summary": match.summary,
        "fixed_in": list(match.fixed_in),
        "severity": match.severity,
        "certain": match.certain,
    }


def open_finding(version: Version, match: advisories.Match, *, actor: User) -> Finding:
    """Write a new finding."""
    finding = Finding(version=version, purl=match.purl, found_at=timezone.now(), **said_by(match))
    with log.record(Event.FINDING_OPENED, actor=actor, subject=finding, **told_of(finding)):
        finding.save()
    return finding


def refresh(finding: Finding, fresh: dict[str, Any], *, actor: User) -> None:
    """Bring a known finding up to date, and open it again when it had been closed."""
    for name, value in fresh.items():
        setattr(finding, name, value)
    with log.record(Event.FINDING_OPENED, actor=actor, subject=finding, **told_of(finding)):
        finding.save()


def told_of(finding: Finding) -> dict[str, str]:
    """Return what the ledger says about a finding."""
    return {"vulnerability": finding.vulnerability, "severity": str(finding.severity), "purl": finding.purl}


def close(finding: Finding, *, actor: User) -> None:
    """Close a finding that is no longer found."""
    with log.record(Event.FINDING_CLOSED, actor=actor, subject=finding, vulnerability=finding.vulnerability):
        finding.closed_at = timezone.now()
        finding.save(update_fields=["closed_at"])
