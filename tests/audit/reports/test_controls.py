"""The map of controls: every name in it exists, every number is of its text, and it claims nothing."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest
from django.apps import apps
from django.utils import timezone

from audit.reports import BY_SLUG, Filters
from audit.reports.controls import DISCLAIMER, Control, all_controls, frameworks
from audit.reports.mapping import Controls
from governance.checks import CHECKS
from registry.models.evidence import EvidenceKind

CONTROLS = all_controls()
CHECKED_SLUGS = {check.slug for check in CHECKS}
NUMBERS = {
    "eu-ai-act": r"Annex IV, [1-9](?:\([a-h]\))?|Article (?:1[289]|26)(?:\(\d\)(?:\([a-d]\))?)?",
    "nist-ai-rmf": r"(?:GOVERN [1-6]\.[1-7]|MAP [1-5]\.[1-6]|MEASURE [1-4]\.(?:\d|1[0-3])|MANAGE [1-4]\.[1-4])",
    "iso-42001": r"A\.(?:[2-57-9]|10)\.[2-6]|A\.6\.[12]\.[2-8]",
}
# What would be a promise that no record can keep.
PROMISES = re.compile(r"\b(?:compl(?:y|ies|iant)|conforms?|certif\w+|satisf\w+|fulfil\w*|guarantee\w*)\b", re.I)


def told(as_of: datetime | None = None, **asked: Any) -> list[dict[str, Any]]:
    """Return the rows of the report by their headings."""
    report = Controls()
    headings = [column.title for column in report.columns]
    rows = report.rows(Filters(**asked), as_of or timezone.now())
    return [dict(zip(headings, row, strict=True)) for row in rows]


@pytest.mark.parametrize("control", CONTROLS, ids=lambda control: control.key)
def test_every_name_that_a_point_mentions_exists(control: Control) -> None:
    assert set(control.reports) <= set(BY_SLUG)
    assert set(control.evidence) <= set(EvidenceKind.values)
    assert set(control.checks) <= CHECKED_SLUGS
    for name in control.records:
        assert apps.get_model(name).__name__ == name.partition(".")[2]
    assert re.fullmatch(NUMBERS[control.framework.slug], control.number)
    # What is touched says what is shown, and nothing is shown of what is not touched.
    assert control.is_touched == bool(control.shows)


def test_no_point_is_mapped_twice_and_none_claims_compliance() -> None:
    assert len({control.key for control in CONTROLS}) == len(CONTROLS)
    for control in CONTROLS:
        assert not PROMISES.search(f"{control.shows} {control.stays}"), control.key
    assert "claims no compliance" in DISCLAIMER
    assert BY_SLUG["controls"].note == DISCLAIMER


def test_annex_iv_and_article_12_are_mapped_whole() -> None:
    numbers = {control.number for control in CONTROLS if control.framework.slug == "eu-ai-act"}
    assert numbers >= {f"Annex IV, 1({letter})" for letter in "abcdefgh"}
    assert numbers >= {f"Annex IV, 2({letter})" for letter in "abcdefgh"}
    assert numbers >= {f"Annex IV, {number}" for number in range(3, 10)}
    assert numbers >= {"Article 12(1)", "Article 12(2)(a)", "Article 12(2)(b)", "Article 12(2)(c)", "Article 12(3)"}


def test_every_framework_says_which_text_when_and_from_where() -> None:
    assert [framework.slug for framework in frameworks()] == ["eu-ai-act", "iso-42001", "nist-ai-rmf"]
    for framework in frameworks():
        assert framework.source.startswith("https://")
        assert "not" in framework.checked


def test_the_report_is_narrowed_by_framework_and_knows_nothing_before_the_day_of_the_map() -> None:
    rows = told(word="iso-42001")
    assert {row["Framework"] for row in rows} == {"ISO/IEC 42001:2023 Annex A"}
    assert len(told()) == len(CONTROLS)
    day = min(framework.as_of for framework in frameworks())
    assert told(datetime(day.year, day.month, day.day, tzinfo=UTC)) != []
    assert told(datetime(2026, 1, 1, tzinfo=UTC)) == []
    [logs] = [row for row in rows if row["Point"] == "A.6.2.8"]
    assert (logs["Our records"], logs["Reports"]) == ("a part", "ledger, serving")
    [quality] = [row for row in rows if row["Point"] == "A.7.4"]
    assert (quality["Our records"], quality["Reports"], quality["What they show"]) == ("nothing", None, "")
