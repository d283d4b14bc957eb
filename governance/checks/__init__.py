"""THE tuple of checks. Adding one is a file here, a line below, and a name in the policy schema (docs/adding.md)."""

from governance.checks.artifact_scan import ArtifactScan
from governance.checks.base import Answer, Check, Dossier
from governance.checks.base_model import BaseModel
from governance.checks.checksum import Checksum
from governance.checks.dependencies_pinned import DependenciesPinned
from governance.checks.evaluations import Evaluations
from governance.checks.licence import Licence
from governance.checks.metadata import Metadata
from governance.checks.owners import Owners
from governance.checks.provenance import Provenance
from governance.checks.sbom import Sbom
from governance.checks.vulnerabilities import Vulnerabilities

CHECKS: tuple[Check, ...] = (
    Metadata(),
    Checksum(),
    ArtifactScan(),
    Sbom(),
    Provenance(),
    DependenciesPinned(),
    Vulnerabilities(),
    Licence(),
    Evaluations(),
    Owners(),
    BaseModel(),
)
BY_SLUG: dict[str, Check] = {check.slug: check for check in CHECKS}

__all__ = ["BY_SLUG", "CHECKS", "Answer", "Check", "Dossier"]
