"""A query compiled once answers every question as the query set would, and refuses what it could not."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.db.models import QuerySet, Value
from django.db.models.functions import JSONObject
from pytest_django import DjangoAssertNumQueries

from governance import standing
from portal.compiled import Compiled
from registry.models import Version
from tests.factories import Walk, artifacts

pytestmark = pytest.mark.django_db


def labelled(number: str, mark: str) -> QuerySet[Version]:
    """Return versions of a number, with related rows, JSON and an instant that is always the same."""
    rows = Version.objects.filter(number__in=[number, "9.9.9"]).select_related("asset__team")
    return rows.annotate(
        mark=Value(mark), told=JSONObject(number="number", since=Value(datetime(2026, 1, 1, tzinfo=UTC)))
    )


def test_compiled_rows_are_those_of_the_query_set(
    walk: Walk, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for number in ("1.0.0", "1.1.0"):
        walk.register("fraud-scorer", number, artifacts.scorer(1))
    compiled = Compiled(labelled, number=("0.0.1", "0.0.2"), mark=("a", "b"))
    for number, mark in (("1.0.0", "left"), ("1.1.0", "right"), ("1.1.0", "left"), ("3.0.0", "nowhere")):
        wanted = list(labelled(number, mark))
        with django_assert_num_queries(1):
            found = compiled.rows(number=number, mark=mark)
            told = [(row.label, row.asset.team.name, row.mark, row.told) for row in found]  # type: ignore[attr-defined]
        assert told == [(row.label, row.asset.team.name, row.mark, row.told) for row in wanted]  # type: ignore[attr-defined]
        assert [vars(row).keys() for row in found] == [vars(row).keys() for row in wanted]


def test_every_standing_is_compiled_without_a_parameter_that_hides(walk: Walk) -> None:
    version = walk.register("fraud-scorer", "1.0.0", artifacts.scorer(1))
    at = version.registered_at
    shared = {"environment": "production", "at": at, "consumer": "billing"}
    for compiled, chosen in (
        (standing.OF_VERSION, {"pk": version.pk}),
        (standing.OF_VERSIONS, {"ids": [version.pk, -5]}),
        (standing.OF_DIGEST, {"digest": version.identity_digest}),
    ):
        (row,) = compiled.rows(**chosen, **shared)
        assert standing.judge(row, **shared) == standing.of(version, "production", at=at, consumer="billing")


def test_a_parameter_that_changes_the_sql_is_refused() -> None:
    def build(names: list[str]) -> QuerySet[Version]:
        return Version.objects.filter(number__in=names)

    with pytest.raises(AssertionError, match="changes the SQL"):
        Compiled(build, names=(["1.0.0"], ["1.0.0", "2.0.0"])).rows(names=["3.0.0"])


def test_a_parameter_that_is_computed_with_is_refused() -> None:
    def build(number: str) -> QuerySet[Version]:
        return Version.objects.filter(number=number + ".0")

    with pytest.raises(AssertionError, match="neither constant nor one of number"):
        Compiled(build, number=("1.0", "2.0")).rows(number="3.0")
