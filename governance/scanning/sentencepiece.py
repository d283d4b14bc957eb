"""Reads SentencePiece tokenizers: a vocabulary in a protocol buffer, made of texts and numbers only.

Source: sentencepiece/src/sentencepiece_model.proto.
"""

from __future__ import annotations

from governance.scanning.limits import Budget, Unreadable, Unsafe
from governance.scanning.protobuf import BYTES, Message
from governance.scanning.reading import Window
from governance.scanning.scene import Piece, Scene

PIECES, PIECE_TEXT = 1, 1
MODEL = {PIECES, 2, 3, 4, 5}
LOOK = 4096


def looks_like(window: Window) -> bool:
    """Return whether the file begins with a vocabulary entry that holds a text and is followed by another field."""
    message = Message(window, Budget(window.budget.limits))
    try:
        first = next(message.fields(0, window.size))
        if (first.number, first.wire) != (PIECES, BYTES) or first.size > LOOK:
            return False
        inside = next(message.fields(first.start, first.start + first.size))
        follower = next(message.fields(first.start + first.size, window.size))
    except (Unreadable, StopIteration):
        return False
    return (inside.number, inside.wire) == (PIECE_TEXT, BYTES) and follower.number in MODEL and follower.wire == BYTES


def read(piece: Piece, scene: Scene) -> None:
    """Judge a tokenizer: known fields only, up to the last byte. Raises Unreadable or Unsafe."""
    for item in Message(piece.window, scene.budget).fields(0, piece.window.size):
        if item.number not in MODEL or item.wire != BYTES:
            raise Unsafe("unknown-field", f"The tokenizer has field {item.number}, which SentencePiece does not write.")
