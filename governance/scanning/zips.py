"""Reads the structure of zip archives strictly: one way to read them, or no way. What members mean is in archives.py.

Loaders disagree about zips: some trust the central directory, some the local headers, some neither checksum. So both
must agree, cover every byte, and name every member once. Source: PKWARE APPNOTE 6.3.10; miniz as used by PyTorch.
"""

from __future__ import annotations

import bz2
import lzma
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from governance.scanning.compressed import MEMORY, Decompressor, Stream, Zstandard, open_lzma
from governance.scanning.limits import Unreadable, Unsafe
from governance.scanning.names import Names
from governance.scanning.reading import Window, in_memory
from governance.scanning.scene import Piece, Scene

END = struct.Struct("<4s4H2LH")
END64_LOCATOR = struct.Struct("<4sLQL")
END64 = struct.Struct("<4sQ2H2L4Q")
CENTRAL = struct.Struct("<4s6H3L5H2L")
LOCAL = struct.Struct("<4s5H3L2H")
FULL16, FULL32 = 0xFFFF, 0xFFFFFFFF
STORED, LZMA = 0, 14
HAS_DESCRIPTOR = 0x8
UTF8 = 0x800
SECRET = {0x1: "encrypted", 0x20: "patched data", 0x40: "strongly encrypted", 0x2000: "masked headers"}
UNIX = 3
LARGEST_DIRECTORY = 64 << 20
LZMA_HEADER = 9
# Besides the two that PyTorch reads: what Python's zipfile and newer archivers write.
METHODS: dict[int, Callable[[], Decompressor]] = {
    8: lambda: zlib.decompressobj(-zlib.MAX_WBITS),
    12: bz2.BZ2Decompressor,
    93: Zstandard,
    95: lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MEMORY),
}


@dataclass(frozen=True)
class Member:
    """One entry of the central directory, in bytes, with the offset of its local header and data."""

    raw_name: bytes
    name: str
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    offset: int
    mode: int


@dataclass(frozen=True)
class Place:
    """Where a member's header begins, its packed data begins, and everything of it ends."""

    member: Member
    start: int
    data: int
    end: int


def find_end(window: Window) -> int | None:
    """Return where the end record of a zip begins that reaches to the last byte, or None."""
    tail = window.tail(END.size + FULL16)
    found = None
    at = tail.rfind(b"PK\5\6")
    while at >= 0:
        if at + END.size <= len(tail) and at + END.size + int.from_bytes(tail[at + 20 : at + 22], "little") == len(
            tail
        ):
            if found is not None:
                raise Unsafe("zip-two-ends", "The zip has two directories; which one counts depends on the loader.")
            found = window.size - len(tail) + at
        at = tail.rfind(b"PK\5\6", 0, at)
    return found


def has_directory(window: Window) -> bool:
    """Return whether a file of any other kind can also be opened as a zip from its end."""
    end = find_end(window)
    if end is None:
        return False
    size = int.from_bytes(window.at(end + 12, 4), "little")
    start = end - size if size != FULL32 else 0
    return start >= 0 and (size == FULL32 or window.at(start, min(4, end - start)) in {b"PK\1\2", b""})


def read_members(piece: Piece, scene: Scene, appended: bool = False) -> list[tuple[Member, Window]]:
    """Return the members of a zip with windows over their packed data, in order. Raises Unreadable or Unsafe.

    An appended zip stands behind other content, which its caller has read.
    """
    window = piece.window
    end = find_end(window)
    if end is None:
        raise Unsafe("zip-suffix", "The zip does not end with its directory: bytes follow it, or it is cut off.")
    start, size, count = _read_end(window, end)
    scene.budget.spend_members(count)
    if size > LARGEST_DIRECTORY:
        raise Unreadable("too-large", f"The directory of the zip has {size:,} bytes.")
    members = list(_read_directory(window.at(start, size), count))
    _refuse_names(members)
    places = sorted((_place(window, member) for member in members), key=lambda place: place.start)
    _refuse_gaps(places, places[0].start if appended and places else 0, start)
    return [
        (place.member, window.part(place.data, place.member.packed))
        for place in places
        if not place.member.name.endswith("/")
    ]


def unpack(scene: Scene, member: Member, packed: Window, keep: bool = True) -> Window:
    """Return a member's bytes, checked against size and checksum; when they are not kept, the window is empty."""
    if member.method == STORED:
        crc = 0
        for chunk in packed.chunks():
            crc = zlib.crc32(chunk, crc)
        _check_sums(member, crc, packed.size)
        return packed
    if keep and member.size > scene.limits.memory_bytes:
        raise Unreadable("too-large", f"{member.name} expands to {member.size:,} bytes, too many to read at once.")
    kept, crc, total = [], 0, 0
    stream, packed = _open(member, packed)
    for chunk in stream.read(packed):
        crc, total = zlib.crc32(chunk, crc), total + len(chunk)
        scene.budget.spend_expanded(len(chunk), packed.size, total)
        if total > member.size:
            raise Unsafe("zip-size-lie", f"{member.name} expands to more bytes than the zip says.")
        if keep:
            kept.append(chunk)
    # Old LZMA may end without a mark of its own; then the size alone says where.
    if stream.left or not (stream.ended or (member.method == LZMA and total == member.size)):
        raise Unreadable("zip-broken", "A member of the zip is cut off, or has bytes behind its compressed data.")
    _check_sums(member, crc, total)
    return in_memory(b"".join(kept), scene.budget)


def _open(member: Member, packed: Window) -> tuple[Stream, Window]:
    """Return the stream of a member's compression, and the window over its compressed bytes alone."""
    if member.method != LZMA:
        return Stream(METHODS[member.method]()), packed
    # APPNOTE 5.8.8: version of the library, size of the settings, the settings, and then raw LZMA.
    header = packed.at(0, LZMA_HEADER)
    if int.from_bytes(header[2:4], "little") != LZMA_HEADER - 4:
        raise Unreadable("zip-broken", "A member of the zip has settings of LZMA that cannot be read.")
    return Stream(open_lzma(header[4:], member.size), member.size), packed.rest(LZMA_HEADER)


def _check_sums(member: Member, crc: int, size: int) -> None:
    """Compare what a member expanded to with what the directory says."""
    if size != member.size:
        raise Unsafe("zip-size-lie", f"{member.name[:120]} has {size:,} bytes; the zip says {member.size:,}.")
    if crc != member.crc:
        raise Unsafe("zip-checksum", f"{member.name[:120]} does not have the checksum that the zip says.")


def _read_end(window: Window, end: int) -> tuple[int, int, int]:
    """Return offset, size and number of entries of the central directory from the end records."""
    _, disk, first_disk, here, count, size, offset, _ = END.unpack(window.at(end, END.size))
    stop = end
    locator_at = end - END64_LOCATOR.size
    if locator_at >= 0 and window.at(locator_at, 4) == b"PK\6\7":
        _, _, stop, _ = END64_LOCATOR.unpack(window.at(locator_at, END64_LOCATOR.size))
        record = window.at(stop, END64.size)
        magic, length, _, _, disk64, first64, here64, count64, size64, offset64 = END64.unpack(record)
        if magic != b"PK\6\6" or stop + 12 + length != locator_at:
            raise Unsafe("zip-two-ends", "The 64-bit end record of the zip is not where the zip says.")
        for small, full, big in ((count, FULL16, count64), (size, FULL32, size64), (offset, FULL32, offset64)):
            if small not in {full, big}:
                raise Unsafe("zip-two-ends", "The two end records of the zip disagree.")
        disk, first_disk, here, count, size, offset = disk64, first64, here64, count64, size64, offset64
    if disk not in {0, FULL16} or first_disk not in {0, FULL16} or here != count:
        raise Unreadable("zip-parts", "The zip is spread over several files.")
    if offset + size != stop:
        raise Unsafe("zip-prefix", "The zip's directory is not where it says: bytes stand before or inside the zip.")
    return offset, size, count


def _read_directory(data: bytes, count: int) -> Iterator[Member]:
    """Yield the entries of the central directory."""
    position = 0
    for _ in range(count):
        if position + CENTRAL.size > len(data):
            raise Unreadable("zip-broken", "The directory of the zip has fewer entries than it says.")
        fields = CENTRAL.unpack_from(data, position)
        name_size, extra_size, comment_size = fields[10], fields[11], fields[12]
        raw = data[position + CENTRAL.size :][:name_size]
        extra = data[position + CENTRAL.size + name_size :][:extra_size]
        position += CENTRAL.size + name_size + extra_size + comment_size
        if fields[0] != b"PK\1\2" or position > len(data):
            raise Unreadable("zip-broken", "An entry in the directory of the zip cannot be read.")
        size, packed, offset = _wide(extra, fields[9], fields[8], fields[16])
        mode = fields[15] >> 16 if fields[1] >> 8 == UNIX else 0
        yield Member(raw, decode_name(raw, fields[3]), fields[3], fields[4], fields[7], packed, size, offset, mode)
    if position != len(data):
        raise Unsafe("zip-hidden", "Bytes stand behind the last entry of the zip's directory.")


def decode_name(raw: bytes, flags: int) -> str:
    """Return a member's name as text."""
    try:
        return raw.decode("utf-8" if flags & UTF8 else "cp437")
    except UnicodeDecodeError as error:
        raise Unsafe("zip-name", f"A name in the zip is not UTF-8: {raw[:60]!r}.") from error


def _wide(extra: bytes, size: int, packed: int, offset: int) -> tuple[int, int, int]:
    """Return size, packed size and offset, from the 64-bit extra field where the short ones are full."""
    wide = b""
    position = 0
    while position + 4 <= len(extra):
        tag, length = struct.unpack_from("<HH", extra, position)
        if tag == 1:
            if wide:
                raise Unsafe("zip-two-sizes", "An entry of the zip has two 64-bit size fields.")
            wide = extra[position + 4 : position + 4 + length]
        position += 4 + length
    values = [int.from_bytes(wide[at : at + 8], "little") for at in range(0, len(wide) - len(wide) % 8, 8)]
    full = [short == FULL32 for short in (size, packed, offset)]
    if sum(full) > len(values):
        raise Unreadable("zip-broken", "An entry of the zip lacks its 64-bit size.")
    found = [values.pop(0) if is_full else short for is_full, short in zip(full, (size, packed, offset), strict=True)]
    return found[0], found[1], found[2]


def _refuse_names(members: list[Member]) -> None:
    """Refuse names that lead out or hide something, encryption, and compressions that nobody here reads."""
    names = Names("zip")
    for member in members:
        names.add(member.name, member.mode)
        for bit, says in SECRET.items():
            if member.flags & bit:
                raise Unreadable("encrypted", f"{member.name[:120]} is marked as {says}, so it cannot be read.")
        if member.method not in {STORED, LZMA, *METHODS}:
            says = f"{member.name[:120]} is compressed by method {member.method}, which is not read."
            raise Unreadable("zip-method", says)
        if member.method == STORED and member.packed != member.size:
            raise Unsafe("zip-size-lie", f"{member.name[:120]} is stored, but its two sizes differ.")


def _place(window: Window, member: Member) -> Place:
    """Return where a member lies, after comparing its local header with the directory."""
    header = window.at(member.offset, LOCAL.size)
    magic, _, flags, method, _, _, crc, packed, size, name_size, extra_size = LOCAL.unpack(header)
    names = window.at(member.offset + LOCAL.size, name_size + extra_size)
    if magic != b"PK\3\4":
        raise Unsafe("zip-mismatch", f"{member.name[:120]} has no local header where the directory points.")
    if names[:name_size] != member.raw_name or method != member.method or (flags ^ member.flags) & ~0x6:
        raise Unsafe("zip-mismatch", f"{member.name[:120]} is described differently by its local header.")
    size, packed, _ = _wide(names[name_size:], size, packed, 0)
    said = (crc, packed, size)
    true = (member.crc, member.packed, member.size)
    if said != true and not (flags & HAS_DESCRIPTOR and all(a in {0, b} for a, b in zip(said, true, strict=True))):
        raise Unsafe("zip-mismatch", f"{member.name[:120]} has other sizes or another checksum in its local header.")
    data = member.offset + LOCAL.size + name_size + extra_size
    end = data + member.packed
    if flags & HAS_DESCRIPTOR:
        end += _descriptor_size(window, end, true)
    return Place(member, member.offset, data, end)


def _descriptor_size(window: Window, at: int, true: tuple[int, int, int]) -> int:
    """Return the size of the record behind a member's data that repeats checksum and sizes."""
    record = window.at(at, min(24, window.size - at))
    for mark in (b"PK\7\x08", b""):
        for layout in ("<LQQ", "<LLL"):
            try:
                expected = mark + struct.pack(layout, *true)
            except struct.error:
                continue
            if record.startswith(expected):
                return len(expected)
    raise Unsafe("zip-mismatch", "A member of the zip is described differently by the record behind it.")


def _refuse_gaps(places: list[Place], begin: int, directory: int) -> None:
    """Refuse bytes that belong to no member, and members that share bytes."""
    position = begin
    for place in places:
        if place.start != position:
            raise Unsafe("zip-hidden", f"Bytes before {place.member.name[:120]} belong to no member, or to two.")
        position = place.end
    if position != directory:
        raise Unsafe("zip-hidden", "Bytes before the directory of the zip belong to no member.")
