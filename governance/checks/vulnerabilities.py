"""Are there unresolved findings at or above the policy's severity? Findings are kept by governance.findings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from governance import advisories
from governance.checks.base import Answer, Dossier, failed, passed
from governance.models import Finding, Policy
from governance.models.advisories import Severity
from governance.models.findings import Triage
from registry import evidence
from registry.models import Version

AGE = "advisories_max_age_days"
NAMED = 50
# The fact by which waivers of single findings are held against an answer: what stands in the way, by public id.
BLOCKING_IDS = "blocking_ids"
# With more than this in the way, nobody has looked at each: only a waiver of the whole rule covers it.
WAIVABLE = 500
SAID = 5


class Vulnerabilities:
    """Asks the open findings of the newest SBOM."""

    slug = "vulnerabilities"
    title = "Vulnerabilities"
    asks = "Are there unresolved findings at or above the policy's severity?"
    sections: tuple[str, ...] = ("evidence",)

    def outside(self, version: Version) -> Mapping[str, Any]:
        """Depend on what is said about this version: its findings, what waits to be matched, and what is covered.

        An import that touches none of its packages changes nothing here.
        """
        findings = version.findings.filter(closed_at=None).order_by("pk")
        told = findings.values_list("public_id", "vulnerability", "severity", "certain", "triage", "accepted_until")
        row = evidence.newest(version, "sbom")
        if row is None:
            return {"findings": [list(each) for each in told]}
        covered = advisories.survey(row)
        return {
            "findings": [list(each) for each in told],
            "waiting": advisories.newest_waiting(row, covered.purl_types),
            "missing": list(covered.missing),
            "imported": bool(covered.imports),
            "outdated": [days for days in age_limits() if is_older(covered.as_of, days, timezone.now())],
        }

    def examine(self, dossier: Dossier, rule: Mapping[str, Any]) -> Answer:
        """Answer by the worst open finding; one whose version could not be compared counts as open."""
        row = evidence.newest(dossier.version, "sbom")
        if row is None:
            return failed("No SBOM is attached, so nothing can be matched.", "Attach an SBOM of this artifact.")
        covered = advisories.survey(row)
        known = list(dossier.version.findings.filter(closed_at=None))
        opened = [finding for finding in known if finding.is_open_at(dossier.at)]
        blocking = [finding for finding in opened if advisories.reaches(finding.severity, rule)]
        with_tool: dict[str, Any] = {
            "facts": {"sbom": row.sha256, **describe_coverage(covered), **describe(known, opened, blocking)},
            "tool": "countersign advisories",
            "tool_version": name_imports(covered),
            "valid_until": changes_at(known, covered, rule, dossier.at),
        }
        if gap := find_gap(covered, rule, dossier.at):
            says, fix = gap
            return failed(says, fix, **with_tool)
        if blocking:
            fix = "Build with the fixed versions and register that as a new version, or answer the findings in triage."
            # Only here: a gap in what is known fails the rule too, and no waiver of a finding covers that.
            with_tool["facts"] |= name_blocking(blocking)
            return failed(say_blocking(blocking, rule), fix, **with_tool)
        level = rule["block"] if rule["block"] == Severity.CRITICAL else f"{rule['block']} or worse"
        said = f"No open finding that is {level}; {len(opened)} milder." if opened else "No open finding."
        return passed(f"{said}{say_not_covered(covered)}", **with_tool)


def find_gap(covered: advisories.Coverage, rule: Mapping[str, Any], at: datetime) -> tuple[str, str] | None:
    """Return why nothing can be said at all and what would help, or None when enough is known."""
    ask = "Ask an administrator to run `manage.py import_advisories` with "
    if covered.missing:
        kinds = ", ".join(covered.missing)
        says = f"No advisories have been imported for the package types {kinds}, which the SBOM names."
        return says, f"{ask}OSV archives of these ecosystems."
    if AGE in rule and is_older(covered.as_of, rule[AGE], at):
        says = f"The newest advisories are from {covered.as_of:%Y-%m-%d}; the policy allows {rule[AGE]} days."
        return says, f"{ask}today's OSV archives of the ecosystems that the SBOM names."
    return None


def is_older(as_of: datetime | None, days: int, at: datetime) -> bool:
    """Return whether advisories are older than some days; an SBOM that needs none has none that are too old."""
    return as_of is not None and at >= as_of + timedelta(days=days)


def age_limits() -> list[int]:
    """Return every limit that a published policy sets for the age of advisories, ascending."""
    path = f"content__rules__vulnerabilities__{AGE}"
    return sorted(set(Policy.objects.filter(**{f"{path}__isnull": False}).order_by().values_list(path, flat=True)))


def changes_at(
    known: Iterable[Finding], covered: advisories.Coverage, rule: Mapping[str, Any], at: datetime
) -> datetime | None:
    """Return the first instant at which time alone changes the answer: an acceptance ends, or advisories grow old."""
    ends = [finding.accepted_until for finding in known if finding.triage == Triage.ACCEPTED]
    if AGE in rule and covered.as_of is not None:
        ends.append(covered.as_of + timedelta(days=rule[AGE]))
    return min((end for end in ends if end is not None and end > at), default=None)


def say_blocking(blocking: list[Finding], rule: Mapping[str, Any]) -> str:
    """Return the sentence about what stands in the way; what could not be compared is named apart."""
    sure = [finding for finding in blocking if finding.certain]
    doubtful = [finding for finding in blocking if not finding.certain]
    said = []
    if sure:
        said.append(f"{len(sure)} open {rule['block']} or worse: {listed(sure)}.")
    if doubtful:
        said.append(f"{len(doubtful)} to be looked at, because the version could not be compared: {listed(doubtful)}.")
    return " ".join(said)


def say_not_covered(covered: advisories.Coverage) -> str:
    """Return a sentence about the components that nothing can be said about, or nothing."""
    if not covered.not_covered:
        return ""
    return f" {covered.not_covered} of {covered.components} components are not covered by any advisories."


def listed(findings: list[Finding]) -> str:
    """Return the first findings in a few words each."""
    more = f"; and {len(findings) - SAID} more" if len(findings) > SAID else ""
    return "; ".join(name_finding(finding) for finding in findings[:SAID]) + more


def name_finding(finding: Finding) -> str:
    """Return a finding in a few words."""
    fixed = f"fixed in {', '.join(finding.fixed_in[:3])}" if finding.fixed_in else "no fix known"
    unrated = ", of unknown severity" if finding.severity == Severity.UNKNOWN else ""
    return f"{finding}, {fixed}{unrated}"


def describe(known: list[Finding], opened: list[Finding], blocking: list[Finding]) -> dict[str, Any]:
    """Return the facts about findings: how many there are, which stand in the way, and what was answered."""
    answered = Counter(finding.get_triage_display() for finding in known if finding not in opened)
    return {
        "open": len(opened),
        "blocking": [str(finding) for finding in blocking[:NAMED]],
        "review": [str(finding) for finding in opened if not finding.certain][:NAMED],
        "triaged": dict(sorted(answered.items())),
    }


def name_blocking(blocking: list[Finding]) -> dict[str, Any]:
    """Return the fact that names every finding in the way by its public id, or nothing when they are too many."""
    if len(blocking) > WAIVABLE:
        return {}
    return {BLOCKING_IDS: {str(finding.public_id): str(finding) for finding in blocking}}


def describe_coverage(covered: advisories.Coverage) -> dict[str, Any]:
    """Return the facts about what was matched, and against which imports."""
    without = covered.components - covered.identified
    return {
        "components": covered.components,
        "identifiable": covered.identified,
        "not_covered": {**({"without a package URL": without} if without else {}), **covered.unknown},
        "imports": [
            {
                "ecosystem": each.ecosystem,
                "archive": each.filename,
                "sha256": each.sha256,
                "imported_at": f"{each.imported_at:%Y-%m-%d %H:%M} UTC",
                "newest_record": f"{each.newest_modified:%Y-%m-%d}" if each.newest_modified else "",
                "not_covered": next((f["says"] for f in each.faults if f["name"] == advisories.NOT_COVERED), ""),
            }
            for each in covered.imports
        ],
    }


def name_imports(covered: advisories.Coverage) -> str:
    """Return the imports that were matched against as the version of the tool."""
    return f"import {', '.join(str(each.pk) for each in covered.imports)}"[:80] if covered.imports else "no import"
