"""Expands compressed streams (zlib, gzip, bzip2, xz, lzma, lz4, zstandard) into memory, bounded, and hands them on."""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath
from typing import Protocol

from governance.scanning.limits import Unreadable, Unsafe
from governance.scanning.reading import CHUNK, Window, in_memory
from governance.scanning.scene import Piece, Scene

TARS = frozenset({".tgz", ".tbz2", ".txz", ".tzst"})
SUFFIXES = TARS | {".gz", ".gzip", ".z", ".zlib", ".bz2", ".xz", ".lzma", ".lz4", ".zst", ".zstd"}
MEMORY = 256 << 20
MOST_STREAMS = 10_000
# Four bytes of zstandard can become 128 KiB and its decoder returns all at once, so it is fed in small pieces.
ZSTANDARD_PIECE = 1024


class Decompressor(Protocol):
    """What the standard library's decompressors have in common."""

    @property
    def eof(self) -> bool:
        """Say whether the end of the stream was seen."""
        ...

    @property
    def unused_data(self) -> bytes:
        """Return what was found behind the end of the stream."""
        ...

    def decompress(self, data: bytes, max_length: int = ..., /) -> bytes:
        """Return more bytes."""
        ...


class Zstandard:
    """A decompressor of one zstandard frame with the manners of zlib's, whose output stays bounded."""

    def __init__(self) -> None:
        # Loaded only when there is something to expand, like every engine that most files do not need.
        import zstandard  # noqa: PLC0415

        self.machine = zstandard.ZstdDecompressor(max_window_size=MEMORY).decompressobj()
        self.failure = zstandard.ZstdError
        self.unconsumed_tail = b""
        self.unused_data = b""

    @property
    def eof(self) -> bool:
        """Say whether the end of the frame was seen."""
        return bool(self.machine.eof)

    def decompress(self, data: bytes, max_length: int = -1, /) -> bytes:
        """Return what the next piece of input expands to; the rest of it waits in `unconsumed_tail`."""
        piece, rest = data[:ZSTANDARD_PIECE], data[ZSTANDARD_PIECE:]
        try:
            found = self.machine.decompress(piece)
        except self.failure as error:
            raise ValueError(str(error)) from error
        self.unconsumed_tail = b"" if self.eof else rest
        self.unused_data = self.machine.unused_data + rest if self.eof else b""
        return found


def open_lzma(settings: bytes, size: int) -> Decompressor:
    """Return a decompressor of raw LZMA by its five bytes of settings, for at most `size` bytes. Raises Unreadable."""
    mixed, window = settings[0], int.from_bytes(settings[1:5], "little")
    # No stream looks further back than it is long, whatever it says.
    window = max(1 << 12, min(window, size))
    if mixed >= 9 * 5 * 5 or window > MEMORY:
        raise Unreadable("too-large", f"Compressed data asks for a window of {window:,} bytes, or has wrong settings.")
    rest, lc = divmod(mixed, 9)
    pb, lp = divmod(rest, 5)
    chain = {"id": lzma.FILTER_LZMA1, "dict_size": window, "lc": lc, "lp": lp, "pb": pb}
    try:
        return lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[chain])
    except (lzma.LZMAError, ValueError) as error:
        raise Unreadable("compressed-broken", "Compressed data has settings that cannot be.") from error


def _lzma() -> Decompressor:
    """Return a decompressor of xz and lzma with bounded memory."""
    return lzma.LZMADecompressor(lzma.FORMAT_AUTO, memlimit=MEMORY)


def _lz4() -> Decompressor:
    """Return a decompressor of one lz4 frame."""
    # Loaded only when there is something to expand, like every engine that most files do not need.
    import lz4.frame  # noqa: PLC0415

    machine: Decompressor = lz4.frame.LZ4FrameDecompressor()
    return machine


MAKERS: dict[str, Callable[[], Decompressor]] = {
    "zlib": lambda: zlib.decompressobj(zlib.MAX_WBITS),
    "gzip": lambda: zlib.decompressobj(zlib.MAX_WBITS | 16),
    "bzip2": bz2.BZ2Decompressor,
    "xz": _lzma,
    "lz4": _lz4,
    "zstandard": Zstandard,
}


def read(piece: Piece, scene: Scene, method: str) -> None:
    """Expand a piece and hand its content to the dispatcher. Raises Unreadable or Unsafe."""
    content = expand(piece.window, scene, method)
    path = PurePosixPath(piece.name)
    name = path.stem if path.suffix.lower() in SUFFIXES else path.name
    scene.inspect(scene.nested(piece, content, name + (".tar" if path.suffix.lower() in TARS else "")), scene)


def expand(window: Window, scene: Scene, method: str) -> Window:
    """Return the content of one or more compressed streams laid end to end."""
    kept: list[bytes] = []
    total = 0
    position, streams = 0, 0
    while position < window.size:
        # Python's gzip steps over zeros behind a stream, so they may end a file; anything else has to be a stream.
        if streams and method == "gzip" and not any(chunk.strip(b"\0") for chunk in window.rest(position).chunks()):
            break
        streams += 1
        if streams > MOST_STREAMS:
            raise Unsafe("trailing-bytes", "The file has thousands of compressed streams.")
        stream = Stream(MAKERS[method]())
        for piece in stream.read(window.rest(position)):
            total += len(piece)
            scene.budget.spend_expanded(len(piece), window.size, total)
            if total > scene.limits.memory_bytes:
                raise Unreadable("too-large", f"It expands to more than {scene.limits.memory_bytes:,} bytes.")
            kept.append(piece)
        if not stream.ended:
            raise Unreadable("compressed-broken", "The compressed data is cut off.")
        position = window.size - stream.left
    return in_memory(b"".join(kept), scene.budget)


class Stream:
    """One compressed stream being expanded: afterwards, whether its end was seen and how many bytes are behind it.

    `most` is for methods that do not mark their end: only the size, told elsewhere, says where that is.
    """

    def __init__(self, machine: Decompressor, most: int | None = None) -> None:
        self.machine = machine
        self.left = 0
        self.most = most

    @property
    def ended(self) -> bool:
        """Return whether the stream's own end was seen."""
        return self.machine.eof

    def read(self, window: Window) -> Iterator[bytes]:
        """Yield the expanded bytes in bounded pieces, up to the stream's end or the window's. Raises Unreadable."""
        passed = 0
        for chunk in window.chunks():
            passed += len(chunk)
            packed, piece = chunk, b""
            # A full piece means that the decompressor may still hold output for which it needs no more input.
            while packed or self._has_more() or len(piece) == CHUNK:
                if self.most == 0:
                    return
                piece, packed = self._step(packed)
                yield piece
                if self.machine.eof:
                    # lz4 says None where the others say nothing at all.
                    self.left = window.size - passed + len(self.machine.unused_data or b"")
                    return

    def _has_more(self) -> bool:
        """Return whether the decompressor holds input that it has not used."""
        return not getattr(self.machine, "needs_input", True)

    def _step(self, packed: bytes) -> tuple[bytes, bytes]:
        """Return the next expanded piece and the input that is left."""
        try:
            piece = self.machine.decompress(packed, CHUNK if self.most is None else min(CHUNK, self.most))
        except (zlib.error, OSError, lzma.LZMAError, EOFError, ValueError, RuntimeError) as error:
            raise Unreadable("compressed-broken", f"The compressed data cannot be read: {error}.") from error
        if self.most is not None:
            self.most -= len(piece)
        return piece, getattr(self.machine, "unconsumed_tail", b"")
