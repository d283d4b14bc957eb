"""Are owner and backup active people, and is the escalation contact set?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from governance.checks.base import Answer, Dossier, failed, passed
from registry.models import Version


class Owners:
    """Asks who would answer at night."""

    slug = "owners"
    title = "Owners"
    asks = "Are owner and backup active people and is the escalation contact set?"
    sections: tuple[str, ...] = ()

    def outside(self, version: Version) -> Mapping[str, Any]:
        """Depend on the asset's people and whether they are still here."""
        asset = version.asset
        people = [asset.owner, asset.backup_owner]
        return {
            "people": [[person.pk, person.is_active] if person else None for person in people],
            "escalation": asset.escalation_contact,
        }

    def examine(self, dossier: Dossier, rule: Mapping[str, Any]) -> Answer:
        """Answer by the three names."""
        asset = dossier.version.asset
        missing, wanted = [], []
        for title, person in (("owner", asset.owner), ("backup owner", asset.backup_owner)):
            if person is None:
                missing.append(f"no {title} is named")
                wanted.append(f"an {title}" if title == "owner" else f"a {title}")
            elif not person.is_active:
                missing.append(f"the {title} {person.username} is no longer active")
                wanted.append(f"another {title}, whose account is active")
        if not asset.escalation_contact:
            missing.append("no escalation contact is set")
            wanted.append("an escalation address that is not a person, such as a rota")
        if missing:
            fix = f"On the page of {asset.slug}, name {'; '.join(wanted)}."
            return failed(f"{asset.slug}: {', '.join(missing)}.", fix)
        return passed(f"{asset.owner} owns it, {asset.backup_owner} stands in, {asset.escalation_contact} is told.")
