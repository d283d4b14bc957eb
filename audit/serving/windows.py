"""What a serving window may say, its canonical bytes, and a whole batch of them checked column by column.

A batch has up to 50,000 windows, so nothing here looks at a right one by itself: columns are checked by their distinct
values. Only a batch in which something is wrong is walked line by line, to name every fault.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from json.encoder import encode_basestring
from operator import itemgetter, le
from typing import Any, NamedTuple

from django.utils import timezone
from django.utils.dateparse import parse_datetime

from audit import merkle, seal
from audit.models.serving import GRID, Completeness
from portal.errors import Fault, Invalid, show

SCHEMA = "countersign-window/v1"
MOST_WINDOWS = 50_000
MOST_FAULTS = 20
MOST_REQUESTS = 10**12
MOST_CORRECTIONS = 1_000
CLOCK_SKEW = timedelta(minutes=5)
OLDEST = timedelta(days=400)
TEXT_FIELDS = {"deployment": 120, "customer": 120, "environment": 40}
DEFAULTS: dict[str, Any] = {
    "end": None,
    "consumer": "",
    "errors": 0,
    "sequence": 0,
    "config_digest": "",
    "completeness": Completeness.COMPLETE.value,
}
REQUIRED = frozenset({*TEXT_FIELDS, "digest", "start", "requests"})
FIELDS = REQUIRED | frozenset(DEFAULTS)
DIGEST = re.compile(r"(?:sha256:)?([0-9a-f]{64})")


# RFC 8785 orders members by name. Identifiers, counts and instants need no escapes.
CANONICAL = (
    '{"completeness":"%s","config_digest":"%s","consumer":%s,"customer":%s,"deployment":%s,"digest":"%s","end":"%s"'
    f',"environment":%s,"errors":%s,"requests":%s,"schema":"{SCHEMA}","sequence":%s,"source":"%s","start":"%s"}}'
)


class Window(NamedTuple):
    """One checked line of a report. `requests` were answered over the five minutes from `start`, `errors` of them ill.

    A correction has the next `sequence` and everything anew. `completeness` is what the source says about its counts.
    """

    start: datetime
    end: datetime
    requests: int
    errors: int
    sequence: int
    customer: str
    deployment: str
    digest: str
    config_digest: str
    environment: str
    consumer: str
    source: str
    completeness: str


@dataclass(frozen=True)
class Columns:
    """Checked windows, one list for each field of Window, all equally long and in the order of the lines."""

    start: Sequence[datetime]
    end: Sequence[datetime]
    requests: Sequence[int]
    errors: Sequence[int]
    sequence: Sequence[int]
    customer: Sequence[str]
    deployment: Sequence[str]
    digest: Sequence[str]
    config_digest: Sequence[str]
    environment: Sequence[str]
    consumer: Sequence[str]
    source: Sequence[str]
    completeness: Sequence[str]

    @classmethod
    def of(cls, windows: Iterable[Sequence[Any]]) -> Columns:
        """Return rows whose values are in the order of Window as columns."""
        rows = list(windows)
        return cls(*zip(*rows, strict=True)) if rows else cls(*([] for _ in Window._fields))

    def __len__(self) -> int:
        return len(self.start)

    def at(self, place: int) -> Window:
        """Return the window at a place, from 0."""
        return Window(*(getattr(self, name)[place] for name in Window._fields))

    def canonical(self) -> Iterator[bytes]:
        """Yield the RFC 8785 bytes of each window.

        Written out here because 50,000 come at once; that it is what a serialiser makes of them is tested.
        """
        told = (
            self.completeness,
            self.config_digest,
            *(translated(getattr(self, name), encode_basestring) for name in ("consumer", "customer", "deployment")),
            self.digest,
            translated(self.end, seal.instant),
            translated(self.environment, encode_basestring),
            self.errors,
            self.requests,
            self.sequence,
            self.source,
            translated(self.start, seal.instant),
        )
        return map(str.encode, map(CANONICAL.__mod__, zip(*told, strict=True)))

    def leaf_hashes(self) -> Iterator[bytes]:
        """Yield the RFC 6962 leaf hash of each window."""
        return map(merkle.leaf_hash, self.canonical())


def canonical(window: Sequence[Any]) -> bytes:
    """Return the RFC 8785 bytes of one window's values in the order of Window."""
    return next(Columns.of([window]).canonical())


def read(windows: Iterable[Mapping[str, Any]], source: str) -> Columns:
    """Return all windows of a batch checked, or raise Invalid with the first twenty faults, by line and field."""
    rows = list(itertools.islice(windows, MOST_WINDOWS + 1))
    if len(rows) > MOST_WINDOWS:
        raise Invalid(Fault("windows", f"more than {MOST_WINDOWS:,}", f"1 to {MOST_WINDOWS:,} windows"))
    if not rows:
        raise Invalid(Fault("windows", "none", f"1 to {MOST_WINDOWS:,} windows"))
    now = timezone.now()
    try:
        return in_columns(rows, source, now)
    except (ValueError, TypeError, AttributeError):
        raise Invalid(*faults_of(rows, now)) from None


def in_columns(rows: Sequence[Mapping[str, Any]], source: str, now: datetime) -> Columns:
    """Return the windows, checked by the distinct values of each column. Raises ValueError or TypeError when wrong."""
    shapes = set(map(tuple, rows))
    expect(set(map(type, rows)) == {dict} and all(REQUIRED <= set(keys) <= FIELDS for keys in shapes))
    given = frozenset.intersection(*map(frozenset, shapes))
    columns = {name: list(map(itemgetter(name), rows)) for name in given}
    columns |= {name: [DEFAULTS[name]] * len(rows) for name in FIELDS.difference(*shapes)}
    columns |= {name: [row.get(name, DEFAULTS[name]) for row in rows] for name in FIELDS - columns.keys()}
    for name, limit in TEXT_FIELDS.items():
        expect(all(is_text(value, limit) for value in set(columns[name])))
    expect(all(value == "" or is_text(value, 120) for value in set(columns["consumer"])))
    expect(set(columns["completeness"]) <= set(Completeness.values))
    for name, most in (("requests", MOST_REQUESTS), ("errors", MOST_REQUESTS), ("sequence", MOST_CORRECTIONS)):
        expect(set(map(type, columns[name])) == {int} and min(columns[name]) >= 0 and max(columns[name]) <= most)
    expect(all(map(le, columns["errors"], columns["requests"])))
    starts = translated(
        list(zip(columns["start"], columns["end"], strict=True)), lambda span: start_of(span[0], span[1], now)
    )
    told: dict[str, Any] = {
        **columns,
        "start": starts,
        "end": translated(starts, lambda start: start + GRID),
        "digest": translated(columns["digest"], digest_of),
        "config_digest": translated(columns["config_digest"], digest_or_nothing),
        "source": [source] * len(rows),
    }
    return Columns(**told)


def expect(holds: bool) -> None:
    """Raise ValueError unless something holds."""
    if not holds:
        raise ValueError


def translated(column: Sequence[Any], by: Callable[[Any], Any]) -> list[Any]:
    """Return a column with each of its distinct values translated once."""
    found = {value: by(value) for value in set(column)}
    return list(map(found.__getitem__, column))


def is_text(value: object, limit: int) -> bool:
    """Return whether a value is a text that a column holds: not empty, printable, not too long."""
    return isinstance(value, str) and 0 < len(value) <= limit and value.isprintable()


def digest_of(value: object) -> str:
    """Return the 64 digits of a sha256. Raises ValueError."""
    found = DIGEST.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError(value)
    return found[1]


def digest_or_nothing(value: object) -> str:
    """Return the 64 digits of a sha256, or an empty text. Raises ValueError."""
    return "" if value == "" else digest_of(value)


def start_of(start: object, end: object, now: datetime) -> datetime:
    """Return the start of a window in UTC. Raises ValueError for one that is not on the grid, not over, or too old."""
    found = time_of(start)
    if found is None or any(time_faults({"start": start, "end": end}, now)):
        raise ValueError(start)
    return found


def time_of(value: object) -> datetime | None:
    """Return an aware time in UTC, or None."""
    try:
        parsed = parse_datetime(value) if isinstance(value, str) else value
        known = isinstance(parsed, datetime) and parsed.tzinfo is not None and 2000 <= parsed.year < 2200
        return parsed.astimezone(UTC) if known and isinstance(parsed, datetime) else None
    except (ValueError, OverflowError):
        return None


def is_on_grid(instant: datetime) -> bool:
    """Return whether an instant in UTC is a whole number of five minutes after the full hour."""
    return instant.minute % 5 == 0 and instant.second == instant.microsecond == 0


def faults_of(rows: Sequence[Any], now: datetime) -> list[Fault]:
    """Return the first twenty faults of a batch in which something is wrong, each with its line and field."""
    found: list[Fault] = []
    for line, raw in enumerate(rows, 1):
        wrong = dict(faults(raw, now)) if isinstance(raw, dict) else {"": (show(raw), "an object")}
        for field, (seen, expected) in wrong.items():
            found.append(Fault(f"line {line}{', ' if field else ''}{field}", seen, expected))
        if len(found) >= MOST_FAULTS:
            break
    if not found:
        raise AssertionError("unreachable: what the columns refuse, the lines refuse too")
    return found[:MOST_FAULTS]


def faults(raw: Mapping[str, Any], now: datetime) -> Iterable[tuple[str, tuple[str, str]]]:
    """Yield (field, (seen, expected)) for everything wrong with one window."""
    for field in sorted(map(str, raw.keys() - FIELDS)):
        yield field[:80], ("a field that windows do not have", ", ".join(sorted(FIELDS)))
    for field, limit in {**TEXT_FIELDS, "consumer": 120}.items():
        value = raw.get(field, DEFAULTS.get(field))
        if not is_text(value, limit) and not (field == "consumer" and value == ""):
            yield field, (show(value), f"text of 1 to {limit} characters without control characters")
    for field, value in (("digest", raw.get("digest")), ("config_digest", raw.get("config_digest", ""))):
        if not (isinstance(value, str) and DIGEST.fullmatch(value)) and (field, value) != ("config_digest", ""):
            yield field, (show(value), "sha256: and 64 lower-case hexadecimal digits")
    yield from count_faults(raw)
    yield from time_faults(raw, now)


def count_faults(raw: Mapping[str, Any]) -> Iterable[tuple[str, tuple[str, str]]]:
    """Yield what is wrong with the counts of one window, and with what it says about them."""
    requests = raw.get("requests")
    most_errors = requests if isinstance(requests, int) and is_count(requests) else MOST_REQUESTS
    bounds = {
        "requests": (None, MOST_REQUESTS, "a whole number of requests"),
        "errors": (0, most_errors, "a part of the requests"),
        "sequence": (0, MOST_CORRECTIONS, "the number of the correction"),
    }
    for field, (default, most, what) in bounds.items():
        value = raw.get(field, default)
        if not is_count(value, most):
            yield field, (show(value), f"{what}, 0 to {most:,}")
    if (said := raw.get("completeness", DEFAULTS["completeness"])) not in Completeness.values:
        yield "completeness", (show(said), ", ".join(Completeness.values))


def is_count(value: object, most: int = MOST_REQUESTS) -> bool:
    """Return whether a value is a whole number, and not a truth, from 0 to a bound."""
    return type(value) is int and 0 <= value <= most


def time_faults(raw: Mapping[str, Any], now: datetime) -> Iterable[tuple[str, tuple[str, str]]]:
    """Yield what is wrong with the start and end of one window."""
    start = time_of(raw.get("start"))
    if start is None:
        yield "start", (show(raw.get("start")), "a time such as 2026-11-23T09:00:00Z, with its zone")
        return
    if not is_on_grid(start):
        yield "start", (show(raw["start"]), "a time on the grid of five minutes, such as 09:00:00 or 09:05:00")
    if raw.get("end") is not None and time_of(raw["end"]) != start + GRID:
        yield "end", (show(raw["end"]), "the time five minutes after start, or nothing")
    if start + GRID > now + CLOCK_SKEW:
        yield "end", (show(raw.get("end", raw["start"])), "a time that has passed; windows are reported when over")
    elif start < now - OLDEST:
        yield "start", (show(raw["start"]), f"a time within the last {OLDEST.days} days")
