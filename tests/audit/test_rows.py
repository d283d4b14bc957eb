"""The canonical form of rows: the same today and in ten years, whoever reads it."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from django.utils.timezone import override

from audit import rows, seal
from audit.models import AppendOnly, Entry
from registry.models import Team


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, None),
        ("é\n", "é\n"),
        (True, "true"),
        (False, "false"),
        (-7, "-7"),
        (2**62, str(2**62)),
        (Decimal("0.910000000000"), "0.910000000000"),
        (Decimal("1E+3"), "1000"),
        (datetime(2026, 11, 23, 9, 0, tzinfo=UTC), "2026-11-23T09:00:00.000000Z"),
        (datetime(2026, 11, 23, 11, 0, tzinfo=timezone(timedelta(hours=2))), "2026-11-23T09:00:00.000000Z"),
        (date(2026, 11, 23), "2026-11-23"),
        (time(9, 0, 1), "09:00:01"),
        (timedelta(days=1, microseconds=5), "86400000005"),
        (UUID(int=7), "00000000-0000-0000-0000-000000000007"),
        (b"\x00\xff", "00ff"),
        (memoryview(b"\x00\xff"), "00ff"),
        ({"b": 1.5, "a": [1, "é", None, True]}, '{"a":[1,"é",null,true],"b":1.5}'),
        ([], "[]"),
    ],
)
def test_each_type_of_column_has_one_text(value: Any, text: str | None) -> None:
    assert rows.text(value) == text


def test_a_number_and_its_text_are_told_apart_inside_json() -> None:
    assert rows.text({"a": 1}) != rows.text({"a": "1"})
    assert rows.text({"a": 1.0}) != rows.text({"a": 1})


def test_a_type_without_a_text_is_refused_rather_than_guessed() -> None:
    with pytest.raises(TypeError, match="canonical text"):
        rows.text(object())


def test_a_row_is_canonical_json_of_texts() -> None:
    assert json.loads(rows.canonical(["b", "a"], [1, None])) == {"a": None, "b": "1"}
    assert rows.canonical(["b", "a"], [1, None]) == b'{"a":null,"b":"1"}'


@pytest.mark.django_db
def test_every_recorded_table_reads_into_canonical_rows(make_team: Callable[[str], Team]) -> None:
    make_team("risk-models")
    found = rows.recorded_models()
    assert found["registry_historicalteam"] is Team.history.model
    assert all(issubclass(model, AppendOnly) for model in found.values())
    for model in found.values():
        list(rows.stored(model))


@pytest.mark.django_db
def test_a_row_is_the_same_wherever_it_is_read(make_team: Callable[[str], Team]) -> None:
    make_team("risk-models")
    (named,) = Entry.objects.get().document["rows"]
    for zone in ("Asia/Kathmandu", "America/Caracas", "UTC"):
        with override(ZoneInfo(zone)):
            ((key, row),) = rows.stored(Team.history.model)
        assert (str(key), seal.digest(row)) == (named["id"], named["sha256"])
