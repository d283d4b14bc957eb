"""The Merkle tree of RFC 6962 §2.1 and RFC 9162 §2.1: hashes, roots, proofs and their verifiers.

Pure functions over SHA-256 hashes. Proof makers ask a `node(level, index)` function for the hash of the complete
subtree over leaves [index * 2**level, (index + 1) * 2**level), so they work on a list as well as on stored tiles.
Where the hashes are kept lives in `audit.tiles`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256

HASH_SIZE = 32
EMPTY_ROOT = sha256(b"").digest()

Node = Callable[[int, int], bytes]


def leaf_hash(body: bytes) -> bytes:
    """Return the hash of one entry: SHA-256(0x00 || body)."""
    return sha256(b"\x00" + body).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of two children: SHA-256(0x01 || left || right)."""
    return sha256(b"\x01" + left + right).digest()


class Frontier:
    """The state needed to append: the roots of the complete subtrees a tree of `size` leaves falls into, largest first.

    It holds at most log2(size) + 1 hashes.
    """

    def __init__(self, size: int = 0, hashes: Iterable[bytes] = ()) -> None:
        self.size = size
        self.hashes = list(hashes)
        if len(self.hashes) != size.bit_count():
            raise ValueError(f"A tree of {size} leaves has {size.bit_count()} subtrees; got {len(self.hashes)} hashes.")

    def append(self, leaf: bytes) -> None:
        """Add one leaf hash on the right."""
        position, carried = self.size, leaf
        while position & 1:
            carried = sha256(b"\x01" + self.hashes.pop() + carried).digest()
            position >>= 1
        self.hashes.append(carried)
        self.size += 1

    def root(self, last: bytes = b"") -> bytes:
        """Return the root over all leaves so far, and over `last`, a smaller tree to the right of them, if given."""
        folded = last
        for subtree in reversed(self.hashes):
            folded = node_hash(subtree, folded) if folded else subtree
        return folded or EMPTY_ROOT


def root(leaves: Iterable[bytes]) -> bytes:
    """Return the root over leaf hashes.

    Neighbours are hashed level by level, and a last one without a neighbour is carried up as it is, which gives the
    tree of RFC 6962 §2.1 for every number of leaves.
    """
    hashes = list(leaves)
    while len(hashes) > 1:
        pairs = zip(hashes[::2], hashes[1::2], strict=False)
        single = hashes[-1:] if len(hashes) & 1 else []
        hashes = [sha256(b"\x01" + left + right).digest() for left, right in pairs] + single
    return hashes[0] if hashes else EMPTY_ROOT


def frontier_at(size: int, node: Node) -> Frontier:
    """Return the frontier of the first `size` leaves, built from complete subtrees."""
    hashes, start = [], 0
    for level in range(size.bit_length() - 1, -1, -1):
        if size >> level & 1:
            hashes.append(node(level, start >> level))
            start += 1 << level
    return Frontier(size, hashes)


def nodes_of(leaves: Sequence[bytes]) -> Node:
    """Return a `node(level, index)` function over leaf hashes held in memory."""
    levels = [list(leaves)]
    while len(levels[-1]) > 1:
        below = levels[-1]
        levels.append([node_hash(below[i], below[i + 1]) for i in range(0, len(below) - 1, 2)])
    return lambda level, index: levels[level][index]


def _range_root(start: int, end: int, node: Node) -> bytes:
    """Return the root over leaves [start, end), where start is aligned as the splits of RFC 6962 leave it."""
    width = end - start
    level = (width - 1).bit_length()
    if width == 1 << level:
        return node(level, start >> level)
    middle = start + (1 << (level - 1))
    return node_hash(_range_root(start, middle, node), _range_root(middle, end, node))


def inclusion_proof(index: int, size: int, node: Node) -> list[bytes]:
    """Return the audit path of leaf `index` in the tree of `size` leaves, from the leaf's sibling upwards.

    RFC 6962 §2.1.1. Raises ValueError unless 0 <= index < size.
    """
    if not 0 <= index < size:
        raise ValueError(f"There is no leaf {index} in a tree of {size} leaves.")
    start, end, path = 0, size, []
    while end - start > 1:
        middle = start + (1 << ((end - start - 1).bit_length() - 1))
        if index < middle:
            path.append(_range_root(middle, end, node))
            end = middle
        else:
            path.append(_range_root(start, middle, node))
            start = middle
    return path[::-1]


def consistency_proof(old: int, new: int, node: Node) -> list[bytes]:
    """Return the proof that the tree of `old` leaves is a prefix of the tree of `new` leaves.

    RFC 6962 §2.1.2; empty when the sizes are equal. Raises ValueError unless 0 < old <= new.
    """
    if not 0 < old <= new:
        raise ValueError(f"There is no consistency proof from {old} to {new} leaves.")
    start, end, path = 0, new, []
    while old != end:
        middle = start + (1 << ((end - start - 1).bit_length() - 1))
        if old <= middle:
            path.append(_range_root(middle, end, node))
            end = middle
        else:
            path.append(_range_root(start, middle, node))
            start = middle
    if start:
        path.append(_range_root(start, end, node))
    return path[::-1]


def verify_inclusion(index: int, size: int, leaf: bytes, proof: Sequence[bytes], root: bytes) -> bool:
    """Return whether the proof shows the leaf hash at `index` in the tree of `size` leaves with this root.

    RFC 9162 §2.1.3.2, iterative.
    """
    if not 0 <= index < size or any(len(hash_) != HASH_SIZE for hash_ in proof):
        return False
    position, last, folded = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            return False
        if position & 1 or position == last:
            folded = node_hash(sibling, folded)
            while not position & 1 and position:
                position >>= 1
                last >>= 1
        else:
            folded = node_hash(folded, sibling)
        position >>= 1
        last >>= 1
    return last == 0 and folded == root


def verify_consistency(old: int, new: int, proof: Sequence[bytes], old_root: bytes, new_root: bytes) -> bool:
    """Return whether the proof shows that the tree of `old` leaves is a prefix of the tree of `new` leaves.

    RFC 9162 §2.1.4.2, iterative. Anything is consistent with the empty tree, whose root is fixed.
    """
    if old == 0:
        return not proof and old_root == EMPTY_ROOT and new >= 0
    if old == new:
        return not proof and old_root == new_root
    if not 0 < old < new or not proof or any(len(hash_) != HASH_SIZE for hash_ in proof):
        return False
    hashes = list(proof) if old & (old - 1) else [old_root, *proof]
    position, last = old - 1, new - 1
    while position & 1:
        position >>= 1
        last >>= 1
    older = newer = hashes[0]
    for sibling in hashes[1:]:
        if last == 0:
            return False
        if position & 1 or position == last:
            older, newer = node_hash(sibling, older), node_hash(sibling, newer)
            while not position & 1 and position:
                position >>= 1
                last >>= 1
        else:
            newer = node_hash(newer, sibling)
        position >>= 1
        last >>= 1
    return last == 0 and older == old_root and newer == new_root
