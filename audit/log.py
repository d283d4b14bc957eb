"""Writing to the ledger and reading from it. Every verb tells what it did through `record`.

Sealing entries into the Merkle tree lives in `audit.sealer`, checking them in `audit.verifier`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Min, QuerySet
from django.utils import timezone

from audit import cosignatures, merkle, notes, rows, seal
from audit.events import Event
from audit.models import Entry, Leaf, Pending
from audit.models.ledger import MAX_BODY
from audit.recording import Actor, Recording, Subject, UnrecordedChange, current, opened
from audit.tiles import StoredTree
from portal.errors import Fault, Invalid, Reason, Refused
from portal.jobs import Job, ring

__all__ = [
    "Recording",
    "UnrecordedChange",
    "entries",
    "proof",
    "record",
    "recording",
    "request_id",
    "sealing_fault",
    "unsealed",
]

SCHEMA = "countersign-entry/v1"
# What others wait for is sealed right after its commit and not up to a second later.
AT_ONCE = ("review.", "decision.")
SLOW = timedelta(seconds=60)
LIMITS = {"subject.kind": 40, "subject.label": 300, "subject.id": 100}

request_id: ContextVar[str] = ContextVar("ledger_request_id", default="")


@contextmanager
def record(event: Event, *, actor: Actor, subject: Subject | None = None, **details: object) -> Iterator[Recording]:
    """Open a transaction in which the record may change, and append one entry about it as its last statement.

    Entry, rows and history commit together or not at all. A recording inside another one joins its transaction; the
    entries follow each other in the order in which the recordings began. The subject's reference is read at the end;
    `about(subject)` names one that is made only inside, `note(...)` adds details, `skip()` leaves the entry out when
    nothing was changed. Raises TypeError without an event or an actor,
    ValueError without a subject, and Invalid for details that are no plain data or an entry beyond 65,535 bytes.
    """
    inside = Recording(event, actor, subject, dict(details))
    outer = current()
    with transaction.atomic():
        with opened(inside):
            yield inside
        if outer is not None:
            outer.inner.append(inside)
            return
        written = [_append(each) for each in inside.in_order()]
        if any(written):
            ring(Job.SEAL, at_once=any(each.event.value.startswith(AT_ONCE) for each in inside.in_order()))


def recording() -> Recording | None:
    """Return the innermost open recording, or None."""
    return current()


def _append(told: Recording) -> bool:
    """Insert the entry of a recording, which a trigger queues for sealing; return whether there is one."""
    told.written = True
    if told.skipped:
        _expect_nothing(told)
        return False
    document = _document(told)
    body = seal.canonical(document)
    if len(body) > MAX_BODY:
        raise Invalid(Fault("details", f"{len(body):,} bytes", f"at most {MAX_BODY:,}; name larger things by digest"))
    Entry(
        body=body,
        leaf_hash=merkle.leaf_hash(body),
        event_id=told.event_id,
        kind=document["kind"],
        subject_kind=document["subject"]["kind"],
        subject_label=document["subject"]["label"],
        subject_id=document["subject"]["id"],
        actor=document["actor"],
        occurred_at=told.occurred_at,
    ).save()
    return True


def _expect_nothing(told: Recording) -> None:
    """Raise UnrecordedChange when a recording that is to be left out has changed something."""
    if named := rows.named(told.models, told.event_id):
        raise UnrecordedChange(f"{told.event} was skipped although it changed {named[0]['table']}.")


def _document(told: Recording) -> dict[str, Any]:
    """Return what the entry says, ready to be made canonical."""
    if told.subject is None:
        raise ValueError(f"The recording of {told.event} names no subject.")
    kind, label, identifier = (str(part) for part in told.subject.ledger_ref)
    for name, value in {"subject.kind": kind, "subject.label": label, "subject.id": identifier}.items():
        if not 0 < len(value) <= LIMITS[name]:
            raise Invalid(Fault(name, f"{len(value)} characters", f"1 to {LIMITS[name]} characters"))
    document = {
        "schema": SCHEMA,
        "eventId": str(told.event_id),
        "kind": told.event.value,
        "occurredAt": seal.instant(told.occurred_at),
        "actor": told.actor.ledger_name,
        "subject": {
            "kind": kind,
            "label": label,
            "id": identifier,
            "digest": getattr(told.subject, "ledger_digest", "") or "",
        },
        "details": told.details,
        "rows": rows.named(told.models, told.event_id),
    }
    return {**document, "requestId": request_id.get()} if request_id.get() else document


def entries(
    *,
    kind: str = "",
    subject: Subject | tuple[str, str] | None = None,
    actor: str = "",
    since: datetime | None = None,
    until: datetime | None = None,
) -> QuerySet[Entry]:
    """Return entries, newest first.

    `kind` is an event or, ending in a dot, a whole family such as `review.`; `subject` a thing with a ledger reference,
    or its (kind, id); `actor` a ledger name; `since` is inclusive and `until` exclusive, by the time of the event.
    """
    found = Entry.objects.order_by("-id")
    if kind:
        found = found.filter(kind__startswith=kind) if kind.endswith(".") else found.filter(kind=str(kind))
    if subject is not None:
        pair = subject if isinstance(subject, tuple) else subject.ledger_ref[::2]
        found = found.filter(subject_kind=pair[0], subject_id=pair[1])
    if actor:
        found = found.filter(actor=actor)
    if since is not None:
        found = found.filter(occurred_at__gte=since)
    if until is not None:
        found = found.filter(occurred_at__lt=until)
    return found


@dataclass(frozen=True)
class Unsealed:
    """How many entries wait to be sealed, and since when the oldest of them does."""

    count: int
    since: datetime | None


def unsealed() -> Unsealed:
    """Return what waits to be sealed. More than a minute means that the sealer is not running or refuses to sign."""
    # Two questions, because an entry that was deleted while it waited has to be counted as well.
    count = Pending.objects.count()
    return Unsealed(count, Pending.objects.aggregate(since=Min("entry__recorded_at"))["since"] if count else None)


def sealing_fault() -> str:
    """Return the sentence that says that an entry has waited too long to be sealed, or an empty text."""
    waiting = unsealed()
    age = timezone.now() - waiting.since if waiting.since else SLOW
    if waiting.count == 0 or (waiting.since and age <= SLOW):
        return ""
    many = f"{waiting.count:,} entries wait" if waiting.count > 1 else "An entry waits"
    how_long = f"the oldest for {int(age.total_seconds()):,} seconds" if waiting.since else "and cannot be found"
    return f"{many} to be sealed into the ledger, {how_long}; see 'When sealing stops' in docs/operating.md."


def proof(entry: Entry) -> str:
    """Return the C2SP tlog-proof of an entry: its audit path to the newest checkpoint that a witness cosigned as well.

    Where no witness has cosigned one over the entry, to the newest that is signed. Raises Refused with code `unsealed`
    while the entry waits, and with `damaged` when the stored tree contradicts the checkpoint, so that no wrong proof is
    ever handed out.
    """
    leaf = Leaf.objects.filter(entry=entry).first()
    checkpoint = cosignatures.best_over(leaf.leaf_index) if leaf is not None else None
    if leaf is None or checkpoint is None:
        fix = Reason("sealed", "A proof leads to a signed checkpoint.", "Try again in a few seconds.")
        raise Refused("unsealed", "This entry waits to be sealed.", reasons=[fix])
    index, size = leaf.leaf_index, checkpoint.size
    path = merkle.inclusion_proof(index, size, StoredTree(size).node)
    if not merkle.verify_inclusion(index, size, merkle.leaf_hash(bytes(entry.body)), path, bytes(checkpoint.root)):
        raise Refused("damaged", "The stored ledger contradicts its own checkpoint; run `manage.py verify_ledger`.")
    return notes.proof_text(notes.Proof(index, path, cosignatures.cosigned(checkpoint)))
