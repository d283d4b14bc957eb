"""Bringing checkpoints outside: rows of CheckpointCopy are the queue, claimed under a lease, brought, then settled.

Folders and buckets get every checkpoint, in order, as many as there are when the job runs. Webhooks, mailboxes and
witnesses get the newest: it covers all before it, by consistency, so a place that is behind never needs those that it
missed. Whoever is killed loses nothing: the lease ends and somebody brings the same checkpoint again, which changes
nothing at the place.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from hashlib import sha256

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from audit import log, merkle, notes
from audit.copies import configured
from audit.copies.place import Contradicted, Place, Unreachable
from audit.events import Event
from audit.models import Checkpoint, CheckpointCopy
from audit.tiles import StoredTree
from portal.errors import Invalid, Refused

logger = logging.getLogger(__name__)
LEASE = timedelta(minutes=2)
# No run is longer than this many seconds: the clock rings again.
MAX_RUN = 50.0
MOST_AT_ONCE = 100
MOST_QUEUED = 1_000
FIRST_WAIT, LONGEST_WAIT, GROWTH = timedelta(seconds=5), timedelta(minutes=15), 2
# Begins the error of a row whose place holds another history.
LOUD = "It contradicts the ledger: "


class Outside:
    """Who writes down what places outside say."""

    ledger_name = "system:copies"


class Contradiction:
    """What an entry about a contradiction is about: the place, and what it said."""

    def __init__(self, place: Place, cause: str) -> None:
        self.ledger_ref = ("place", place.name, sha256(f"{place.name} {cause}".encode()).hexdigest())


def copy_due(*, at_once: bool = False) -> int:
    """Bring what is due to every place. Returns how many copies were brought. Safe to run many at once.

    With `at_once`, places that rest between copies or after failures are tried now.
    """
    end = time.monotonic() + MAX_RUN
    places = configured.places()
    # A place that takes long must not always keep the same ones waiting.
    random.shuffle(places)
    return sum(serve(place, end, at_once=at_once) for place in places)


def serve(place: Place, end: float, *, at_once: bool = False) -> int:
    """Bring one place what is due to it, until a time of the monotonic clock. Returns how many copies were brought.

    A place that holds another history gets nothing more: what it has stays its newest, and stays in sight.
    """
    brought = 0
    if not settle(place, lambda: expect_uncut(place)):
        return 0
    queue(place, at_once=at_once)
    while time.monotonic() < end and (batch := claim(place, at_once=at_once)):
        if not brought and not settle(place, lambda: expect_continued(place)):
            return 0
        for row in batch:
            if time.monotonic() > end:
                rows_of(place).filter(sent_at=None).update(due_at=timezone.now())
                break
            if not attempt(place, row):
                return brought
            brought += 1
        at_once = False
    return brought


def rows_of(place: Place) -> QuerySet[CheckpointCopy]:
    """Return the rows of a place, those of the greatest size first."""
    return CheckpointCopy.objects.filter(place=place.name)


def queue(place: Place, *, at_once: bool = False) -> None:
    """Queue the checkpoints that a place has not been sent, after its pause: all of them, or the newest alone.

    Of more than a thousand, the newest thousand.
    """
    last = rows_of(place).first()
    fresh = Checkpoint.objects.filter(size__gt=last.size if last else 0).order_by("-size")
    now = timezone.now()
    sent = rows_of(place).exclude(sent_at=None).first()
    rests = sent is not None and sent.sent_at is not None and sent.sent_at + place.pause > now
    waits = not place.takes_all and rows_of(place).filter(sent_at=None).exists()
    if waits or (rests and not at_once):
        return
    sizes = fresh.values_list("size", flat=True)[: MOST_QUEUED if place.takes_all else 1]
    rows = [CheckpointCopy(place=place.name, size=size, due_at=now) for size in sizes]
    CheckpointCopy.objects.bulk_create(rows, ignore_conflicts=True)


def claim(place: Place, *, at_once: bool = False) -> list[CheckpointCopy]:
    """Take what to bring next under a lease, the smallest size first. Nothing while the place rests or is served."""
    now = timezone.now()
    with transaction.atomic():
        unsent = rows_of(place).filter(sent_at=None).order_by("size")
        batch = list(unsent.select_for_update()[:MOST_AT_ONCE])
        if not batch or (not at_once and any(row.due_at > now for row in batch)):
            return []
        if not place.takes_all:
            newest = Checkpoint.objects.first()
            batch = batch[-1:]
            batch[0].size = newest.size if newest else batch[0].size
        for row in batch:
            row.due_at = now + LEASE
        CheckpointCopy.objects.bulk_update(batch, ["due_at", "size"])
    return batch


def attempt(place: Place, row: CheckpointCopy) -> bool:
    """Bring one checkpoint, and settle its row. Returns whether it worked."""
    checkpoint = Checkpoint.objects.filter(size=row.size).first()
    if checkpoint is None:
        return settle(place, lambda: tell_gone(row)) and False
    if not settle(place, lambda: place.bring(checkpoint)):
        return False
    CheckpointCopy.objects.filter(pk=row.pk).update(sent_at=timezone.now(), error="")
    return True


def settle(place: Place, act: Callable[[], None]) -> bool:
    """Do something at a place, and write down how it failed, if it did. Returns whether it worked."""
    try:
        act()
    except Contradicted as error:
        logger.critical("%s contradicts the ledger: %s.", place.words, error)
        says = f"{LOUD}{error}."
        record(place, error)
    except (Unreachable, Refused, LookupError) as error:
        logger.warning("%s got no copy: %s", place.name, error)
        says = str(error)
    except Exception as error:  # the other places must not wait for a fault of ours
        logger.exception("%s got no copy.", place.name)
        says = f"A fault of the portal: {type(error).__name__}."
    else:
        return True
    fail(place, says)
    return False


def fail(place: Place, says: str) -> None:
    """Put off what waits for a place, each time for longer."""
    with transaction.atomic():
        waiting = list(rows_of(place).filter(sent_at=None).order_by("size").select_for_update()[:1])
        first = waiting[0] if waiting else rows_of(place).first()
        if first is not None:
            attempts = min(first.attempts + 1, 30_000)
            # A place that is cut off after it contradicted has not taken it back.
            says = first.error if first.error.startswith(LOUD) and not says.startswith(LOUD) else says
            rows_of(place).filter(pk=first.pk).update(attempts=attempts, error=says[:500])
            rows_of(place).filter(sent_at=None).update(due_at=after(attempts))


def after(attempts: int) -> datetime:
    """Return when to try again: later each time, and not all places at the same moment."""
    wait = min(FIRST_WAIT * GROWTH ** min(attempts - 1, 20), LONGEST_WAIT)
    return timezone.now() + wait * random.uniform(0.8, 1.2)  # noqa: S311 -- no secret


def expect_uncut(place: Place) -> None:
    """Expect that no checkpoint was queued for a place that this ledger does not reach. Raises Contradicted."""
    last = rows_of(place).first()
    if last is not None:
        expect_not_ahead(last.size, "was to get" if last.sent_at is None else "holds")


def expect_continued(place: Place) -> None:
    """Expect that the newest that a place holds is a beginning of this ledger. Raises Contradicted and Unreachable.

    That is asked before anything is brought: afterwards the newest there would be of the history that is here now.
    """
    held = place.newest_size()
    if held is None:
        return
    size = expect_not_ahead(held, "holds")
    with suppress(Invalid):  # What is no checkpoint is told when one of its size is brought.
        found = notes.parse_checkpoint(place.newest() or "")
        if found.size <= size and merkle.frontier_at(found.size, StoredTree(size).node).root() != found.root:
            raise Contradicted(f"it holds another checkpoint of {found.size} entries", f"other {found.size}")


def expect_not_ahead(held: int, verb: str) -> int:
    """Return the size of this ledger. Raises Contradicted when that is less than what a place holds: it was cut off."""
    newest = Checkpoint.objects.first()
    size = newest.size if newest else 0
    if held > size:
        raise Contradicted(f"it {verb} a checkpoint of {held} entries, and this ledger has {size}", f"ahead {held}")
    return size


def tell_gone(row: CheckpointCopy) -> None:
    """Raise Contradicted about a checkpoint that was there when it was queued: the table was cut off since."""
    raise Contradicted(f"it was to get the checkpoint of {row.size} entries, which is gone here", f"gone {row.size}")


def record(place: Place, error: Contradicted) -> None:
    """Append an entry about a contradiction, once for each cause: the entry itself makes a new checkpoint."""
    subject = Contradiction(place, error.cause)
    if not log.entries(kind=Event.CHECKPOINT_CONTRADICTED, subject=subject).exists():
        with log.record(Event.CHECKPOINT_CONTRADICTED, actor=Outside(), subject=subject, says=str(error)):
            pass
