"""Is there a valid SBOM that describes this artifact?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from governance.checks.base import Answer, Dossier, failed, passed
from registry import evidence
from registry.models import Version


class Sbom:
    """Asks the newest SBOM what it describes."""

    slug = "sbom"
    title = "SBOM"
    asks = "Is there a valid CycloneDX SBOM that describes this artifact?"
    sections: tuple[str, ...] = ("artifact", "components", "evidence")

    def outside(self, version: Version) -> Mapping[str, Any]:
        """Depend on nothing."""
        return {}

    def examine(self, dossier: Dossier, rule: Mapping[str, Any]) -> Answer:
        """Answer by the digests that the SBOM names as its subject."""
        version = dossier.version
        row = evidence.newest(version, "sbom")
        if row is None:
            return failed("No SBOM is attached.", "Attach a CycloneDX JSON SBOM (1.4 to 1.7) that names this artifact.")
        facts = {"evidence": row.sha256, "summary": row.summary, "warnings": row.warnings}
        identities = {version.artifact_sha256, version.identity_digest} - {""}
        if not identities & set(row.subject_digests):
            named = ", ".join(digest[:12] + "…" for digest in row.subject_digests) or "no artifact at all"
            return failed(
                f"The SBOM {row.filename} describes {named}, not this artifact ({version.identity_digest[:12]}…).",
                "Name the artifact's sha256 in metadata.component.hashes or in its machine-learning-model component.",
                facts=facts,
            )
        count = row.sbom_components.count()
        identified = row.sbom_components.exclude(purl="").count()
        return passed(f"Describes this artifact; {identified} of {count} components identifiable.", facts=facts)
