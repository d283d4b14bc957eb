"""Reading copies back: the newest checkpoint that is found outside, to hold the ledger against it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from audit import merkle, notes
from audit.copies import configured
from audit.copies.place import Unreachable
from audit.models import Checkpoint
from audit.tiles import StoredTree
from portal.errors import Invalid


class Found(NamedTuple):
    """A checkpoint that was found outside: the signed note as it lay there, its size, and where, in words."""

    note: str
    size: int
    where: str


@dataclass(frozen=True)
class Looked:
    """What a look outside has found: the newest checkpoint if there is one, those of the other places that were read,
    and why some were not, in sentences."""

    newest: Found | None
    others: tuple[Found, ...]
    unread: tuple[str, ...]

    def contradictions(self) -> list[str]:
        """Return a sentence for each other place whose checkpoint is none of this ledger.

        The newest alone does not show it: it may be of a history that was written anew and copied since.
        """
        return [
            f"The first {found.size} entries are not those of the checkpoint at {found.where}."
            for found in self.others
            if not is_ours(found)
        ]


def look() -> Looked:
    """Look for the newest checkpoint at every place that can be read. What is found there is not believed by this.

    Raises Invalid for settings that cannot be read.
    """
    seen: list[Found] = []
    unread = []
    for place in configured.places():
        if not place.is_readable:
            continue
        try:
            note = place.newest()
            found = Found(note, notes.parse_checkpoint(note).size, place.words) if note is not None else None
        except Unreachable as error:
            unread.append(f"{place.words}: {error}")
            continue
        except Invalid:
            unread.append(f"{place.words}: the newest copy there is no checkpoint.")
            continue
        if found is None:
            unread.append(f"{place.words}: no checkpoint is there.")
            continue
        seen.append(found)
    best = max(seen, key=lambda each: each.size, default=None)
    return Looked(best, tuple(each for each in seen if each is not best), tuple(unread))


def is_ours(found: Found) -> bool:
    """Return whether the stored tree begins with what a checkpoint says."""
    size = Checkpoint.objects.values_list("size", flat=True).first() or 0
    try:
        return found.size <= size and (
            merkle.frontier_at(found.size, StoredTree(size).node).root() == notes.parse_checkpoint(found.note).root
        )
    except LookupError:
        return False


def newest() -> Found | None:
    """Return the newest checkpoint that is found at the readable places, with where it was found."""
    return look().newest
