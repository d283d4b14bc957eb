"""What served customer X between T1 and T2: stretches with the decision of their time, gaps, overlaps and shares."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from audit.reports import BY_SLUG, Filters
from governance import decisions, lifecycle
from tests.audit.reports.stories import SLOT, decided, grid, prompt, report, slots
from tests.factories import Walk

SERVED = BY_SLUG["served"]


def told(as_of: datetime | None = None, **asked: Any) -> list[dict[str, Any]]:
    """Return the rows of the report by their headings."""
    headings = [column.title for column in SERVED.columns]
    rows = SERVED.rows(Filters(**asked), as_of or timezone.now())
    return [dict(zip(headings, row, strict=True)) for row in rows]


def test_windows_that_follow_each_other_are_one_stretch_with_the_decision_in_force(walk: Walk) -> None:
    decision = decided(walk)
    start = grid(timezone.now())
    with time_machine.travel(start + timedelta(hours=1)):
        report(walk, *slots(decision.identity_digest, start, 0, 1, 2))
        [row] = told(customer="acme")
    assert (row["From"], row["To"]) == (start, start + 3 * SLOT)
    assert (row["Version"], row["Judgement"], row["Requests"]) == ("credit-prompt@1.0.0", "governed", 21)
    assert (row["Decision in force"], row["Windows"]) == (str(decision.public_id), 3)
    assert (row["Share of requests"], row["Beside it"]) == ("100.0 %", "")


def test_a_stretch_ends_where_its_judgement_changes_although_it_went_on_serving(walk: Walk) -> None:
    decision = decided(walk)
    start = grid(timezone.now())
    with time_machine.travel(start + 2 * SLOT):
        decisions.revoke(decision, actor=walk.cast.rhea, reason="A leak was found.")
        walk.work()
    with time_machine.travel(start + timedelta(hours=1)):
        report(walk, *slots(decision.identity_digest, start, 0, 1, 3, 4), *slots(decision.identity_digest, start, 2))
        rows = told(customer="acme")
    assert [(row["Judgement"], row["Requests"]) for row in rows] == [
        ("governed", 14),
        ("partly governed", 7),
        ("revoked", 14),
    ]
    assert "was revoked" in rows[2]["Why"]
    # In force is said of the time of the windows, not of today.
    assert rows[0]["Decision in force"] == str(decision.public_id)


def test_the_words_say_what_was_wrong_at_the_time(walk: Walk) -> None:
    never = prompt(walk)
    retired = decided(walk, "1.1.0")
    start = grid(timezone.now()) + SLOT
    with time_machine.travel(start - SLOT / 2):
        lifecycle.retire(retired.version, actor=walk.cast.ada, reason="It is old.")
    with time_machine.travel(start + timedelta(hours=1)):
        report(
            walk,
            *slots(never.identity_digest, start, 0, customer="one"),
            *slots(retired.identity_digest, start, 0, customer="two"),
            *slots("f0" * 32, start, 0, customer="three"),
        )
        words = {row["Customer"]: row["Judgement"] for row in told()}
    assert words == {"one": "ungoverned", "two": "retired", "three": "unknown"}


def test_a_gap_between_windows_is_told_and_whether_the_deployment_said_anything_meanwhile(walk: Walk) -> None:
    digest = decided(walk).identity_digest
    start = grid(timezone.now())
    with time_machine.travel(start + timedelta(hours=1)):
        report(
            walk,
            *slots(digest, start, 0, 3, 5, customer="acme"),
            *slots(digest, start, 0, 1, customer="globex"),
        )
        rows = told(customer="acme")
    assert [row["Judgement"] for row in rows] == ["governed", "gap", "governed", "gap", "governed"]
    first, second = rows[1], rows[3]
    assert (first["From"], first["To"]) == (start + SLOT, start + 3 * SLOT)
    assert first["Why"] == "No window for acme was reported; desk-eu reported others meanwhile."
    assert second["Why"] == "No window for acme was reported; desk-eu reported nothing at all meanwhile."
    assert (first["Requests"], first["Identity digest"], first["Version"]) == (None, None, None)
    # What another customer got is no part of the answer.
    assert {row["Customer"] for row in rows} == {"acme"}


def test_two_digests_at_once_are_told_with_their_shares_and_each_other(walk: Walk) -> None:
    old, new = decided(walk, "1.0.0"), decided(walk, "1.1.0")
    start = grid(timezone.now())
    with time_machine.travel(start + timedelta(hours=1)):
        report(
            walk,
            *slots(old.identity_digest, start, 0, requests=100),
            *slots(old.identity_digest, start, 1, 2, requests=90),
            *slots(new.identity_digest, start, 1, 2, requests=10),
            *slots(new.identity_digest, start, 3, requests=100),
        )
        rows = told(customer="acme")
        canary = told(customer="acme", asset="credit-prompt@1.1.0")
    assert [(row["Version"][-5:], row["Requests"], row["Share of requests"]) for row in rows] == [
        ("1.0.0", 100, "100.0 %"),
        *sorted([("1.0.0", 180, "90.0 %"), ("1.1.0", 20, "10.0 %")], key=lambda row: order(row[0], old, new)),
        ("1.1.0", 100, "100.0 %"),
    ]
    beside = {row["Version"]: row["Beside it"] for row in rows if row["Beside it"]}
    assert beside == {
        "credit-prompt@1.0.0": "credit-prompt@1.1.0",
        "credit-prompt@1.1.0": "credit-prompt@1.0.0",
    }
    # Narrowed to one version, its share is still that of all that served, and the others have no rows.
    assert [(row["Version"][-5:], row["Share of requests"]) for row in canary] == [
        ("1.1.0", "10.0 %"),
        ("1.1.0", "100.0 %"),
    ]


def order(number: str, old: Any, new: Any) -> str:
    """Return the digest of a version by its number: rows of one beginning are in that order."""
    return str((old if number == old.version.number else new).identity_digest)


def test_an_unnamed_question_is_about_the_last_week_and_a_named_one_about_all_time(walk: Walk) -> None:
    digest = decided(walk).identity_digest
    start = grid(timezone.now())
    with time_machine.travel(start + timedelta(days=20)):
        report(walk, *slots(digest, start, 0), *slots(digest, start + timedelta(days=19), 0, customer="globex"))
        assert [row["Customer"] for row in told()] == ["globex"]
        assert [row["Customer"] for row in told(customer="acme")] == ["acme"]
        assert [row["Customer"] for row in told(until=start + timedelta(days=1))] == ["acme"]


def test_what_was_reported_later_was_not_known_before(walk: Walk) -> None:
    digest = decided(walk).identity_digest
    start = grid(timezone.now())
    with time_machine.travel(start + timedelta(hours=1)):
        report(walk, *slots(digest, start, 0))
        known = timezone.now()
    with time_machine.travel(start + timedelta(hours=2)):
        report(walk, *slots(digest, start, 1), batch="2")
        assert [row["Requests"] for row in told(known, customer="acme")] == [7]
        assert [row["Requests"] for row in told(customer="acme")] == [14]


def test_a_page_has_the_rows_of_the_file_and_draws_them(walk: Walk) -> None:
    digest = decided(walk).identity_digest
    start = grid(timezone.now())
    with time_machine.travel(start + timedelta(hours=1)):
        report(walk, *slots(digest, start, 0, 2), *slots("f0" * 32, start, 0, requests=3))
        asked, now = Filters(customer="acme"), timezone.now()
        found = SERVED.select(asked, now)
        assert len(found) == len(found[:50]) == 4
        assert list(SERVED.tell(found[:50], now)) == list(SERVED.rows(asked, now))
        picture = SERVED.picture(asked, now)
        assert picture is not None
        assert {part.label: part.count for part in picture.context["bar"].parts} == {"Governed": 14, "Unknown": 3}
        assert (picture.context["gaps"], picture.context["shared"]) == (1, 2)
        [line] = picture.context["timeline"].lines
        assert len(line.bars) == 4
        assert SERVED.picture(Filters(customer="nobody"), now) is None


def test_more_stretches_cost_no_more_questions(walk: Walk) -> None:
    digests = [prompt(walk, number).identity_digest for number in ("1.0.0", "1.1.0")] + ["f0" * 32]
    start = grid(timezone.now())

    def queries() -> int:
        with CaptureQueriesContext(connection) as caught:
            told(start + timedelta(hours=2), customer="acme")
        return len(caught)

    with time_machine.travel(start + timedelta(hours=1)):
        # Two at once, so that the names of what served beside are asked for from the beginning.
        for number, digest in enumerate(digests[1:]):
            report(walk, *slots(digest, start, 0, 2), batch=str(number))
        few = queries()
        for number, place in enumerate((0, 2, 4), 2):
            report(walk, *slots(digests[0], start, place, customer="acme"), batch=str(number))
            report(walk, *slots(digests[0], start, place, deployment="desk-us"), batch=f"us-{number}")
        assert len(told(customer="acme")) > 8
        assert queries() == few


def test_a_version_that_was_registered_later_changes_no_answer_of_before(walk: Walk) -> None:
    digest, now = decided(walk).identity_digest, timezone.now()
    with time_machine.travel(now - timedelta(hours=1)):
        report(walk, *slots(digest, grid(now - timedelta(hours=2)), 0))
    before = now - timedelta(minutes=30)
    assert [row["Judgement"] for row in told(before, customer="acme")] == ["unknown"]
    assert told(before, asset="credit-prompt") == []
    assert [row["Judgement"] for row in told(asset="credit-prompt")] == ["unknown"]
