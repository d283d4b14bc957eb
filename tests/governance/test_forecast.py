"""The forecast: what will happen to whom and when, on the page and as CSV, for those who may see the version."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from datetime import datetime, timedelta
from io import StringIO
from typing import Any

import pytest
import time_machine
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoDbBlocker

from governance import forecast, lifecycle, sweeps, waivers
from portal.charts import columns
from registry import intake
from registry.models import User, Version
from tests.factories import artifacts
from tests.governance.hygiene import days, publish_hygiene, waive
from tests.scene import Scene, staged
from tests.web.visitors import read, visit


@pytest.fixture(scope="module")
def stage(
    django_db_setup: None, django_db_blocker: DjangoDbBlocker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Scene]:
    """Walk to a candidate under a policy that retires what is still for a hundred days."""
    with django_db_blocker.unblock(), staged(tmp_path_factory.mktemp("forecast")) as walk:
        publish_hygiene(walk.cast)
        yield Scene(walk, walk.candidate("fraud-scorer", "1.0.0", artifacts.scorer(1)))


def what_comes(version: Version | None = None, *, within: float = 365) -> list[tuple[str, datetime]]:
    """Return what is foreseen for one version or for all, with when."""
    now = timezone.now()
    rows = Version.objects.filter(pk=version.pk) if version else Version.objects.all()
    return [(each.what, each.at) for each in forecast.coming(rows, at=now, until=now + days(within))]


def test_everything_that_ends_is_foreseen_with_its_date(scene: Scene) -> None:
    walk, version = scene
    decision = walk.approved(version)
    asked = walk.submit(version, "staging")
    waiver = waivers.request(
        version,
        actor=walk.cast.ada,
        rule="evaluations",
        environment="staging",
        reason="The bench is being moved.",
        compensating_control="Only staging.",
        expires_at=timezone.now() + days(20),
    )
    assert ("waiver", waiver.expires_at) not in what_comes(version, within=100)
    waivers.grant(waiver, actor=walk.cast.rhea, note="For the move.")
    found = what_comes(version, within=100)
    assert [each for each in found if each[0] in {"decision", "submission", "waiver"}] == [
        ("submission", asked.due_at),
        ("waiver", waiver.expires_at),
        ("decision", decision.expires_at),
    ]
    assert what_comes(version, within=10) == []


def test_a_decision_that_another_one_outlives_is_not_missed(scene: Scene) -> None:
    walk, version = scene
    first = walk.approved(version)
    with time_machine.travel(timezone.now() + days(20), tick=False):
        walk.attach_all(version, without=("sbom", "provenance", "model-card"))
        second = walk.approved(version)
        ends = [at for what, at in what_comes(version) if what == "decision"]
    assert ends == [second.expires_at]
    assert first.expires_at != second.expires_at


def test_the_questions_of_the_forecast_do_not_grow_with_the_versions(scene: Scene) -> None:
    walk, version = scene
    walk.approved(version)
    with CaptureQueriesContext(connection) as one:
        few = what_comes()
    for number in (2, 3):
        walk.approved(walk.candidate("tagger", f"{number}.0.0", artifacts.scorer(number)))
    with CaptureQueriesContext(connection) as more:
        assert len(what_comes()) > len(few)
    assert len(more) == len(one)


def opened(user: User, days_ahead: float = 0, **asked: Any) -> str:
    """Return what somebody reads on the page of the forecast some days from now."""
    with time_machine.travel(timezone.now() + days(days_ahead), tick=False):
        answer = visit(user).get(reverse("governance:forecast"), asked)
    assert answer.status_code == 200
    return read(answer)


def test_the_page_says_what_will_happen_when_why_and_who_is_told(scene: Scene) -> None:
    words = opened(scene.walk.cast.ada, 80)
    due = timezone.now() + days(100)
    assert "What will happen in the next 30 days" in words
    assert f"{due:%A, %-d %B %Y}" in words
    assert "fraud-scorer@1.0.0 is retired" in words
    assert "100 days (hygiene.stale_days)" in words
    assert "ml-on-call@example.com" in words
    assert "Nothing is foreseen" in opened(scene.walk.cast.ada, 60)
    assert "fraud-scorer@1.0.0 is retired" in opened(scene.walk.cast.ada, 60, days=90)


def test_the_team_finds_the_way_to_postpone_and_others_do_not(scene: Scene) -> None:
    version = scene.version
    asked = f"{reverse('governance:waiver-request', args=[version.asset.slug, version.number])}?environment=hygiene"
    with time_machine.travel(timezone.now() + days(80), tick=False):
        page = reverse("governance:forecast")
        assert asked in visit(scene.walk.cast.ada).get(page).content.decode()
        assert asked not in visit(scene.walk.cast.rhea).get(page).content.decode()


def test_a_waiver_in_force_is_shown_with_its_end(scene: Scene) -> None:
    with time_machine.travel(timezone.now() + days(60), tick=False):
        waive(scene.walk, scene.version, "stale", 60)
    assert "postponed by a waiver until" in opened(scene.walk.cast.ada, 60, days=90)
    assert "postponed by a waiver until" not in opened(scene.walk.cast.ada, 60, days=30)


def test_nobody_reads_about_versions_that_are_not_theirs_to_see(scene: Scene) -> None:
    walk = scene.walk
    walk.candidate("prompt-router", "1.0.0", artifacts.scorer(2), team="assistants", owner="carl")
    with time_machine.travel(timezone.now() + days(80), tick=False):
        for person, seen in (
            (walk.cast.carl, {"prompt-router"}),
            (walk.cast.mallory, set()),
            (walk.cast.ada, {"fraud-scorer"}),
        ):
            for page in ("forecast", "forecast-csv"):
                text = visit(person).get(reverse(f"governance:{page}")).content.decode()
                assert {name for name in ("fraud-scorer", "prompt-router") if name in text} == seen, person


def test_the_filters_of_the_address_hold(scene: Scene) -> None:
    walk = scene.walk
    walk.candidate("prompt-router", "1.0.0", artifacts.scorer(2), team="assistants", owner="carl")
    rhea = walk.cast.rhea
    assert {"fraud-scorer", "prompt-router"} <= set(words_of(opened(rhea, 80)))
    assert "prompt-router" not in words_of(opened(rhea, 80, team="risk-models"))
    assert "Nothing is foreseen" in opened(rhea, 80, what="sunset")
    assert "fraud-scorer" in words_of(opened(rhea, 80, what="stale"))


def words_of(text: str) -> list[str]:
    return text.replace("@", " ").split()


@pytest.mark.parametrize("asked", ["0", "-1", "366", "9" * 400, "²", "x", "", "30; DROP"])
def test_days_that_nobody_can_mean_are_bounded(scene: Scene, asked: str) -> None:
    assert "What will happen in the next" in opened(scene.walk.cast.ada, days=asked, team="\x00", what="<b>")


def test_the_table_holds_no_formula(scene: Scene) -> None:
    walk, version = scene
    intake.change_asset(version.asset, actor=walk.cast.ada, escalation_contact="=cmd@example.com")
    intake.change_asset(version.asset, actor=walk.cast.ada, owner=None, backup_owner=None)
    with time_machine.travel(timezone.now() + days(80), tick=False):
        answer = visit(walk.cast.rhea).get(reverse("governance:forecast-csv"))
    rows = list(csv.DictReader(StringIO(answer.content.decode())))
    assert {row["version"] for row in rows} == {"fraud-scorer@1.0.0"}
    assert not any(cell.startswith(("=", "+", "-", "@")) for row in rows for cell in row.values())


def test_the_version_page_and_the_owners_home_say_what_happens_soon(scene: Scene) -> None:
    walk, version = scene
    with time_machine.travel(timezone.now() + days(80), tick=False):
        for person, page in ((walk.cast.ada, "/"), (walk.cast.rhea, version.get_absolute_url())):
            assert "100 days (hygiene.stale_days)" in read(visit(person).get(page)), page
        assert "100 days (hygiene.stale_days)" not in read(visit(walk.cast.rhea).get("/"))


def test_a_written_warning_and_a_late_move_are_told_as_such(scene: Scene) -> None:
    begun = timezone.now()
    with time_machine.travel(begun + timedelta(days=105), tick=False):
        sweeps.sweep_due()
    assert "a day after the last warning, which came late" in opened(scene.walk.cast.ada, 105.5)


def test_the_order_is_that_of_time_and_the_overdue_comes_first(scene: Scene) -> None:
    walk, version = scene
    walk.approved(version)
    lifecycle.deprecate(
        version, actor=walk.cast.ada, successor=None, sunset_at=timezone.now() + days(5), reason="A better one."
    )
    found = what_comes()
    assert [at for _, at in found] == sorted(at for _, at in found)
    assert found[0][0] == "sunset"


def test_columns_share_the_box_and_nothing_has_no_height() -> None:
    laid = columns([("1 Dec", 4), ("8 Dec", 0), ("15 Dec", 2)])
    assert [column.height for column in laid.columns] == [48.0, 0.0, 25.5]
    assert laid.columns[-1].x + laid.column_width == pytest.approx(laid.width, abs=0.02)
    assert columns([]).columns == ()
    with pytest.raises(ValueError, match="zero or more"):
        columns([("1 Dec", -1)])


def test_a_visitor_without_an_account_is_sent_to_sign_in(db: None) -> None:
    assert Client().get(reverse("governance:forecast")).status_code == 302
