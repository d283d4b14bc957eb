"""Reads UBJSON, in which XGBoost saves models: numbers, texts and containers only, walked to the last byte.

Source: the Universal Binary JSON specification, draft 12; xgboost/src/common/json.cc.
"""

from __future__ import annotations

from governance.scanning.limits import Unreadable, Unsafe
from governance.scanning.opcodes import Source
from governance.scanning.scene import Piece, Scene

WIDTHS = {b"i": 1, b"U": 1, b"I": 2, b"l": 4, b"L": 8}
FIXED = WIDTHS | {b"d": 4, b"D": 8, b"C": 1, b"Z": 0, b"T": 0, b"F": 0, b"N": 0}
DEEPEST = 64
LONGEST_KEY = 1 << 16


def looks_like(head: bytes) -> bool:
    """Return whether a file begins like a model of XGBoost: an object whose first key is one of its own."""
    return head[:1] == b"{" and any(key in head[:64] for key in (b"learner", b"version", b"Config")) and 0 in head[:12]


def read(piece: Piece, scene: Scene) -> None:
    """Judge a UBJSON piece. Raises Unreadable or Unsafe."""
    walk = Walk(piece, scene)
    walk.value(walk.take(1), 0)
    if walk.stream.tell() != piece.window.size:
        raise Unsafe("trailing-bytes", f"{piece.window.size - walk.stream.tell():,} bytes follow the content.")


class Walk:
    """A file being read from front to back."""

    def __init__(self, piece: Piece, scene: Scene) -> None:
        self.scene = scene
        self.size = piece.window.size
        self.stream: Source = piece.window.stream()

    def take(self, count: int) -> bytes:
        """Return the next bytes. Raises Unreadable at the end of the file."""
        data = self.stream.read(count)
        if len(data) != count:
            raise Unreadable("truncated", "The content is longer than the file.")
        return data

    def skip(self, count: int) -> None:
        """Step over bytes that must be there."""
        if not 0 <= count <= self.size - self.stream.tell():
            raise Unreadable("truncated", "The content is longer than the file.")
        self.stream.seek(count, 1)

    def number(self) -> int:
        """Return the next whole number."""
        kind = self.take(1)
        if kind not in WIDTHS:
            raise Unreadable("ubjson-broken", "A length in the file is not a whole number.")
        return int.from_bytes(self.take(WIDTHS[kind]), "big", signed=kind != b"U")

    def value(self, kind: bytes, depth: int) -> None:
        """Step over a value of a kind."""
        self.scene.budget.spend_steps(1)
        if depth > DEEPEST:
            raise Unreadable("too-deep", f"The content is nested more than {DEEPEST} deep.")
        if kind in FIXED:
            self.skip(FIXED[kind])
        elif kind in {b"S", b"H"}:
            self.skip(self.number())
        elif kind in {b"[", b"{"}:
            self.container(kind == b"{", depth)
        else:
            raise Unreadable("ubjson-broken", f"The file has a value of the unknown kind {kind!r}.")

    def container(self, keyed: bool, depth: int) -> None:
        """Step over an array or an object; one that says how long it is has no mark at its end."""
        kind, left, mark = self.shape()
        if left is not None and kind in FIXED and not keyed:
            self.skip(FIXED[kind] * left)
            return
        while left is None or left > 0:
            if left is None and mark == (b"}" if keyed else b"]"):
                return
            if keyed:
                # The mark was the beginning of a key's length.
                self.stream.seek(-1 if left is None else 0, 1)
                self.skip(min(self.number(), LONGEST_KEY))
            fresh = kind or (mark if left is None and not keyed else self.take(1))
            self.value(fresh, depth + 1)
            if left is None:
                mark = self.take(1)
            else:
                left -= 1

    def shape(self) -> tuple[bytes, int | None, bytes]:
        """Return the kind that all values of a container have, their count, or else the first mark inside of it."""
        mark, kind = self.take(1), b""
        if mark == b"$":
            kind, mark = self.take(1), self.take(1)
            if mark != b"#":
                raise Unreadable("ubjson-broken", "A container of one kind does not say how long it is.")
        if mark != b"#":
            return kind, None, mark
        count = self.number()
        if count < 0:
            raise Unreadable("ubjson-broken", "A container has a negative length.")
        return kind, count, b""
