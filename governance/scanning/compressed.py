"""Reads single compressed streams (zlib, gzip, bzip2, xz, lzma) into memory, bounded, and hands the content on."""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Protocol

from governance.scanning.limits import Unreadable, Unsafe
from governance.scanning.reading import CHUNK, Window, in_memory
from governance.scanning.scene import Piece, Scene

SUFFIXES = frozenset({".gz", ".gzip", ".z", ".zlib", ".bz2", ".xz", ".lzma", ".tgz"})
MEMORY = 256 << 20
MOST_STREAMS = 10_000


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


def _lzma() -> Decompressor:
    """Return a decompressor of xz and lzma with bounded memory."""
    return lzma.LZMADecompressor(lzma.FORMAT_AUTO, memlimit=MEMORY)


MAKERS: dict[str, Callable[[], Decompressor]] = {
    "zlib": lambda: zlib.decompressobj(zlib.MAX_WBITS),
    "gzip": lambda: zlib.decompressobj(zlib.MAX_WBITS | 16),
    "bzip2": bz2.BZ2Decompressor,
    "xz": _lzma,
}


def read(piece: Piece, scene: Scene, method: str) -> None:
    """Expand a piece and hand its content to the dispatcher. Raises Unreadable or Unsafe."""
    content = expand(piece.window, scene, method)
    path = PurePosixPath(piece.name)
    name = path.stem if path.suffix.lower() in SUFFIXES else path.name
    scene.inspect(scene.nested(piece, content, name + (".tar" if path.suffix.lower() == ".tgz" else "")), scene)


def expand(window: Window, scene: Scene, method: str) -> Window:
    """Return the content of one or more compressed streams laid end to end."""
    kept: list[bytes] = []
    total = 0
    machine = MAKERS[method]()
    streams = 1
    for chunk in window.chunks():
        packed, piece = chunk, b""
        # A full piece means that the decompressor may still hold output for which it needs no more input.
        while packed or _has_more(machine) or len(piece) == CHUNK:
            if machine.eof and not packed:
                break
            if machine.eof:
                machine, streams = MAKERS[method](), streams + 1
                if streams > MOST_STREAMS:
                    raise Unsafe("trailing-bytes", "The file has thousands of compressed streams.")
            piece, packed = _step(machine, packed)
            total += len(piece)
            scene.budget.spend_expanded(len(piece), window.size, total)
            if total > scene.limits.memory_bytes:
                raise Unreadable("too-large", f"It expands to more than {scene.limits.memory_bytes:,} bytes.")
            kept.append(piece)
    if not machine.eof:
        raise Unreadable("compressed-broken", "The compressed data is cut off.")
    return in_memory(b"".join(kept), scene.budget)


def _has_more(machine: Decompressor) -> bool:
    """Return whether a decompressor holds input that it has not used."""
    return not machine.eof and not getattr(machine, "needs_input", True)


def _step(machine: Decompressor, packed: bytes) -> tuple[bytes, bytes]:
    """Return the next decompressed piece and the input that is left."""
    try:
        piece = machine.decompress(packed, CHUNK)
    except (zlib.error, OSError, lzma.LZMAError, EOFError, ValueError) as error:
        raise Unreadable("compressed-broken", f"The compressed data cannot be read: {error}.") from error
    if machine.eof:
        return piece, machine.unused_data
    return piece, getattr(machine, "unconsumed_tail", b"")
