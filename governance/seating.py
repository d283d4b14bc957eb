"""In which seats somebody can answer: their own and those lent to them. For many submissions without a query each."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from governance.permissions import READERS, lent_to, seats_of
from registry.models import AssetUserGrant, Seat, User


@dataclass(frozen=True)
class Seating:
    """The reviewing seats that one person has or is lent, and what those that do not reach everywhere cover.

    `held` says which roles were handed to one person, by their id; nobody else answers for those.
    """

    person: User
    own: tuple[Seat, ...]
    lent: tuple[Seat, ...]
    granted: frozenset[tuple[int, int]]

    def covers(self, seat: Seat, asset: int) -> bool:
        """Return whether a seat reaches an asset, by its id."""
        return seat.everywhere or (seat.user_id, asset) in self.granted

    def roles(self, asset: int, wanted: Collection[str], held: Mapping[str, int]) -> tuple[str, ...]:
        """Return the wanted roles in which the person sits themselves for an asset, in their order."""
        mine = {seat.role for seat in self.own if self.covers(seat, asset)}
        return tuple(role for role in wanted if role in mine and held.get(role) in {None, self.person.pk})

    def deputised(self, asset: int, wanted: Collection[str], held: Mapping[str, int]) -> tuple[tuple[str, User], ...]:
        """Return the wanted roles in which the person stands in for somebody, each with for whom."""
        return tuple(
            (seat.role, seat.user)
            for seat in self.lent
            if seat.role in wanted
            and self.covers(seat, asset)
            and held.get(seat.role) in {None, seat.user_id, self.person.pk}
        )


def of(user: User) -> Seating:
    """Return a person's seating, in one query besides that for the seats, and in none when all reach everywhere."""
    own = tuple(seat for seat in seats_of(user) if seat.role not in READERS)
    lent = lent_to(user)
    limited = {seat.user_id for seat in (*own, *lent) if not seat.everywhere}
    rows = AssetUserGrant.objects.filter(user__in=limited, permission__codename="review_asset")
    granted = frozenset(rows.values_list("user_id", "content_object_id")) if limited else frozenset()
    return Seating(user, own, lent, granted)
