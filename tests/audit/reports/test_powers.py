"""Who was given which powers, and who could do what as of an instant: held against the permission table itself."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from audit.reports import BY_SLUG, Filters, Report
from governance import delegations, departures
from governance.permissions import may
from registry import people, sharing, tokens
from registry.models import Asset, Seat, User
from tests.factories import Walk

ASSET = "credit-model"


def told(slug: str, as_of: Any = None, **asked: Any) -> list[dict[str, Any]]:
    """Return the rows of a report by their headings."""
    report: Report = BY_SLUG[slug]
    headings = [column.title for column in report.columns]
    rows = report.rows(Filters(**asked), as_of or timezone.now())
    return [dict(zip(headings, row, strict=True)) for row in rows]


def powers(as_of: Any = None, **asked: Any) -> set[tuple[str, str, str]]:
    """Return who could do what by what."""
    return {(row["Person"], row["Power"], row["By"]) for row in told("permissions", as_of, **asked)}


def asset_of(walk: Walk) -> Asset:
    """Register an asset of the team risk-models."""
    return walk.register(ASSET, "1.0.0", None, kind="prompt").asset


def test_seats_teams_tokens_and_accounts_are_told_with_giver_receiver_and_change(walk: Walk) -> None:
    start = timezone.now()
    seat = people.give_seat(walk.cast.ben, "legal", actor=walk.cast.alma)
    people.take_seat(seat, actor=walk.cast.abel)
    people.join_team(walk.cast.assistants, walk.cast.ada, actor=walk.cast.alma)
    tokens.issue(walk.cast.otto, actor=walk.cast.alma, label="second", scopes=["gate"])
    departures.leave(walk.cast.mallory, actor=walk.cast.alma)
    rows = told("access", since=start)
    assert [(row["By"], row["Given to or taken from"], row["Role"], row["Change"], row["Scopes"]) for row in rows] == [
        ("Alma Admin", "Mallory Outside", None, "closed", None),
        ("Alma Admin", "Deployer", None, None, "gate"),
        ("Alma Admin", "Ada Owner", None, "joined", None),
        ("Abel Admin", "Ben Backup", "legal", None, None),
        ("Alma Admin", "Ben Backup", "legal", None, None),
    ]
    assert len(told("access", since=start, role="legal")) == 2
    assert len(told("access", since=start, word="tokens")) == 1
    assert {row["By"] for row in told("access", since=start, person="abel")} == {"Abel Admin"}
    assert {row["Given to or taken from"] for row in told("access", since=start, person="Mallory")} == {
        "Mallory Outside"
    }


def test_grants_on_an_asset_are_told_and_other_changes_of_assets_are_not(walk: Walk) -> None:
    asset, start = asset_of(walk), timezone.now()
    sharing.share(asset, walk.cast.mallory, "contribute_asset", actor=walk.cast.ada)
    between = timezone.now()
    sharing.unshare(asset, walk.cast.mallory, "contribute_asset", actor=walk.cast.ada)
    rows = told("access", since=start)
    assert [(row["About"], row["Given to or taken from"], row["Change"]) for row in rows] == [
        (ASSET, "Mallory Outside", "took back contribute asset"),
        (ASSET, "Mallory Outside", "granted contribute asset"),
    ]
    assert len(told("access", between, since=start)) == 1
    assert told("access", since=start, asset="another-asset") == []
    assert ("Mallory Outside", "contribute", "granted a place beside the team") in powers(between, asset=ASSET)
    assert "Mallory Outside" not in {person for person, *_ in powers(asset=ASSET)}


def test_the_answer_of_now_is_what_the_permission_table_says(walk: Walk) -> None:
    asset = asset_of(walk)
    limited = people.give_seat(walk.cast.mallory, "legal", actor=walk.cast.alma, everywhere=False)
    sharing.share(asset, walk.cast.mallory, "review_asset", actor=walk.cast.alma)
    people.give_seat(walk.cast.carl, "legal", actor=walk.cast.alma, everywhere=False)
    ends = timezone.now() + timedelta(days=3)
    delegations.make(actor=walk.cast.rhea, role="security", deputy=walk.cast.carl, ends_at=ends)
    found = powers(asset=ASSET)
    everybody = list(User.objects.filter(is_active=True).exclude(kind="system"))
    people_only = [user for user in everybody if user.kind == "person"]

    def those(*allowed: str) -> set[str]:
        return {person for person, power, _ in found if power in allowed}

    fresh = {user: User.objects.get(pk=user.pk) for user in people_only}
    assert those("contribute") == {str(user) for user in everybody if user.memberships.filter(team=asset.team).exists()}
    assert those("review") == {str(user) for user in people_only if permits(fresh[user], "review.give", asset)}
    seen = {str(user) for user in people_only if permits(fresh[user], "asset.view", asset)}
    assert those("contribute", "review", "read", "administer") - {"CI pipeline", "Deployer"} == seen
    assert limited.everywhere is False


def permits(user: User, rule: str, asset: Asset) -> bool:
    """Return whether the permission table allows somebody something."""
    try:
        return may(user, rule, asset)
    except PermissionDenied:
        return False


def test_what_somebody_could_do_ends_with_the_seat_the_delegation_the_token_and_the_account(walk: Walk) -> None:
    asset_of(walk)
    start = timezone.now()
    delegation = delegations.make(
        actor=walk.cast.rhea, role="security", deputy=walk.cast.carl, ends_at=start + timedelta(days=3)
    )
    with_deputy = timezone.now()
    deputy = ("Carl Prompt", "review", "stood in for Rhea Security in the role security")
    delegations.end(delegation, actor=walk.cast.rhea)
    people.take_seat(Seat.objects.get(user=walk.cast.dana), actor=walk.cast.alma)
    departures.leave(walk.cast.otto, actor=walk.cast.alma)
    assert deputy in powers(with_deputy, asset=ASSET)
    assert deputy not in powers(start, asset=ASSET)
    assert deputy not in powers(asset=ASSET)
    before, now = {person for person, *_ in powers(start)}, {person for person, *_ in powers()}
    assert before - now == {"Dana Product", "Deployer"}


def test_powers_over_another_teams_asset_are_not_told_of_this_one(walk: Walk) -> None:
    asset_of(walk)
    walk.register("desk-prompt", "1.0.0", None, kind="prompt", team="assistants", owner="carl")
    contributing = {person for person, power, _ in powers(asset=ASSET) if power == "contribute"}
    assert contributing == {"Ada Owner", "Ben Backup", "CI pipeline", "Deployer"}
    assert "Carl Prompt" in {person for person, power, _ in powers(asset="desk-prompt") if power == "contribute"}
    assert told("permissions", asset="nobody-registered-this") == []
    assert {person for person, *_ in powers(person="rhea")} == {"Rhea Security"}


def test_more_powers_cost_no_more_questions(walk: Walk) -> None:
    asset = asset_of(walk)

    def queries(slug: str) -> int:
        with CaptureQueriesContext(connection) as caught:
            told(slug)
        return len(caught)

    sharing.share(asset, walk.cast.mallory, "contribute_asset", actor=walk.cast.ada)
    one = queries("access"), queries("permissions")
    for user in (walk.cast.carl, walk.cast.petra):
        sharing.share(asset, user, "contribute_asset", actor=walk.cast.ada)
        people.give_seat(user, "legal", actor=walk.cast.alma)
    assert (queries("access"), queries("permissions")) == one


def test_a_token_that_reads_the_ledger_is_told_to_reach_further_than_its_teams(walk: Walk) -> None:
    tokens.issue(walk.cast.otto, actor=walk.cast.iris, label="monitor", scopes=["audit"])
    (row,) = (row for row in told("permissions", word="use the API") if "audit" in row["By"])
    assert row["On"] == "what its teams own, and the whole ledger"
