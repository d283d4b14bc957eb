"""Whether what somebody said is sealed into the ledger yet, as the small mark beside it. Formatting only."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple
from uuid import UUID

from django.urls import reverse

from audit.models import AppendOnly, Leaf
from governance.permissions import may
from registry.models import User


class Seal(NamedTuple):
    """The place of a row's entry in the ledger, None while it waits; and its page, for who may read the ledger."""

    place: int | None
    url: str


def of(rows: Iterable[AppendOnly], reader: User) -> dict[UUID, Seal]:
    """Return the mark of each row by the event that recorded it, with one query however many they are."""
    events = {row.recorded_in for row in rows}
    leaves = Leaf.objects.filter(entry__event_id__in=events).values_list("entry__event_id", "leaf_index")
    places, links = dict(leaves) if events else {}, may(reader, "ledger.read")
    return {event: Seal(places.get(event), reverse("audit:entry", args=[event]) if links else "") for event in events}
