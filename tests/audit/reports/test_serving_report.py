"""What served customer X between T1 and T2, and was it governed? Judged by the decisions of that time."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from audit.models import ServingWindow
from audit.reports import BY_SLUG, Filters
from audit.reports.judging import judge
from governance import decisions, lifecycle, promotions, standing
from registry.models import User
from tests.audit.reports.stories import MINUTE, decided, grid, prompt, report, slots
from tests.factories import Walk, import_advisories, osv

SERVING = BY_SLUG["serving"]


@pytest.fixture
def otto(walk: Walk) -> User:
    """Otto the deployer with his token's scopes."""
    walk.cast.otto.token_scopes = frozenset({"gate", "serving"})  # type: ignore[attr-defined]
    return walk.cast.otto


def told(as_of: datetime | None = None, **asked: Any) -> list[dict[str, Any]]:
    """Return the rows of the report by their headings."""
    headings = [column.title for column in SERVING.columns]
    found: Iterator[Any] = SERVING.rows(Filters(**asked), as_of or timezone.now())
    return [dict(zip(headings, row, strict=True)) for row in found]


def test_windows_are_judged_by_the_decision_of_their_time(walk: Walk) -> None:
    version = prompt(walk)
    start = grid(timezone.now())
    with time_machine.travel(start + 12 * MINUTE):
        decision = walk.approved(version, "staging")
    with time_machine.travel(start + 27 * MINUTE):
        decisions.revoke(decision, actor=walk.cast.rhea, reason="A leak was found.")
        walk.work()
    with time_machine.travel(start + 60 * MINUTE):
        places = {"before": 0, "across": 2, "within": 3, "end": 5, "after": 6}
        told_of = [slots(version.identity_digest, start, place, customer=name)[0] for name, place in places.items()]
        report(walk, *told_of, *slots("f0" * 32, start, 0, customer="stranger"))
        rows = {row["Customer"]: row for row in told()}
    assert {name: row["Governed"] for name, row in rows.items()} == {
        "stranger": "unknown",
        "before": "ungoverned",
        "across": "partly governed",
        "within": "governed",
        "end": "partly governed",
        "after": "revoked",
    }
    assert (rows["within"]["Decision"], rows["within"]["Why not"]) == (str(decision.public_id), "")
    assert "has no decision for staging" in rows["before"]["Why not"]
    assert "was revoked" in rows["after"]["Why not"]
    assert rows["stranger"]["Version"] is None


def test_a_window_ends_before_the_instant_at_which_its_decision_ends(walk: Walk) -> None:
    decision = decided(walk)
    expires = decision.expires_at
    assert expires is not None
    last = grid(expires)
    with time_machine.travel(last + 10 * MINUTE):
        digest = decision.identity_digest
        report(
            walk,
            *slots(digest, last, -2, customer="in time"),
            *slots(digest, last, -1, customer="across"),
            *slots(digest, last, 0, customer="too late"),
        )
        rows = {row["Customer"]: row["Governed"] for row in told()}
    assert rows == {"in time": "governed", "across": "partly governed", "too late": "ungoverned"}


def test_a_window_is_ungoverned_from_the_day_that_a_challenge_was_due(walk: Walk, tmp_path: Path) -> None:
    version = decided(walk).version
    import_advisories(walk.cast, tmp_path, osv("GHSA-4444-jinja-bad", "jinja2", fixed="99.0"))
    walk.work()
    due = version.challenges.get().due_at
    last = grid(due)
    with time_machine.travel(last + 10 * MINUTE):
        digest = version.identity_digest
        report(
            walk,
            *slots(digest, last, -2, customer="in time"),
            *slots(digest, last, -1, customer="across"),
            *slots(digest, last, 0, customer="too late"),
        )
        rows = {row["Customer"]: row for row in told()}
    assert {name: row["Governed"] for name, row in rows.items()} == {
        "in time": "governed",
        "across": "partly governed",
        "too late": "ungoverned",
    }
    assert "GHSA-4444-jinja-bad" in rows["too late"]["Why not"]


def test_a_deprecated_version_is_governed_for_those_who_used_it_before(walk: Walk, otto: User) -> None:
    decision = decided(walk)
    promotions.ask_gate(decision.identity_digest, "staging", "billing", actor=otto)
    now = timezone.now()
    lifecycle.deprecate(
        decision.version, actor=walk.cast.ada, successor=None, sunset_at=now + timedelta(days=9), reason="2.0.0 is out."
    )
    start = grid(timezone.now())
    with time_machine.travel(start + 10 * MINUTE):
        report(
            walk,
            *slots(decision.identity_digest, start, 0, customer="old", consumer="billing"),
            *slots(decision.identity_digest, start, 0, customer="new", consumer="card-desk"),
        )
        rows = {row["Customer"]: (row["Governed"], row["Why not"]) for row in told()}
    assert rows["old"] == ("governed", "")
    assert rows["new"][0] == "ungoverned"
    assert "new consumers are refused" in rows["new"][1]


def test_the_answer_is_narrowed_to_customer_version_environment_and_overlap(walk: Walk) -> None:
    digest = decided(walk).identity_digest
    hour = grid(timezone.now()) - timedelta(hours=1)
    report(
        walk,
        *slots(digest, hour, 0, 1, customer="acme"),
        *slots(digest, hour, 0, customer="globex", environment="production"),
        *slots("f0" * 32, hour, 0, customer="acme-bank"),
    )
    assert [row["Customer"] for row in told(customer="acme")] == ["acme", "acme"]
    assert [row["Customer"] for row in told(asset="credit-prompt@1.0.0")] == ["acme", "globex", "acme"]
    assert [row["Customer"] for row in told(environment="production")] == ["globex"]
    overlapping = told(customer="acme", since=hour + 4 * MINUTE, until=hour + 5 * MINUTE)
    assert [row["From"] for row in overlapping] == [hour]
    touching = told(customer="acme", since=hour + 5 * MINUTE, until=hour + 6 * MINUTE)
    assert [row["From"] for row in touching] == [hour + 5 * MINUTE]
    assert told(asset="nobody-registered-this") == []


def test_a_report_that_came_later_is_not_known_before(walk: Walk) -> None:
    hour = grid(timezone.now()) - timedelta(hours=1)
    before = timezone.now()
    batch = report(walk, *slots("f0" * 32, hour, 0))
    assert told(before) == []
    [row] = told()
    assert (row["Batch"], row["Reported"]) == ("gateway/1", batch.received_at)


def test_judging_costs_the_same_for_one_window_and_for_three_of_different_digests(walk: Walk) -> None:
    digests = [prompt(walk, number).identity_digest for number in ("1.0.0", "1.1.0")] + ["f0" * 32]
    start = grid(timezone.now())

    def queries() -> int:
        with CaptureQueriesContext(
            connection,
        ) as caught:
            list(SERVING.rows(Filters(), timezone.now() + timedelta(hours=2)))
        return len(caught)

    with time_machine.travel(start + timedelta(hours=1)):
        report(walk, *slots(digests[0], start, 0), batch="1")
        one = queries()
        for batch, digest in enumerate(digests[1:], 2):
            report(walk, *slots(digest, start, 0), batch=str(batch))
        assert queries() == one


def test_every_instant_is_judged_as_the_gate_would_have(walk: Walk, otto: User) -> None:
    version = prompt(walk)
    start = timezone.now()
    with time_machine.travel(start + 10 * MINUTE):
        first = walk.approved(version, "staging")
        promotions.ask_gate(version.identity_digest, "staging", "billing", actor=otto)
    with time_machine.travel(start + 20 * MINUTE):
        decisions.revoke(first, actor=walk.cast.rhea, reason="A leak was found.")
        walk.work()
    with time_machine.travel(start + 30 * MINUTE):
        walk.approved(version, "staging")
    sunset = start + 50 * MINUTE
    with time_machine.travel(start + 40 * MINUTE):
        lifecycle.deprecate(version, actor=walk.cast.ada, successor=None, sunset_at=sunset, reason="2.0.0 is out.")

    digest, moments = version.identity_digest, [start + timedelta(seconds=97) * step for step in range(-3, 38)]
    windows = [
        ServingWindow(digest=digest, environment="staging", consumer=name, start=at, end=at + timedelta(microseconds=1))
        for at in moments
        for name in ("billing", "card-desk", "")
    ]
    judged = [each.verdict == "governed" for each in judge(windows)]
    asked = [
        standing.of_digest(digest, each.environment, at=each.start, consumer=each.consumer).allow for each in windows
    ]
    assert judged == asked
    assert {True, False} == set(asked)
