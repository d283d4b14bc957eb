"""Revocation lists that several workers issue at once."""

from __future__ import annotations

import threading

import pytest
from django.db import connections

from audit import seal
from governance import revocations
from governance.models import RevocationList


@pytest.mark.django_db(transaction=True)
def test_lists_issued_at_once_have_numbers_that_follow_each_other() -> None:
    seal.ensure_keys()
    begin = threading.Barrier(4)

    def issue() -> None:
        begin.wait()
        try:
            revocations.issue_due()
        finally:
            connections.close_all()

    threads = [threading.Thread(target=issue) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(RevocationList.objects.values_list("number", flat=True)) == [1]
