"""Many workers judge at once: each batch is judged by one of them."""

from __future__ import annotations

import threading

import pytest
from django.db import connections
from django.utils import timezone

from audit.models import UnjudgedBatch
from audit.models.serving import GRID
from audit.serving.lookups import floor
from governance import violations
from governance.models import Violation
from tests.factories import Walk
from tests.governance.violations.stories import report, steps, window

STRANGER = "f0" * 32


@pytest.mark.django_db(transaction=True)
def test_many_workers_judge_each_batch_once(walk: Walk) -> None:
    start = floor(timezone.now()) - 20 * GRID
    for number in range(6):
        report(walk, *(window(STRANGER, at, customer=f"c-{number}") for at in steps(start, 3)), batch=str(number))
    together = threading.Barrier(4)

    def work() -> None:
        try:
            together.wait()
            violations.judge_due()
        finally:
            connections.close_all()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    while violations.judge_due():
        pass
    [found] = Violation.objects.all()
    assert (found.windows, found.requests, found.customers.count()) == (18, 126, 6)
    assert not UnjudgedBatch.objects.exists()
