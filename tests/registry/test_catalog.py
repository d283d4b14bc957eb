"""Finding versions again: by what people remember of them, and only among what they may see."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.db.models import QuerySet
from django.utils import timezone

from governance import lifecycle, submissions
from governance.permissions import visible
from registry import catalog, evidence
from registry.models import User, Version
from tests.factories import Walk, artifacts, documents


@pytest.fixture
def shelf(walk: Walk) -> QuerySet[Version]:
    """Return four versions of three assets of two teams."""
    walk.register("fraud-scorer", "1.0.0", artifacts.scorer(1), risk="high")
    walk.register("fraud-scorer", "1.1.0-rc.1", artifacts.scorer(2), authors=["Grace <grace@example.com>"])
    walk.register("tagger", "1.0.0", artifacts.scorer(3), description="Tags 100% of tickets.", risk="low")
    prompt = {"kind": "prompt", "team": "assistants", "owner": "carl", "risk": "low", "finetune_method": "prompt"}
    walk.register("credit-prompt", "3.0.0", b"Be kind.", suffix="txt", **prompt)
    return Version.objects.all()


def found(rows: QuerySet[Version], text: str = "", **chosen: list[str]) -> list[str]:
    return [row.label for row in catalog.search(rows, text, chosen)]


def test_everything_is_there_newest_first(shelf: QuerySet[Version]) -> None:
    assert found(shelf) == ["credit-prompt@3.0.0", "tagger@1.0.0", "fraud-scorer@1.1.0-rc.1", "fraud-scorer@1.0.0"]


def test_a_version_is_found_by_whatever_one_remembers(shelf: QuerySet[Version]) -> None:
    one = Version.objects.get(number="1.1.0-rc.1")
    for text in (
        "fraud 1.1", "FRAUD 1.1.0", "fraud-scorer@1.1", "@1.1.0", "grace", "grace@example.com",
        one.identity_digest, one.identity_digest[:12], f"sha256:{one.identity_digest}",
    ):  # fmt: skip
        assert found(shelf, text) == [one.label], text
    assert found(shelf, "tickets") == ["tagger@1.0.0"]
    assert found(shelf, "fraud tagger") == []


def test_signs_that_mean_something_to_a_database_mean_nothing_here(shelf: QuerySet[Version]) -> None:
    assert found(shelf, "100%") == ["tagger@1.0.0"]
    for text in ("%", "_", "'; DROP TABLE registry_version; --", "\\", "=cmd()"):
        assert found(shelf, text) in ([], ["tagger@1.0.0"]), text
    assert found(shelf, "tagg\x00") == ["tagger@1.0.0"]
    assert found(shelf, "tagger", state=["\x00"]) == []
    assert found(shelf, "tagger", nonsense=["x"]) == ["tagger@1.0.0"]


def test_facets_narrow_and_count_what_choosing_would_give(shelf: QuerySet[Version], walk: Walk) -> None:
    submissions.nominate(Version.objects.get(number="1.1.0-rc.1"), actor=walk.cast.cee_i)
    lifecycle.retire(Version.objects.get(asset__slug="tagger"), actor=walk.cast.ada, reason="Never used.")
    assert found(shelf, risk=["low"]) == ["credit-prompt@3.0.0", "tagger@1.0.0"]
    assert found(shelf, risk=["low", "high"], team=["risk-models"]) == ["tagger@1.0.0", "fraud-scorer@1.0.0"]
    facets = {facet.name: facet for facet in catalog.facets(shelf, "", {"risk": ["low"]})}
    # A facet's own choice does not narrow its own counts, only those of the others.
    assert {each.value: (each.count, each.selected) for each in facets["risk"].options} == {
        "low": (2, True),
        "high": (1, False),
        "medium": (1, False),
    }
    assert {each.label: each.count for each in facets["state"].options} == {"Draft": 1, "Retired": 1}
    assert {each.value: each.count for each in facets["team"].options} == {"risk-models": 1, "assistants": 1}


@pytest.mark.parametrize(
    ("username", "teams"),
    [
        ("ada", {"risk-models"}),
        ("carl", {"assistants"}),
        ("ben", {"risk-models", "assistants"}),
        ("petra", {"risk-models", "assistants"}),
        ("iris", {"risk-models", "assistants"}),
        ("mallory", set()),
    ],
)
def test_people_find_only_what_they_may_see_and_count_nothing_else(
    shelf: QuerySet[Version], username: str, teams: set[str]
) -> None:
    seen = visible(User.objects.get(username=username), shelf)
    assert {row.asset.team.slug for row in catalog.search(seen)} == teams
    counted = catalog.facets(seen, "", {})
    assert {each.value for each in counted[3].options} == teams


def test_the_version_before_is_the_one_registered_before(shelf: QuerySet[Version]) -> None:
    first, second = shelf.filter(asset__slug="fraud-scorer").order_by("pk")
    assert catalog.previous(second) == first
    assert catalog.previous(first) is None
    assert list(catalog.versions_of(first.asset)) == [second, first]


def test_a_trend_holds_the_newest_value_measured_on_each_version_itself(shelf: QuerySet[Version], walk: Walk) -> None:
    first, second = shelf.filter(asset__slug="fraud-scorer").order_by("pk")
    now = timezone.now()

    def measure(version: Version, identity: str, value: str, hours: int, dataset: str = "holdout") -> None:
        at = now - timedelta(hours=hours)
        report = documents.evaluation(identity, at=at, author="eve", metrics={"quality/accuracy": value})
        document = json.loads(report)
        document["dataset"]["name"] = dataset
        body = json.dumps(document).encode()
        evidence.attach(version, actor=walk.cast.cee_i, kind="evaluation", filename="e.json", body=body)

    def told(series: list[catalog.Point]) -> list[tuple[str, str, bool]]:
        return [(each.number, str(each.row.value.normalize()), each.is_own) for each in series]

    measure(first, first.identity_digest, "0.91", hours=2)
    measure(first, first.identity_digest, "0.90", hours=3)
    measure(second, first.identity_digest, "0.99", hours=1)
    measure(second, first.identity_digest, "0.77", hours=1, dataset="hard")
    measure(second, second.identity_digest, "0.93", hours=2)
    trends = catalog.metric_trends(second)
    plain = trends[("quality/accuracy", "holdout", "")]
    assert told(plain) == [("1.0.0", "0.91", True), ("1.1.0-rc.1", "0.93", True)]
    # Another data set is another metric, and what was measured on something else is told apart.
    assert told(trends[("quality/accuracy", "hard", "")]) == [("1.1.0-rc.1", "0.77", False)]
    newest = catalog.metric_trends(second, at_most=1)
    assert told(newest[("quality/accuracy", "holdout", "")]) == [("1.1.0-rc.1", "0.93", True)]
