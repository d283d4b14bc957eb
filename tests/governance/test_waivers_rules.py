"""When a waiver is in force, who grants it, what hygiene waivers postpone, and who is told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.utils import timezone
from hypothesis import given, settings
from hypothesis import strategies as st

from governance import sweeps, waivers
from governance.models import Notice, Waiver
from governance.models.waivers import WaiverState
from portal.errors import Invalid, Refused
from registry import people
from registry.models import User
from tests import policies
from tests.factories import artifacts
from tests.governance.test_waivers import ask
from tests.scene import Scene
from tests.web.services import count_rows

START = datetime(2026, 11, 23, 12, tzinfo=UTC)
HOURS = st.integers(0, 10)


def at(hour: int | None) -> datetime | None:
    """Return an instant of the day by its hour."""
    return None if hour is None else START + timedelta(hours=hour)


@settings(max_examples=60)
@given(st.sampled_from(WaiverState), HOURS, HOURS, st.none() | HOURS, st.integers(-1, 11))
def test_in_force_is_from_the_grant_until_the_end_or_the_revocation(
    state: WaiverState, granted: int, ends: int, revoked: int | None, asked: int
) -> None:
    waiver = Waiver(
        state=state, decided_at=at(granted), expires_at=START + timedelta(hours=ends), revoked_at=at(revoked)
    )
    # The hours that are covered, counted one by one.
    last = ends if revoked is None else min(ends, revoked)
    covered = set(range(granted, last)) if state in {"granted", "revoked"} else set()
    assert waiver.is_in_force(START + timedelta(hours=asked)) == (asked in covered)


TICK = timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("instant", "covered"),
    [
        (START - TICK, False),
        (START, True),
        (START + timedelta(days=1) - TICK, True),
        (START + timedelta(days=1), False),
    ],
    ids=["just before the grant", "at the grant", "just before the end", "at the end"],
)
def test_the_edges_are_exact(instant: datetime, *, covered: bool) -> None:
    waiver = Waiver(state="granted", decided_at=START, expires_at=START + timedelta(days=1))
    assert waiver.is_in_force(instant) is covered


def test_one_that_was_never_granted_is_never_in_force() -> None:
    for state in ("requested", "refused"):
        assert not Waiver(state=state, decided_at=START, expires_at=at(10)).is_in_force(START)
    assert not Waiver(state="granted", expires_at=at(10)).is_in_force(START)


# --- hygiene ---------------------------------------------------------------------------------------------------------


def test_a_hygiene_waiver_postpones_one_move_of_one_version_while_it_is_in_force(scene: Scene) -> None:
    walk, version = scene
    other = walk.candidate("tagger", "1.0.0", artifacts.scorer(2))
    asked = ask(version, walk.cast.ada, rule="stale", environment="hygiene")
    now = timezone.now()
    assert waivers.postponing(version, "stale", now) is None
    granted = waivers.grant(asked, actor=walk.cast.rhea)
    assert granted.decided_at is not None
    assert waivers.postponing(version, "stale", granted.decided_at) == granted
    assert waivers.postponing(version, "stale", granted.decided_at - TICK) is None
    assert waivers.postponing(version, "stale", granted.expires_at - TICK) == granted
    assert waivers.postponing(version, "stale", granted.expires_at) is None
    assert waivers.postponing(version, "sunset", granted.decided_at) is None
    assert waivers.postponing(other, "stale", granted.decided_at) is None
    with time_machine.travel(now + timedelta(days=1), tick=False):
        waivers.revoke(granted, actor=walk.cast.rhea, reason="It is served again.")
        assert waivers.postponing(version, "stale", timezone.now()) is None
        assert waivers.postponing(version, "stale", granted.decided_at) == granted


def test_what_postpones_longest_is_returned_for_many_versions_at_once(scene: Scene) -> None:
    walk, version = scene
    made = [
        waivers.grant(
            ask(
                version,
                walk.cast.ada,
                rule="sunset",
                environment="hygiene",
                expires_at=timezone.now() + timedelta(days=days),
            ),
            actor=granter,
        )
        for days, granter in ((30, walk.cast.rhea), (9, walk.cast.sol))
    ]
    found = waivers.postponements([version], timezone.now())
    assert found == {(version.pk, "sunset"): made[0]}
    assert waivers.postponements([], timezone.now()) == {}


def test_hygiene_is_asked_for_only_where_the_policy_has_it_and_by_its_own_rules(scene: Scene) -> None:
    walk, version = scene
    before = count_rows()
    for rule, environment in (("evaluations", "hygiene"), ("stale", "staging"), ("sunset", "baseline")):
        with pytest.raises(Invalid) as refusal:
            ask(version, walk.cast.ada, rule=rule, environment=environment)
        assert [fault.field for fault in refusal.value.faults] == ["rule"]
    assert count_rows() == before
    policies.publish(policies.shipped("hygiene", None), walk.cast)
    with pytest.raises(Invalid) as refusal:
        ask(version, walk.cast.ada, rule="stale", environment="hygiene")
    assert [fault.field for fault in refusal.value.faults] == ["environment"]


# --- who -------------------------------------------------------------------------------------------------------------


def test_the_team_does_not_grant_whatever_seat_it_has(scene: Scene) -> None:
    walk, version = scene
    people.give_seat(walk.cast.ben, "security", actor=walk.cast.alma)
    waiver = ask(version, walk.cast.ada)
    ben = User.objects.get(username="ben")
    with pytest.raises(Refused) as refusal:
        waivers.grant(waiver, actor=ben)
    assert "Ben Backup is on the team" in str(refusal.value)
    assert ben not in waivers.granters(waiver)


def test_the_granter_of_what_is_extended_is_told_who_can(scene: Scene) -> None:
    walk, version = scene
    waiver = waivers.grant(ask(version, walk.cast.ada), actor=walk.cast.rhea)
    longer = ask(version, walk.cast.ada, extends=waiver)
    assert waivers.granters(longer) == [walk.cast.sol]


def expect_another(waiver: Waiver, granter: User, *, others: list[User]) -> None:
    """Expect that somebody who granted before cannot grant on, and that the others alone are asked."""
    before = count_rows()
    for verb in (waivers.grant, waivers.refuse):
        with pytest.raises(Refused) as refusal:
            verb(waiver, actor=granter, note="Again.")
        assert refusal.value.code == "same_granter"
    assert count_rows() == before
    assert waivers.granters(waiver) == others


def test_leaving_out_what_is_extended_does_not_let_the_granter_extend_it(scene: Scene) -> None:
    walk, version = scene
    first = waivers.grant(ask(version, walk.cast.ada), actor=walk.cast.rhea)
    with time_machine.travel(first.expires_at - TICK, tick=False):
        longer = ask(version, walk.cast.ada, expires_at=timezone.now() + timedelta(days=60))
        expect_another(longer, walk.cast.rhea, others=[walk.cast.sol])
    # That the first has ended meanwhile changes nothing: it was asked for while that one stood.
    with time_machine.travel(first.expires_at + TICK, tick=False):
        expect_another(longer, walk.cast.rhea, others=[walk.cast.sol])
        assert waivers.grant(longer, actor=walk.cast.sol).is_in_force(timezone.now())


def test_asking_twice_at_once_does_not_let_one_person_grant_both(scene: Scene) -> None:
    walk, version = scene
    first, second = ask(version, walk.cast.ada), ask(version, walk.cast.ada)
    waivers.grant(first, actor=walk.cast.rhea)
    expect_another(second, walk.cast.rhea, others=[walk.cast.sol])


def test_two_people_do_not_extend_in_turns(scene: Scene) -> None:
    walk, version = scene
    now, waiver = timezone.now(), None
    for days, granter in ((0, walk.cast.rhea), (19, walk.cast.sol)):
        with time_machine.travel(now + timedelta(days=days), tick=False):
            until = timezone.now() + timedelta(days=20)
            waiver = waivers.grant(ask(version, walk.cast.ada, extends=waiver, expires_at=until), actor=granter)
    with time_machine.travel(now + timedelta(days=38), tick=False):
        third = ask(version, walk.cast.ada, extends=waiver, expires_at=timezone.now() + timedelta(days=20))
        expect_another(third, walk.cast.rhea, others=[])
        expect_another(third, walk.cast.sol, others=[])


@pytest.mark.parametrize("other", ["environment", "rule", "ended", "revoked", "refused"])
def test_who_granted_something_else_or_nothing_any_more_may_grant(scene: Scene, other: str) -> None:
    walk, version = scene
    changes = {"environment": {"environment": "production"}, "rule": {"rule": "vulnerabilities"}}.get(other, {})
    first = ask(version, walk.cast.ada, **changes)
    if other == "refused":
        waivers.refuse(first, actor=walk.cast.rhea, note="Fix it.")
    else:
        waivers.grant(first, actor=walk.cast.rhea)
    if other == "revoked":
        waivers.revoke(first, actor=walk.cast.sol, reason="It was fixed.")
    with time_machine.travel(first.expires_at if other == "ended" else timezone.now(), tick=False):
        again = ask(version, walk.cast.ada, expires_at=timezone.now() + timedelta(days=9))
        assert waivers.grant(again, actor=walk.cast.rhea).is_in_force(timezone.now())


# --- who is told -----------------------------------------------------------------------------------------------------


def told(kind: str) -> list[str]:
    """Return who was told something, by name, in order."""
    return [str(each.person) for each in Notice.objects.filter(kind=kind).order_by("pk") if each.person]


def test_a_request_is_told_to_those_who_may_answer_and_to_nobody_else(scene: Scene) -> None:
    walk, version = scene
    ask(version, walk.cast.ada)
    assert told("waiver_requested") == ["Rhea Security", "Sol Security"]
    notice = Notice.objects.filter(kind="waiver_requested").first()
    assert notice is not None
    assert notice.url == waivers.where(Waiver.objects.get())
    assert "red-team set" not in notice.text


def test_every_answer_is_told_to_who_asked_without_its_words(scene: Scene) -> None:
    walk, version = scene
    waiver = waivers.grant(ask(version, walk.cast.ada), actor=walk.cast.rhea, note="For now.")
    waivers.revoke(waiver, actor=walk.cast.sol, reason="The set was fixed.")
    waivers.refuse(ask(version, walk.cast.ada), actor=walk.cast.rhea, note="Fix it first.")
    assert told("waiver_answered") == ["Ada Owner"] * 3
    texts = list(Notice.objects.filter(kind="waiver_answered").order_by("pk").values_list("text", flat=True))
    assert texts == [
        "Rhea Security granted it.",
        "Sol Security revoked it.",
        "Rhea Security refused it.",
    ]


def test_the_end_is_told_once_seven_days_before_and_not_sooner(scene: Scene) -> None:
    walk, version = scene
    waiver = waivers.grant(ask(version, walk.cast.ada), actor=walk.cast.rhea)
    ask(version, walk.cast.ada, expires_at=waiver.expires_at)
    for before, count in ((timedelta(days=7) + TICK, 0), (timedelta(days=7), 1), (timedelta(days=2), 1)):
        with time_machine.travel(waiver.expires_at - before, tick=False):
            waivers.warn_due()
            sweeps.sweep_due()
            assert told("waiver_ending") == ["Ada Owner"] * count
    with time_machine.travel(waiver.expires_at, tick=False):
        assert waivers.warn_due() == 0


def test_what_is_over_revoked_or_extended_is_not_warned_about(scene: Scene) -> None:
    walk, version = scene
    soon = timezone.now() + timedelta(days=3)
    extended = waivers.grant(ask(version, walk.cast.ada, expires_at=soon), actor=walk.cast.rhea)
    waivers.grant(ask(version, walk.cast.ada, extends=extended), actor=walk.cast.sol)
    gone = waivers.grant(ask(version, walk.cast.ada, rule="vulnerabilities", expires_at=soon), actor=walk.cast.rhea)
    waivers.revoke(gone, actor=walk.cast.rhea, reason="Nobody needs it.")
    assert waivers.warn_due() == 0
