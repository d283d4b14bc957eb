"""Walks protocol buffer messages without a schema: field numbers, wire types and places. No values are interpreted.

Source: the Protocol Buffers encoding specification.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from governance.scanning.limits import Budget, Unreadable
from governance.scanning.opcodes import Source
from governance.scanning.reading import Window

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
LONGEST_VARINT = 10
IN_MEMORY = 32 << 20
TOGETHER = 64
Layout = Mapping[int, int]


class Field(NamedTuple):
    """One field: its number, its wire type, a number for varints, a place for bytes."""

    number: int
    wire: int
    value: int
    start: int
    size: int


class Message:
    """Messages inside a window. Small windows are read once, because a seek for each field is slow."""

    def __init__(self, window: Window, budget: Budget) -> None:
        self.window = window
        self.budget = budget
        self.data = window.head(window.size) if window.size <= IN_MEMORY else None
        self.stream: Source = window.stream()

    def fields(self, start: int, end: int) -> Iterator[Field]:
        """Yield the fields of the message at [start, end). Raises Unreadable where it is none."""
        position, count = start, 0
        while position < end:
            # The clock is not looked at for each of a million words of a vocabulary.
            if not count % TOGETHER:
                self.budget.spend_steps(TOGETHER if count else 1)
            count += 1
            field = self._field(position)
            position = field.start + field.size
            if position > end:
                raise Unreadable("truncated", "A field is longer than the message around it.")
            yield field

    def inside(self, field: Field, *numbers: int) -> Iterator[Field]:
        """Yield the byte fields of the message in a field; only those with the numbers asked for, if any are."""
        for item in self.fields(field.start, field.start + field.size):
            if item.wire == BYTES and (not numbers or item.number in numbers):
                yield item

    def fits(self, start: int, end: int, layout: Layout) -> set[int] | None:
        """Return the numbers of the fields at [start, end) when the layout knows every one with its wire type."""
        seen = set()
        try:
            for item in self.fields(start, end):
                if layout.get(item.number) != item.wire:
                    return None
                seen.add(item.number)
        except Unreadable:
            return None
        return seen

    def text(self, field: Field, longest: int = 4096) -> str:
        """Return a text field; longer ones are cut."""
        return self.raw(field, longest).decode("utf-8", "replace")

    def raw(self, field: Field, longest: int) -> bytes:
        """Return the bytes of a field; longer ones are cut."""
        return self._bytes(field.start, min(field.size, longest))

    def _field(self, position: int) -> Field:
        """Return the field that begins at a position."""
        data = self.data
        if data is not None and position + 1 < len(data):
            quick = self._quick(data, position)
            if quick is not None:
                return quick
        key, position = self._varint(position)
        number, wire = key >> 3, key & 7
        if number == 0:
            raise Unreadable("protobuf-broken", "A field has the number 0.")
        if wire == VARINT:
            value, position = self._varint(position)
            return Field(number, wire, value, position, 0)
        if wire == BYTES:
            size, position = self._varint(position)
            return Field(number, wire, 0, position, size)
        if wire in {FIXED64, FIXED32}:
            return Field(number, wire, 0, position, 8 if wire == FIXED64 else 4)
        raise Unreadable("protobuf-broken", f"A field has the unknown wire type {wire}.")

    @staticmethod
    def _quick(data: bytes, position: int) -> Field | None:
        """Return a field of bytes or a number whose key and length, or value, have one byte each, or None."""
        key, value = data[position], data[position + 1]
        if key < 0x80 and value < 0x80 and key > 7:
            if key & 7 == BYTES:
                return Field(key >> 3, BYTES, 0, position + 2, value)
            if key & 7 == VARINT:
                return Field(key >> 3, VARINT, value, position + 2, 0)
        return None

    def _varint(self, position: int) -> tuple[int, int]:
        """Return the variable-length number at a position, and where it ends."""
        value = 0
        for count, byte in enumerate(self._bytes(position, LONGEST_VARINT)):
            value |= (byte & 0x7F) << (7 * count)
            if byte < 0x80:
                return value, position + count + 1
            if count + 1 == LONGEST_VARINT:
                raise Unreadable("protobuf-broken", "A number has more than ten bytes.")
        raise Unreadable("truncated", "A message ends in the middle of a number.")

    def _bytes(self, position: int, count: int) -> bytes:
        """Return bytes from a position on, fewer at the end of the window."""
        if self.data is not None:
            return self.data[position : position + count]
        self.stream.seek(position)
        return self.stream.read(count)
