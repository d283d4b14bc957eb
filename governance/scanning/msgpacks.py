"""Reads MessagePack, in which Flax saves weights: numbers, texts, arrays and containers, walked to the last byte.

Source: the MessagePack specification; flax/serialization.py (its extension types 1 to 3 are arrays and numbers).
"""

from __future__ import annotations

from governance.scanning.limits import Unreadable, Unsafe
from governance.scanning.scene import Piece, Scene
from governance.scanning.ubjson import Walk

ARRAYS = frozenset({1, 2, 3})
# Width of a length behind a mark: texts and bytes, extensions; width of a count: arrays, maps; numbers of one width.
TEXTS = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4}
EXTENSIONS = {0xC7: 1, 0xC8: 2, 0xC9: 4}
SHORT_EXTENSIONS = {0xD4: 1, 0xD5: 2, 0xD6: 4, 0xD7: 8, 0xD8: 16}
LISTS, MAPS = {0xDC: 2, 0xDD: 4}, {0xDE: 2, 0xDF: 4}
FIXED = {0xC0: 0, 0xC2: 0, 0xC3: 0, 0xCA: 4, 0xCB: 8, 0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8}
FIXED |= {0xD0: 1, 0xD1: 2, 0xD2: 4, 0xD3: 8}


def looks_like(head: bytes) -> bool:
    """Return whether a file begins with a map that is not empty."""
    return len(head) > 2 and (0x81 <= head[0] <= 0x8F or head[0] in MAPS)


def read(piece: Piece, scene: Scene) -> None:
    """Judge a MessagePack piece. Raises Unreadable or Unsafe."""
    walk = Walk(piece, scene)
    left = 1
    # Containers only add to what is left to read, so depth costs nothing.
    while left:
        scene.budget.spend_steps(1)
        left += _step(piece, scene, walk) - 1
        if left > piece.window.size:
            raise Unreadable("truncated", "A container announces more values than the file has bytes.")
    if walk.stream.tell() != piece.window.size:
        raise Unsafe("trailing-bytes", f"{piece.window.size - walk.stream.tell():,} bytes follow the content.")


def _step(piece: Piece, scene: Scene, walk: Walk) -> int:
    """Step over one value without what it contains; return how many values it contains."""
    mark = walk.take(1)[0]
    inside = 0
    if mark < 0x80 or mark >= 0xE0:
        return 0
    if mark < 0x90:
        inside = 2 * (mark & 0x0F)
    elif mark < 0xA0:
        inside = mark & 0x0F
    elif mark < 0xC0:
        walk.skip(mark & 0x1F)
    elif mark in FIXED:
        walk.skip(FIXED[mark])
    elif mark in TEXTS:
        walk.skip(_number(walk, TEXTS[mark]))
    elif mark in LISTS or mark in MAPS:
        inside = _number(walk, LISTS.get(mark) or MAPS[mark]) * (2 if mark in MAPS else 1)
    elif mark in EXTENSIONS or mark in SHORT_EXTENSIONS:
        size = SHORT_EXTENSIONS.get(mark) or _number(walk, EXTENSIONS[mark])
        kind = int.from_bytes(walk.take(1), "big", signed=True)
        if kind not in ARRAYS:
            scene.hold(piece, "unknown-extension", f"The file has values of the extension type {kind}.")
        walk.skip(size)
    else:
        raise Unreadable("msgpack-broken", f"The file has a value of the unknown kind 0x{mark:02x}.")
    return inside


def _number(walk: Walk, width: int) -> int:
    """Return an unsigned number."""
    return int.from_bytes(walk.take(width), "big")
