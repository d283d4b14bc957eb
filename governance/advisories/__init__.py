"""Known vulnerabilities: importing OSV archives, and matching packages against what was imported.

Findings (what a match means for one version, with its triage) live in `governance.findings`. Nothing here writes one.
"""

from governance.advisories.imports import affected_since, covered_types, import_zip, known_types, versions_touched
from governance.advisories.matching import Match, match

__all__ = ["Match", "affected_since", "covered_types", "import_zip", "known_types", "match", "versions_touched"]
