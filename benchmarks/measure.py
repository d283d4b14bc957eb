"""How a figure is taken: medians of several runs, and what the machine was."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable
from typing import Any


def seconds(work: Callable[[], Any], *, runs: int = 5) -> float:
    """Return the median wall time of some runs, after one that does not count."""
    work()
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def once(work: Callable[[], Any]) -> float:
    """Return the wall time of work that cannot be repeated."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def machine() -> str:
    """Return what this machine is."""
    model = platform.processor() or platform.machine()
    return f"{os.cpu_count()} cores, {model}, Python {platform.python_version()}, load {os.getloadavg()[0]:.1f}"


def say(name: str, value: str, note: str = "") -> None:
    """Print one figure."""
    print(f"{name:<46} {value:>16}   {note}")
