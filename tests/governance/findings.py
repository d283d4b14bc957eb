"""Findings for tests, as they come about: an advisory is imported, and the version's SBOM is matched."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from governance import findings
from governance.models import Finding
from registry import evidence
from registry.models import Evidence, User, Version
from tests.factories import Walk, import_advisories, osv

CVE, GHSA = "CVE-2026-10001", "GHSA-1111-1111-1111"
NUMPY = "pkg:pypi/numpy@2.2.6"
UNREACHED = {
    "status": "not_affected",
    "justification": "vulnerable_code_not_in_execute_path",
    "reason": "We never load files of this kind.",
}


def find(walk: Walk, version: Version, folder: Path, *, severity: str = "HIGH", package: str = "numpy") -> Finding:
    """Import one advisory about a package of the version, and return the finding that comes of it."""
    record = osv(GHSA, package, fixed="99.0", aliases=[CVE], severity=severity)
    import_advisories(walk.cast, folder, record)
    findings.rematch(version, actor=User.objects.system("runner"))
    return version.findings.select_related("version__asset__team").get(vulnerability=CVE)


def fresh(row: Any) -> Any:
    """Return a row as another process would read it."""
    return type(row).objects.get(pk=row.pk)


def openvex(*statements: dict[str, Any], **members: Any) -> dict[str, Any]:
    """Return a small OpenVEX document."""
    return {
        "@context": "https://openvex.dev/ns/v0.2.0",
        "@id": "https://example.com/vex/1",
        "author": "mailto:vendor@example.com",
        "timestamp": "2026-01-01T00:00:00Z",
        "version": 1,
        "statements": list(statements),
        **members,
    }


def saying(products: Iterable[dict[str, Any]] = ({"@id": NUMPY},), **members: Any) -> dict[str, Any]:
    """Return one statement of OpenVEX: numpy is not affected by the advisory above."""
    return {
        "vulnerability": {"name": CVE},
        "products": list(products),
        "status": "not_affected",
        "justification": "vulnerable_code_not_present",
        "impact_statement": "It is built without that module.",
        **members,
    }


def attach_vex(version: Version, document: Any, *, actor: User, name: str = "vex.json") -> Evidence:
    """Attach a VEX document as somebody of the team does."""
    return evidence.attach(version, actor=actor, kind="vex", filename=name, body=json.dumps(document).encode())
