"""How far long work is that tells no row: kept with the broker, for pages, and gone by itself.

It is told while a transaction is open, whose rows nobody else could see. Nothing depends on it: where the broker does
not answer, the work goes on untold. Exports keep theirs in their rows, because it keeps their lease alive as well.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

import redis

from portal.health import broker

logger = logging.getLogger(__name__)
KEY = "countersign:progress:{}"
BEAT = 1.0
# In seconds: how long the work of a process that was ended still looks as if it went on.
FORGOTTEN_AFTER = 600


class Told(NamedTuple):
    """How many things of how many are done."""

    done: int
    total: int


@contextmanager
def of(name: str, total: int) -> Iterator[Callable[[int], None]]:
    """Tell the progress of one piece of work while a block runs, by a function that hears how much is done.

    It tells what it hears once in a second at most, and always the end.
    """
    key, last = KEY.format(name), 0.0

    def tick(done: int) -> None:
        nonlocal last
        if time.monotonic() - last < BEAT and done < total:
            return
        last = time.monotonic()
        try:
            broker().set(key, f"{min(done, total)}/{total}", ex=FORGOTTEN_AFTER)
        except redis.RedisError:
            logger.warning("The broker does not take the progress of %s.", name, exc_info=True)

    tick(0)
    try:
        yield tick
    finally:
        with suppress(redis.RedisError):
            broker().delete(key)


def told(name: str) -> Told | None:
    """Return how far work of this name is, or None when none runs or nobody knows."""
    try:
        found = broker().get(KEY.format(name))
    except redis.RedisError:
        return None
    return Told(*map(int, found.split(b"/"))) if isinstance(found, bytes) else None
