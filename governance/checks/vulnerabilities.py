"""Are there unresolved findings at or above the policy's severity? Findings are kept by governance.findings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from governance import advisories
from governance.checks.base import Answer, Dossier, failed, passed
from governance.models import AdvisoryImport, Finding
from governance.models.advisories import Severity
from registry import evidence
from registry.models import Evidence, Version

ORDER = tuple(Severity)


class Vulnerabilities:
    """Asks the open findings of the newest SBOM."""

    slug = "vulnerabilities"
    title = "Vulnerabilities"
    asks = "Are there unresolved findings at or above the policy's severity?"
    sections: tuple[str, ...] = ("evidence",)

    def outside(self, version: Version) -> Mapping[str, Any]:
        """Depend on the newest advisories and on the triage of this version's findings."""
        newest = AdvisoryImport.objects.order_by("-pk").values_list("pk", flat=True).first()
        triage = version.findings.filter(closed_at=None).order_by("pk").values_list("pk", "triage", "severity")
        return {"advisories": newest, "findings": [list(row) for row in triage]}

    def examine(self, dossier: Dossier, rule: Mapping[str, Any]) -> Answer:
        """Answer by the worst open finding; one whose version could not be compared counts as open."""
        version = dossier.version
        row = evidence.newest(version, "sbom")
        if row is None:
            return failed("No SBOM is attached, so nothing can be matched.", "Attach an SBOM of this artifact.")
        imported = AdvisoryImport.objects.order_by("-pk").first()
        if imported is None:
            return failed(
                "No advisories have been imported, so nothing can be matched.",
                "Ask an administrator to run `manage.py import_advisories` with an OSV archive.",
            )
        missing = uncovered(row)
        if missing:
            return failed(
                f"No advisories have been imported for the package types {', '.join(missing)}, which the SBOM names.",
                "Ask an administrator to run `manage.py import_advisories` with OSV archives of these ecosystems.",
            )
        opened = list(version.findings.filter(triage="open", closed_at=None))
        blocking = [finding for finding in opened if blocks(finding, rule["block"])]
        facts = {
            "sbom": row.sha256,
            "components": row.sbom_components.count(),
            "identifiable": row.sbom_components.exclude(purl="").count(),
            "advisories": f"{imported.ecosystem} {imported.sha256[:12]}",
            "open": len(opened),
            "blocking": [str(finding) for finding in blocking[:50]],
        }
        tool = {"facts": facts, "tool": "countersign advisories", "tool_version": f"import {imported.pk}"}
        if not blocking:
            return passed(f"No open finding of severity {rule['block']} or worse; {len(opened)} milder ones.", **tool)
        names = "; ".join(describe(finding) for finding in blocking[:5])
        return failed(
            f"{len(blocking)} open {rule['block']} or worse: {names}.",
            "Build with the fixed versions and register that as a new version, or have security waive the rule.",
            **tool,
        )


def uncovered(row: Evidence) -> list[str]:
    """Return the package types that an SBOM names and no imported advisory could ever match."""
    named = set(row.sbom_components.exclude(purl="").values_list("purl_type", flat=True).distinct().order_by())
    return sorted((named & advisories.known_types()) - advisories.covered_types())


def blocks(finding: Finding, level: str) -> bool:
    """Return whether a finding is at or above a severity; an unknown severity blocks where high does."""
    severity = "high" if finding.severity == "unknown" else finding.severity
    return ORDER.index(severity) >= ORDER.index(level)


def describe(finding: Finding) -> str:
    """Return a finding in a few words."""
    fixed = f", fixed in {', '.join(finding.fixed_in[:3])}" if finding.fixed_in else ", no fix known"
    doubt = "" if finding.certain else " (version could not be compared)"
    return f"{finding.vulnerability} in {finding.purl}{doubt}{fixed}"
