"""Builds zip files member by member, so that tests can make them lie; zstd members included."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import zstandard


@dataclass(frozen=True)
class Member:
    """One member, with everything that its headers say about it."""

    name: str
    content: bytes
    method: int = 93
    flags: int = 0x800
    said_size: int | None = None
    said_crc: int | None = None
    local_name: str | None = None
    packed: bytes | None = None

    def lying(self, **changes: Any) -> Member:
        """Return a copy that says something else."""
        return replace(self, **changes)

    def bytes_stored(self) -> bytes:
        """Return the compressed bytes."""
        if self.packed is not None:
            return self.packed
        if self.method == 93:
            return zstandard.ZstdCompressor().compress(self.content)
        if self.method == 8:
            squeeze = zlib.compressobj(wbits=-15)
            return squeeze.compress(self.content) + squeeze.flush()
        return self.content


def as_member(name: str, value: Any, **more: Any) -> Member:
    """Return a member that holds a value as JSON."""
    return Member(name, json.dumps(value).encode(), **more)


def zipped(members: Iterable[Member]) -> bytes:
    """Return a zip file."""
    body, directory = b"", b""
    count = 0
    for member in members:
        stored = member.bytes_stored()
        size = len(member.content) if member.said_size is None else member.said_size
        crc = zlib.crc32(member.content) if member.said_crc is None else member.said_crc
        name, local = member.name.encode(), (member.local_name or member.name).encode()
        sizes = (member.flags, member.method, 0, 0x21, crc, len(stored), size)
        directory += (
            struct.pack("<4s6H3I5H2I", b"PK\x01\x02", 63, 63, *sizes, len(name), 0, 0, 0, 0, 0, len(body)) + name
        )
        body += struct.pack("<4s5H3I2H", b"PK\x03\x04", 63, *sizes, len(local), 0) + local + stored
        count += 1
    return body + directory + struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, count, count, len(directory), len(body), 0)
