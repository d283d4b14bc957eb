"""Builds 7z and tar archives byte by byte for the scanner's tests, honest ones and ones with any lie asked for."""

from __future__ import annotations

import bz2
import lzma
import struct
import zlib
from collections.abc import Callable, Sequence

MAGIC = b"7z\xbc\xaf\x27\x1c"
LZMA1_SETTINGS = b"]" + struct.pack("<L", 1 << 16)
Files = Sequence[tuple[str, bytes]]


def _lzma1(data: bytes) -> bytes:
    """Return raw LZMA without an end mark, as 7-Zip writes it."""
    return lzma.compress(data, lzma.FORMAT_ALONE, filters=[{"id": lzma.FILTER_LZMA1, "dict_size": 1 << 16}])[13:]


def _lzma2(data: bytes) -> bytes:
    return lzma.compress(data, lzma.FORMAT_RAW, filters=[{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 16}])


def _delta(data: bytes) -> bytes:
    """Return the differences of neighbouring bytes."""
    return bytes((value - before) & 0xFF for value, before in zip(data, b"\0" + data, strict=False))


def _deflate(data: bytes) -> bytes:
    machine = zlib.compressobj(9, zlib.DEFLATED, -15)
    return machine.compress(data) + machine.flush()


# Method number, settings, and what makes packed bytes of plain ones.
METHODS: dict[str, tuple[bytes, bytes, Callable[[bytes], bytes]]] = {
    "copy": (b"\0", b"", lambda data: data),
    "lzma": (b"\x03\x01\x01", LZMA1_SETTINGS, _lzma1),
    "lzma2": (b"\x21", b"\x08", _lzma2),
    "deflate": (b"\x04\x01\x08", b"", _deflate),
    "bzip2": (b"\x04\x02\x02", b"", bz2.compress),
    "delta": (b"\x03", b"\0", _delta),
    "bcj": (b"\x03\x03\x01\x03", b"", lambda data: data),
    "ppmd": (b"\x03\x04\x01", b"\x06\0\0\1\0", lambda data: data),
    "bcj2": (b"\x03\x03\x01\x1b", b"", lambda data: data),
    "aes": (b"\x06\xf1\x07\x01", b"\x13\0", lambda data: data),
    "unknown": (b"\x7f", b"", lambda data: data),
}


def number(value: int) -> bytes:
    """Return a number in 7-Zip's own form."""
    for extra in range(8):
        if value < 1 << (7 * (extra + 1)):
            first = (0xFF00 >> extra) & 0xFF | value >> (8 * extra)
            return bytes([first]) + (value & ((1 << (8 * extra)) - 1)).to_bytes(extra, "little")
    return b"\xff" + value.to_bytes(8, "little")


def _streams(packed: bytes, plain: bytes, chain: Sequence[str], position: int, contents: Files, lie: int = 0) -> bytes:
    """Return the description of one folder; `chain` goes from plain to packed."""
    coders = b"".join(
        bytes([len(code) | (0x20 if settings else 0)]) + code + (number(len(settings)) + settings if settings else b"")
        for code, settings, _ in (METHODS[label] for label in chain)
    )
    pairs = b"".join(number(index) + number(index + 1) for index in range(len(chain) - 1))
    sizes = number(len(plain) + lie) * len(chain)
    out = b"\6" + number(position) + number(1) + b"\x09" + number(len(packed)) + b"\0"
    out += b"\7\x0b" + number(1) + b"\0" + number(len(chain)) + coders + pairs + b"\x0c" + sizes
    if not contents:
        return out + b"\x0a\1" + struct.pack("<L", zlib.crc32(plain)) + b"\0\0"
    out += b"\0\x08\x0d" + number(len(contents)) + b"\x09" + b"".join(number(len(data)) for _, data in contents[:-1])
    return out + b"\x0a\1" + b"".join(struct.pack("<L", zlib.crc32(data)) for _, data in contents) + b"\0\0"


def pack(data: bytes, chain: Sequence[str]) -> bytes:
    """Return what a chain of methods makes of bytes, the first of them on the plain ones."""
    for label in chain:
        data = METHODS[label][2](data)
    return data


def seven(
    files: Files,
    chain: Sequence[str] = ("lzma2",),
    *,
    folders: Sequence[str] = (),
    empty: Sequence[str] = (),
    modes: Sequence[int] = (),
    encoded: bool = False,
    suffix: bytes = b"",
    gap: bytes = b"",
    lie: int = 0,
    wrong_sum: bool = False,
    names: bytes | None = None,
) -> bytes:
    """Return a 7z whose files are one solid folder; `encoded` compresses the header too."""
    plain = b"".join(data for _, data in files)
    packed = pack(plain, chain)
    header = b"\1"
    if files:
        told = [(path, data[::-1] if wrong_sum else data) for path, data in files]
        header += b"\4" + _streams(packed, plain, chain, 0, told, lie)
    paths = [*(path for path, _ in files), *folders, *empty]
    title = b"\0" + ("\0".join(paths) + "\0").encode("utf-16-le") if names is None else names
    header += b"\5" + number(len(paths))
    if folders or empty:
        header += b"\x0e" + _sized(_bits([path in {*folders, *empty} for path in paths]))
        header += b"\x0f" + _sized(_bits([path in empty for path in (*folders, *empty)]))
    header += b"\x11" + _sized(title)
    if modes:
        header += b"\x15" + _sized(b"\1\0" + b"".join(struct.pack("<L", mode << 16 | 0x8000) for mode in modes))
    header += b"\0\0"
    body = packed + gap
    if encoded:
        squeezed = _lzma1(header)
        header, body = b"\x17" + _streams(squeezed, header, ("lzma",), len(body), ()), body + squeezed
    start = struct.pack("<QQL", len(body), len(header), zlib.crc32(header))
    return MAGIC + b"\0\4" + struct.pack("<L", zlib.crc32(start)) + start + body + header + suffix


def _sized(data: bytes) -> bytes:
    return number(len(data)) + data


def _bits(values: Sequence[bool]) -> bytes:
    text = "".join(str(int(value)) for value in values)
    return bytes(int(text[at : at + 8].ljust(8, "0"), 2) for at in range(0, len(text), 8))


def tar_member(
    path: str, data: bytes = b"", *, kind: bytes = b"0", link: str = "", mark: bytes = b"ustar\x0000", size: bytes = b""
) -> bytes:
    """Return one member of a tar with its padding."""
    told = size or b"%011o\0" % len(data)
    fields = (path.encode()[:100].ljust(100, b"\0"), b"0000644\0", b"0000000\0", b"0000000\0", told, b"00000000000\0")
    head = b"".join(fields) + b" " * 8 + kind + link.encode().ljust(100, b"\0") + mark
    head = head.ljust(512, b"\0")
    head = head[:148] + b"%06o\0 " % sum(head) + head[156:]
    return head + data + b"\0" * (-len(data) % 512)


def tar_file(*members: bytes, suffix: bytes = b"") -> bytes:
    """Return a tar of members."""
    return b"".join(members) + b"\0" * 1024 + suffix


def record(key: str, value: str) -> bytes:
    """Return one pax record."""
    body = f" {key}={value}\n".encode()
    size = len(body) + len(str(len(body) + len(str(len(body)))))
    return str(size).encode() + body


def pax(*records: tuple[str, str], kind: bytes = b"x") -> bytes:
    """Return a pax header."""
    return tar_member("PaxHeaders/x", b"".join(record(key, value) for key, value in records), kind=kind)
