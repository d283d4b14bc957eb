"""Canonical bytes: RFC 8785 for a restricted profile of JSON, the digests over them, and how values become plain.

What is signed, and with which key, lives in `audit.seal`, which hands these on to everybody.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import rfc8785

from portal.errors import Fault, Invalid, show

MAX_DEPTH = 64
MAX_INTEGER = 2**53 - 1

_encode = json.JSONEncoder(ensure_ascii=False, check_circular=False, sort_keys=True, separators=(",", ":")).encode


def canonical(obj: object) -> bytes:
    """Return the RFC 8785 bytes of a JSON value without floats.

    Decimals must already be strings and integers lie within ±(2^53-1), so that every JSON reader sees the same value.
    Raises Invalid naming the place of a float, a larger integer, a key that is no string, or nesting beyond 64 levels.
    """
    try:
        if _is_simple(obj, 0):
            return _encode(obj).encode()
        _expect_plain(obj, "$", 0)
        return rfc8785.dumps(obj)  # type: ignore[arg-type]  # _expect_plain has just proved the type
    except (rfc8785.CanonicalizationError, UnicodeEncodeError) as error:
        raise Invalid(Fault("$", str(error), "text that is valid Unicode")) from error


def _is_simple(value: Any, depth: int) -> bool:
    """Return whether a value is of the plainest kind, which Python's own encoder writes as RFC 8785 asks, only faster.

    That takes exact types, and keys in ASCII: others may sort otherwise by UTF-16 code units than by code points.
    """
    kind: type = type(value)
    if kind is str or kind is bool or value is None:
        return True
    if kind is int:
        return -MAX_INTEGER <= value <= MAX_INTEGER
    if depth == MAX_DEPTH or kind not in (dict, list, tuple):
        return False
    if kind is dict:
        for key in value:
            if type(key) is not str or not key.isascii():
                return False
        value = value.values()
    for member in value:  # noqa: SIM110 -- a generator would double the time that a row takes
        if type(member) is not str and not _is_simple(member, depth + 1):
            return False
    return True


def _expect_plain(value: object, where: str, depth: int) -> None:
    """Raise Invalid at the first place that is not JSON of the ledger's restricted profile."""
    if depth > MAX_DEPTH:
        raise Invalid(Fault(where, f"more than {MAX_DEPTH} levels", f"at most {MAX_DEPTH} levels of nesting"))
    match value:
        case None | bool() | str():
            return
        case int():
            if not -MAX_INTEGER <= value <= MAX_INTEGER:
                raise Invalid(Fault(where, show(value), "an integer within ±(2^53-1), or the number as text"))
        case dict():
            for key, member in value.items():
                if not isinstance(key, str):
                    raise Invalid(Fault(where, show(key), "keys that are text"))
                _expect_plain(member, f"{where}.{key}", depth + 1)
        case list() | tuple():
            for index, member in enumerate(value):
                _expect_plain(member, f"{where}[{index}]", depth + 1)
        case _:
            raise Invalid(Fault(where, show(value), "text, an integer, true, false, null, a list or an object"))


def plain(value: object, where: str = "$", depth: int = 0) -> Any:
    """Return the value with decimals, times, identifiers and enumerations turned into text, fit for `canonical`.

    Times become UTC with microseconds. Raises Invalid for floats and for anything that has no one obvious text.
    """
    if depth > MAX_DEPTH:
        raise Invalid(Fault(where, f"more than {MAX_DEPTH} levels", f"at most {MAX_DEPTH} levels of nesting"))
    match value:
        case Enum():
            return plain(value.value, where, depth)
        case None | bool() | int() | str():
            return value
        case Mapping():
            return {str(key): plain(member, f"{where}.{key}", depth + 1) for key, member in value.items()}
        case list() | tuple():
            return [plain(member, f"{where}[{index}]", depth + 1) for index, member in enumerate(value)]
    return _plain_scalar(value, where)


def _plain_scalar(value: object, where: str) -> str:
    """Return the text of a decimal, a date, an aware time or an identifier."""
    match value:
        case Decimal() if value.is_finite():
            return format(value, "f")
        case datetime() if value.tzinfo is not None:
            return instant(value)
        case date() if not isinstance(value, datetime):
            return value.isoformat()
        case UUID():
            return str(value)
    raise Invalid(Fault(where, show(value), "text, an integer, a decimal, an aware time, a list or a mapping"))


def instant(at: datetime) -> str:
    """Return a time as RFC 3339 text in UTC with microseconds: 2026-11-23T09:00:00.000000Z."""
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def digest(content: object) -> str:
    """Return the lower-case hex sha256 of bytes as they are, or of the canonical bytes of a JSON value."""
    return hashlib.sha256(content if isinstance(content, bytes) else canonical(content)).hexdigest()
