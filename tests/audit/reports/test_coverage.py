"""What is missing as of an instant: before and after each thing came or went, and never of another asset."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from audit.reports import BY_SLUG, Filters, gaps
from governance import decisions, departures
from tests.audit.reports.stories import decided, prompt
from tests.factories import Walk
from tests.policies import publish, shipped

COVERAGE = BY_SLUG["coverage"]


def told(as_of: datetime | None = None, **asked: Any) -> list[dict[str, Any]]:
    """Return the rows of the report by their headings."""
    headings = [column.title for column in COVERAGE.columns]
    rows = COVERAGE.rows(Filters(**asked), as_of or timezone.now())
    return [dict(zip(headings, row, strict=True)) for row in rows]


def missing(as_of: datetime | None = None, **asked: Any) -> set[tuple[str, str]]:
    """Return what is missing from what."""
    return {(row["Version"] or row["Asset"], row["Missing"]) for row in told(as_of, **asked)}


def test_what_has_everything_has_no_row(walk: Walk) -> None:
    decision = decided(walk)
    walk.promote(decision.version, "staging")
    assert told() == []
    picture = COVERAGE.picture(Filters(), timezone.now())
    assert picture is not None
    assert all(" 100 % of 1" in label for label, _ in picture.context["bars"])


def test_an_owner_who_left_is_missing_from_that_instant_on(walk: Walk) -> None:
    version = prompt(walk)
    before = timezone.now()
    departures.leave(walk.cast.ben, actor=walk.cast.alma)
    walk.cast.ben.refresh_from_db()
    assert missing(before) == set()
    [row] = told(word="backup")
    assert (row["Asset"], row["Version"], row["Missing"]) == ("credit-prompt", None, "Backup owner")
    assert row["Since"] == walk.cast.ben.left_at
    assert (row["Who can fix it"], row["Where"]) == ("Ada Owner; Risk models", version.asset.get_absolute_url())


def test_a_version_is_without_evidence_from_the_policy_on_that_asks_for_it(walk: Walk) -> None:
    publish(shipped("baseline.rules", ["metadata", "checksum"]), walk.cast)
    version = prompt(walk, without=("sbom",))
    walk.register("desk-prompt", "1.0.0", b"Answer.", kind="prompt", suffix="txt")
    before = timezone.now()
    publish(shipped(), walk.cast)
    assert ("credit-prompt@1.0.0", "SBOM") not in missing(before)
    # A draft asks nothing of anybody yet.
    assert missing(word="sbom") == {("credit-prompt@1.0.0", "SBOM")}
    [row] = told(word="sbom")
    assert (row["Since"], row["State then"]) == (version.registered_at, "candidate")
    assert (row["Rule"], row["Where"]) == ("sbom", version.get_absolute_url())


def test_an_evaluation_is_too_old_from_the_day_that_its_policy_names(walk: Walk) -> None:
    version = prompt(walk)
    measured = version.evidence.get(kind="evaluation").evaluations.all()[0].measured_at
    end = measured + timedelta(days=30)
    with time_machine.travel(end + timedelta(days=1)):
        assert ("credit-prompt@1.0.0", "Recent evaluation") not in missing(end - timedelta(seconds=1))
        [row] = told(end, word="recent-evaluation")
        assert (row["Version"], row["Since"]) == ("credit-prompt@1.0.0", end)
        picture = COVERAGE.picture(Filters(word="recent-evaluation"), end)
        assert picture is not None
        assert [label for label, _ in picture.context["bars"]] == ["Recent evaluation: 0 % of 1"]


def test_a_kind_without_a_policy_is_told(walk: Walk) -> None:
    version = prompt(walk)
    assert missing(word="policy") == set()
    rows, whole = gaps.parts(gaps.Wanted(timezone.now(), Filters(), ()))[gaps.POLICY]
    assert [row.label for row in rows] == [row.label for row in whole] == [version.label]


def test_what_an_environment_points_to_without_a_decision_in_force_is_told_with_why_and_since_when(walk: Walk) -> None:
    decision = decided(walk)
    walk.promote(decision.version, "staging")
    before = timezone.now()
    revoked = decisions.revoke(decision, actor=walk.cast.rhea, reason="A leak was found.")
    walk.work()
    assert missing(before, word="decision") == set()
    [row] = told(word="decision")
    assert (row["Version"], row["In use in"], row["Rule"]) == ("credit-prompt@1.0.0", "staging", "revoked")
    assert row["Since"] == revoked.made_at
    assert "was revoked" in row["Says"]
    assert row["How"]


def test_an_answer_about_one_asset_or_environment_has_no_row_of_another(walk: Walk) -> None:
    walk.promote(decided(walk).version, "staging")
    prompt(walk, asset="desk-prompt")
    departures.leave(walk.cast.ben, actor=walk.cast.alma)
    assert {row["Asset"] for row in told()} == {"credit-prompt", "desk-prompt"}
    assert {row["Asset"] for row in told(asset="desk-prompt")} == {"desk-prompt"}
    assert {row["Asset"] for row in told(environment="staging")} == {"credit-prompt"}
    assert told(environment="production") == []


def test_pages_and_files_have_the_same_rows_in_the_same_order(walk: Walk) -> None:
    for asset in ("a-prompt", "b-prompt", "c-prompt"):
        prompt(walk, asset=asset)
    departures.leave(walk.cast.ben, actor=walk.cast.alma)
    departures.leave(walk.cast.ada, actor=walk.cast.alma)
    now = timezone.now()
    found = COVERAGE.select(Filters(), now)
    assert len(found) == 6
    whole = list(COVERAGE.rows(Filters(), now))
    pieces = [row for start in range(0, 6, 2) for row in COVERAGE.tell(found[start : start + 2], now)]
    assert pieces == whole
    assert len({COVERAGE.key(thing) for thing in found}) == 6


def test_three_gaps_cost_as_many_questions_as_one(walk: Walk) -> None:
    def queries(**asked: Any) -> int:
        with CaptureQueriesContext(connection) as caught:
            told(**asked)
        return len(caught)

    for asset in ("a-prompt", "b-prompt", "c-prompt"):
        prompt(walk, asset=asset)
    departures.leave(walk.cast.ben, actor=walk.cast.alma)
    assert (len(told(asset="a-prompt")), len(told())) == (1, 3)
    assert queries() == queries(asset="a-prompt")


@pytest.mark.usefixtures("walk")
def test_nothing_is_missing_where_nothing_is() -> None:
    assert told() == []
    assert COVERAGE.picture(Filters(), timezone.now()) is None
