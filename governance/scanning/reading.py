"""Bounded, read-only views of bytes: the only way format readers see a file. Nothing here knows a format."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import BinaryIO

from governance.scanning.limits import Budget, Unreadable

CHUNK = 1 << 20
BUFFER = 1 << 16


@dataclass(frozen=True)
class Window:
    """The bytes [start, start + size) of a seekable binary handle."""

    handle: BinaryIO
    start: int
    size: int
    budget: Budget

    def part(self, offset: int, size: int) -> Window:
        """Return a window inside this one. Raises Unreadable when it would stick out."""
        if offset < 0 or size < 0 or offset + size > self.size:
            raise Unreadable("truncated", f"{size:,} bytes are announced at {offset:,}, but it ends at {self.size:,}.")
        return replace(self, start=self.start + offset, size=size)

    def rest(self, offset: int) -> Window:
        """Return everything from an offset on."""
        return self.part(offset, self.size - offset)

    def at(self, offset: int, count: int) -> bytes:
        """Return exactly `count` bytes from an offset. Raises Unreadable when there are fewer."""
        part = self.part(offset, count)
        self.handle.seek(part.start)
        data = self.handle.read(count)
        self.budget.bytes_read += len(data)
        if len(data) != count:
            raise Unreadable("truncated", f"Only {len(data):,} of {count:,} bytes could be read at {offset:,}.")
        return data

    def head(self, count: int) -> bytes:
        """Return the first bytes, fewer when the window is smaller."""
        return self.at(0, min(count, self.size))

    def tail(self, count: int) -> bytes:
        """Return the last bytes, fewer when the window is smaller."""
        count = min(count, self.size)
        return self.at(self.size - count, count)

    def chunks(self) -> Iterator[bytes]:
        """Yield the whole window in pieces of one mebibyte, watching the clock."""
        for offset in range(0, self.size, CHUNK):
            self.budget.check_clock()
            yield self.at(offset, min(CHUNK, self.size - offset))

    def stream(self) -> io.BufferedReader:
        """Return a buffered binary stream over the window, positioned at its beginning."""
        return io.BufferedReader(Joined((self,)), BUFFER)


class Joined(io.RawIOBase):
    """A read-only, seekable stream over windows laid end to end."""

    def __init__(self, windows: tuple[Window, ...]) -> None:
        super().__init__()
        self.windows = windows
        self.size = sum(window.size for window in windows)
        self.position = 0

    def readable(self) -> bool:
        """Say that this stream can be read."""
        return True

    def seekable(self) -> bool:
        """Say that this stream can be positioned."""
        return True

    def tell(self) -> int:
        """Return the position in bytes."""
        return self.position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a position in bytes; it never goes before the beginning."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self.position, io.SEEK_END: self.size}[whence]
        self.position = max(0, base + offset)
        return self.position

    def readinto(self, buffer: object) -> int:
        """Fill a buffer from the window the position is in; return the number of bytes."""
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        passed = 0
        for window in self.windows:
            inside = self.position - passed
            if inside < window.size:
                data = window.at(inside, min(len(view), window.size - inside))
                view[: len(data)] = data
                self.position += len(data)
                return len(data)
            passed += window.size
        return 0


def in_memory(data: bytes, budget: Budget) -> Window:
    """Return a window over bytes that were expanded into memory."""
    return Window(io.BytesIO(data), 0, len(data), budget)
