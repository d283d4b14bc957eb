"""The page of one serving window: what was reported, what corrected it, and its proof."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.utils import timezone

from audit.models import ServingBatch
from audit.sealer import seal_due
from audit.serving.lookups import floor
from tests.factories import Walk
from tests.governance.violations.stories import report, window
from tests.web.visitors import read, visit

STRANGER = "f0" * 32


@pytest.fixture
def batch(walk: Walk) -> ServingBatch:
    start = floor(timezone.now()) - timedelta(hours=1)
    first = report(walk, window(STRANGER, start), window(STRANGER, start, customer="globex"), batch="1")
    report(walk, window(STRANGER, start, sequence=1, requests=41), batch="2")
    return first


def test_a_window_is_shown_with_its_correction_and_its_proof(walk: Walk, batch: ServingBatch) -> None:
    client, address = visit(walk.cast.iris), f"/audit/windows/{batch.pk}/1/"
    assert "There is no proof yet" in read(client.get(address))
    seal_due()
    words = read(client.get(address))
    assert "Corrected" in words
    assert "Sequence 1: 41 requests" in words
    assert "leaf 0 of the 2 windows" in words
    proof = client.get(f"{address}proof/")
    assert proof.headers["Content-Disposition"].startswith("attachment")
    assert json.loads(json.loads(proof.content)["row"])["customer"] == "acme"


def test_it_is_for_auditors_and_only_where_there_is_one(walk: Walk, batch: ServingBatch) -> None:
    for place in (f"/audit/windows/{batch.pk}/1/", f"/audit/windows/{batch.pk}/1/proof/"):
        answer = visit(walk.cast.ada).get(place)
        assert answer.status_code == 403
        assert b"acme" not in answer.content
    assert visit(walk.cast.iris).get(f"/audit/windows/{batch.pk}/3/").status_code == 404
