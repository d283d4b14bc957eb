"""Which assets nobody owns any more, and since when: from the history of their owners and of when people left."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from django.db.models import Q, QuerySet

from governance.hygiene.dates import UNOWNED, serves, waived_until
from governance.hygiene.rules import Rules
from registry.models import Asset, State, Version

# A deprecated version has its sunset already.
STATES = (State.DRAFT, State.CANDIDATE, State.APPROVED)
NEVER_ENDS = datetime.max.replace(tzinfo=UTC)


class Spell(NamedTuple):
    """One state of an asset's history: since when, and the owner and the backup with when each of them left."""

    asset: int
    since: datetime
    owner: int | None
    owner_left: datetime | None
    backup: int | None
    backup_left: datetime | None


def unowned(rows: QuerySet[Version], rules: Rules, at: datetime, until: datetime) -> list[Version]:
    """Return the versions of assets that will have had no active owner and backup for the policy's days.

    Each row carries `own`, `moves`, `fact` (since when nobody owns it) and `may_serve`, which spares it the end.
    """
    grace = rules.days("unowned_grace_days")
    if grace is None:
        return []
    since = orphans(rows, rules)
    first = rules.first("unowned_grace_days")
    own = {asset: max(instant + grace, first) for asset, instant in since.items()}
    named = rows.filter(asset__in=[asset for asset, date in own.items() if date <= until], state__in=STATES)
    found: list[Any] = []
    annotated: QuerySet[Any] = named.annotate(waived=waived_until(UNOWNED), may_serve=serves(at, rules.notice))
    for row in annotated.order_by("pk"):
        row.fact, row.own = since[row.asset_id], own[row.asset_id]
        row.moves = max(row.own, row.waived) if row.waived else row.own
        if row.moves <= until:
            found.append(row)
    return found


def orphans(rows: QuerySet[Version], rules: Rules) -> dict[int, datetime]:
    """Return since when each asset of some versions has had nobody, for those that have nobody now."""
    nobody = Q(owner=None) | Q(owner__is_active=False)
    no_backup = Q(backup_owner=None) | Q(backup_owner__is_active=False)
    mine = rows.filter(state__in=STATES).order_by().values("asset")
    assets = Asset.objects.filter(nobody, no_backup, kind__in=rules.kinds, pk__in=mine)
    made = dict(assets.values_list("pk", "created_at"))
    spells: defaultdict[int, list[Spell]] = defaultdict(list)
    if made:
        for spell in read_spells(made):
            spells[spell.asset].append(spell)
    return {asset: max(instant, last_owned(spells[asset])) for asset, instant in made.items()}


def read_spells(assets: Iterable[int]) -> Iterable[Spell]:
    """Return the history of some assets' owners, oldest first."""
    listed = Asset.history.filter(id__in=list(assets)).order_by("id", "history_date", "history_id")
    named = ("owner_id", "owner__left_at", "backup_owner_id", "backup_owner__left_at")
    return (Spell(*row) for row in listed.values_list("id", "history_date", *named))


def last_owned(spells: Sequence[Spell]) -> datetime:
    """Return the last instant at which somebody who had not left was owner or backup, by an asset's whole history."""
    last = datetime.min.replace(tzinfo=UTC)
    for spell, following in zip(spells, [*spells[1:], None], strict=True):
        until = following.since if following else NEVER_ENDS
        for person, left in ((spell.owner, spell.owner_left), (spell.backup, spell.backup_left)):
            if person is not None:
                last = max(last, ended(spell, until, left))
    return last


def ended(spell: Spell, until: datetime, left: datetime | None) -> datetime:
    """Return when somebody's spell was over; of an account closed at no known time only its start counts."""
    if left is None:
        return until if until != NEVER_ENDS else spell.since
    return min(until, left)
