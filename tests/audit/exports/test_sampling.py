"""Samples: the same rows for the same seed and instant, drawn again from the whole file without the portal."""

from __future__ import annotations

import csv
import hashlib
import io
from typing import Any

import pytest
from django.utils import timezone

from audit.exports import builder, requests
from audit.reports import BY_SLUG, REPORTS, Filters
from audit.reports.asking import Question, Sample
from registry import people
from tests.audit.exports.test_builder import content
from tests.audit.reports.stories import decided
from tests.factories import Walk


def lines(export: Any) -> list[dict[str, str]]:
    """Return the rows of an exported CSV."""
    return list(csv.DictReader(io.StringIO(content(export).decode(), newline="")))


def test_a_sample_is_drawn_again_from_the_whole_file_with_ten_words_of_python(walk: Walk) -> None:
    now = timezone.now()
    asked = {"actor": walk.cast.iris, "as_of": now}
    whole = builder.build_now(requests.request_table(BY_SLUG["ledger"], "csv", **asked))
    drawn = builder.build_now(requests.request_table(BY_SLUG["ledger"], "csv", sample=Sample(4, "2026-Q4 ü%"), **asked))
    ranked = sorted(lines(whole), key=lambda row: hashlib.sha256(f"2026-Q4 ü%:{row['Row']}".encode()).digest())
    assert lines(drawn) == ranked[:4]
    assert len(ranked) > 8
    assert drawn.parameters["sample"] == {"size": 4, "seed": "2026-Q4 ü%"}


def test_what_happens_later_changes_no_sample_of_before_and_a_larger_one_keeps_the_smaller(walk: Walk) -> None:
    now = timezone.now()

    def drawn(size: int, seed: str) -> list[Any]:
        return list(Question(BY_SLUG["access"], Filters(), now, Sample(size, seed)).rows())

    before = drawn(3, "a")
    people.give_seat(walk.cast.ben, "platform", actor=walk.cast.alma)
    assert drawn(3, "a") == before
    assert drawn(6, "a")[:3] == before
    assert drawn(6, "b") != drawn(6, "a")
    assert len(drawn(1_000, "a")) == Question(BY_SLUG["access"], Filters(), now).size()


@pytest.mark.parametrize("slug", [report.slug for report in REPORTS])
def test_every_report_can_be_sampled_and_its_sample_is_a_part_of_it(slug: str, walk: Walk) -> None:
    decided(walk)
    now = timezone.now()
    whole = list(Question(BY_SLUG[slug], Filters(), now).rows())
    drawn = list(Question(BY_SLUG[slug], Filters(), now, Sample(2, "s")).rows())
    assert len(drawn) == min(2, len(whole))
    assert {row[-1] for row in drawn} <= {row[-1] for row in whole}
    assert len({row[-1] for row in whole}) == len(whole)
