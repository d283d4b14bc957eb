"""Serving: which digest served which customer when, as deployments report it, and the look-ups over it.

Windows are believed as they are reported, digests that nobody registered included. Whether a window should have been
served is judged elsewhere, by the window's time.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from json.encoder import encode_basestring
from typing import Any, NamedTuple

from django.db import connection, transaction
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from audit import merkle, seal
from audit.events import Event
from audit.log import record
from audit.models import ServingBatch, ServingConflict, ServingWindow
from audit.models.serving import LONGEST_WINDOW
from audit.recording import Actor
from portal.errors import Fault, Invalid, Reason, Refused, show

MOST_WINDOWS = 50_000
MOST_FAULTS = 20
MOST_DIFFERENCES = 20
MOST_REQUESTS = 10**12
CLOCK_SKEW = timedelta(minutes=5)
TEXT_FIELDS = {"deployment": 120, "customer": 120, "environment": 40, "consumer": 120}
FIELDS = {*TEXT_FIELDS, "digest", "start", "end", "requests"}
DIGEST = re.compile(r"(?:sha256:)?([0-9a-f]{64})")
LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]*")
COPY = (
    'COPY audit_servingwindow (batch_id, line, deployment, customer, digest, environment, consumer, start, "end",'
    " requests, row_hash) FROM STDIN"
)


class Window(NamedTuple):
    """One checked line of a report. `requests` were answered over [start, end)."""

    deployment: str
    customer: str
    digest: str
    environment: str
    consumer: str
    start: datetime
    end: datetime
    requests: int

    def canonical(self) -> bytes:
        """Return the RFC 8785 bytes of the window, written out here because 50,000 come at once."""
        quoted = encode_basestring
        return (
            f'{{"consumer":{quoted(self.consumer)},"customer":{quoted(self.customer)}'
            f',"deployment":{quoted(self.deployment)},"digest":"{self.digest}","end":"{seal.instant(self.end)}"'
            f',"environment":{quoted(self.environment)},"requests":{self.requests},"start":"{seal.instant(self.start)}"}}'
        ).encode()


def report(*, actor: Actor, source: str, batch_id: str, windows: Iterable[Mapping[str, Any]]) -> ServingBatch:
    """Record one batch of 1 to 50,000 serving windows, and return it.

    Each window has deployment, customer, digest (sha256, hex), environment, start, end (ISO 8601 with a zone, at most
    a day apart), requests, and perhaps consumer. The same batch again returns the recorded one. The same batch id with
    other windows is recorded as a conflict and raises Refused with code `serving-conflict`; the first report stands.
    Raises Invalid naming line and field of everything that is wrong. Call it outside of a transaction of one's own,
    so that a refusal does not take the record of the conflict with it.
    """
    _expect_names(source, batch_id)
    checked = _checked(windows)
    hashes = [merkle.leaf_hash(window.canonical()) for window in checked]
    root = merkle.root(hashes).hex()
    with transaction.atomic():
        _lock(source, batch_id)
        known = ServingBatch.objects.filter(source=source, batch_id=batch_id).first()
        if known is None:
            return _store(actor, source, batch_id, checked, hashes, root)
        if known.rows_root == root:
            return known
        _record_conflict(actor, known, checked, hashes, root)
    raise Refused(
        "serving-conflict",
        f"The batch {known} was reported before with other windows; the first report stands and this one is noted.",
        reasons=[Reason("serving", "A batch never changes.", "Send corrections as a new batch, under a new batch id.")],
        expected=known.rows_root,
        seen=root,
    )


def _expect_names(source: str, batch_id: str) -> None:
    """Raise Invalid unless source and batch id are short plain names."""
    faults = [
        Fault(field, show(value), f"1 to {limit} letters, digits and . _ : / -")
        for field, value, limit in (("source", source, 80), ("batch_id", batch_id, 120))
        if not isinstance(value, str) or len(value) > limit or not LABEL.fullmatch(value)
    ]
    if faults:
        raise Invalid(*faults)


def _checked(windows: Iterable[Mapping[str, Any]]) -> list[Window]:
    """Return all windows checked, or raise Invalid with the first twenty faults."""
    latest = timezone.now() + CLOCK_SKEW
    checked: list[Window] = []
    faults: list[Fault] = []
    for line, raw in enumerate(itertools.islice(windows, MOST_WINDOWS + 1), 1):
        if line > MOST_WINDOWS:
            raise Invalid(Fault("windows", f"more than {MOST_WINDOWS:,}", f"1 to {MOST_WINDOWS:,} windows"))
        wrong = dict(_faults(raw, latest)) if isinstance(raw, Mapping) else {"": (show(raw), "an object")}
        if not wrong:
            checked.append(_window(raw))
            continue
        for field, (seen, expected) in wrong.items():
            faults.append(Fault(f"line {line}{', ' if field else ''}{field}", seen, expected))
        if len(faults) >= MOST_FAULTS:
            break
    if not faults and not checked:
        faults.append(Fault("windows", "none", f"1 to {MOST_WINDOWS:,} windows"))
    if faults:
        raise Invalid(*faults[:MOST_FAULTS])
    return checked


def _faults(raw: Mapping[str, Any], latest: datetime) -> Iterable[tuple[str, tuple[str, str]]]:
    """Yield (field, (seen, expected)) for everything wrong with one window."""
    for field in sorted(map(str, raw.keys() - FIELDS)):
        yield field[:80], ("a field that windows do not have", ", ".join(sorted(FIELDS)))
    for field, limit in TEXT_FIELDS.items():
        value = raw.get(field, "" if field == "consumer" else None)
        if not isinstance(value, str) or len(value) > limit or (field != "consumer" and not value):
            yield field, (show(value), f"text of 1 to {limit} characters")
        elif not value.isprintable():
            yield field, (show(value), "text without control characters")
    digest = raw.get("digest")
    if not isinstance(digest, str) or not DIGEST.fullmatch(digest):
        yield "digest", (show(digest), "sha256: and 64 lower-case hexadecimal digits")
    requests = raw.get("requests")
    if type(requests) is not int or not 0 <= requests <= MOST_REQUESTS:
        yield "requests", (show(requests), f"a whole number of requests, 0 to {MOST_REQUESTS:,}")
    yield from _time_faults(raw, latest)


def _time_faults(raw: Mapping[str, Any], latest: datetime) -> Iterable[tuple[str, tuple[str, str]]]:
    """Yield what is wrong with the start and end of one window."""
    start, end = _time(raw.get("start")), _time(raw.get("end"))
    for field, value in (("start", start), ("end", end)):
        if value is None:
            yield field, (show(raw.get(field)), "a time such as 2026-11-23T09:00:00Z, with its zone")
    if start is None or end is None:
        return
    if not timedelta(0) < end - start <= LONGEST_WINDOW:
        yield "end", (show(raw["end"]), "a time after start, by at most one day")
    if end > latest:
        yield "end", (show(raw["end"]), "a time that has passed; windows are reported when they are over")


def _time(value: object) -> datetime | None:
    """Return an aware time, or None."""
    try:
        parsed = parse_datetime(value) if isinstance(value, str) else value
    except ValueError:
        return None
    return parsed if isinstance(parsed, datetime) and parsed.tzinfo is not None and parsed.year >= 2000 else None


def _window(raw: Mapping[str, Any]) -> Window:
    """Return a window that was found to be right."""
    start, end = _time(raw["start"]), _time(raw["end"])
    if start is None or end is None:
        raise AssertionError("unreachable: _faults has looked at the times")
    return Window(
        raw["deployment"],
        raw["customer"],
        raw["digest"].removeprefix("sha256:"),
        raw["environment"],
        raw.get("consumer", ""),
        start,
        end,
        raw["requests"],
    )


def _lock(source: str, batch_id: str) -> None:
    """Make two reports of one batch wait for each other until the transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"serving {source} {batch_id}"])


def _store(
    actor: Actor, source: str, batch_id: str, windows: list[Window], hashes: list[bytes], root: str
) -> ServingBatch:
    """Insert a batch and its windows under one entry."""
    batch = ServingBatch(
        source=source,
        batch_id=batch_id,
        actor=actor.ledger_name,
        received_at=timezone.now(),
        first_start=min(window.start for window in windows),
        last_end=max(window.end for window in windows),
        row_count=len(windows),
        request_count=sum(window.requests for window in windows),
        rows_root=root,
    )
    told = {"source": source, "batch": batch_id, "rowCount": batch.row_count, "requestCount": str(batch.request_count)}
    span = {"from": batch.first_start, "to": batch.last_end, "rowsRoot": root}
    with record(Event.SERVING_REPORTED, actor=actor, subject=batch, **told, **span):
        batch.save()
        with connection.cursor() as cursor, cursor.copy(COPY) as out:
            for line, (window, row_hash) in enumerate(zip(windows, hashes, strict=True), 1):
                out.write_row((batch.pk, line, *window, row_hash))
    return batch


def _record_conflict(actor: Actor, known: ServingBatch, windows: list[Window], hashes: list[bytes], root: str) -> None:
    """Record once that a known batch was sent again with these other windows."""
    if known.conflicts.filter(rows_root=root).exists():
        return
    stored = list(known.windows.order_by("line").values_list("row_hash", flat=True))
    differing = (
        line
        for line, (before, now) in enumerate(itertools.zip_longest(stored, hashes), 1)
        if before is None or now is None or bytes(before) != now
    )
    lines = list(itertools.islice(differing, MOST_DIFFERENCES))
    first = {window.line: _shown(Window(*_values(window))) for window in known.windows.filter(line__in=lines)}
    differences = [
        {"line": line, "first": first.get(line), "second": _shown(windows[line - 1]) if line <= len(windows) else None}
        for line in lines
    ]
    told = {"expected": known.rows_root, "seen": root, "rowCount": len(windows), "lines": lines}
    with record(Event.SERVING_CONFLICTED, actor=actor, subject=known, **told):
        ServingConflict.objects.create(
            batch=known,
            actor=actor.ledger_name,
            received_at=timezone.now(),
            row_count=len(windows),
            rows_root=root,
            differences=differences,
        )


def _values(window: ServingWindow) -> tuple[Any, ...]:
    """Return a stored window's values in the order of Window."""
    return tuple(getattr(window, field) for field in Window._fields)


def _shown(window: Window) -> dict[str, Any]:
    """Return a window as plain data for a conflict."""
    shown: dict[str, Any] = seal.plain(window._asdict())
    return shown


def serving_at(customer: str, at: datetime, deployment: str | None = None) -> QuerySet[ServingWindow]:
    """Return the windows in which a customer was served at an instant."""
    found = ServingWindow.objects.filter(
        customer=customer, start__lte=at, start__gt=at - LONGEST_WINDOW, end__gt=at
    ).order_by("deployment", "start", "id")
    return found if deployment is None else found.filter(deployment=deployment)


def windows_of(digest: str, since: datetime, until: datetime) -> QuerySet[ServingWindow]:
    """Return the windows served by an identity digest that overlap [since, until), oldest first."""
    return _overlapping(ServingWindow.objects.filter(digest=digest.removeprefix("sha256:")), since, until)


def windows_for(customer: str, since: datetime, until: datetime) -> QuerySet[ServingWindow]:
    """Return the windows in which a customer was served that overlap [since, until), oldest first."""
    return _overlapping(ServingWindow.objects.filter(customer=customer), since, until)


def _overlapping(found: QuerySet[ServingWindow], since: datetime, until: datetime) -> QuerySet[ServingWindow]:
    """Return those that overlap [since, until). No window is longer than a day, which bounds the index."""
    return found.filter(start__gt=since - LONGEST_WINDOW, start__lt=until, end__gt=since).order_by("start", "id")
