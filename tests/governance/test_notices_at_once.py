"""Many senders at once deliver everything once, and a sender that is killed loses nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.core.mail import EmailMessage
from django.utils import timezone

from governance import notices, tasks
from governance.models import DeliveryAttempt, Notice
from governance.notices import Kind, hooks
from portal.demo.cast import gather
from portal.embedded.children import Child
from tests.governance.receiver import Receiver, is_genuine, receiving
from tests.governance.test_concurrency import at_once
from tests.governance.test_crashes import kill_pool, until

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def listed(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    """List the host of the receiver, for this process and for workers."""
    monkeypatch.setenv("WEBHOOK_PRIVATE_HOSTS", "127.0.0.1")
    settings.WEBHOOK_PRIVATE_HOSTS = frozenset({"127.0.0.1"})


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Return a receiver that takes everything."""
    with receiving() as found:
        yield found


def tell(cause: str = "decision:1", *to: Any) -> int:
    return notices.tell(Kind.DECISION_ENDED, cause=cause, to=to, subject="It was revoked", text="It may not serve.")


def test_senders_in_parallel_deliver_everything_once(receiver: Receiver, mailoutbox: list[EmailMessage]) -> None:
    cast = gather()
    hooks.add("pager", receiver.url, actor=cast.alma)
    notices.choose(actor=cast.ben, pace="daily", hour=0)
    for number in range(8):
        tell(f"decision:{number}", cast.ada, cast.ben)
    Notice.objects.filter(person=cast.ben).update(due_at=timezone.now())
    counts = at_once(*(notices.send_due for _ in range(5)))
    while left := notices.send_due():
        counts.append(left)
    assert sum(counts) == 24
    assert len({each.headers["webhook-id"] for each in receiver.posted}) == len(receiver.posted) == 8
    assert sorted(mail.to[0] for mail in mailoutbox) == ["ada@example.com"] * 8 + ["ben@example.com"]
    assert DeliveryAttempt.objects.count() == 24


def test_a_worker_killed_while_it_delivers_loses_nothing(receiver: Receiver, worker: Child) -> None:
    cast = gather()
    _, secret = hooks.add("pager", receiver.url, actor=cast.alma)
    receiver.free.clear()
    tell()
    tasks.send_notices.delay()
    until(lambda: len(receiver.posted) == 1, worker)
    kill_pool(worker)
    receiver.free.set()
    row = Notice.objects.get()
    assert (notices.state_of(row), row.attempts, DeliveryAttempt.objects.count()) == ("waiting", 1, 0)
    # Nobody delivers it while the dead one's lease runs; then somebody does.
    assert notices.send_due() == 0
    Notice.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    tasks.send_notices.delay()
    until(lambda: Notice.objects.exclude(sent_at=None).exists(), worker)
    first, second = receiver.posted
    assert first.headers["webhook-id"] == second.headers["webhook-id"] == str(row.public_id)
    assert is_genuine(secret, second.headers, second.body, at=time.time())
