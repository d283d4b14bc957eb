"""Which exports were asked for, by whom, of what, and which file with which digest came of each."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from audit import log
from audit.events import Event
from audit.exports import builder, requests
from audit.models import Export
from audit.reports import BY_SLUG, Filters
from audit.reports.asking import Question, Sample
from registry import people
from registry.models import User
from tests.audit.reports.stories import prompt
from tests.factories import Walk

EXPORTS = BY_SLUG["exports"]
ACCESS = BY_SLUG["access"]


def told(as_of: datetime | None = None, **asked: Any) -> list[dict[str, Any]]:
    """Return the rows of the report by their headings."""
    headings = [column.title for column in EXPORTS.columns]
    rows = EXPORTS.rows(Filters(**asked), as_of or timezone.now())
    return [dict(zip(headings, row, strict=True)) for row in rows]


def taken(walk: Walk, **asked: Any) -> Export:
    """Take the report of access as CSV, as Iris."""
    question = Question(ACCESS, Filters(**asked), timezone.now(), Sample(2, "2026-Q4"))
    return builder.answer(question, "csv", actor=walk.cast.iris)


def test_an_export_is_told_with_who_asked_what_and_the_digest_that_the_ledger_names(walk: Walk) -> None:
    export = taken(walk, person="Rhea")
    [row] = told()
    assert (row["Export"], row["Of what"]) == ("access as CSV", "person Rhea, a sample of 2, seed 2026-Q4")
    assert (row["Requested by"], row["Requesting account"]) == ("Iris Auditor", walk.cast.iris.ledger_name)
    assert (row["Came of it"], row["File"], row["sha256"]) == ("built", export.file, export.sha256)
    assert (row["Bytes"], row["As of"]) == (export.size, requests.as_of(export))
    assert row["Where"] == reverse("audit:export", args=[export.pk])
    assert row["Ledger entry"] == str(log.entries(kind=Event.EXPORT_BUILT).get().event_id)
    assert row["Requested in"] == str(log.entries(kind=Event.EXPORT_REQUESTED).get().event_id)
    assert EXPORTS.say(next(EXPORTS.rows(Filters(), timezone.now()))) == "Iris Auditor asked for access as CSV"


def test_bundles_say_of_which_version_or_period_they_are(walk: Walk) -> None:
    version, now = prompt(walk), timezone.now()
    requests.request_bundle(version, actor=walk.cast.iris)
    requests.request_period(now - timedelta(days=1), now, actor=walk.cast.iris)
    period, bundle = told()
    assert (bundle["Export"], bundle["Of what"]) == ("evidence bundle of a version", "credit-prompt@1.0.0")
    assert period["Export"] == "evidence bundle of a period"
    assert period["Of what"].count(" until ") == 1
    assert [row["Came of it"] for row in (period, bundle)] == ["unfinished", "unfinished"]


def test_what_came_later_is_not_known_before_and_rows_of_jobs_are_not_believed(walk: Walk) -> None:
    before = timezone.now()
    export = requests.request_table(ACCESS, "csv", actor=walk.cast.iris)
    asked = timezone.now()
    export = builder.build_now(export)
    Export.objects.update(sha256="f0" * 32, requested_by="person:secret", state="failed")
    assert told(before) == []
    [row] = told(asked)
    assert (row["Came of it"], row["sha256"], row["File"], row["Rows"]) == ("unfinished", None, None, None)
    assert row["Ledger entry"] == row["Requested in"]
    [row] = told()
    assert (row["Came of it"], row["sha256"]) == ("built", export.sha256)
    assert "secret" not in str(row)


def test_a_cancelled_one_says_who_cancelled_it(walk: Walk) -> None:
    export = requests.request_table(ACCESS, "csv", actor=walk.cast.iris)
    people.give_seat(walk.cast.mallory, "auditor", actor=walk.cast.alma)
    builder.cancel(export, actor=User.objects.get(pk=walk.cast.mallory.pk))
    [row] = told()
    assert (row["Came of it"], row["Requested by"], row["File"]) == ("cancelled", "Iris Auditor", None)
    assert (row["Cancelled by"], row["Cancelling account"]) == (str(walk.cast.mallory), walk.cast.mallory.ledger_name)


def test_filters_leave_out_what_others_asked_for_and_what_came_otherwise(walk: Walk) -> None:
    start = timezone.now()
    taken(walk)
    builder.cancel(requests.request_table(ACCESS, "xlsx", actor=walk.cast.iris), actor=walk.cast.iris)
    middle = timezone.now()
    requests.request_table(ACCESS, "pdf", actor=walk.cast.iris)

    def exports(as_of: datetime | None = None, **asked: Any) -> list[str]:
        return [row["Export"].rpartition(" ")[2] for row in told(as_of, **asked)]

    assert exports() == ["PDF", "XLSX", "CSV"]
    assert exports(word="built") == ["CSV"]
    assert exports(word="cancelled") == ["XLSX"]
    assert exports(word="unfinished") == ["PDF"]
    assert exports(person="iris") == ["PDF", "XLSX", "CSV"]
    assert exports(person="mallory") == []
    assert exports(since=middle) == ["PDF"]
    assert exports(until=middle) == ["XLSX", "CSV"]
    assert exports(start, word="unfinished") == []


def test_three_exports_cost_as_many_questions_as_one(walk: Walk) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as caught:
            told()
        return len(caught)

    taken(walk)
    one = queries()
    taken(walk)
    taken(walk)
    assert (len(told()), queries()) == (3, one)
    assert one <= 3
