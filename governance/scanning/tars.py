"""Reads tar archives strictly: ordinary files only, one way to read each header, and nothing behind the end.

Sources: POSIX.1-2024 pax, ustar interchange format; GNU tar manual, "Basic Tar Format". What PyTorch's oldest format
keeps in a tar is read by torch_tars.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from governance.scanning import torch_tars
from governance.scanning.limits import Unreadable, Unsafe
from governance.scanning.names import Names
from governance.scanning.reading import Window
from governance.scanning.scene import Piece, Scene

BLOCK = 512
LONGEST_NOTE = 1 << 20
FILE, FOLDER, LONG_NAME, PAX, PAX_FOR_ALL = b"0\0" + b"7", b"5", b"L", b"x", b"g"
# Remarks that pax headers carry and that change nothing about what is read.
REMARKS = (
    "comment",
    "atime",
    "ctime",
    "mtime",
    "uid",
    "gid",
    "uname",
    "gname",
    "charset",
    "hdrcharset",
    "SCHILY.fflags",
)
REMARK_FAMILIES = ("LIBARCHIVE.", "SCHILY.xattr.", "RHT.", "SCHILY.acl.", "SCHILY.dev", "SCHILY.ino", "SCHILY.nlink")


@dataclass(frozen=True)
class Header:
    """One header block: its kind, name and size, before any note in front of it has changed them."""

    kind: bytes
    name: str
    size: int


def looks_like(head: bytes) -> bool:
    """Return whether the first block is a tar header: old ones have no mark, only a checksum."""
    return len(head) >= BLOCK and head[0] != 0 and _sum_is_right(head[:BLOCK])


def read(piece: Piece, scene: Scene) -> str:
    """Judge every member of a tar, and return what kind it is. Raises Unreadable or Unsafe."""
    members = dict(read_members(piece.window, scene))
    if torch_tars.is_one(set(members)):
        torch_tars.read(piece, scene, members)
        return "torch-legacy"
    for name, content in members.items():
        scene.inspect(scene.nested(piece, content, name), scene)
    return "tar"


def read_members(window: Window, scene: Scene) -> Iterator[tuple[str, Window]]:
    """Yield name and content of each file. Raises Unreadable or Unsafe."""
    names, notes = Names("tar"), dict[str, str]()
    position = 0
    while position + BLOCK <= window.size:
        block = window.at(position, BLOCK)
        if not block.strip(b"\0"):
            break
        scene.budget.spend_members(1)
        header = read_header(block)
        # Members fill whole blocks, so what lacks its last block's rest is cut off.
        padded = window.part(position + BLOCK, -(-header.size // BLOCK) * BLOCK)
        content = padded.part(0, header.size)
        position += BLOCK + padded.size
        if header.kind in {LONG_NAME, PAX, PAX_FOR_ALL}:
            notes |= read_notes(header, content)
            continue
        name = notes.get("path", header.name)
        if header.kind not in FILE or "linkpath" in notes:
            _refuse_kind(header, name)
        names.add(name)
        if notes:
            # Readers that know nothing of notes use the header's own name.
            Names("tar").add(header.name)
        # Before POSIX a folder was an empty file whose name ends in a slash.
        if header.kind != FOLDER and not name.endswith("/"):
            yield name, content
        elif header.size:
            raise Unsafe("tar-hidden", f"The folder {name[:120]} has content, which some readers would not skip.")
        notes = {}
    if notes:
        raise Unreadable("tar-broken", "The tar ends behind a note about a member that is not there.")
    _refuse_rest(window, position)


def read_header(block: bytes) -> Header:
    """Return what a header block says. Raises Unreadable when its checksum or a number in it is wrong."""
    if not _sum_is_right(block):
        raise Unreadable("tar-broken", "A header of the tar does not have the checksum that it says.")
    name = _text(block[:100])
    # GNU's own variant keeps times where POSIX has the beginning of long names.
    if block[257:263] == b"ustar\0" and (prefix := _text(block[345:500])):
        name = f"{prefix}/{name}"
    return Header(block[156:157], name, _number(block[124:136]))


def read_notes(header: Header, content: Window) -> dict[str, str]:
    """Return what a GNU long name or a pax header says about the next member. Raises Unreadable or Unsafe."""
    if content.size > LONGEST_NOTE:
        raise Unreadable("too-large", f"A note about a member of the tar has {content.size:,} bytes.")
    data = content.head(content.size)
    if header.kind == LONG_NAME:
        return {"path": _text(data)}
    found = {}
    for key, value in _split_records(data):
        if key in REMARKS or key.startswith(REMARK_FAMILIES):
            continue
        if header.kind == PAX_FOR_ALL or key not in {"path", "linkpath"}:
            # Sizes and sparse maps that only some readers believe make one tar into two.
            raise Unsafe(
                "tar-note", f"The tar changes {key[:60]!r} of a member by a note that readers treat differently."
            )
        if key in found:
            raise Unsafe("tar-note", f"The tar says {key[:60]!r} twice about the same member.")
        found[key] = value
    return found


def _split_records(data: bytes) -> Iterator[tuple[str, str]]:
    """Yield key and value of each pax record: its length, a space, key=value, and a line end."""
    while data:
        digits, _, _ = data.partition(b" ")
        if not digits.isdigit() or len(digits) > 8 or not len(digits) + 3 <= int(digits) <= len(data):
            raise Unreadable("tar-broken", "A note about a member of the tar cannot be read.")
        record, data = data[len(digits) + 1 : int(digits)], data[int(digits) :]
        key, mark, value = record[:-1].partition(b"=")
        if not mark or record[-1:] != b"\n":
            raise Unreadable("tar-broken", "A note about a member of the tar cannot be read.")
        yield _decode(key), _decode(value)


def _refuse_kind(header: Header, name: str) -> None:
    """Refuse everything that is neither an ordinary file nor a folder."""
    if header.kind == FOLDER:
        return
    if header.kind == b"S":
        raise Unreadable("tar-sparse", f"{name[:120]} is a sparse file, which is not read.")
    if header.kind in b"12346" or header.kind == b"K":
        raise Unsafe("tar-link", f"{name[:120]} is a link or a device, not a file.")
    raise Unreadable("tar-kind", f"{name[:120]} is of a kind {header.kind!r} that is not read.")


def _sum_is_right(block: bytes) -> bool:
    """Return whether a header's checksum is the sum of its bytes, with blanks in the checksum's place."""
    digits = block[148:156].strip(b" \0")
    if not digits or any(digit not in b"01234567" for digit in digits):
        return False
    return int(digits, 8) == sum(block) - sum(block[148:156]) + 8 * ord(" ")


def _number(field: bytes) -> int:
    """Return a size: octal digits, or in GNU's form for large ones a number behind a set bit."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    digits = field.rstrip(b"\0 ").lstrip(b" ")
    if not digits or any(digit not in b"01234567" for digit in digits):
        raise Unreadable("tar-broken", "The size of a member of the tar is not a number.")
    return int(digits, 8)


def _text(field: bytes) -> str:
    """Return a text up to its first zero byte."""
    return _decode(field.partition(b"\0")[0])


def _decode(data: bytes) -> str:
    """Return bytes as text; what is not UTF-8 stays recognisable."""
    return data.decode("utf-8", "surrogateescape")


def _refuse_rest(window: Window, position: int) -> None:
    """Refuse bytes other than zeros behind the last member: another archive may be laid behind this one."""
    if position < window.size and any(chunk.strip(b"\0") for chunk in window.rest(position).chunks()):
        raise Unsafe("trailing-bytes", "Bytes follow the last member of the tar.")
