"""Reads pictures that lie beside models: by their marks and lengths only, so that nothing hides behind them.

Source: PNG (third edition), JPEG (ITU-T T.81), GIF89a, WebP container.
"""

from __future__ import annotations

import zlib

from governance.scanning.limits import Unreadable, Unsafe
from governance.scanning.reading import Window
from governance.scanning.scene import Piece, Scene

PNG = b"\x89PNG\r\n\x1a\n"
MARKS = (PNG, b"\xff\xd8\xff", b"GIF87a", b"GIF89a")
LARGEST = 256 << 20


def looks_like(head: bytes) -> bool:
    """Return whether the first bytes are those of a picture."""
    return head.startswith(MARKS) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")


def read(piece: Piece, scene: Scene) -> None:
    """Judge a picture by where it ends. Raises Unreadable or Unsafe."""
    window = piece.window
    head = window.head(12)
    if window.size > LARGEST:
        raise Unreadable("too-large", f"A picture of {window.size:,} bytes.")
    if head.startswith(PNG):
        _read_png(window)
    elif head.startswith(b"RIFF"):
        if int.from_bytes(head[4:8], "little") + 8 != window.size:
            raise Unsafe("trailing-bytes", "The picture is not as long as it says.")
    elif window.tail(2)[-1:] != b";" if head.startswith(b"GIF") else window.tail(2) != b"\xff\xd9":
        raise Unsafe("trailing-bytes", "The picture does not end like one.")


def _read_png(window: Window) -> None:
    """Walk the chunks of a PNG by their lengths and checksums, up to the last one."""
    position, kind = len(PNG), b""
    while position < window.size:
        if kind == b"IEND":
            raise Unsafe("trailing-bytes", "Bytes follow the end of the picture.")
        size = int.from_bytes(window.at(position, 4), "big")
        body = window.at(position + 4, size + 8)
        kind = body[:4]
        if zlib.crc32(body[:-4]) != int.from_bytes(body[-4:], "big"):
            raise Unreadable("image-broken", "A part of the picture does not have the checksum that it says.")
        position += size + 12
    if kind != b"IEND":
        raise Unreadable("truncated", "The picture has no end.")
