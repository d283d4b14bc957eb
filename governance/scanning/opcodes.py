"""Reads the opcodes of a pickle one by one, as the standard library's unpickler would, without keeping large payloads.

The table of opcodes is `pickletools.opcodes`. Unlike `pickletools.genops` a long byte string is not read into memory:
it becomes a Blob, a place in the file. What opcodes mean is the machine's business (pickles.py).
"""

from __future__ import annotations

import codecs
import io
import pickletools
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from governance.scanning.limits import Unreadable

LONGEST_TEXT = 1 << 16
LONGEST_LINE = 1 << 26
LARGEST_LONG = 1 << 16


class Malformed(Exception):
    """Bytes that the unpickler itself would stop at."""

    def __init__(self, code: str, says: str) -> None:
        super().__init__(says)
        self.code = code
        self.says = says


@dataclass(frozen=True, slots=True)
class Blob:
    """A byte string in the pickle, by its place in the window it was read from."""

    start: int
    size: int


@dataclass(frozen=True, slots=True)
class LongText:
    """A text too long to be a name or a setting; only its length in bytes is known."""

    size: int


Literal = int | float | str | bool | None | Blob | LongText
Argument = Literal | tuple[str, str]
Source = io.BufferedReader


def take(stream: Source, count: int) -> bytes:
    """Return exactly `count` bytes. Raises Malformed at the end of the stream."""
    data = stream.read(count)
    if len(data) != count:
        raise Malformed("no-stop", "The pickle ends before its STOP opcode.")
    return data


def take_line(stream: Source) -> bytes:
    """Return one line without its newline. Raises Malformed when there is none, Unreadable when it is too long.

    Protocol 0 writes whole arrays as one line.
    """
    line = stream.readline(LONGEST_LINE)
    if len(line) == LONGEST_LINE:
        raise Unreadable("too-large", f"The pickle has a line of more than {LONGEST_LINE:,} bytes.")
    if not line.endswith(b"\n"):
        raise Malformed("no-stop", "The pickle ends, or has a line without an end, before its STOP opcode.")
    return line[:-1]


def unsigned(count: int) -> Callable[[Source], int]:
    """Return a reader of little-endian unsigned numbers of `count` bytes."""
    return lambda stream: int.from_bytes(take(stream, count), "little")


def skip(stream: Source, count: int) -> int:
    """Step over `count` bytes that must be there; return where they began."""
    start = stream.tell()
    if count > stream.raw.size - start:  # type: ignore[attr-defined]
        raise Malformed("no-stop", f"The pickle announces {count:,} bytes that are not there.")
    stream.seek(start + count)
    return start


def blob(width: int) -> Callable[[Source], Blob]:
    """Return a reader of byte strings whose length has `width` bytes."""

    def read(stream: Source) -> Blob:
        count = int.from_bytes(take(stream, width), "little")
        return Blob(skip(stream, count), count)

    return read


def text(width: int, encoding: str) -> Callable[[Source], str | LongText]:
    """Return a reader of texts whose length has `width` bytes."""

    def read(stream: Source) -> str | LongText:
        count = int.from_bytes(take(stream, width), "little", signed=encoding == "latin-1" and width == 4)
        if count < 0:
            raise Malformed("bad-argument", "The pickle has a text of negative length.")
        if count > LONGEST_TEXT:
            skip(stream, count)
            return LongText(count)
        return decode(take(stream, count), encoding)

    return read


def decode(data: bytes, encoding: str) -> str:
    """Return the text in bytes as the unpickler decodes it. Raises Malformed."""
    try:
        return data.decode(encoding, "surrogatepass" if encoding == "utf-8" else "strict")
    except UnicodeDecodeError as error:
        raise Malformed("bad-argument", f"The pickle has a text that is not {encoding}: {error.reason}.") from error


def long_number(width: int) -> Callable[[Source], int]:
    """Return a reader of signed numbers whose length has `width` bytes."""

    def read(stream: Source) -> int:
        count = int.from_bytes(take(stream, width), "little", signed=width == 4)
        if not 0 <= count <= LARGEST_LONG:
            raise Malformed("bad-argument", f"The pickle has a whole number of {count:,} bytes.")
        return int.from_bytes(take(stream, count), "little", signed=True)

    return read


def line_number(stream: Source) -> int | bool:
    """Return the number on a line; INT also writes the truth values as 00 and 01."""
    line = take_line(stream)
    if line in {b"00", b"01"}:
        return line == b"01"
    try:
        return int(line.removesuffix(b"L"), 0)
    except ValueError as error:
        raise Malformed("bad-argument", f"The pickle has {line[:40]!r} where a whole number belongs.") from error


def line_index(stream: Source) -> int:
    """Return the memo index on a line."""
    line = take_line(stream)
    try:
        return int(line)
    except ValueError as error:
        raise Malformed("bad-argument", f"The pickle has {line[:40]!r} where a memo index belongs.") from error


def line_float(stream: Source) -> float:
    """Return the floating-point number on a line."""
    line = take_line(stream)
    try:
        return float(line)
    except ValueError as error:
        raise Malformed("bad-argument", f"The pickle has {line[:40]!r} where a number belongs.") from error


def eight_byte_float(stream: Source) -> float:
    """Step over a binary floating-point number; its value decides nothing."""
    take(stream, 8)
    return 0.5


def shorten(value: str) -> str | LongText:
    """Return a text, or only its length when it is too long to be a name or a setting."""
    return value if len(value) <= LONGEST_TEXT else LongText(len(value))


def quoted_line(stream: Source) -> str | LongText:
    """Return the text of a STRING opcode: quoted, with backslash escapes."""
    line = take_line(stream)
    if len(line) < 2 or line[:1] != line[-1:] or line[:1] not in {b"'", b'"'}:
        raise Malformed("bad-argument", "The pickle has a STRING whose quotes do not match.")
    try:
        # Unknown escapes are kept by the unpickler, which warns; the warning is nobody's business here.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            data, _ = codecs.escape_decode(line[1:-1])
    except ValueError as error:
        raise Malformed("bad-argument", "The pickle has a STRING with a broken escape.") from error
    return shorten(data.decode("latin-1"))  # type: ignore[attr-defined]


def two_lines(stream: Source) -> tuple[str, str]:
    """Return module and name of a GLOBAL or INST opcode."""
    return decode(take_line(stream), "utf-8"), decode(take_line(stream), "utf-8")


READERS: dict[str, Callable[[Source], Argument]] = {
    "uint1": unsigned(1),
    "uint2": unsigned(2),
    "uint4": unsigned(4),
    "uint8": unsigned(8),
    "int4": lambda stream: int.from_bytes(take(stream, 4), "little", signed=True),
    "stringnl": quoted_line,
    "stringnl_noescape": lambda stream: decode(take_line(stream), "utf-8"),
    "stringnl_noescape_pair": two_lines,
    "unicodestringnl": lambda stream: shorten(decode(take_line(stream), "raw-unicode-escape")),
    "decimalnl_short": line_number,
    "decimalnl_long": line_number,
    "floatnl": line_float,
    "float8": eight_byte_float,
    "string1": text(1, "latin-1"),
    "string4": text(4, "latin-1"),
    "bytes1": blob(1),
    "bytes4": blob(4),
    "bytes8": blob(8),
    "bytearray8": blob(8),
    "unicodestring1": text(1, "utf-8"),
    "unicodestring4": text(4, "utf-8"),
    "unicodestring8": text(8, "utf-8"),
    "long1": long_number(1),
    "long4": long_number(4),
}

TABLE: dict[bytes, tuple[str, Callable[[Source], Argument] | None]] = {
    op.code.encode("latin-1"): (op.name, READERS[op.arg.name] if op.arg else None) for op in pickletools.opcodes
}
TABLE |= {code.encode(): (name, line_index) for code, name in (("p", "PUT"), ("g", "GET"))}


def read_opcodes(stream: Source, count: Callable[[int], None]) -> Iterator[tuple[str, Argument]]:
    """Yield name and argument of each opcode up to and including STOP.

    `count` is told of every thousand opcodes. Raises Malformed where the unpickler would stop, and Unreadable.
    """
    steps = 0
    while True:
        code = stream.read(1)
        entry = TABLE.get(code)
        if entry is None:
            if not code:
                raise Malformed("no-stop", "The pickle ends before its STOP opcode.")
            raise Malformed("bad-opcode", f"The pickle has {code!r} where an opcode belongs.")
        name, reader = entry
        steps += 1
        if steps % 1000 == 0:
            count(1000)
        yield name, reader(stream) if reader else None
        if name == "STOP":
            count(steps % 1000)
            return


__all__ = ["Argument", "Blob", "LongText", "Malformed", "Unreadable", "read_opcodes"]
