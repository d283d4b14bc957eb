"""Artifact readers that judge whether a file is safe to load, without ever loading, importing or running it.

This package imports neither Django nor any library that makes models; the checks of governance use it through
`scan_in_child`.
"""

from governance.scanning.allowlist import AllowList, Kind, NamedGlobal, read_allowlist
from governance.scanning.engine import engines, hash_file, scan
from governance.scanning.isolation import scan_in_child
from governance.scanning.limits import Limits
from governance.scanning.report import Finding, Report, Verdict, read_globals

__all__ = [
    "AllowList",
    "Finding",
    "Kind",
    "Limits",
    "NamedGlobal",
    "Report",
    "Verdict",
    "engines",
    "hash_file",
    "read_allowlist",
    "read_globals",
    "scan",
    "scan_in_child",
]
