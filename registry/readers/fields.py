"""Reads one typed field out of a parsed document, or raises Invalid naming the field, what was seen and expected.

Every function takes the holder, the key and `at`, the path of the holder ("" for the document itself). A key that is
absent or null gives the empty value, unless `required`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from registry.readers.documents import fail, picture

CLOCK_SKEW = timedelta(minutes=5)
_SHA256 = re.compile(r"[0-9a-f]{64}")
# RFC 3339 §5.6, with the leap second left out because Python cannot hold it.
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)")


def below(at: str, key: str | int) -> str:
    """Return the path of a member: `components[3].purl`."""
    if isinstance(key, int):
        return f"{at}[{key}]"
    # Some keys are written by the sender; a path stays readable whatever they are.
    name = key if len(key) <= 100 else f"{key[:100]}…"
    return f"{at}.{name}" if at else name


def text(holder: Mapping[str, Any], key: str, at: str = "", *, limit: int = 1000, required: bool = False) -> str:
    """Return a text of at most `limit` characters."""
    value = holder.get(key)
    if value is None and not required:
        return ""
    if not isinstance(value, str):
        fail(below(at, key), picture(value), "a text")
    if required and not value.strip():
        fail(below(at, key), picture(value), "a text that is not empty")
    if len(value) > limit:
        fail(below(at, key), f"{len(value):,} characters", f"at most {limit:,} characters")
    return value


def mapping(holder: Mapping[str, Any], key: str, at: str = "", *, required: bool = False) -> dict[str, Any]:
    """Return a JSON object."""
    value = holder.get(key)
    if value is None and not required:
        return {}
    return as_mapping(value, below(at, key))


def as_mapping(value: Any, at: str) -> dict[str, Any]:
    """Return the value itself when it is a JSON object."""
    if not isinstance(value, dict):
        fail(at or "document", picture(value), "a JSON object")
    return value


def array(holder: Mapping[str, Any], key: str, at: str = "", *, required: bool = False) -> list[Any]:
    """Return a JSON array."""
    value = holder.get(key)
    if value is None and not required:
        return []
    if not isinstance(value, list):
        fail(below(at, key), picture(value), "a JSON array")
    return value


def mappings(
    holder: Mapping[str, Any], key: str, at: str = "", *, required: bool = False
) -> list[tuple[str, dict[str, Any]]]:
    """Return the objects of a JSON array, each with its path."""
    path = below(at, key)
    items = array(holder, key, at, required=required)
    return [(below(path, index), as_mapping(item, below(path, index))) for index, item in enumerate(items)]


def sha256(holder: Mapping[str, Any], key: str, at: str = "", *, required: bool = False) -> str:
    """Return a sha256 as 64 hex digits in lower case."""
    value = holder.get(key)
    if value is None and not required:
        return ""
    if not isinstance(value, str) or not is_sha256(value):
        fail(below(at, key), picture(value), "a sha256 in 64 hex digits")
    return value.lower()


def is_sha256(value: str) -> bool:
    """Say whether a text is 64 hex digits."""
    return _SHA256.fullmatch(value.lower()) is not None


def moment(holder: Mapping[str, Any], key: str, at: str = "", *, required: bool = False) -> datetime | None:
    """Return an RFC 3339 instant in UTC. Raises Invalid for an instant more than five minutes in the future."""
    value = holder.get(key)
    if value is None and not required:
        return None
    expected = "an RFC 3339 date and time with an offset, for example 2026-11-23T09:00:00Z"
    if not isinstance(value, str) or not _MOMENT.fullmatch(value):
        fail(below(at, key), picture(value), expected)
    # Python 3.11 keeps microseconds; digits beyond them are cut.
    cut = re.sub(r"(\.\d{6})\d+", r"\1", value.upper())
    try:
        instant = datetime.fromisoformat(cut).astimezone(UTC)
    except (ValueError, OverflowError):
        fail(below(at, key), picture(value), expected)
    return not_in_future(instant, below(at, key))


def not_in_future(instant: datetime, at: str) -> datetime:
    """Return the instant when it is at most five minutes ahead of the clock; otherwise raise Invalid."""
    if instant > datetime.now(UTC) + CLOCK_SKEW:
        fail(at, instant.isoformat(), "an instant that is not in the future")
    return instant


def in_order(started: datetime | None, finished: datetime | None, at: str) -> None:
    """Raise Invalid when something finished before it started."""
    if started and finished and finished < started:
        fail(at, finished.isoformat(), f"an instant at or after the start, {started.isoformat()}")
