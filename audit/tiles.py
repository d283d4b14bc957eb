"""The stored Merkle tree: tiles of 256 hashes after C2SP tlog-tiles, written as it grows and read for proofs.

Level 0 of a tile that is not full yet is read from the leaves. Above level 0 every width a tile had is kept as a row of
its own, because rows of the ledger are only ever added. Who may write, and when, lives in `audit.sealer`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from audit import merkle
from audit.models import Leaf, Tile

HEIGHT = 8
WIDTH = 1 << HEIGHT


@dataclass(frozen=True, slots=True)
class Grown:
    """A tile at a place of the tree, as wide as it is now."""

    level: int
    index: int
    hashes: list[bytes]

    @property
    def is_full(self) -> bool:
        """Return whether no hash can be added any more."""
        return len(self.hashes) == WIDTH


class TileBuilder:
    """Turns leaf hashes, given in order, into tiles. It holds one open tile for each level."""

    def __init__(self, size: int = 0, open_tile: Callable[[int, int], list[bytes]] = lambda level, index: []) -> None:
        """Start from a tree of `size` leaves whose rightmost tiles `open_tile(level, index)` gives."""
        self._open: list[Grown] = []
        self._frontiers: dict[tuple[int, int], merkle.Frontier] = {}
        level = 0
        while size >> (HEIGHT * level):
            index, width = divmod(size >> (HEIGHT * level), WIDTH)
            self._open.append(Grown(level, index, list(open_tile(level, index)) if width else []))
            level += 1

    def extend(self, leaves: Iterable[bytes]) -> list[Grown]:
        """Add leaf hashes and return the tiles that they fill, level by level from the lowest."""
        filled, carried, level = [], list(leaves), 0
        while carried:
            if level == len(self._open):
                self._open.append(Grown(level, 0, []))
            tile = self._open[level]
            hashes = tile.hashes + carried
            whole = len(hashes) // WIDTH
            full = [Grown(level, tile.index + at, hashes[at * WIDTH : (at + 1) * WIDTH]) for at in range(whole)]
            self._open[level] = Grown(level, tile.index + whole, hashes[whole * WIDTH :])
            filled += full
            carried, level = [merkle.root(each.hashes) for each in full], level + 1
        return filled

    def root(self) -> bytes:
        """Return the root over all leaves so far. Asked often, it hashes only what came since."""
        folded = b""
        known, self._frontiers = self._frontiers, {}
        for tile in filter(lambda tile: tile.hashes, self._open):
            place = (tile.level, tile.index)
            frontier = self._frontiers[place] = known.get(place) or merkle.Frontier()
            for hash_ in tile.hashes[frontier.size :]:
                frontier.append(hash_)
            folded = frontier.root(folded)
        return folded or merkle.EMPTY_ROOT

    def unfinished(self) -> Iterator[Grown]:
        """Yield the open tiles that hold at least one hash, lowest first."""
        yield from (tile for tile in self._open if tile.hashes)


class StoredTree:
    """The stored tree of `size` leaves, as a `node` function for the proof makers of `audit.merkle`."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._read: dict[tuple[int, int], list[bytes]] = {}

    def node(self, level: int, index: int) -> bytes:
        """Return the root of the complete subtree over leaves [index * 2**level, (index + 1) * 2**level).

        Raises LookupError when the stored tree has lost it.
        """
        tile_level, height = divmod(level, HEIGHT)
        tile_index, start = divmod(index << height, WIDTH)
        hashes = self.tile(tile_level, tile_index)[start : start + (1 << height)]
        if len(hashes) != 1 << height:
            raise LookupError(f"The stored tree has lost hashes of tile {tile_level}/{tile_index}.")
        return merkle.root(hashes)

    def tile(self, level: int, index: int) -> list[bytes]:
        """Return the hashes of a tile as far as it belongs to this tree."""
        key = (level, index)
        if key not in self._read:
            width = min(WIDTH, (self.size >> (HEIGHT * level)) - index * WIDTH)
            self._read[key] = self._load(level, index)[:width]
        return self._read[key]

    def _load(self, level: int, index: int) -> list[bytes]:
        """Return the widest stored state of a tile."""
        stored = Tile.objects.filter(level=level, index=index).order_by("-width").first()
        if stored is not None:
            return split(bytes(stored.hashes))
        if level == 0:
            within = Leaf.objects.filter(leaf_index__range=(index * WIDTH, index * WIDTH + WIDTH - 1))
            return [bytes(leaf) for leaf in within.order_by("leaf_index").values_list("leaf_hash", flat=True)]
        return []


def split(hashes: bytes) -> list[bytes]:
    """Return the single hashes of a tile."""
    return [hashes[at : at + merkle.HASH_SIZE] for at in range(0, len(hashes), merkle.HASH_SIZE)]


def growth(size: int, leaves: list[bytes]) -> list[Grown]:
    """Return the tiles to store when the stored tree of `size` leaves grows by these leaf hashes.

    These are all tiles that became full, and the open tiles above level 0 that became wider.
    """
    builder = TileBuilder(size, StoredTree(size).tile)
    before = {(tile.level, tile.index): len(tile.hashes) for tile in builder.unfinished()}
    grown = builder.extend(leaves)
    wider = (tile for tile in builder.unfinished() if tile.level > 0)
    return grown + [tile for tile in wider if before.get((tile.level, tile.index)) != len(tile.hashes)]
