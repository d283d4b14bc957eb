"""Objects for tests: the same cast and walk that `make demo` uses, so every object has a true history."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

from governance import advisories
from portal.demo import artifacts, documents
from portal.demo.cast import Cast, gather
from portal.demo.walk import Walk

PASSWORD = "correct horse battery staple"

__all__ = ["PASSWORD", "Cast", "Walk", "artifacts", "documents", "import_advisories", "make_walk", "osv"]


def osv(identifier: str, package: str, *, fixed: str, severity: str = "CRITICAL", **more: Any) -> dict[str, Any]:
    """Return one OSV record for a PyPI package."""
    return {
        "id": identifier,
        "modified": "2026-11-01T00:00:00Z",
        "published": "2026-10-01T00:00:00Z",
        "summary": f"Something bad in {package}",
        "aliases": [],
        "database_specific": {"severity": severity},
        "affected": [
            {
                "package": {"ecosystem": "PyPI", "name": package},
                "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": fixed}]}],
            }
        ],
        **more,
    }


def import_advisories(cast: Cast, folder: Path, *records: dict[str, Any]) -> Any:
    """Import OSV records as an administrator does, from an archive."""
    path = folder / f"osv-{len(list(folder.glob('osv-*')))}.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for record in records or (osv("GHSA-0000-none-here", "left-pad-python", fixed="0.1"),):
            archive.writestr(f"{record['id']}.json", json.dumps(record))
    return advisories.import_zip(path, ecosystem="PyPI", actor=cast.alma)


def make_walk(folder: Path) -> Walk:
    """Return a walk whose cast is seated, whose builder is trusted, and whose advisories are imported."""
    walk = Walk(gather(password=PASSWORD))
    walk.trust_builder()
    import_advisories(walk.cast, folder)
    return walk
