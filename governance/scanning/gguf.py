"""Reads GGUF files: the key-value header with its chat templates, and the bounds of the tensors. Weights stay unread.

Source: ggml/docs/gguf.md (versions 2 and 3, little-endian).
"""

from __future__ import annotations

from governance.scanning import templates
from governance.scanning.limits import Unreadable, Unsafe
from governance.scanning.opcodes import Source
from governance.scanning.scene import Piece, Scene

MAGIC = b"GGUF"
VERSIONS = {2, 3}
FIXED = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
TEXT, ARRAY = 8, 9
ALIGNMENT = "general.alignment"
DEFAULT_ALIGNMENT = 32
MOST_DIMENSIONS = 4
LONGEST_KEY = 1 << 16
SHORT, TOGETHER = 1 << 12, 256
# Bytes and values of a block, for every tensor type of ggml.h: type -> (bytes, values).
BLOCKS = {
    0: (4, 1),
    1: (2, 1),
    2: (18, 32),
    3: (20, 32),
    6: (22, 32),
    7: (24, 32),
    8: (34, 32),
    9: (36, 32),
    10: (84, 256),
    11: (110, 256),
    12: (144, 256),
    13: (176, 256),
    14: (210, 256),
    15: (292, 256),
    16: (66, 256),
    17: (74, 256),
    18: (98, 256),
    19: (50, 256),
    20: (18, 32),
    21: (110, 256),
    22: (82, 256),
    23: (136, 256),
    24: (1, 1),
    25: (2, 1),
    26: (4, 1),
    27: (8, 1),
    28: (8, 1),
    29: (56, 256),
    30: (2, 1),
    34: (54, 256),
    35: (66, 256),
    39: (17, 32),
    40: (36, 64),
    41: (18, 128),
}


class Header:
    """The header being read from front to back."""

    def __init__(self, piece: Piece, scene: Scene) -> None:
        self.piece = piece
        self.scene = scene
        self.stream: Source = piece.window.stream()
        self.stream.seek(len(MAGIC))
        self.alignment = DEFAULT_ALIGNMENT

    def take(self, count: int) -> bytes:
        """Return the next bytes. Raises Unreadable at the end of the file."""
        data = self.stream.read(count)
        if len(data) != count:
            raise Unreadable("truncated", "The header is longer than the file.")
        return data

    def number(self, width: int) -> int:
        """Return the next unsigned number."""
        return int.from_bytes(self.take(width), "little")

    def text(self, longest: int) -> str:
        """Return the next text, which must be UTF-8."""
        size = self.number(8)
        if size > min(longest, self.piece.window.size):
            raise Unreadable("too-large", f"A text in the header has {size:,} bytes.")
        try:
            return self.take(size).decode("utf-8")
        except UnicodeDecodeError as error:
            raise Unreadable("bad-text", "A text in the header is not UTF-8.") from error

    def skip(self, count: int) -> None:
        """Step over bytes that must be there."""
        if count > self.piece.window.size - self.stream.tell():
            raise Unreadable("truncated", "The header is longer than the file.")
        self.stream.seek(count, 1)

    def value(self, key: str, kind: int, depth: int = 0) -> None:
        """Read one value and look at it when it is a template or the alignment."""
        if kind == TEXT and "chat_template" in key:
            says = self.text(self.scene.limits.text_bytes)
            templates.judge(self.piece, self.scene, says)
        elif kind == TEXT:
            self.skip(self.number(8))
        elif kind == ARRAY:
            self.array(key, depth)
        elif key == ALIGNMENT and kind == 4:
            self.alignment = self.number(4)
        elif kind in FIXED:
            self.skip(FIXED[kind])
        else:
            raise Unreadable("bad-header", f"The header has a value of the unknown type {kind}.")

    def array(self, key: str, depth: int) -> None:
        """Read an array of values."""
        if depth > 4:
            raise Unreadable("too-deep", "The header nests arrays more than four deep.")
        kind, count = self.number(4), self.number(8)
        if kind in FIXED:
            self.skip(FIXED[kind] * count)
            return
        if kind == TEXT and "chat_template" not in key:
            self.skip_texts(count)
            return
        for _ in range(count):
            self.scene.budget.spend_steps(1)
            self.value(key, kind, depth + 1)

    def skip_texts(self, count: int) -> None:
        """Step over texts, such as the hundred thousands of a vocabulary."""
        for number in range(count):
            if not number % TOGETHER:
                self.scene.budget.spend_steps(TOGETHER if number else 1)
            size = int.from_bytes(self.take(8), "little")
            if size > SHORT:
                self.skip(size)
            else:
                self.take(size)


def read(piece: Piece, scene: Scene) -> None:
    """Judge a GGUF piece. Raises Unreadable or Unsafe."""
    header = Header(piece, scene)
    version = header.number(4)
    if version not in VERSIONS:
        raise Unreadable("bad-header", f"The file has GGUF version {version}; known are 2 and 3.")
    tensors, pairs = header.number(8), header.number(8)
    keys = set()
    for _ in range(pairs):
        scene.budget.spend_steps(1)
        key = header.text(LONGEST_KEY)
        if key in keys:
            raise Unsafe("duplicate-key", f"The header has the key {key[:80]!r} twice.")
        keys.add(key)
        header.value(key, header.number(4))
    spans = [_read_tensor(header, scene) for _ in _counted(tensors, scene)]
    _check_spans(piece, header, spans)


def _counted(count: int, scene: Scene) -> range:
    """Return a range after making sure that it is not absurd."""
    if count > scene.limits.members:
        raise Unreadable("too-many-members", f"The file announces {count:,} tensors.")
    return range(count)


def _read_tensor(header: Header, scene: Scene) -> tuple[int, int]:
    """Return offset and size in bytes of the next tensor."""
    scene.budget.spend_steps(1)
    name = header.text(LONGEST_KEY)
    dimensions = header.number(4)
    if dimensions > MOST_DIMENSIONS:
        raise Unsafe("bad-tensor", f"The tensor {name[:80]!r} has {dimensions} dimensions; four is the most.")
    count = 1
    for _ in range(dimensions):
        count *= header.number(8)
    kind, offset = header.number(4), header.number(8)
    if kind not in BLOCKS:
        raise Unreadable("bad-tensor", f"The tensor {name[:80]!r} has the unknown type {kind}.")
    size, values = BLOCKS[kind]
    if count % values:
        raise Unsafe("bad-tensor", f"The tensor {name[:80]!r} does not fill its blocks.")
    return offset, count // values * size


def _check_spans(piece: Piece, header: Header, spans: list[tuple[int, int]]) -> None:
    """Refuse tensors that overlap, leave the file, or leave room behind them."""
    alignment = header.alignment
    if alignment < 1 or alignment > 1 << 20:
        raise Unsafe("bad-header", f"The header asks for an alignment of {alignment:,}.")
    start = -(-header.stream.tell() // alignment) * alignment
    end = 0
    for offset, size in sorted(spans):
        if offset < end:
            raise Unsafe("tensor-layout", "Two tensors overlap.")
        if offset - end >= alignment:
            raise Unsafe("tensor-layout", "There is a hole between two tensors.")
        end = offset + size
    if spans and start + end > piece.window.size:
        raise Unreadable("truncated", "The tensors are longer than the file.")
    if piece.window.size - (start + end) >= alignment:
        raise Unsafe("trailing-bytes", "Bytes follow the last tensor.")
