"""Time-ordered identifiers: UUID version 7 of RFC 9562 §5.7, strictly increasing within one process."""

from __future__ import annotations

import os
import threading
import time
import uuid

COUNTER_BITS = 12


class _Clock:
    """Milliseconds and a counter below them, never the same twice."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = 0

    def tick(self) -> int:
        """Return Unix time in 2**-12 milliseconds, or one more than last time when the clock did not go on."""
        now = (time.time_ns() << COUNTER_BITS) // 1_000_000
        with self._lock:
            self._last = max(now, self._last + 1)
            return self._last


_clock = _Clock()


def uuid7() -> uuid.UUID:
    """Return a UUID of version 7: 48 bits of Unix milliseconds, a 12-bit counter, 62 random bits.

    The counter begins as the fraction of the millisecond and then counts up, so that two identifiers of one process
    sort in the order in which they were made even when the clock stands still or steps back.
    """
    ticks = _clock.tick()
    random = int.from_bytes(os.urandom(8)) & ((1 << 62) - 1)
    counter = ticks & ((1 << COUNTER_BITS) - 1)
    return uuid.UUID(int=(ticks >> COUNTER_BITS) << 80 | 0x7 << 76 | counter << 64 | 0b10 << 62 | random)
