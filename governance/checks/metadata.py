"""Is every required field of the record present and well-formed? The rule itself stands in registry.completeness."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from governance.checks.base import Answer, Dossier, failed, passed
from registry import completeness
from registry.models import Version


class Metadata:
    """Asks what the form's completeness meter asks."""

    slug = "metadata"
    title = "Metadata"
    asks = "Is every required field of the record present and well-formed?"
    sections: tuple[str, ...] = (
        "artifact",
        "source",
        "components",
        "datasets",
        "licence",
        "uses",
        "risk",
        "people",
        "notes",
    )

    def outside(self, version: Version) -> Mapping[str, Any]:
        """Depend on the asset's people, who are part of the record."""
        asset = version.asset
        return {
            "owner": asset.owner_id,
            "backup": asset.backup_owner_id,
            "escalation": asset.escalation_contact,
        }

    def examine(self, dossier: Dossier, rule: Mapping[str, Any]) -> Answer:
        """Answer by the completeness of the record."""
        found = completeness.measure(dossier.version)
        facts = {"filled": found.filled, "total": found.total, "faults": [fault.as_dict() for fault in found.faults]}
        if found.is_complete:
            return passed(f"All {found.total} required parts of the record are present.", facts=facts)
        names = ", ".join(fault.field for fault in found.faults)
        return failed(
            f"{len(found.faults)} of {found.total} required parts are missing or wrong: {names}.",
            "Fill these fields in; when the content is frozen already, register a new version.",
            facts=facts,
        )
