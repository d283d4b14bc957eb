"""Reads TensorFlow's checkpoints: the index, a table of tensors with checksums. The data beside it are bare numbers.

Source: tensorflow/core/util/tensor_bundle, tensorflow/core/lib/io/{format,table}.h (the LevelDB table format).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

from governance.scanning.limits import Unreadable, Unsafe
from governance.scanning.protobuf import Message
from governance.scanning.reading import Window, in_memory
from governance.scanning.scene import Piece, Scene

MAGIC = (0xDB4775248B80FB57).to_bytes(8, "little")
FOOTER = 48
TRAILER = 5
MASK = 0xA282EAD8
POLYNOMIAL = 0x82F63B78
LARGEST = 64 << 20
# TensorFlow's checkpoints, TensorFlow.js, and the weights beside an ONNX model.
SHARD = re.compile(r"(\.data-\d{5}-of-\d{5}|group\d+-shard\d+of\d+(\.bin)?|\.onnx[._]data(_\d+)?)$")
# Types of tensors that are more than numbers and texts: a resource, a variant.
LIVING = frozenset({20, 21, 120, 121})


def looks_like(window: Window) -> bool:
    """Return whether the file ends like a table."""
    return window.size > FOOTER and window.tail(len(MAGIC)) == MAGIC


def is_shard(name: str) -> bool:
    """Return whether a name is that of bare numbers, which another file describes."""
    return SHARD.search(name[-64:]) is not None


def accept_shard(piece: Piece, scene: Scene) -> None:
    """Accept bare numbers: they have no structure of their own, and who reads files of this name reads only numbers."""
    scene.remark(piece, "numbers", "The file holds bare numbers, which another file beside it describes.")


def read(piece: Piece, scene: Scene) -> None:
    """Judge the index of a checkpoint: every block by its checksum, every tensor by its type. Raises Unreadable."""
    window = piece.window
    if window.size > LARGEST:
        raise Unreadable("too-large", f"The index has {window.size:,} bytes; {LARGEST:,} is the most.")
    data = window.head(window.size)
    footer = Reader(data, window.size - FOOTER)
    spans = [footer.handle(), footer.handle()]
    if any(data[footer.position : -len(MAGIC)]):
        raise Unsafe("index-hidden", "The end of the index holds bytes that belong to nothing.")
    keys = 0
    for _, handle in _entries(_block(data, spans[1], scene), scene):
        spans.append(Reader(handle, 0).handle())
        for key, value in _entries(_block(data, spans[-1], scene), scene):
            keys += 1
            _judge_entry(piece, scene, key, value)
    for _ in _entries(_block(data, spans[0], scene), scene):
        raise Unreadable("index-broken", "The index has a filter, which checkpoints never have.")
    _refuse_gaps(spans, window.size - FOOTER)
    if not keys:
        raise Unreadable("index-broken", "The index names no tensor.")


def _refuse_gaps(spans: list[tuple[int, int]], end: int) -> None:
    """Refuse bytes that belong to no block."""
    position = 0
    for offset, size in sorted(spans):
        if offset != position:
            raise Unsafe("index-hidden", "Bytes of the index belong to no block, or to two.")
        position = offset + size + TRAILER
    if position != end:
        raise Unsafe("index-hidden", "Bytes before the end of the index belong to no block.")


class Reader:
    """Bytes being read from front to back."""

    def __init__(self, data: bytes, position: int) -> None:
        self.data = data
        self.position = position

    def number(self) -> int:
        """Return the next variable-length number. Raises Unreadable when there is none."""
        value = 0
        for shift in range(0, 70, 7):
            if self.position >= len(self.data):
                break
            byte = self.data[self.position]
            self.position += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
        raise Unreadable("index-broken", "The index has a number that does not end.")

    def handle(self) -> tuple[int, int]:
        """Return the offset and size of a block."""
        return self.number(), self.number()

    def take(self, count: int) -> bytes:
        """Return the next bytes. Raises Unreadable when there are fewer."""
        part = self.data[self.position : self.position + count]
        if len(part) != count:
            raise Unreadable("truncated", "An entry of the index is longer than its block.")
        self.position += count
        return part


def _block(data: bytes, handle: tuple[int, int], scene: Scene) -> bytes:
    """Return a block whose checksum is right."""
    offset, size = handle
    end = offset + size
    if end + TRAILER > len(data) - FOOTER:
        raise Unreadable("truncated", "A block of the index lies outside of it.")
    if data[end] != 0:
        raise Unreadable("unsupported", "The index is compressed, which checkpoints never are.")
    scene.budget.spend_steps(size // 64)
    checksum = _crc32c(data[offset : end + 1])
    masked = (((checksum >> 15) | (checksum << 17)) + MASK) & 0xFFFFFFFF
    if masked != int.from_bytes(data[end + 1 : end + TRAILER], "little"):
        raise Unreadable("index-checksum", "A block of the index does not have the checksum that it says.")
    return data[offset:end]


def _entries(block: bytes, scene: Scene) -> Iterator[tuple[bytes, bytes]]:
    """Yield keys and values of a block; keys share their beginning with the key before."""
    if len(block) < 4:
        raise Unreadable("index-broken", "A block of the index is too short.")
    restarts = int.from_bytes(block[-4:], "little")
    end = len(block) - 4 - 4 * restarts
    if end < 0:
        raise Unreadable("index-broken", "A block of the index has too many restarts.")
    reader = Reader(block[:end], 0)
    key = b""
    while reader.position < end:
        scene.budget.spend_steps(1)
        shared, fresh, size = reader.number(), reader.number(), reader.number()
        if shared > len(key):
            raise Unreadable("index-broken", "A key of the index begins like no key before it.")
        key = key[:shared] + reader.take(fresh)
        yield key, reader.take(size)


def _judge_entry(piece: Piece, scene: Scene, key: bytes, value: bytes) -> None:
    """Judge a BundleEntryProto: its type (1). The entry without a key is the header."""
    message = Message(in_memory(value, scene.budget), scene.budget)
    for item in message.fields(0, len(value)):
        if key and item.number == 1 and item.value in LIVING:
            name = key.decode("utf-8", "replace")[:80]
            scene.hold(piece, "living-tensor", f"The tensor {name!r} is neither numbers nor texts.")


@cache
def _table() -> tuple[int, ...]:
    """Return the table of the checksum CRC-32C."""
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (POLYNOMIAL if value & 1 else 0)  # noqa: PLW2901 -- this is how a CRC is computed
        table.append(value)
    return tuple(table)


def _crc32c(data: bytes) -> int:
    """Return the checksum of bytes."""
    table, crc = _table(), 0xFFFFFFFF
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF
