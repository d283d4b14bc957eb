"""A real worker builds what was asked for, because the request rang for it."""

from __future__ import annotations

import time

import pytest
from django.urls import reverse

from audit.exports import requests
from audit.models import Entry, Export
from audit.reports import BY_SLUG
from portal.embedded.children import Child
from tests.audit.web.visitors import visit
from tests.factories import Walk


@pytest.mark.django_db(transaction=True)
def test_a_request_rings_for_a_worker_that_builds_it(worker: Child, walk: Walk) -> None:
    export = requests.request_table(BY_SLUG["access"], "xlsx", actor=walk.cast.iris)
    deadline = time.monotonic() + 20
    while Export.objects.get(pk=export.pk).state != "done":
        assert time.monotonic() < deadline, "The worker did not build it."
        time.sleep(0.2)
    assert Entry.objects.filter(kind="export.built", subject_id=str(export.pk)).count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_small_table_comes_at_once_although_workers_look_for_work(worker: Child, walk: Walk) -> None:
    iris, door = visit(walk.cast.iris), reverse("audit:export-report", args=["access"])
    for _ in range(4):
        requests.request_table(BY_SLUG["access"], "csv", actor=walk.cast.iris)
        answer = iris.post(door, {"format": "csv"})
        assert answer["Location"].endswith("/file/")
