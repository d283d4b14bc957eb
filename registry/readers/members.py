"""Reads single members out of a zip file in memory, bounded, zstd (method 93) included. Knows no format inside.

Python 3.11's zipfile does not know method 93, so it only reads the directory here; the bytes of a member are found by
its local header, which has to agree, and are decompressed in steps that stop at the limit. Everything that a zip can
lie about is refused: encryption, a name twice, sizes, ratios, check sums.

Source: PKWARE APPNOTE 6.3.10; RFC 8878 for zstd.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

import zstandard

from portal.errors import show
from registry.readers.documents import fail

MAX_MEMBERS = 20_000
MAX_RATIO = 200
# Small members may compress better than any honest large one.
FREE = 64 * 1024
MAX_TOTAL = 512 * 1024 * 1024
STEP = 256 * 1024
WINDOW = 1 << 27
LOCAL = struct.Struct("<4s5H3I2H")
STORED, DEFLATED, ZSTD = 0, 8, 93
BROKEN = (zipfile.BadZipFile, NotImplementedError, struct.error, ValueError, OverflowError, EOFError, LookupError)


class Members:
    """The members of one zip file, by name. Raises Invalid for a directory that is broken, too large or ambiguous."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        try:
            with zipfile.ZipFile(io.BytesIO(body)) as archive:
                listed = archive.infolist()
        except BROKEN as error:
            fail("document", f"a zip file that cannot be opened ({show(str(error))})", "a whole zip file")
        if len(listed) > MAX_MEMBERS:
            fail("document", f"{len(listed):,} members", f"at most {MAX_MEMBERS:,} members")
        self.listed = {each.filename: each for each in listed}
        if len(self.listed) != len(listed):
            fail("document", "a member more than once", "every member once")
        if (total := sum(each.file_size for each in listed)) > MAX_TOTAL:
            fail("document", f"{total:,} bytes when unpacked", f"at most {MAX_TOTAL:,} bytes")

    def __contains__(self, name: str) -> bool:
        """Say whether there is a member of this name."""
        return name in self.listed

    def count(self, beginning: str) -> int:
        """Return how many members have a name that begins like this."""
        return sum(name.startswith(beginning) for name in self.listed)

    def read(self, name: str, *, max_bytes: int) -> bytes:
        """Return the bytes of a member. Raises Invalid when it is not there, too large, or not what the zip says."""
        if name not in self.listed:
            fail(name, "nothing", f"a member named {name}")
        entry = self.listed[name]
        if entry.flag_bits & 0x61:
            fail(name, "an encrypted or patched member", "a plain one")
        if entry.file_size > max_bytes:
            fail(name, f"{entry.file_size:,} bytes", f"at most {max_bytes:,} bytes")
        if entry.file_size > max(FREE, entry.compress_size * MAX_RATIO):
            fail(name, f"{entry.file_size:,} bytes out of {entry.compress_size:,}", f"a ratio of at most {MAX_RATIO}")
        content = unpack(self.packed(entry), entry.compress_type, entry.file_size, name)
        if len(content) != entry.file_size or zlib.crc32(content) != entry.CRC:
            fail(name, "bytes that do not fit the zip's directory", "the size and check sum that the zip says")
        return content

    def packed(self, entry: zipfile.ZipInfo) -> bytes:
        """Return a member as it is stored, after its local header, which has to name the same member."""
        name, start = entry.filename, entry.header_offset
        try:
            magic, _, flags, method, _, _, _, _, _, length, extra = LOCAL.unpack_from(self.body, start)
        except struct.error:
            fail(name, "no local header", "a whole zip file")
        begin = start + LOCAL.size + length + extra
        said = self.body[start + LOCAL.size : start + LOCAL.size + length]
        spelt = said.decode("utf-8" if flags & 0x800 else "cp437", "replace")
        if magic != b"PK\x03\x04" or method != entry.compress_type or spelt != entry.orig_filename:
            fail(name, "a local header of another member", "a header that agrees with the zip's directory")
        content = self.body[begin : begin + entry.compress_size]
        if len(content) != entry.compress_size:
            fail(name, f"{len(content):,} stored bytes", f"the {entry.compress_size:,} that the zip says")
        return content


def unpack(packed: bytes, method: int, size: int, name: str) -> bytes:
    """Return decompressed bytes, at most one more than expected. Raises Invalid for another method or broken bytes."""
    if method == STORED:
        return packed[: size + 1]
    if method not in {DEFLATED, ZSTD}:
        fail(name, f"compression method {method}", "a member that is stored, deflated (8) or in zstd (93)")
    try:
        return inflate(packed, size) if method == DEFLATED else stretch(packed, size)
    except (zlib.error, zstandard.ZstdError, MemoryError) as error:
        fail(name, f"bytes that cannot be decompressed ({show(str(error))})", "an undamaged member")


def inflate(packed: bytes, size: int) -> bytes:
    """Return deflated bytes, at most one more than expected."""
    return zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, size + 1)


def stretch(packed: bytes, size: int) -> bytes:
    """Return bytes from zstd, at most a step more than expected."""
    reader: Any = zstandard.ZstdDecompressor(max_window_size=WINDOW).stream_reader(io.BytesIO(packed))
    parts: list[bytes] = []
    read: Callable[[int], bytes] = reader.read
    total = 0
    while total <= size and (part := read(STEP)):
        parts.append(part)
        total += len(part)
    return b"".join(parts)
