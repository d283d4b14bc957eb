"""The four questions as pages: short on the front, whole behind it, and as files beside it."""

from __future__ import annotations

import csv
import html
import io
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import openpyxl
import pypdf
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
from tests.audit.reports.stories import decided, prompt, report, window
from tests.audit.web.visitors import text_of, visit
from tests.factories import Walk

SLOT = timedelta(minutes=5)


@pytest.fixture
def iris(walk: Walk) -> Client:
    """Iris the auditor, signed in."""
    return visit(walk.cast.iris)


def grid() -> datetime:
    """Return the newest five minutes that have begun."""
    return datetime.fromtimestamp(timezone.now().timestamp() // 300 * 300, tz=UTC)


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
    hour = grid() - timedelta(hours=1)
    name = "=cmd()<script>alert(1)</script>"
    report(walk, window("f0" * 32, hour, hour + SLOT, customer=name))
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


def test_every_report_is_a_page_a_csv_a_workbook_and_a_pdf(walk: Walk, iris: Client) -> None:
    decided(walk)
    for each in REPORTS:
        assert each.question in text_of(iris.get(address(each.slug))).replace("&#x27;", "'")
        door = reverse("audit:export-report", args=[each.slug])
        headings = next(csv.reader(io.StringIO(saved(iris.post(door, {"format": "csv"}, follow=True)).decode())))
        book = openpyxl.load_workbook(io.BytesIO(saved(iris.post(door, {"format": "xlsx"}, follow=True))))
        titles = [column.title for column in each.columns]
        assert headings == [cell.value for cell in book["Rows"][1]] == [*titles, "Row"]
        paper = pypdf.PdfReader(io.BytesIO(saved(iris.post(door, {"format": "pdf"}, follow=True))))
        assert paper.metadata is not None
        assert paper.metadata.title == each.title
        assert "Iris Auditor" in paper.pages[0].extract_text()


def test_the_ledger_is_shown_newest_first_with_names_beside_accounts_and_saved_with_accounts_alone(
    walk: Walk, iris: Client
) -> None:
    decided(walk)
    page = text_of(iris.get(address("ledger", event="review.given")))
    petra = walk.cast.petra.ledger_name
    assert re.search(rf'Petra Platform\s*<div class="small muted">{petra}</div>', page)
    asked = {"as_of": timezone.now().isoformat()}
    page = text_of(iris.get(address("ledger", **asked)))
    shown = re.findall(r'href="/audit/ledger/([0-9a-f-]{36})/"', page)
    newest = Entry.objects.order_by("-pk")[:50].values_list("event_id", flat=True)
    assert shown == [str(each) for each in newest]
    door = reverse("audit:export-report", args=["ledger"])
    rows = list(csv.DictReader(io.StringIO(saved(iris.post(door, {**asked, "format": "csv"}, follow=True)).decode())))
    assert [row["Ledger entry"] for row in rows[:50]] == shown
    assert petra in {row["By"] for row in rows}
    paper = saved(iris.post(door, {"event": "review.given", "format": "pdf"}, follow=True))
    assert "Petra Platform" in pypdf.PdfReader(io.BytesIO(paper)).pages[0].extract_text()


def test_coverage_says_that_nothing_is_missing_and_not_that_there_is_nothing(iris: Client) -> None:
    assert "Nothing is missing, as of that instant." in text_of(iris.get(address("coverage", asset="no-such-asset")))


def test_a_format_that_does_not_exist_is_refused_with_a_sentence(iris: Client) -> None:
    answer = iris.post(reverse("audit:export-report", args=["decisions"]), {"format": "docx"})
    assert "expected one of csv, xlsx, pdf" in text_of(answer, 422)
    assert not Export.objects.exists()


def test_a_long_answer_is_built_in_the_background_and_shows_how_far_it_is(walk: Walk, iris: Client) -> None:
    hour = grid() - timedelta(hours=1)
    report(walk, *(window("f0" * 32, hour, hour + SLOT, customer=f"c{number}") for number in range(10_001)))
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
    start = grid() - timedelta(hours=1)
    report(walk, window("f0" * 32, start, start + SLOT))
    door = reverse("audit:served")
    page = text_of(iris.get(door, {"customer": "acme", "at": start.isoformat()}))
    assert "desk-eu in staging" in page
    assert "Unknown" in page
    gap = text_of(iris.get(door, {"customer": "acme", "at": (start + SLOT).isoformat()}))
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
        report(walk, window(decision.identity_digest, grid() - SLOT, grid(), customer=f"c{number}"), batch=str(number))
        iris.post(reverse("audit:export-report", args=["decisions"]), {"format": "csv"})
        walk.work()

    def queries(path: str) -> int:
        with CaptureQueriesContext(connection) as caught:
            text_of(iris.get(path))
        told[path] = [each["sql"][:150] for each in caught]
        return len(caught)

    told: dict[str, list[str]] = {}
    story(1)
    one = {path: queries(path) for path in pages}
    story(2)
    story(3)
    assert {path: queries(path) for path in pages} == one
    assert one["/audit/"] <= 10, "\n".join(told["/audit/"])
    # Coverage asks for each kind of gap by itself; the others put a picture or the ledger's words beside their rows.
    assert max(cost for path, cost in one.items() if "coverage" not in path) <= 16, one


def test_a_filter_that_a_question_does_not_have_is_named_and_never_ignored(iris: Client) -> None:
    page = text_of(iris.get(address("access", customer="acme", colour="<b>")), 422)
    assert "is no filter of this question. It has " in page
    assert "customer" in page
    assert "colour" in page
    assert "<b>" not in page
    door = reverse("audit:export-report", args=["access"])
    assert "is no filter" in text_of(iris.post(door, {"format": "csv", "customer": "acme"}), 422)
    assert not Export.objects.exists()


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"sample": "5"}, "A sample needs a seed: any text, such as 2026-Q4."),
        ({"seed": "a"}, "Say how many rows to draw from this seed."),
        ({"sample": "0", "seed": "a"}, "greater than or equal to 1"),
        ({"sample": "1001", "seed": "a"}, "less than or equal to 1000"),
    ],
)
def test_half_a_sample_is_refused_with_what_is_missing(iris: Client, asked: dict[str, str], sentence: str) -> None:
    assert sentence in text_of(iris.get(address("access", **asked)), 422)


def test_a_sample_is_shown_with_its_population_and_how_to_draw_it_again(walk: Walk, iris: Client) -> None:
    now = timezone.now()
    asked = {"sample": "3", "seed": "2026-Q4", "as_of": now.isoformat()}
    page = text_of(iris.get(address("ledger", **asked)))
    population = Entry.objects.filter(occurred_at__lte=now).count()
    assert f"A sample: 3 of {population} rows" in page
    assert "sorted(rows, key=rank)[:3]" in page
    answer = iris.post(reverse("audit:export-report", args=["ledger"]), {**asked, "format": "csv"}, follow=True)
    rows = list(csv.DictReader(io.StringIO(saved(answer).decode())))
    assert len(rows) == 3
    assert all(reverse("audit:entry", args=[row["Ledger entry"]]) in page for row in rows)
    built = Entry.objects.get(kind="export.built")
    assert (built.details["rows"], built.details["population"]) == (3, population)


def test_the_address_of_exactly_this_answer_keeps_the_instant(walk: Walk, iris: Client) -> None:
    decided(walk)
    page = text_of(iris.get(address("approvals", asset="credit-prompt")))
    same = html.unescape(page.split("Address of exactly this answer")[0].rpartition('href="')[2].partition('"')[0])
    decided(walk, "2.0.0")
    assert "1 row" in text_of(iris.get(reverse("audit:report", args=["approvals"]) + same))
    assert "2 rows" in text_of(iris.get(address("approvals", asset="credit-prompt")))
