"""What is being tolerated as of an instant: each sort of exception from its beginning to its end."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from audit.reports import BY_SLUG, Filters
from governance import allowances, waivers
from governance.models import Waiver
from registry.models import Version
from tests.audit.reports.stories import prompt
from tests.factories import Walk, documents

TOLERATED = BY_SLUG["tolerated"]
POOR = {**documents.GOOD, "jailbreak/attack_success_rate": "0.07"}


def told(as_of: datetime | None = None, **asked: Any) -> list[dict[str, Any]]:
    """Return the rows of the report by their headings."""
    headings = [column.title for column in TOLERATED.columns]
    rows = TOLERATED.rows(Filters(**asked), as_of or timezone.now())
    return [dict(zip(headings, row, strict=True)) for row in rows]


def granted(walk: Walk, version: Version, days: int = 21) -> Waiver:
    """Waive the evaluations of a version for staging."""
    waiver = waivers.request(
        version,
        rule="evaluations",
        environment="staging",
        reason="The new set is due next week.",
        compensating_control="Every answer is logged.",
        expires_at=timezone.now() + timedelta(days=days),
        actor=walk.cast.ada,
    )
    return waivers.grant(waiver, actor=walk.cast.rhea, note="Staging only.")


def test_a_waiver_is_tolerated_from_its_grant_to_its_end(walk: Walk) -> None:
    version = prompt(walk, metrics=POOR)
    before = timezone.now()
    waiver = granted(walk, version)
    during = timezone.now()
    assert told(before) == []
    [row] = told()
    assert (row["Sort"], row["Rule or role"], row["Version"]) == ("waiver", "evaluations", "credit-prompt@1.0.0")
    assert (row["Granted by"], row["Asked by"], row["Ends"]) == ("Rhea Security", "Ada Owner", waiver.expires_at)
    assert row["What makes up for it"] == "Every answer is logged."
    assert told(waiver.expires_at) == []
    waivers.revoke(waiver, actor=walk.cast.rhea, reason="It was abused.")
    assert (len(told(during)), told()) == (1, [])


def test_every_sort_is_there_and_the_first_that_ends_on_top(walk: Walk) -> None:
    granted(walk, prompt(walk, metrics=POOR), days=60)
    ends = timezone.now() + timedelta(days=9)
    asset = prompt(walk, "1.1.0").asset
    terms: dict[str, Any] = {"use": "class", "reason": "Our own transformer.", "expires_at": ends}
    allowances.allow(asset, "acme.transformers", "Scaler", actor=walk.cast.rhea, **terms)
    rows = told()
    assert [row["Sort"] for row in rows] == ["global", "waiver"]
    assert [row["Sort"] for row in told(word="waiver")] == ["waiver"]
    picture = TOLERATED.picture(Filters(), timezone.now())
    assert picture is not None
    [(_, bar)] = picture.context["bars"]
    assert {part.label: part.count for part in bar.parts if part.count} == {"Waiver": 1, "Allowed global": 1}


def test_filters_leave_out_what_is_about_another_asset_version_rule_environment_or_person(walk: Walk) -> None:
    granted(walk, prompt(walk, metrics=POOR))
    granted(walk, prompt(walk, asset="desk-prompt", metrics=POOR))

    def versions(**asked: Any) -> list[str]:
        return [row["Version"] for row in told(**asked)]

    assert versions(asset="desk-prompt") == ["desk-prompt@1.0.0"]
    assert versions(asset="desk-prompt@1.0.1") == []
    assert versions(asset="desk") == []
    assert versions(rule="licence") == []
    assert versions(environment="production") == []
    assert len(versions(environment="staging", person="rhea")) == 2
    assert versions(person="dana") == []


def test_three_exceptions_cost_as_many_questions_as_one(walk: Walk) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as caught:
            told()
        return len(caught)

    granted(walk, prompt(walk, metrics=POOR))
    one = queries()
    for number in ("1.1.0", "1.2.0"):
        granted(walk, prompt(walk, number, metrics=POOR))
    assert queries() == one
