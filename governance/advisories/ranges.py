"""OSV's own question: is this version of this package affected? Three answers, because "cannot tell" is not "no"."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cmp_to_key
from typing import Any

from governance.advisories.ecosystems import DISTRIBUTION_TYPES
from governance.advisories.versions import UNREADABLE, parse

Event = Mapping[str, str]
BOUNDS = ("introduced", "fixed", "last_affected", "limit")


class Answer(Enum):
    """Whether a version is affected."""

    CLEAR = "clear"
    UNCERTAIN = "uncertain"
    AFFECTED = "affected"


@dataclass(frozen=True)
class Judgement:
    """An answer, and the versions in which it is fixed according to the same record."""

    answer: Answer
    fixed_in: frozenset[str] = frozenset()


CLEAR = Judgement(Answer.CLEAR)


class _Incomparable(Exception):
    """An event of a range whose version cannot be read."""


def judge(purl_type: str, version: str, versions: Sequence[str], ranges: Sequence[Mapping[str, Any]]) -> Judgement:
    """Return whether a version is listed or lies in a range (OSV schema, "Evaluation").

    Uncertain: the version or a range's event cannot be read, or the record says neither versions nor ranges.
    """
    if version and version in versions:
        return Judgement(Answer.AFFECTED, _fixes(purl_type, version, ranges))
    subject = parse(purl_type, version)
    if subject is None or not (versions or ranges):
        return Judgement(Answer.UNCERTAIN, _fixes(purl_type, "", ranges))
    doubtful = False
    for each in ranges:
        try:
            if _is_inside(purl_type, subject, each["events"]):
                return Judgement(Answer.AFFECTED, _fixes(purl_type, version, ranges))
        except (_Incomparable, *UNREADABLE):
            doubtful = True
    # One version has many spellings (1.0 and 1.0.0) except in distributions, whose lists are long and written by tools.
    if (purl_type not in DISTRIBUTION_TYPES or not ranges) and _is_listed(purl_type, subject, versions):
        return Judgement(Answer.AFFECTED, _fixes(purl_type, version, ranges))
    return Judgement(Answer.UNCERTAIN, _fixes(purl_type, "", ranges)) if doubtful else CLEAR


def order(purl_type: str, versions: Iterable[str]) -> list[str]:
    """Return versions in ascending order, those that cannot be read at the end."""

    def compare(one: str, other: str) -> int:
        left, right = parse(purl_type, one), parse(purl_type, other)
        if left is None or right is None:
            return (left is None) - (right is None) or (one > other) - (one < other)
        try:
            return -1 if left < right else int(right < left)
        except UNREADABLE:
            return 0

    return sorted(sorted(versions), key=cmp_to_key(compare))


def _is_listed(purl_type: str, subject: Any, versions: Iterable[str]) -> bool:
    """Return whether a version equals a listed one in another spelling."""
    return any(parse(purl_type, listed) == subject for listed in versions)


def _is_inside(purl_type: str, subject: Any, events: Sequence[Event]) -> bool:
    """Return whether a version lies in a range, by walking its events in ascending order.

    Only `<` is used: some of univers' classes inherit a `<=` that compares text.
    """
    limits = [event["limit"] for event in events if "limit" in event]
    if limits and not any(limit == "*" or subject < _read(purl_type, limit) for limit in limits):
        return False
    inside = False
    for event, bound in _sorted(purl_type, events):
        if "introduced" in event:
            inside = inside if bound is not None and subject < bound else True
        elif "fixed" in event:
            inside = inside and subject < bound
        else:
            inside = inside and not bound < subject
    return inside


def _sorted(purl_type: str, events: Sequence[Event]) -> list[tuple[Event, Any]]:
    """Return introduced, fixed and last_affected events with their versions, ascending; None is before everything.

    Events at the same version keep their order, so that "fixed 2, introduced 2" goes on being affected; a last_affected
    comes after them, because it includes its version.
    """
    dated = [
        (event, None if event.get("introduced") == "0" else _read(purl_type, next(iter(event.values()))))
        for event in events
        if "limit" not in event
    ]

    def compare(one: tuple[Event, Any], other: tuple[Event, Any]) -> int:
        if one[1] is None or other[1] is None:
            return (other[1] is None) - (one[1] is None)
        if one[1] < other[1]:
            return -1
        return 1 if other[1] < one[1] else ("last_affected" in one[0]) - ("last_affected" in other[0])

    return sorted(dated, key=cmp_to_key(compare))


def _read(purl_type: str, text: str) -> Any:
    """Return an event's version. Raises _Incomparable when it cannot be read."""
    version = parse(purl_type, text)
    if version is None:
        raise _Incomparable(text)
    return version


def _fixes(purl_type: str, version: str, ranges: Sequence[Mapping[str, Any]]) -> frozenset[str]:
    """Return the fixed versions of some ranges that are above a version; all of them when it cannot be compared."""
    fixed = {event["fixed"] for each in ranges for event in each["events"] if "fixed" in event}
    subject = parse(purl_type, version)
    if subject is None:
        return frozenset(fixed)
    return frozenset(each for each in fixed if _is_above(parse(purl_type, each), subject))


def _is_above(fixed: Any | None, subject: Any) -> bool:
    """Return whether a fix comes after a version; one that cannot be compared is kept."""
    try:
        return fixed is None or subject < fixed
    except UNREADABLE:
        return True
