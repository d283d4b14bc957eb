"""Delivering what is due: rows are the queue, claimed under a lease, delivered outside any transaction, then settled.

A worker that is killed loses nothing: its lease ends and somebody else delivers. Whatever it had delivered already
comes twice, under the same Message-ID or webhook-id.
"""

from __future__ import annotations

import logging
import random
import time
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from governance.models import DeliveryAttempt, Notice, NoticePreference
from governance.models.notices import Pace
from governance.notices.mailing import mail
from governance.notices.outcome import Outcome
from governance.notices.posting import post
from registry.models import User

logger = logging.getLogger(__name__)
LEASE = timedelta(minutes=5)
# No run is longer than this many seconds: the clock rings again, and other work waits for the same worker.
MAX_RUN = 120.0
MAX_TOGETHER = 200
MAX_ATTEMPTS = 10
MAX_AGE = timedelta(days=3)
# The tenth attempt comes about a day after the first.
FIRST_WAIT, LONGEST_WAIT, GROWTH = timedelta(minutes=1), timedelta(hours=6), 3
MAIL = "mail"


def send_due(limit: int = 500) -> int:
    """Deliver what is due, at most `limit` times. Returns how many notices were delivered. Safe to run many at once."""
    delivered = 0
    shut: set[str] = set()
    end = time.monotonic() + MAX_RUN
    for _ in range(limit):
        if time.monotonic() > end or (batch := claim(shut)) is None:
            break
        outcome = deliver(batch) if batch else None
        if outcome is not None:
            settle(batch, outcome)
            delivered += len(batch) if outcome.worked else 0
            shut |= {door_of(batch[0])} if outcome.is_shut else set()
    return delivered


def waiting() -> QuerySet[Notice]:
    """Return the notices that are neither delivered nor given up."""
    return Notice.objects.filter(sent_at=None, given_up_at=None)


def due(now: datetime) -> QuerySet[Notice]:
    """Return the notices to deliver now that nobody is delivering, the longest due first."""
    free = Q(lease_until=None) | Q(lease_until__lt=now)
    return waiting().filter(free, due_at__lte=now).order_by("due_at", "pk")


def door_of(notice: Notice) -> str:
    """Return through what a notice goes out: all mail goes through one server, each webhook has its own."""
    return notice.receiver if notice.webhook_id else MAIL


def claim(shut: set[str]) -> list[Notice] | None:
    """Take what to deliver next under a lease; None when nothing is due.

    Doors and receivers in `shut` are passed over. The list is empty, and the receiver added to `shut`, when another
    worker is just gathering what belongs into the same mail.
    """
    now = timezone.now()
    with transaction.atomic():
        rows = due(now).exclude(receiver__in=shut)
        rows = rows.exclude(webhook=None) if MAIL in shut else rows
        related = ("person", "webhook", "asset")
        first = rows.select_for_update(skip_locked=True, of=("self",)).select_related(*related).first()
        if first is None:
            return None
        batch = gather(first, now)
        if not batch:
            shut.add(first.receiver)
        lease = now + LEASE
        Notice.objects.filter(pk__in=[each.pk for each in batch]).update(attempts=F("attempts") + 1, lease_until=lease)
        for each in batch:
            each.attempts, each.lease_until = each.attempts + 1, lease
    return batch


def gather(first: Notice, now: datetime) -> list[Notice]:
    """Return a claimed notice with all that go into the same mail; nothing when another worker is gathering them.

    Whoever gathers holds the person's row, so that a daily mail is not torn in two.
    """
    if first.person_id is None or not NoticePreference.objects.filter(user=first.person_id, pace=Pace.DAILY).exists():
        return [first]
    people = User.objects.select_for_update(skip_locked=True, no_key=True)
    if not people.filter(pk=first.person_id).exists():
        return []
    rows = due(now).filter(person=first.person_id).select_for_update(of=("self",))
    return list(rows.select_related("person", "webhook", "asset")[:MAX_TOGETHER])


def deliver(batch: list[Notice]) -> Outcome:
    """Try to deliver once. Whatever goes wrong is an outcome, because the next notice must not wait for this one."""
    first = batch[0]
    if first.attempts > MAX_ATTEMPTS:
        return Outcome(False, f"No attempt of {MAX_ATTEMPTS} came to an end: the worker was ended.", is_lasting=True)
    try:
        return post(first) if first.webhook_id else mail(batch)
    except Exception as error:
        logger.exception("Delivering the notice %s failed.", first.public_id)
        return Outcome(False, f"The attempt broke: {type(error).__name__}.")


def settle(batch: list[Notice], outcome: Outcome) -> None:
    """Write down how an attempt went, and when to try again.

    A delivery counts even when it took longer than its lease; a failure counts only while nobody else is trying.
    """
    now = timezone.now()
    keys = [notice.pk for notice in batch]
    with transaction.atomic():
        if outcome.is_unwanted:
            keep(Notice.objects.filter(pk__in=keys), now)
            return
        tries = (DeliveryAttempt(notice=each, at=now, worked=outcome.worked, answer=outcome.says) for each in batch)
        DeliveryAttempt.objects.bulk_create(tries)
        if outcome.worked:
            told = {"sent_at": now, "given_up_at": None, "lease_until": None}
            Notice.objects.filter(pk__in=keys, sent_at=None).update(**told)
            return
        for notice in batch:
            mine = Notice.objects.filter(pk=notice.pk, lease_until=notice.lease_until)
            mine.update(lease_until=None, **after_failure(notice, outcome, now))


def keep(rows: QuerySet[Notice], now: datetime) -> int:
    """Deliver these no more: nobody wants them delivered, they stay on the page. Returns how many."""
    return rows.filter(sent_at=None).update(given_up_at=now, attempts=0, lease_until=None)


def after_failure(notice: Notice, outcome: Outcome, now: datetime) -> dict[str, datetime]:
    """Return when to try again, or that it is given up."""
    if outcome.is_lasting or notice.attempts >= MAX_ATTEMPTS or now - notice.made_at >= MAX_AGE:
        return {"given_up_at": now}
    wait = min(LONGEST_WAIT, FIRST_WAIT * GROWTH ** (notice.attempts - 1))
    # Jitter keeps many that failed together from coming back together; nothing secret hangs on it.
    return {"due_at": now + wait * random.uniform(0.8, 1.2)}  # noqa: S311


def lost(since: datetime) -> QuerySet[Notice]:
    """Return what could not be delivered, given up since an instant."""
    return Notice.objects.filter(given_up_at__gte=since, attempts__gt=0)


def count_lost() -> int:
    """Return how many notices were given up within the last day."""
    return lost(timezone.now() - timedelta(days=1)).count()


def state_of(notice: Notice) -> str:
    """Return the word for how far a notice has come: delivered, undelivered, kept, or waiting."""
    if notice.sent_at is not None:
        return "delivered"
    if notice.given_up_at is not None:
        return "undelivered" if notice.attempts else "kept"
    return "waiting"
