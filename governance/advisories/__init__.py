"""Known vulnerabilities: importing OSV archives, and matching packages against what was imported.

Findings (what a match means for one version, with its triage) live in `governance.findings`. Nothing here writes one.
"""

from governance.advisories.coverage import Coverage, survey
from governance.advisories.imports import NOT_COVERED, import_zip
from governance.advisories.matching import Match, match
from governance.advisories.severity import rank, reaches
from governance.advisories.touched import (
    Batch,
    affected_since,
    claim,
    newest_waiting,
    next_batch,
    versions_touched,
)

__all__ = [
    "NOT_COVERED",
    "Batch",
    "Coverage",
    "Match",
    "affected_since",
    "claim",
    "import_zip",
    "match",
    "newest_waiting",
    "next_batch",
    "rank",
    "reaches",
    "survey",
    "versions_touched",
]
