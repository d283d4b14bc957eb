"""Walks protocol buffer messages without a schema: field numbers, wire types and places. No values are interpreted.

Source: the Protocol Buffers encoding specification.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from governance.scanning.limits import Budget, Unreadable
from governance.scanning.opcodes import Source
from governance.scanning.reading import Window

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
LONGEST_VARINT = 10


@dataclass(frozen=True, slots=True)
class Field:
    """One field: its number, its wire type, a number for varints, a place for bytes."""

    number: int
    wire: int
    value: int
    start: int
    size: int


class Message:
    """A message inside a window, at [start, end)."""

    def __init__(self, window: Window, budget: Budget) -> None:
        self.window = window
        self.budget = budget
        self.stream: Source = window.stream()

    def fields(self, start: int, end: int) -> Iterator[Field]:
        """Yield the fields of the message at [start, end). Raises Unreadable where it is none."""
        position = start
        while position < end:
            self.budget.spend_steps(1)
            self.stream.seek(position)
            key = self._varint()
            number, wire = key >> 3, key & 7
            if number == 0:
                raise Unreadable("protobuf-broken", "A field has the number 0.")
            field = self._field(number, wire)
            position = field.start + field.size
            if position > end:
                raise Unreadable("truncated", "A field is longer than the message around it.")
            yield field

    def text(self, field: Field, longest: int = 4096) -> str:
        """Return a text field; longer ones are cut."""
        data = self.window.at(field.start, min(field.size, longest))
        return data.decode("utf-8", "replace")

    def _field(self, number: int, wire: int) -> Field:
        """Return the field whose key was just read."""
        if wire == VARINT:
            value = self._varint()
            return Field(number, wire, value, self.stream.tell(), 0)
        if wire == BYTES:
            size = self._varint()
            return Field(number, wire, 0, self.stream.tell(), size)
        if wire in {FIXED64, FIXED32}:
            return Field(number, wire, 0, self.stream.tell(), 8 if wire == FIXED64 else 4)
        raise Unreadable("protobuf-broken", f"A field has the unknown wire type {wire}.")

    def _varint(self) -> int:
        """Return the variable-length number at the stream's position."""
        value = 0
        for shift in range(LONGEST_VARINT):
            byte = self.stream.read(1)
            if not byte:
                raise Unreadable("truncated", "A message ends in the middle of a number.")
            value |= (byte[0] & 0x7F) << (7 * shift)
            if byte[0] < 0x80:
                return value
        raise Unreadable("protobuf-broken", "A number has more than ten bytes.")
