"""Is every required field of the record present and well-formed? The rule itself stands in registry.completeness."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from governance.checks.base import Answer, Dossier, failed, passed
from portal.errors import Fault
from registry import completeness
from registry.models import Version

MOST_NAMED = 5
# The parts of the record that belong to the asset.
PEOPLE = frozenset({"owner", "backup_owner", "escalation_contact"})


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
        says = f"{len(found.faults)} of {found.total} required parts are missing or wrong: {names}."
        return failed(says, fix(dossier.version, found.faults), facts=facts)


def fix(version: Version, faults: Sequence[Fault]) -> str:
    """Return what has to be filled in, and where: people on the asset's page, content on the version's form."""
    people = [fault.expected for fault in faults if fault.field in PEOPLE]
    content = [f"{fault.field} ({fault.expected})" for fault in faults if fault.field not in PEOPLE]
    more = f" and {len(content) - MOST_NAMED} more" if len(content) > MOST_NAMED else ""
    form = "a new version, because the content of this one is frozen" if version.is_frozen else "the version's form"
    steps = [f"Fill in on {form}: {'; '.join(content[:MOST_NAMED])}{more}."] if content else []
    return " ".join([*steps, *(f"Name {each} on the page of {version.asset.slug}." for each in people)])
