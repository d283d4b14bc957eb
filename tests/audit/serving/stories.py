"""Windows as the tests of serving report them: acme is served on the morning of 20 November 2026."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

DIGEST, OTHER = "ab" * 32, "cd" * 32
MORNING = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)


def window(**changed: Any) -> dict[str, Any]:
    """Return one good window: acme was served from nine to five past nine."""
    return {
        "deployment": "eu-1",
        "customer": "acme",
        "digest": f"sha256:{DIGEST}",
        "environment": "production",
        "start": "2026-11-20T09:00:00Z",
        "requests": 12,
        **changed,
    }


def at(minutes: int) -> datetime:
    return MORNING + timedelta(minutes=minutes)


def span(first: int, **changed: Any) -> dict[str, Any]:
    """Return the window that begins at a minute."""
    return window(start=at(first).isoformat(), **changed)
