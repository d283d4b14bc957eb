"""Who is told about what will happen to an asset's versions: the people who own it, or whoever is left."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from governance.notices.telling import can_be_told
from registry.models import Asset, Membership, User

ADMINISTRATOR = "administrator"


def addressees(assets: Iterable[Asset]) -> dict[int, tuple[User | str, ...]]:
    """Return who is told for each asset, by its id: owner and backup, else the team, else the administrators.

    The escalation contact is told in every case. Two queries, and only when an asset has neither owner nor backup.
    """
    each = {asset.pk: asset for asset in assets}
    people = {pk: owners(asset) for pk, asset in each.items()}
    alone = {asset.team_id for pk, asset in each.items() if not people[pk]}
    teams: defaultdict[int, list[User]] = defaultdict(list)
    if alone:
        rows = Membership.objects.filter(team__in=alone, user__is_active=True, user__kind="person")
        for row in rows.select_related("user").order_by("pk"):
            teams[row.team_id].append(row.user)
    last = administrators() if alone - teams.keys() else []
    return {
        pk: (*(people[pk] or teams.get(asset.team_id) or last), *filter(None, [asset.escalation_contact]))
        for pk, asset in each.items()
    }


def owners(asset: Asset) -> list[User]:
    """Return the owner and the backup, as far as somebody reads what is sent to them."""
    return [person for person in (asset.owner, asset.backup_owner) if person is not None and can_be_told(person)]


def administrators() -> list[User]:
    """Return the active administrators."""
    rows = User.objects.filter(seats__role=ADMINISTRATOR, is_active=True, kind="person")
    return list(rows.distinct().order_by("username"))
