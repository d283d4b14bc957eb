"""The bounds of a scan, and the one place where spending against them is counted."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

MEBIBYTE = 1 << 20
GIBIBYTE = 1 << 30


class Unreadable(Exception):
    """A file that cannot be judged: broken, encrypted, too deep, too large or too slow. The verdict is `error`."""

    def __init__(self, code: str, says: str) -> None:
        super().__init__(says)
        self.code = code
        self.says = says


class Unsafe(Exception):
    """A file that is shaped like an attack, so that reading on is pointless. The verdict is `rejected`."""

    def __init__(self, code: str, says: str) -> None:
        super().__init__(says)
        self.code = code
        self.says = says


@dataclass(frozen=True)
class Limits:
    """What one scan may cost: counts, bytes and seconds. The last four bind the child process only."""

    file_bytes: int = 64 * GIBIBYTE
    header_bytes: int = 100_000_000
    text_bytes: int = 64 * MEBIBYTE
    memory_bytes: int = GIBIBYTE
    expanded_bytes: int = 8 * GIBIBYTE
    ratio: int = 200
    ratio_floor_bytes: int = 4 * MEBIBYTE
    opcodes: int = 5_000_000
    members: int = 100_000
    depth: int = 4
    findings: int = 100
    wall_seconds: float = 180.0
    cpu_seconds: int = 150
    address_bytes: int = 4 * GIBIBYTE
    answer_bytes: int = 4 * MEBIBYTE


@dataclass
class Budget:
    """What has been spent so far in one scan; every method raises Unreadable when a limit is passed."""

    limits: Limits
    steps: int = 0
    members: int = 0
    expanded: int = 0
    bytes_read: int = 0
    started: float = field(default_factory=time.monotonic)

    def spend_steps(self, count: int) -> None:
        """Count opcodes or fields that were looked at, and look at the clock."""
        self.steps += count
        if self.steps > self.limits.opcodes:
            raise Unreadable("too-many-steps", f"It has more than {self.limits.opcodes:,} opcodes or fields.")
        self.check_clock()

    def spend_members(self, count: int) -> None:
        """Count the members of containers."""
        self.members += count
        if self.members > self.limits.members:
            raise Unreadable("too-many-members", f"It has more than {self.limits.members:,} members.")

    def spend_expanded(self, count: int, compressed: int, total: int) -> None:
        """Count decompressed bytes: `count` new ones, `total` so far out of `compressed` bytes of this stream."""
        self.expanded += count
        if self.expanded > self.limits.expanded_bytes:
            raise Unreadable("too-large", f"It expands to more than {self.limits.expanded_bytes:,} bytes.")
        if total > self.limits.ratio_floor_bytes and total > self.limits.ratio * max(compressed, 1):
            raise Unsafe("expansion-bomb", f"It expands to more than {self.limits.ratio} times its size.")
        self.check_clock()

    def check_clock(self) -> None:
        """Stop a scan that takes longer than its wall time."""
        if time.monotonic() - self.started > self.limits.wall_seconds:
            raise Unreadable("too-slow", f"Reading it took longer than {self.limits.wall_seconds:g} seconds.")

    def seconds(self) -> float:
        """Return the time since the scan began."""
        return time.monotonic() - self.started
