"""Parses the directory of a 7z archive: which packed streams there are, how they are coded, and which files they hold.

Source: 7zFormat.txt of the 7-Zip sources. Every count is bounded; what is never met in ordinary archives is an error.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from governance.scanning.limits import Unreadable

END, ARCHIVE_NOTES, OTHER_STREAMS, MAIN_STREAMS, FILES = 0, 2, 3, 4, 5
PACKED, UNPACKED, SUBSTREAMS, SIZES, SUMS = 6, 7, 8, 9, 0x0A
FOLDERS, CODED_SIZES, COUNTS = 0x0B, 0x0C, 0x0D
EMPTY, EMPTY_FILE, ANTI, NAMES, ATTRIBUTES = 0x0E, 0x0F, 0x10, 0x11, 0x15
SKIPPED = frozenset({0x12, 0x13, 0x14, 0x18, 0x19})  # times, start positions and padding
MOST_CODERS = 8
LARGEST_SETTINGS = 256


@dataclass(frozen=True)
class Coder:
    """One step of a folder's compression: the method's number and its settings."""

    method: bytes
    settings: bytes


@dataclass
class Folder:
    """Streams compressed together: the coders from packed to plain with each one's size, then sizes and checksums."""

    chain: list[tuple[Coder, int]]
    crc: int | None = None
    sizes: list[tuple[int, int | None]] = field(default_factory=list)

    @property
    def size(self) -> int:
        """Return the number of plain bytes."""
        return self.chain[-1][1]


@dataclass
class Streams:
    """Packed streams, where the first begins behind the signature, and the folders that they are."""

    position: int = 0
    packed: list[int] = field(default_factory=list)
    folders: list[Folder] = field(default_factory=list)


@dataclass(frozen=True)
class Entry:
    """One file or folder of the directory."""

    name: str
    has_stream: bool
    is_folder: bool
    is_anti: bool
    attributes: int


@dataclass(frozen=True)
class Directory:
    """Everything a header says."""

    streams: Streams
    files: tuple[Entry, ...]


class Bytes:
    """A cursor over a header. Every method raises Unreadable where the header ends too early."""

    def __init__(self, data: bytes, most: int) -> None:
        self.data = data
        self.most = most
        self.position = 0

    def take(self, count: int) -> bytes:
        """Return the next bytes."""
        if count < 0 or self.position + count > len(self.data):
            raise broken()
        self.position += count
        return self.data[self.position - count : self.position]

    def byte(self) -> int:
        """Return the next byte."""
        return self.take(1)[0]

    def number(self) -> int:
        """Return a number of 1 to 9 bytes; leading ones in the first byte count the bytes that follow."""
        first, value = self.byte(), 0
        for shift in range(8):
            if not first & (0x80 >> shift):
                return value | (first & ((0x80 >> shift) - 1)) << (8 * shift)
            value |= self.byte() << (8 * shift)
        return value

    def count(self) -> int:
        """Return a number of things, bounded."""
        found = self.number()
        if found > self.most:
            raise Unreadable("too-many-members", f"The 7z has more than {self.most:,} members or parts.")
        return found

    def expect(self, *kinds: int) -> int:
        """Return the next property's kind, which has to be one of some."""
        found = self.number()
        if found not in kinds:
            raise broken()
        return found

    def bits(self, count: int) -> list[bool]:
        """Return truth values, eight in a byte, the highest bit first."""
        data = self.take(-(-count // 8))
        return [bool(data[index // 8] & (0x80 >> index % 8)) for index in range(count)]

    def some(self, count: int) -> list[bool]:
        """Return which of some things are defined: all, or those whose bit is set."""
        return [True] * count if self.byte() else self.bits(count)

    def sums(self, count: int) -> list[int | None]:
        """Return checksums, None where one is not defined."""
        return [int.from_bytes(self.take(4), "little") if known else None for known in self.some(count)]


def broken() -> Unreadable:
    """Return the error for a header that makes no sense."""
    return Unreadable("7z-broken", "The header of the 7z cannot be read.")


def read_directory(data: bytes, most: int) -> Directory:
    """Return what a plain header says. Raises Unreadable."""
    source, streams, files = Bytes(data, most), Streams(), tuple[Entry, ...]()
    kind = source.number()
    if kind in {ARCHIVE_NOTES, OTHER_STREAMS}:
        raise Unreadable("7z-method", "The 7z has notes or streams of a kind that ordinary archives do not have.")
    if kind == MAIN_STREAMS:
        streams, kind = _read_streams(source), source.number()
    if kind == FILES:
        files, kind = tuple(_read_files(source)), source.number()
    if kind != END or source.position != len(data):
        raise broken()
    return Directory(streams, files)


def read_streams(data: bytes, most: int) -> Streams:
    """Return the streams of a compressed header. Raises Unreadable."""
    source = Bytes(data, most)
    streams = _read_streams(source)
    if source.position != len(data):
        raise broken()
    return streams


def _read_streams(source: Bytes) -> Streams:
    """Return packed streams, folders, and what they hold."""
    streams = Streams()
    kind = source.expect(PACKED, UNPACKED, SUBSTREAMS, END)
    if kind == PACKED:
        _read_packed(source, streams)
        kind = source.expect(UNPACKED, SUBSTREAMS, END)
    if kind == UNPACKED:
        _read_folders(source, streams)
        kind = source.expect(SUBSTREAMS, END)
    if len(streams.packed) != len(streams.folders):
        raise Unreadable("7z-method", "The 7z uses methods with several inputs, such as BCJ2, which are not read.")
    for folder in streams.folders:
        folder.sizes = [(folder.size, None)]
    if kind == SUBSTREAMS:
        _read_contents(source, streams)
        source.expect(END)
    return streams


def _read_packed(source: Bytes, streams: Streams) -> None:
    """Read where the packed streams are and how large."""
    streams.position, count = source.number(), source.count()
    while (kind := source.expect(SIZES, SUMS, END)) != END:
        if kind == SIZES:
            streams.packed = [source.number() for _ in range(count)]
        else:
            source.sums(count)
    if len(streams.packed) != count:
        raise broken()


def _read_folders(source: Bytes, streams: Streams) -> None:
    """Read how the streams are coded."""
    source.expect(FOLDERS)
    count = source.count()
    _expect_inside(source)
    coders = [_read_coders(source) for _ in range(count)]
    source.expect(CODED_SIZES)
    for chain, order in coders:
        sizes = [source.number() for _ in chain]
        streams.folders.append(Folder([(chain[index], sizes[index]) for index in order]))
    if source.expect(SUMS, END) == SUMS:
        for folder, crc in zip(streams.folders, source.sums(count), strict=True):
            folder.crc = crc
        source.expect(END)


def _read_coders(source: Bytes) -> tuple[list[Coder], list[int]]:
    """Return a folder's coders and their order from packed to plain, which has to be a chain."""
    chain = []
    count = source.number()
    if not 1 <= count <= MOST_CODERS:
        raise broken()
    for _ in range(count):
        flags = source.byte()
        method = source.take(flags & 0x0F)
        if flags & 0xC0 or (flags & 0x10 and (source.number(), source.number()) != (1, 1)):
            raise Unreadable("7z-method", "The 7z uses methods with several inputs, such as BCJ2, which are not read.")
        size = source.number() if flags & 0x20 else 0
        if size > LARGEST_SETTINGS:
            raise broken()
        chain.append(Coder(method, source.take(size)))
    # Each pair says which coder's output is whose input; the one whose input is nobody's output reads the packed bytes.
    feeds = {source.number(): source.number() for _ in range(count - 1)}
    if len(feeds) != count - 1 or not {*feeds, *feeds.values()} <= set(range(count)):
        raise broken()
    takers = {giver: taker for taker, giver in feeds.items()}
    first = [index for index in range(count) if index not in feeds]
    order = first[:1]
    while order and order[-1] in takers and len(order) < count:
        order.append(takers[order[-1]])
    if len(first) != 1 or sorted(order) != list(range(count)):
        raise broken()
    return chain, order


def _read_contents(source: Bytes, streams: Streams) -> None:
    """Read how many files each folder holds, their sizes and checksums."""
    counts = [1] * len(streams.folders)
    kind = source.expect(COUNTS, SIZES, SUMS, END)
    if kind == COUNTS:
        counts = [source.count() for _ in counts]
        if sum(counts) > source.most:
            raise Unreadable("too-many-members", f"The 7z has more than {source.most:,} members or parts.")
        kind = source.expect(SIZES, SUMS, END)
    for folder, count in zip(streams.folders, counts, strict=True):
        sizes = [source.number() for _ in range(count - 1)] if kind == SIZES else []
        last = folder.size - sum(sizes)
        if last < 0 or (count > 1 and kind != SIZES):
            raise broken()
        folder.sizes = [(size, None) for size in (*sizes, last)] if count else []
    if kind == SIZES:
        kind = source.expect(SUMS, END)
    if kind == SUMS:
        _read_sums(source, streams)
        source.expect(END)


def _read_sums(source: Bytes, streams: Streams) -> None:
    """Read the checksums of all contents but those that are a whole folder with a checksum of its own."""
    own = [not (len(folder.sizes) == 1 and folder.crc is not None) for folder in streams.folders]
    count = sum(len(folder.sizes) for folder, asked in zip(streams.folders, own, strict=True) if asked)
    found = iter(source.sums(count))
    for folder, asked in zip(streams.folders, own, strict=True):
        if asked:
            folder.sizes = [(size, next(found)) for size, _ in folder.sizes]


def _read_files(source: Bytes) -> Iterator[Entry]:
    """Yield the files and folders of the directory."""
    count = source.count()
    told: dict[int, Bytes] = {}
    while (kind := source.number()) != END:
        content = Bytes(source.take(source.number()), source.most)
        if kind in told or (kind not in SKIPPED and kind not in {EMPTY, EMPTY_FILE, ANTI, NAMES, ATTRIBUTES}):
            raise broken()
        if kind not in SKIPPED:
            told[kind] = content
    empty = told[EMPTY].bits(count) if EMPTY in told else [False] * count
    places = [index for index, is_empty in enumerate(empty) if is_empty]
    files = _among(told, EMPTY_FILE, places, count)
    anti = _among(told, ANTI, places, count)
    attributes = _read_attributes(told, count)
    for index, name in enumerate(_read_names(told, count)):
        is_folder = empty[index] and not files[index]
        yield Entry(name, not empty[index], is_folder, anti[index], attributes[index])


def _among(told: dict[int, Bytes], kind: int, places: list[int], count: int) -> list[bool]:
    """Return a truth value for every file from those that are told about the empty ones only."""
    found = [False] * count
    if kind in told:
        for place, value in zip(places, told[kind].bits(len(places)), strict=True):
            found[place] = value
    return found


def _read_names(told: dict[int, Bytes], count: int) -> list[str]:
    """Return the names."""
    if NAMES not in told:
        if count:
            raise broken()
        return []
    source = told[NAMES]
    _expect_inside(source)
    try:
        names = source.data[source.position :].decode("utf-16-le").split("\0")
    except UnicodeDecodeError as error:
        raise broken() from error
    if len(names) != count + 1 or names.pop():
        raise broken()
    return names


def _read_attributes(told: dict[int, Bytes], count: int) -> list[int]:
    """Return the attributes, 0 where none are told."""
    if ATTRIBUTES not in told:
        return [0] * count
    source = told[ATTRIBUTES]
    known = source.some(count)
    _expect_inside(source)
    return [struct.unpack("<L", source.take(4))[0] if each else 0 for each in known]


def _expect_inside(source: Bytes) -> None:
    """Raise unless what follows stands in the header itself and not in another stream."""
    if source.byte():
        raise Unreadable("7z-method", "The 7z keeps a part of its directory elsewhere, which is not read.")
