"""Reads 7z archives: their structure strictly, their members after every checksum. Directories are parsed by
seven_headers.py.

Source: 7zFormat.txt and Methods.txt of the 7-Zip sources. Encryption, PPMd, BCJ2 and unknown methods are errors.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Iterator

from governance.scanning.compressed import MEMORY, Decompressor, Stream, open_lzma
from governance.scanning.limits import Budget, Unreadable, Unsafe
from governance.scanning.names import Names
from governance.scanning.reading import Window, in_memory
from governance.scanning.scene import Piece, Scene
from governance.scanning.seven_headers import Coder, Directory, Folder, Streams, read_directory, read_streams

SIGNATURE = 32
LARGEST_HEADER = 32 << 20
MOST_HEADERS = 4
HEADER, ENCODED_HEADER = 1, 0x17
COPY = b"\0"
ENCRYPTED = b"\x06\xf1\x07\x01"
LZMA1, LZMA2 = b"\x03\x01\x01", b"\x21"
DEFLATE, BZIP2, DELTA = b"\x04\x01\x08", b"\x04\x02\x02", b"\x03"
# Filters that turn machine code into something easier to compress, by their new and their old numbers.
BRANCHES: dict[bytes, int] = {
    b"\x04": lzma.FILTER_X86,
    b"\x03\x03\x01\x03": lzma.FILTER_X86,
    b"\x05": lzma.FILTER_POWERPC,
    b"\x03\x03\x02\x05": lzma.FILTER_POWERPC,
    b"\x06": lzma.FILTER_IA64,
    b"\x03\x03\x04\x01": lzma.FILTER_IA64,
    b"\x07": lzma.FILTER_ARM,
    b"\x03\x03\x05\x01": lzma.FILTER_ARM,
    b"\x08": lzma.FILTER_ARMTHUMB,
    b"\x03\x03\x07\x01": lzma.FILTER_ARMTHUMB,
    b"\x09": lzma.FILTER_SPARC,
    b"\x03\x03\x08\x05": lzma.FILTER_SPARC,
}
UNIX_MODE, REPARSE_POINT = 0x8000, 0x400


def read(piece: Piece, scene: Scene) -> None:
    """Judge every member of a 7z. Raises Unreadable or Unsafe."""
    for name, content in read_members(piece.window, scene):
        scene.inspect(scene.nested(piece, content, name), scene)


def read_members(window: Window, scene: Scene) -> Iterator[tuple[str, Window]]:
    """Yield name and content of each file. Raises Unreadable or Unsafe."""
    header, start = _find_header(window)
    directory, start = _read_header(window, header, start, scene)
    scene.budget.spend_members(len(directory.files))
    _expect_all_packed(directory.streams, window, start)
    names = Names("7z")
    for each in directory.files:
        mode = each.attributes >> 16 if each.attributes & UNIX_MODE else 0
        names.add(each.name, mode)
        if each.attributes & REPARSE_POINT or each.is_anti:
            raise Unsafe("7z-link", f"{each.name[:120]} is a link, or asks for a file to be deleted.")
    streams = _split(window, directory.streams, scene)
    for each in directory.files:
        if each.has_stream:
            content = next(streams, None)
            if content is None:
                raise Unreadable("7z-broken", "The 7z has more files than contents.")
            yield each.name, content
        elif not each.is_folder:
            yield each.name, window.part(0, 0)
    if next(streams, None) is not None:
        raise Unsafe("7z-hidden", "The 7z holds content that belongs to no file.")


def _find_header(window: Window) -> tuple[bytes, int]:
    """Return the header that the signature points at, which ends the file, and where it begins."""
    if window.size < SIGNATURE:
        raise Unreadable("truncated", "The 7z is cut off.")
    start = window.at(0, SIGNATURE)
    if zlib.crc32(start[12:]) != int.from_bytes(start[8:12], "little"):
        raise Unreadable("7z-broken", "The first header of the 7z does not have the checksum that it says.")
    offset, size, crc = (int.from_bytes(start[a:b], "little") for a, b in ((12, 20), (20, 28), (28, 32)))
    if size > LARGEST_HEADER:
        raise Unreadable("too-large", f"The header of the 7z has {size:,} bytes.")
    if SIGNATURE + offset + size > window.size:
        raise Unreadable("truncated", "The 7z is cut off.")
    if SIGNATURE + offset + size < window.size:
        raise Unsafe("trailing-bytes", "Bytes follow the header of the 7z.")
    header = window.at(SIGNATURE + offset, size)
    if zlib.crc32(header) != crc:
        raise Unreadable("7z-broken", "The header of the 7z does not have the checksum that it says.")
    return header, SIGNATURE + offset


def _read_header(window: Window, header: bytes, start: int, scene: Scene) -> tuple[Directory, int]:
    """Return the directory, unpacking headers that are themselves compressed, and where the files' data ends."""
    for _ in range(MOST_HEADERS):
        if not header:
            return Directory(Streams(), ()), SIGNATURE
        if header[0] == HEADER:
            return read_directory(header[1:], scene.limits.members), start
        if header[0] != ENCODED_HEADER:
            raise Unreadable("7z-broken", "The header of the 7z is of an unknown kind.")
        streams = read_streams(header[1:], scene.limits.members)
        if len(streams.folders) != 1 or len(streams.folders[0].sizes) != 1:
            raise Unreadable("7z-broken", "The compressed header of the 7z is not one stream.")
        _expect_last(streams, start)
        [content] = _split(window, streams, scene)
        if content.size > LARGEST_HEADER:
            raise Unreadable("too-large", f"The header of the 7z has {content.size:,} bytes.")
        header, start = content.head(content.size), SIGNATURE + streams.position
    raise Unreadable("too-deep", "The header of the 7z is compressed again and again.")


def _expect_last(streams: Streams, end: int) -> None:
    """Raise unless a compressed header lies right in front of what points at it."""
    if SIGNATURE + streams.position + sum(streams.packed) != end:
        raise Unsafe("7z-hidden", "Bytes stand between the parts of the 7z that belong to none of them.")


def _expect_all_packed(streams: Streams, window: Window, end: int) -> None:
    """Raise unless the files' data fills everything between the signature and the header."""
    if streams.position + sum(streams.packed) != end - SIGNATURE or streams.position:
        raise Unsafe("7z-hidden", "The 7z has bytes that belong to no file.")


def _split(window: Window, streams: Streams, scene: Scene) -> Iterator[Window]:
    """Yield the content of each stream inside each folder, after its checksum."""
    position, number = SIGNATURE + streams.position, 0
    for folder in streams.folders:
        packed = window.part(position, streams.packed[number])
        position, number = position + packed.size, number + 1
        whole = _unpack(packed, folder, scene)
        if folder.crc is not None:
            _check_sum(whole, folder.crc)
        offset = 0
        for size, crc in folder.sizes:
            content = whole.part(offset, size)
            offset += size
            if crc is not None:
                _check_sum(content, crc)
            yield content
        if offset != whole.size:
            raise Unsafe("7z-hidden", "The 7z holds content that belongs to no file.")


def _unpack(packed: Window, folder: Folder, scene: Scene) -> Window:
    """Return what a folder's coders make of its packed bytes, one after the other."""
    window = packed
    for coder, size in folder.chain:
        if size > scene.limits.memory_bytes and coder.method != COPY:
            raise Unreadable("too-large", f"A part of the 7z expands to {size:,} bytes, too many to read at once.")
        if coder.method == COPY:
            if window.size != size:
                raise Unsafe("7z-size-lie", "A stored part of the 7z has another size than it says.")
            continue
        window = _decode(window, coder, size, packed.size, scene)
    return window


def _decode(window: Window, coder: Coder, size: int, packed: int, scene: Scene) -> Window:
    """Return `size` bytes that one coder makes of a window. Raises Unreadable or Unsafe."""
    machine, window = _open(coder, window, size, scene.budget)
    stream = Stream(machine, size if coder.method == LZMA1 else None)
    kept: list[bytes] = []
    total = 0
    for piece in stream.read(window):
        total += len(piece)
        scene.budget.spend_expanded(len(piece), packed, total)
        if total > size:
            raise Unsafe("7z-size-lie", "A part of the 7z expands to more bytes than it says.")
        kept.append(piece)
    if total != size or (stream.ended and stream.left):
        raise Unreadable("7z-broken", "A part of the 7z is cut off, or has bytes behind its compressed data.")
    return in_memory(b"".join(kept), scene.budget)


def _open(coder: Coder, window: Window, size: int, budget: Budget) -> tuple[Decompressor, Window]:
    """Return the decompressor of a coder, and the bytes to feed it. Raises Unreadable for what is not read here."""
    if coder.method == LZMA1 and len(coder.settings) == 5:
        return open_lzma(coder.settings, size), window
    if coder.method == LZMA2 and len(coder.settings) == 1:
        return _raw([{"id": lzma.FILTER_LZMA2, "dict_size": _window_size(coder.settings[0], size)}]), window
    if coder.method == DEFLATE:
        return zlib.decompressobj(-zlib.MAX_WBITS), window
    if coder.method == BZIP2:
        return bz2.BZ2Decompressor(), window
    if coder.method in BRANCHES and not coder.settings:
        return _raw([{"id": BRANCHES[coder.method]}, {"id": lzma.FILTER_LZMA2}]), _wrap(window, budget)
    if coder.method == DELTA and len(coder.settings) == 1:
        distance = {"id": lzma.FILTER_DELTA, "dist": coder.settings[0] + 1}
        return _raw([distance, {"id": lzma.FILTER_LZMA2}]), _wrap(window, budget)
    if coder.method == ENCRYPTED:
        raise Unreadable("encrypted", "The 7z is encrypted, so it cannot be read.")
    raise Unreadable("7z-method", f"The 7z is compressed by method {coder.method.hex()}, which is not read.")


def _window_size(code: int, size: int) -> int:
    """Return the window that an LZMA2 setting asks for; no stream looks further back than it is long."""
    if code > 40:
        raise Unreadable("compressed-broken", "Compressed data has settings that cannot be.")
    asked = 0xFFFFFFFF if code == 40 else (2 | (code & 1)) << (code // 2 + 11)
    window = max(1 << 12, min(asked, size))
    if window > MEMORY:
        raise Unreadable("too-large", f"Compressed data asks for a window of {window:,} bytes.")
    return window


def _raw(filters: list[dict[str, int]]) -> Decompressor:
    """Return a decompressor of raw LZMA data."""
    return lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=filters)


def _wrap(window: Window, budget: Budget) -> Window:
    """Return bytes as stored chunks of LZMA2: liblzma runs a filter only in front of a compression that has an end."""
    wrapped = []
    for offset in range(0, window.size, 1 << 16):
        chunk = window.at(offset, min(1 << 16, window.size - offset))
        wrapped.append((b"\x02" if offset else b"\x01") + (len(chunk) - 1).to_bytes(2, "big") + chunk)
    return in_memory(b"".join(wrapped) + b"\0", budget)


def _check_sum(content: Window, crc: int) -> None:
    """Compare a content with the checksum that the 7z says. Raises Unsafe."""
    found = 0
    for chunk in content.chunks():
        found = zlib.crc32(chunk, found)
    if found != crc:
        raise Unsafe("7z-checksum", "A part of the 7z does not have the checksum that it says.")
