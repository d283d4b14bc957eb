"""Is there a valid CycloneDX or SPDX SBOM that describes this artifact?

The newest SBOM counts. It describes the artifact when the digest that it names as its subject is the version's own:
its artifact's sha256 or its identity digest. How many components can be looked up is shown, and asked of where the
policy says how many at least.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from governance.checks.base import Answer, Dossier, failed, passed
from registry import evidence
from registry.models import Evidence, Version

SHOWN = 20
# Where each format says what it is about, by its reader.
SUBJECT_OF = {
    "cyclonedx": "the SHA-256 in metadata.component.hashes",
    "spdx": "a SHA256 checksum of the package that the document DESCRIBES",
    "spdx-tag-value": "a PackageChecksum: SHA256 of the package that the document DESCRIBES",
    "spdx3": "a sha256 Hash in verifiedUsing of the SBOM's root element",
}


class Sbom:
    """Asks the newest SBOM what it describes, and how much of it can be looked up."""

    slug = "sbom"
    title = "SBOM"
    asks = "Is there a valid CycloneDX or SPDX SBOM that describes this artifact?"
    sections: tuple[str, ...] = ("artifact", "components", "evidence")

    def outside(self, version: Version) -> Mapping[str, Any]:
        """Depend on nothing."""
        return {}

    def examine(self, dossier: Dossier, rule: Mapping[str, Any]) -> Answer:
        """Answer by the digests that the SBOM names as its subject, and then by its coverage."""
        version = dossier.version
        row = evidence.newest(version, "sbom")
        if row is None:
            return failed(
                "No SBOM is attached.",
                "Attach an SBOM that names this artifact's sha256: CycloneDX JSON 1.2 to 1.7, SPDX 2.2 or 2.3 in JSON "
                "or tag-value, or SPDX 3.0.1 in JSON-LD.",
                facts={"evidence": "", "artifact": sorted(identities(version))},
            )
        facts = facts_of(row, version, rule)
        about = {"facts": facts, "tool": f"countersign reader {row.reader}"}
        if not facts["describes_this_artifact"]:
            return failed(says_other(row, version), fix_of(row, version), **about)
        too_few = says_too_few(facts)
        if too_few:
            return failed(too_few, "Write the SBOM with a tool that gives each component its package URL.", **about)
        return passed(f"Describes this artifact; {coverage_words(facts)}.", **about)


def identities(version: Version) -> set[str]:
    """Return the digests by which a version can be named."""
    return {version.artifact_sha256, version.identity_digest} - {""}


def facts_of(row: Evidence, version: Version, rule: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was seen, in counts and digests; the components themselves stay with the document."""
    count, identifiable = evidence.coverage(row)
    return {
        "evidence": row.sha256,
        "filename": row.filename,
        "reader": row.reader,
        "format": row.summary.get("format", ""),
        "spec_version": row.summary.get("spec_version", ""),
        "subject": row.subject_digests[:SHOWN],
        "subjects": len(row.subject_digests),
        "artifact": sorted(identities(version)),
        "describes_this_artifact": bool(identities(version) & set(row.subject_digests)),
        "components": count,
        "identifiable": identifiable,
        "cpe_only": row.summary.get("cpe_only", 0),
        "percent": identifiable * 100 // count if count else 0,
        "min_identifiable_percent": rule.get("min_identifiable_percent", 0),
        "warnings": row.warnings[:SHOWN],
    }


def says_other(row: Evidence, version: Version) -> str:
    """Return the sentence that an SBOM is about something else, or about nothing that it names."""
    if not row.subject_digests:
        return f"The SBOM {row.filename} does not say which artifact it describes."
    named = ", ".join(f"{digest[:12]}…" for digest in row.subject_digests[:3])
    more = f" and {len(row.subject_digests) - 3} more" if len(row.subject_digests) > 3 else ""
    return f"The SBOM {row.filename} describes {named}{more}, not this artifact ({version.identity_digest[:12]}…)."


def fix_of(row: Evidence, version: Version) -> str:
    """Return where the format wants to read the digest, and which one."""
    place = SUBJECT_OF.get(row.reader, "a sha256 of what it describes")
    wanted = version.artifact_sha256 or version.identity_digest
    return f"Attach an SBOM of this very artifact, with {wanted} as {place}."


def says_too_few(facts: Mapping[str, Any]) -> str:
    """Return the sentence that too little can be looked up, "" when the policy asks for no more."""
    least = facts["min_identifiable_percent"]
    if facts["identifiable"] * 100 >= least * facts["components"] and (facts["components"] or not least):
        return ""
    return f"Describes this artifact, but {coverage_words(facts)}; the policy asks for {least} %."


def coverage_words(facts: Mapping[str, Any]) -> str:
    """Return in words how many components can be looked up."""
    if not facts["components"]:
        return "it names no components"
    only = f" ({facts['cpe_only']} with only a CPE, which is not matched)" if facts["cpe_only"] else ""
    return f"{facts['identifiable']} of {facts['components']} components identifiable{only}"
