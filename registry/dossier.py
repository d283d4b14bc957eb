"""The dossier: the canonical picture of everything a reviewer relies on. Its sha256 is what a review binds to."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db.models import Prefetch, prefetch_related_objects

from audit import seal
from registry.models import Component, DatasetUse, Evidence, Relicensing, Version

SCHEMA = "https://countersign.dev/schemas/dossier/v1"
SECTIONS = (
    "artifact",
    "source",
    "components",
    "evidence",
    "datasets",
    "licence",
    "uses",
    "risk",
    "people",
    "notes",
)


def picture(version: Version) -> dict[str, Any]:
    """Return the whole picture of a version as it is now, section by section, ready for canonical JSON."""
    return draw(
        version,
        version.components.select_related("part__asset"),
        version.evidence.all(),
        version.dataset_uses.select_related("dataset"),
        version.relicensings.all(),
    )


def pictures(versions: Iterable[Version]) -> dict[int, dict[str, Any]]:
    """Return the pictures of many versions by their ids, in a fixed number of queries."""
    rows = list(versions)
    prefetch_related_objects(
        rows,
        Prefetch("components", Component.objects.select_related("part__asset")),
        "evidence",
        Prefetch("dataset_uses", DatasetUse.objects.select_related("dataset")),
        "relicensings",
    )
    return {
        row.pk: draw(row, row.components.all(), row.evidence.all(), row.dataset_uses.all(), row.relicensings.all())
        for row in rows
    }


def draw(
    version: Version,
    edges: Iterable[Component],
    documents: Iterable[Evidence],
    uses: Iterable[DatasetUse],
    relicensings: Iterable[Relicensing] = (),
) -> dict[str, Any]:
    """Return the picture that a version's rows amount to."""
    return {
        "artifact": {
            "version": version.label,
            "kind": version.asset.kind,
            "identity": version.identity_digest,
            "sha256": version.artifact_sha256,
            "size": version.artifact_size,
            "uri": version.storage_uri,
            "format": version.format,
        },
        "source": {
            "repository": version.source_repository,
            "commit": version.source_commit,
            "build": version.build_id,
            "lockfile": version.lockfile_sha256,
            "finetune": version.finetune_method,
        },
        "components": draw_components(edges),
        "evidence": draw_evidence(documents),
        "datasets": draw_datasets(uses),
        "licence": draw_licence(version, relicensings),
        "uses": {"allowed": version.allowed_uses, "prohibited": version.prohibited_uses},
        "risk": {"rating": version.risk, "rationale": version.risk_rationale, "mitigations": version.mitigations},
        "people": {"authors": sorted(version.authors)},
        "notes": {"release": version.release_notes},
    }


def draw_licence(version: Version, relicensings: Iterable[Relicensing]) -> dict[str, str]:
    """Return the licence as it was registered and, once another one was recorded, what it is now; newest first."""
    newest = next(iter(relicensings), None)
    return {"expression": version.licence} | ({} if newest is None else {"now": newest.licence})


def draw_components(edges: Iterable[Component]) -> list[dict[str, Any]]:
    """Return the edges to other versions, in a stable order."""
    return sorted(
        ({"role": edge.role, "version": edge.part.label, "identity": edge.part.identity_digest} for edge in edges),
        key=lambda row: (row["role"], row["version"]),
    )


def draw_evidence(documents: Iterable[Evidence]) -> list[dict[str, Any]]:
    """Return the documents by kind and digest, in a stable order."""
    return sorted(
        ({"kind": row.kind, "sha256": row.sha256, "filename": row.filename} for row in documents),
        key=lambda row: (row["kind"], row["sha256"]),
    )


def draw_datasets(uses: Iterable[DatasetUse]) -> list[dict[str, Any]]:
    """Return the data sets with purpose and window, in a stable order."""
    return sorted(
        (
            {
                "name": use.dataset.name,
                "sha256": use.dataset.sha256,
                "uri": use.dataset.uri,
                "licence": use.dataset.licence,
                "personal_data": use.dataset.personal_data,
                "purpose": use.purpose,
                "from": use.window_from.isoformat(),
                "to": use.window_to.isoformat(),
            }
            for use in uses
        ),
        key=lambda row: (str(row["name"]), str(row["sha256"]), str(row["purpose"])),
    )


def digest(drawn: dict[str, Any], sections: Iterable[str] = SECTIONS) -> str:
    """Return the sha256 over the named sections of a picture; a policy names the material ones."""
    return seal.digest({"schema": SCHEMA, "sections": {name: drawn[name] for name in sorted(sections)}})


def changes(before: dict[str, Any], after: dict[str, Any]) -> list[tuple[str, str, Any, Any]]:
    """Return (section, field, before, after) for everything that differs between two pictures."""
    rows = []
    for section in SECTIONS:
        old, new = before.get(section), after.get(section)
        if isinstance(old, dict) and isinstance(new, dict):
            rows += [(section, key, old.get(key), new[key]) for key in new if old.get(key) != new[key]]
        elif isinstance(new, list):
            gone = [row for row in old or [] if row not in new]
            come = [row for row in new if row not in (old or [])]
            rows += [(section, "removed", row, None) for row in gone] + [(section, "added", None, row) for row in come]
    return rows
