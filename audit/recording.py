"""The recording that is open right now: who does what to what. Models ask it for permission to change.

`audit.log.record` opens recordings and turns them into entries; this module only carries them, so that models can
stand below the log.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol
from uuid import UUID

from django.utils import timezone

from audit import seal
from audit.events import Event
from audit.identifiers import uuid7

if TYPE_CHECKING:
    from audit.models.bases import AppendOnly

ACTOR = re.compile(r"(person|service|system):[A-Za-z0-9._-]{1,64}")

_current: ContextVar[Recording | None] = ContextVar("current_recording", default=None)


class Actor(Protocol):
    """Whoever acts. The ledger knows actors by an opaque name such as `person:<uuid>`, never by a person's name."""

    @property
    def ledger_name(self) -> str:
        """Return `person:…`, `service:…` or `system:…`."""


class Subject(Protocol):
    """Whatever an entry is about. It may also have `ledger_digest`: the hex sha256 of its content, or an empty text."""

    @property
    def ledger_ref(self) -> tuple[str, str, str]:
        """Return (kind, label, id)."""


class UnrecordedChange(RuntimeError):
    """A change of the record without an entry: code saved, updated or deleted outside `audit.log.record(...)`."""


@dataclass
class Recording:
    """One entry in the making. `event_id` is known from the start, so that rows can name the entry they belong to."""

    event: Event
    actor: Actor
    subject: Subject | None
    details: dict[str, Any]
    event_id: UUID = field(default_factory=uuid7)
    occurred_at: datetime = field(default_factory=timezone.now)
    models: set[type[AppendOnly]] = field(default_factory=set)
    inner: list[Recording] = field(default_factory=list)
    written: bool = False
    skipped: bool = False

    def __post_init__(self) -> None:
        """Refuse a recording that could not become an entry, before any work is done under it."""
        if not isinstance(self.event, Event):
            raise TypeError(f"{self.event!r} is not an Event; add it to audit.events with its sentence.")
        name = getattr(self.actor, "ledger_name", None)
        if not isinstance(name, str) or not ACTOR.fullmatch(name):
            raise TypeError(f"{self.actor!r} has no ledger name such as person:<id>; nobody never acts.")
        self.details = seal.plain(self.details, "details")
        seal.canonical(self.details)

    def note(self, **details: object) -> None:
        """Add details that are known only after writing. Raises RuntimeError once the entry is written."""
        self._expect_open()
        noted = seal.plain(details, "details")
        seal.canonical(noted)
        self.details.update(noted)

    def about(self, subject: Subject) -> None:
        """Name the subject, where it is made only inside. Raises RuntimeError once the entry is written."""
        self._expect_open()
        self.subject = subject

    def skip(self) -> None:
        """Write no entry, because it turned out that nothing had to change. Inner recordings are still told."""
        self._expect_open()
        self.skipped = True

    def _expect_open(self) -> None:
        """Raise when the entry has been appended already."""
        if self.written:
            raise RuntimeError(f"The entry {self.event} is written and cannot change any more.")

    def in_order(self) -> Iterator[Recording]:
        """Yield this recording and all inner ones in the order in which they began."""
        yield self
        for recording in self.inner:
            yield from recording.in_order()


def current() -> Recording | None:
    """Return the innermost open recording, or None."""
    return _current.get()


def require(change: str) -> Recording:
    """Return the open recording, or raise UnrecordedChange naming the change that would go unrecorded."""
    recording = _current.get()
    if recording is None:
        raise UnrecordedChange(f"{change} outside of audit.log.record(...): no change without an entry.")
    return recording


@contextmanager
def opened(recording: Recording) -> Iterator[Recording]:
    """Make the recording current for the length of the block."""
    token = _current.set(recording)
    try:
        yield recording
    finally:
        _current.reset(token)
