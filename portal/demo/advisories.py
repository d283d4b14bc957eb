"""A handful of published advisories, shortened to what matching needs, so that the demo has true findings."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

ADVISORIES = (
    # (id, CVE, package, fixed in, severity, summary)
    (
        "GHSA-53q9-r3pm-6pq6",
        "CVE-2025-32434",
        "torch",
        "2.6.0",
        "CRITICAL",
        "torch.load with weights_only=True leads to remote code execution",
    ),
    (
        "GHSA-37q5-v5qm-c9v8",
        "CVE-2024-3568",
        "transformers",
        "4.38.0",
        "HIGH",
        "Deserialization of untrusted data in load_repo_checkpoint()",
    ),
    (
        "GHSA-3863-2447-669p",
        "CVE-2023-6730",
        "transformers",
        "4.36.0",
        "HIGH",
        "Deserialization of untrusted data in RagRetriever",
    ),
    (
        "GHSA-9wx4-h78v-vm56",
        "CVE-2024-35195",
        "requests",
        "2.32.0",
        "MODERATE",
        "Session keeps verify=False for later requests to the same host",
    ),
)

# What becomes known after versions were approved.
LATER = (
    (
        "GHSA-hj4w-hm2g-p6w5",
        "CVE-2025-32444",
        "vllm",
        "0.8.5",
        "CRITICAL",
        "Remote code execution through the Mooncake integration",
    ),
)


def write_archive(path: Path, advisories: Iterable[tuple[str, ...]] = ADVISORIES) -> Path:
    """Write advisories as an OSV archive, as osv.dev hands them out, and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for advisory in advisories:
            archive.writestr(f"{advisory[0]}.json", json.dumps(record(*advisory)))
    return path


def record(identifier: str, cve: str, package: str, fixed: str, severity: str, summary: str) -> dict[str, Any]:
    """Return one OSV record."""
    return {
        "schema_version": "1.6.0",
        "id": identifier,
        "modified": "2026-10-01T00:00:00Z",
        "published": "2025-04-18T00:00:00Z",
        "aliases": [cve],
        "summary": summary,
        "database_specific": {"severity": severity},
        "affected": [
            {
                "package": {"ecosystem": "PyPI", "name": package},
                "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": fixed}]}],
            }
        ],
    }
