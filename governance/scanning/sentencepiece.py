"""Reads SentencePiece tokenizers: a vocabulary in a protocol buffer, made of texts and numbers only.

Source: sentencepiece/src/sentencepiece_model.proto.
"""

from __future__ import annotations

import re

from governance.scanning.limits import Budget, Unreadable, Unsafe
from governance.scanning.protobuf import BYTES, FIXED32, VARINT, Message
from governance.scanning.reading import Window
from governance.scanning.scene import Piece, Scene

PIECES, PIECE_TEXT = 1, 1
MODEL = {PIECES, 2, 3, 4, 5}
SCORE_AND_KIND = re.compile(rb"(\x15.{4})?(\x18[\x00-\x0f])?", re.DOTALL)
SHORT = 128
PIECE = {PIECE_TEXT: BYTES, 2: FIXED32, 3: VARINT}
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
    message = Message(piece.window, scene.budget)
    for item in message.fields(0, piece.window.size):
        if item.number not in MODEL or item.wire != BYTES:
            raise Unsafe("unknown-field", f"The tokenizer has field {item.number}, which SentencePiece does not write.")
        end = item.start + item.size
        if item.number == PIECES and not _is_piece(message, item.start, end):
            raise Unsafe("unknown-field", "An entry of the tokenizer's vocabulary is not a text with a score.")


def _is_piece(message: Message, start: int, end: int) -> bool:
    """Return whether an entry is a text with a score and a kind. Most are short and written in one order."""
    data = message.data
    if data is not None and data[start : start + 1] == b"\n" and start + 1 < end and data[start + 1] < SHORT:
        rest = start + 2 + data[start + 1]
        if rest <= end and SCORE_AND_KIND.fullmatch(data, rest, end):
            return True
    return PIECE_TEXT in (message.fits(start, end, PIECE) or ())
