"""Is the portal well? Two pages for machines, and one sentence for people when the clock is silent.

The heartbeat lives in the broker: it is written by a worker that the clock rang, so its age proves all three.
What counts as due work or as a fault is registered by the apps; this module knows none of them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import cache

import redis
from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.db import DatabaseError, connection
from django.http import HttpRequest, JsonResponse
from django.utils import timezone
from django.views.decorators.http import require_safe
from redis.backoff import NoBackoff
from redis.retry import Retry

logger = logging.getLogger(__name__)

TICK_KEY = "countersign:tick"
SILENT_AFTER = timedelta(seconds=60)
BROKER_TIMEOUT = 2.0

_due: dict[str, Callable[[], int]] = {}
_faults: dict[str, Callable[[], str]] = {}


def register_due(name: str, count: Callable[[], int]) -> None:
    """Show a count of rows that wait for a worker under this name. A second registration replaces the first."""
    _due[name] = count


def register_fault(name: str, find: Callable[[], str]) -> None:
    """Ask for a sentence about what is wrong, empty when nothing is. A second registration replaces the first.

    Anybody reads it: it names no place, path, person or customer.
    """
    _faults[name] = find


@cache
def _client(url: str) -> redis.Redis:
    """Return the client of a broker; it connects when first asked, and again in each process."""
    # One attempt: a page that asks how the broker is must not wait for it to come back.
    limits = {"socket_timeout": BROKER_TIMEOUT, "socket_connect_timeout": BROKER_TIMEOUT}
    return redis.Redis.from_url(url, **limits, retry=Retry(NoBackoff(), 0))


def broker() -> redis.Redis:
    """Return the client of the portal's broker."""
    return _client(settings.REDIS_URL)


def record_tick(at: datetime) -> None:
    """Record the clock's heartbeat. Raises redis.RedisError when the broker cannot be reached."""
    broker().set(TICK_KEY, at.isoformat())


def last_tick() -> datetime | None:
    """Return the instant of the last heartbeat, or None before the first. Raises redis.RedisError."""
    written = broker().get(TICK_KEY)
    return datetime.fromisoformat(written.decode("ascii")) if isinstance(written, bytes) else None


def clock_fault() -> str:
    """Return the sentence that says what is wrong with the clock, or an empty text when it ticks; for a banner."""
    return _read_clock()[0]


def _read_clock() -> tuple[str, datetime | None]:
    """Return what is wrong with the clock, if anything, and its last heartbeat, if known."""
    try:
        tick = last_tick()
    except redis.RedisError:
        logger.warning("The broker does not answer.", exc_info=True)
        return "The broker does not answer, so background work waits.", None
    if tick is None:
        return "The clock has not ticked since the broker started, so background work waits.", None
    age = timezone.now() - tick
    if age > SILENT_AFTER:
        return f"The clock has been silent for {int(age.total_seconds())} seconds, so background work waits.", tick
    return "", tick


def database_fault() -> str:
    """Return the sentence that says that the database does not answer, or an empty text when it does."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        logger.warning("The database does not answer.", exc_info=True)
        return "The database does not answer."
    return ""


@login_not_required
@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    """Answer 200 when this web process can do its work, for load balancers and restarts.

    That takes the database alone: the gate must go on answering while the broker or the clock is away.
    """
    return _answer([database_fault()])


@login_not_required
@require_safe
def healthz(request: HttpRequest) -> JsonResponse:
    """Answer 200 when database, broker, worker and clock work, else 503 with a sentence for each fault; for alarms."""
    fault = database_fault()
    silence, tick = _read_clock()
    age = round((timezone.now() - tick).total_seconds(), 1) if tick else None
    clock = {"last_tick": tick.isoformat() if tick else None, "age_seconds": age}
    found = [] if fault else _find_faults()
    return _answer([fault, silence, *found], clock=clock, due={} if fault else _count_due())


def _answer(faults: list[str], **facts: object) -> JsonResponse:
    """Return the faults that are not empty, with 503 when there is one, and with whatever else is known."""
    found = [fault for fault in faults if fault]
    answer = JsonResponse({"ok": not found, "faults": found, **facts}, status=503 if found else 200)
    answer["Cache-Control"] = "no-store"
    return answer


def _find_faults() -> list[str]:
    """Return what the apps say is wrong; a question that fails is a fault, because health must answer even then.

    What the failure says may name files and settings: that is for the log, and not for whoever asks.
    """
    found = []
    for name, find in sorted(_faults.items()):
        try:
            found.append(find())
        except Exception:  # rows, settings, key files and what stands in them: no fault of theirs may silence the rest
            logger.warning("Asking about %s failed.", name, exc_info=True)
            found.append(f"Asking about {name} failed; the log says why.")
    return found


def _count_due() -> dict[str, int | None]:
    """Return how many rows wait, by name; null where the count failed, because health must answer even then."""
    counts: dict[str, int | None] = {}
    for name, count in sorted(_due.items()):
        try:
            counts[name] = count()
        except Exception:  # as above
            logger.warning("Counting due %s failed.", name, exc_info=True)
            counts[name] = None
    return counts
