"""Delivery: tried again at growing distances, given up at last, never in the way of another one."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
import time_machine
from django.core.mail import EmailMessage
from django.utils import timezone

from governance import notices
from governance.models import DeliveryAttempt, Notice, Webhook
from governance.notices import Kind, hooks, posting, sending
from portal import posting as outside
from portal import targets
from tests.governance.receiver import Receiver, receiving
from tests.scene import Scene

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def listed(settings: Any) -> None:
    """List the host of the receiver."""
    settings.WEBHOOK_PRIVATE_HOSTS = frozenset({"127.0.0.1"})


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Return a receiver that takes everything."""
    with receiving() as found:
        yield found


@pytest.fixture
def pager(scene: Scene, receiver: Receiver) -> Webhook:
    """Return a webhook to the receiver."""
    return hooks.add("pager", receiver.url, actor=scene.walk.cast.alma)[0]


def tell(cause: str = "decision:1", *to: Any) -> int:
    return notices.tell(Kind.DECISION_ENDED, cause=cause, to=to, subject="It was revoked", text="It may not serve.")


def answers() -> list[str]:
    return list(DeliveryAttempt.objects.values_list("answer", flat=True))


# --- tried again, and given up ---------------------------------------------------------------------------------------


def test_what_failed_is_posted_again_unchanged_after_a_minute(pager: Webhook, receiver: Receiver) -> None:
    receiver.statuses = [500]
    with time_machine.travel(NOON, tick=False) as clock:
        tell()
        assert notices.send_due() == notices.send_due() == 0
        clock.shift(timedelta(seconds=90))
        assert notices.send_due() == 1
        assert notices.send_due() == 0
    first, second = receiver.posted
    assert first.body == second.body
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.headers["webhook-timestamp"] != second.headers["webhook-timestamp"]
    assert answers() == ["The receiver answered 500.", "The receiver answered 204."]


def test_the_distances_grow_to_six_hours_and_the_tenth_failure_is_the_last(pager: Webhook, receiver: Receiver) -> None:
    receiver.statuses = [503] * 20
    moments = []
    with time_machine.travel(NOON, tick=False) as clock:
        tell()
        while Notice.objects.filter(given_up_at=None).exists():
            moments.append(timezone.now())
            notices.send_due()
            clock.move_to(Notice.objects.get().due_at)
        waits = [after - before for before, after in pairwise(moments)]
        assert len(moments) == len(receiver.posted) == 10
        assert timedelta(seconds=48) <= waits[0] <= timedelta(seconds=72)
        assert all(after > before for before, after in pairwise(waits[:6]))
        assert max(waits) <= timedelta(hours=7.2)
        assert timedelta(hours=18) < sum(waits, timedelta()) < timedelta(hours=30)
        assert notices.count_lost() == 1
        clock.shift(timedelta(days=2))
        assert notices.count_lost() == notices.send_due() == 0
    assert notices.state_of(Notice.objects.get()) == "undelivered"


def test_after_three_days_one_more_failure_is_the_last(pager: Webhook, receiver: Receiver) -> None:
    receiver.statuses = [503] * 20
    with time_machine.travel(NOON, tick=False) as clock:
        tell()
        clock.shift(timedelta(days=3))
        notices.send_due()
    assert (notices.state_of(Notice.objects.get()), len(receiver.posted)) == ("undelivered", 1)


def test_a_receiver_that_says_gone_is_not_asked_again(pager: Webhook, receiver: Receiver) -> None:
    receiver.statuses = [410]
    tell()
    notices.send_due()
    assert notices.state_of(Notice.objects.get()) == "undelivered"


def test_a_closed_door_is_tried_once_a_run_and_holds_up_nobody_else(
    scene: Scene, pager: Webhook, receiver: Receiver, mailoutbox: list[EmailMessage]
) -> None:
    receiver.statuses = [500] * 5
    with receiving() as other:
        hooks.add("other", other.url, actor=scene.walk.cast.alma)
        for number in range(5):
            tell(f"decision:{number}", scene.walk.cast.ada)
        assert notices.send_due() == 10
        assert (len(receiver.posted), len(other.posted), len(mailoutbox)) == (1, 5, 5)


def test_a_mail_server_that_is_away_is_tried_once_a_run(scene: Scene, settings: Any) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT, settings.EMAIL_HOST_PASSWORD = "127.0.0.1", 9, "hunter2"
    cast = scene.walk.cast
    tell("decision:1", cast.ada, cast.ben)
    assert notices.send_due() == 0
    assert answers() == ["The mail server could not be used: ConnectionRefusedError."]


def test_a_receiver_that_answers_drop_by_drop_is_left_in_time() -> None:
    """Each byte comes well within any limit on a single read; the sum of them does not."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        end = threading.Event()
        thread = threading.Thread(target=drip, args=(server, end))
        thread.start()
        try:
            began = time.monotonic()
            target = targets.read_target(f"http://127.0.0.1:{server.getsockname()[1]}/hook")
            with pytest.raises(TimeoutError):
                outside.exchange(target, outside.request_of(target, {}, b"{}"), 1.0)
            assert time.monotonic() - began < 3
        finally:
            end.set()
            thread.join()


def drip(server: socket.socket, end: threading.Event) -> None:
    """Send one byte of an endless status line every fifth of a second."""
    taken, _ = server.accept()
    with taken:
        while not end.wait(0.2):
            try:
                taken.sendall(b"H")
            except OSError:
                return


def test_a_silent_receiver_is_left_in_time_and_tried_later(
    pager: Webhook, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(posting, "TIMEOUT", 1.0)
    receiver.free.clear()
    tell()
    began = time.monotonic()
    assert notices.send_due() == 0
    assert time.monotonic() - began < 5
    assert answers() == ["No answer within 1 seconds."]
    assert notices.state_of(Notice.objects.get()) == "waiting"


# --- dead and slow senders --------------------------------------------------------------------------------------


def test_a_notice_whose_senders_always_die_is_given_up(pager: Webhook, receiver: Receiver) -> None:
    tell()
    Notice.objects.update(attempts=sending.MAX_ATTEMPTS, lease_until=timezone.now() - timedelta(seconds=1))
    assert notices.send_due() == 0
    assert (receiver.posted, notices.count_lost()) == ([], 1)


def test_a_delivery_that_outlived_its_lease_counts_and_a_failure_does_not(pager: Webhook, receiver: Receiver) -> None:
    tell()
    slow = sending.claim(set())
    assert slow is not None
    Notice.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    quick = sending.claim(set())
    assert quick is not None
    sending.settle(slow, sending.Outcome(False, "The receiver answered 500."))
    assert Notice.objects.get().lease_until == quick[0].lease_until
    sending.settle(slow, sending.Outcome(True, "The receiver answered 204."))
    sending.settle(quick, sending.Outcome(False, "The receiver answered 500."))
    assert notices.state_of(Notice.objects.get()) == "delivered"
