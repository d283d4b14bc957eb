"""Reads JSON: one reading only. A key that stands twice in an object means different things to different readers."""

from __future__ import annotations

import json

from governance.scanning.limits import Unreadable
from governance.scanning.scene import Piece, Scene


def read_json(piece: Piece, scene: Scene, text: str | bytes) -> object:
    """Return the value that a text means; hold a text that means two. Raises Unreadable when it is no JSON."""
    twice: list[str] = []

    def collect(pairs: list[tuple[str, object]]) -> dict[str, object]:
        members = dict(pairs)
        if len(members) != len(pairs):
            seen: set[str] = set()
            twice.append(next(key for key, _ in pairs if key in seen or seen.add(key)))  # type: ignore[func-returns-value]
        return members

    try:
        document = json.loads(text, object_pairs_hook=collect)
    except (ValueError, RecursionError) as error:
        raise Unreadable("not-json", f"The text is not JSON: {str(error)[:120]}.") from error
    if twice:
        scene.hold(piece, "duplicate-key", f"The key {twice[0][:80]!r} stands twice in one object of the JSON.")
    return document
