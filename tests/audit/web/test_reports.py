"""The four questions as pages: short on the front, whole behind it, and as files beside it."""

from __future__ import annotations

import csv
import io
from datetime import timedelta
from typing import Any

import openpyxl
import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from audit.exports import builder
from audit.models import Entry, Export
from audit.reports import REPORTS
from governance import waivers
from registry.models import User
from tests.audit.reports.stories import MINUTE, decided, prompt, report, window
from tests.audit.web.visitors import text_of, visit
from tests.factories import Walk


@pytest.fixture
def iris(walk: Walk) -> Client:
    """Iris the auditor, signed in."""
    return visit(walk.cast.iris)


def address(slug: str, **asked: Any) -> str:
    """Return the address of a report with its question."""
    return reverse("audit:report", args=[slug], query=asked)


def saved(answer: Any) -> bytes:
    """Return the bytes that a browser saves."""
    assert answer.status_code == 200
    assert "attachment" in answer["Content-Disposition"]
    return b"".join(answer.streaming_content)


def test_the_front_page_answers_as_of_now_and_as_of_then(walk: Walk, iris: Client) -> None:
    before = timezone.now()
    decided(walk)
    page = text_of(iris.get("/audit/"))
    assert "Petra Platform approved credit-prompt@1.0.0 for staging as platform." in page
    assert "of credit-prompt@1.0.0 answered passed." in page
    assert "No exception had been granted by then." in page
    then = text_of(iris.get("/audit/", {"as_of": before.isoformat()}))
    assert "Nobody had given a verdict by then." in then
    assert "Petra Platform approved" not in then


def test_an_instant_that_has_not_come_is_refused_with_a_sentence(iris: Client) -> None:
    page = text_of(iris.get("/audit/", {"as_of": "2199-01-01T00:00"}), 422)
    assert "Nobody knows yet; choose an instant that has passed." in page


def test_a_report_shows_its_rows_with_their_proofs_and_keeps_the_question_in_the_address(
    walk: Walk, iris: Client
) -> None:
    decision = decided(walk)
    decided(walk, asset="desk-prompt")
    page = text_of(iris.get(address("decisions", asset="credit-prompt")))
    assert "1 row" in page
    assert "desk-prompt" not in page
    assert decision.version.get_absolute_url() in page
    assert reverse("audit:entry", args=[decision.recorded_in]) in page
    assert 'name="asset" value="credit-prompt"' in page


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"since": "2026-01-02T00:00", "until": "2026-01-01T00:00"}, "The period ends before it begins."),
        ({"since": "yesterday"}, "Enter a valid date/time."),
        ({"environment": "moon"}, "Select a valid choice. moon is not one of the available choices."),
        ({"asset": "x" * 131}, "Ensure this value has at most 130 characters"),
        ({"asset": "a\x00b"}, "Null characters are not allowed."),
    ],
)
def test_a_wrong_question_comes_back_with_what_is_wrong(iris: Client, asked: dict[str, str], sentence: str) -> None:
    page = text_of(iris.get(address("serving", **asked)), 422)
    assert sentence in page.replace("&#x27;", "'")
    assert "<table" not in page


def test_a_name_that_looks_like_markup_or_a_formula_is_shown_and_saved_as_text(walk: Walk, iris: Client) -> None:
    hour = timezone.now() - timedelta(hours=1)
    name = "=cmd()<script>alert(1)</script>"
    report(walk, window("f0" * 32, hour, hour + MINUTE, customer=name))
    page = text_of(iris.get(address("serving")))
    assert "<script>alert" not in page
    assert "=cmd()&lt;script&gt;" in page
    answer = iris.post(reverse("audit:export-report", args=["serving"]), {"format": "csv"}, follow=True)
    [row] = csv.DictReader(io.StringIO(saved(answer).decode()))
    assert row["Customer"] == f"'{name}"


def test_a_small_answer_is_saved_at_once_and_is_in_the_ledger(walk: Walk, iris: Client) -> None:
    decided(walk)
    asked = {"format": "csv", "asset": "credit-prompt", "as_of": timezone.now().isoformat()}
    answer = iris.post(reverse("audit:export-report", args=["approvals"]), asked, follow=True)
    [row] = csv.DictReader(io.StringIO(saved(answer).decode()))
    assert (row["Reviewer"], row["Version"]) == ("Petra Platform", "credit-prompt@1.0.0")
    kinds = Entry.objects.filter(subject_kind="export").order_by("pk").values_list("kind", "actor")
    exporter = User.objects.get(username="system-exports")
    assert list(kinds) == [
        ("export.requested", walk.cast.iris.ledger_name),
        ("export.built", exporter.ledger_name),
    ]


def test_every_report_is_a_page_a_csv_and_a_workbook(walk: Walk, iris: Client) -> None:
    decided(walk)
    for each in REPORTS:
        assert each.question in text_of(iris.get(address(each.slug))).replace("&#x27;", "'")
        door = reverse("audit:export-report", args=[each.slug])
        headings = next(csv.reader(io.StringIO(saved(iris.post(door, {"format": "csv"}, follow=True)).decode())))
        book = openpyxl.load_workbook(io.BytesIO(saved(iris.post(door, {"format": "xlsx"}, follow=True))))
        assert headings == [cell.value for cell in book["Rows"][1]] == [column.title for column in each.columns]


def test_a_format_that_does_not_exist_is_refused_with_a_sentence(iris: Client) -> None:
    answer = iris.post(reverse("audit:export-report", args=["decisions"]), {"format": "pdf"})
    assert "expected one of csv, xlsx" in text_of(answer, 422)
    assert not Export.objects.exists()


def test_a_long_answer_is_built_in_the_background_and_shows_how_far_it_is(walk: Walk, iris: Client) -> None:
    hour = timezone.now() - timedelta(hours=1)
    report(walk, *(window("f0" * 32, hour, hour + MINUTE, customer=f"c{number}") for number in range(10_001)))
    page = text_of(iris.get(address("serving", page="2")))
    assert "10000 rows or more" in page
    asked = iris.post(reverse("audit:export-report", args=["serving"]), {"format": "csv"}, follow=True)
    assert "It waits for a worker." in text_of(asked)
    export = Export.objects.get()
    progress = reverse("audit:export", args=[export.pk])
    part = text_of(iris.get(progress, headers={"HX-Request": "true"}))
    assert "<html" not in part
    assert f'hx-get="{progress}"' in part
    assert iris.get(reverse("audit:download", args=[export.pk])).status_code == 404
    builder.exports_due()
    assert iris.get(progress, headers={"HX-Request": "true"})["HX-Refresh"] == "true"
    assert reverse("audit:download", args=[export.pk]) in text_of(iris.get(progress))
    assert saved(iris.get(reverse("audit:download", args=[export.pk]))).count(b"\r\n") == 10_002


def test_who_served_a_customer_at_an_instant_is_answered_with_the_judgement_and_a_gap_is_no_yes(
    walk: Walk, iris: Client
) -> None:
    start = timezone.now().replace(microsecond=0) - timedelta(hours=1)
    report(walk, window("f0" * 32, start, start + MINUTE))
    door = reverse("audit:served")
    page = text_of(iris.get(door, {"customer": "acme", "at": start.isoformat()}))
    assert "desk-eu in staging" in page
    assert "Unregistered" in page
    gap = text_of(iris.get(door, {"customer": "acme", "at": (start + MINUTE).isoformat()}))
    assert "Nobody reported serving this customer at that instant." in gap
    assert "This field is required." in text_of(iris.get(door, {"customer": "acme"}), 422)


def test_pages_cost_the_same_number_of_queries_for_one_row_and_for_three(walk: Walk, iris: Client) -> None:
    pages = ["/audit/", *(address(each.slug) for each in REPORTS), reverse("audit:ledger"), reverse("audit:exports")]

    def story(number: int) -> None:
        decision = decided(walk, f"{number}.0.0")
        version = prompt(walk, f"{number}.1.0")
        asked = {
            "rule": "evaluations",
            "environment": "staging",
            "reason": "Because.",
            "compensating_control": "Logs.",
            "expires_at": timezone.now() + timedelta(days=9),
        }
        waivers.grant(waivers.request(version, actor=walk.cast.ada, **asked), actor=walk.cast.rhea)
        now = timezone.now()
        report(walk, window(decision.identity_digest, now - MINUTE, now), batch=str(number))
        iris.post(reverse("audit:export-report", args=["decisions"]), {"format": "csv"})
        walk.work()

    def queries(path: str) -> int:
        with CaptureQueriesContext(connection) as caught:
            text_of(iris.get(path))
        return len(caught)

    story(1)
    one = {path: queries(path) for path in pages}
    story(2)
    story(3)
    assert {path: queries(path) for path in pages} == one
    assert max(one.values()) <= 11
