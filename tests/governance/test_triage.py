"""Triage: whose word counts, what needs a second person, and what counted at any instant."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine
from django.core.exceptions import PermissionDenied
from django.db import connection
from django.utils import timezone

from audit import log
from audit.events import Event
from audit.models import Entry
from governance import challenges, findings, lifecycle, submissions, sweeps, triage
from governance.checks import verdicts
from governance.models import CheckRequest, Finding, TriageAnswer, TriageStatement
from governance.triage.statements import waiting
from portal.errors import Invalid, Refused
from registry import people
from registry.models import User
from tests.factories import artifacts, import_advisories, osv
from tests.governance.findings import CVE, GHSA, UNREACHED, find, fresh
from tests.scene import Scene
from tests.web.services import count_rows


@pytest.fixture
def high(scene: Scene, tmp_path: Path) -> Finding:
    """Return a finding of high severity in the candidate's numpy."""
    return find(scene.walk, scene.version, tmp_path)


@pytest.fixture
def critical(scene: Scene, tmp_path: Path) -> Finding:
    """Return a finding of critical severity."""
    return find(scene.walk, scene.version, tmp_path, severity="CRITICAL")


def faults(*, finding: Finding, actor: User, **said: Any) -> list[str]:
    """Return the fields that a refused statement names; nothing of it is left."""
    before = count_rows()
    with pytest.raises(Invalid) as caught:
        triage.state(finding, actor=actor, **{**UNREACHED, **said})
    assert count_rows() == before
    return [fault.field for fault in caught.value.faults]


def refusal(act: Callable[[], Any]) -> str:
    """Return the code of a refusal that leaves nothing behind."""
    before = count_rows()
    with pytest.raises(Refused) as caught:
        act()
    assert count_rows() == before
    return caught.value.code


def days(number: int) -> Any:
    return timezone.now() + timedelta(days=number)


def test_security_clears_a_high_finding_by_itself(scene: Scene, high: Finding) -> None:
    said = triage.state(high, actor=scene.walk.cast.rhea, **UNREACHED)
    assert not said.needs_answer
    assert fresh(high).triage == "not_affected"
    entry = Entry.objects.filter(kind="finding.triaged").latest("pk")
    assert (entry.details["status"], entry.details["source"], entry.details["waits"]) == (
        "not_affected",
        "person",
        False,
    )
    assert "We never load" not in bytes(entry.body).decode()


def test_a_team_speaks_and_security_agrees(scene: Scene, high: Finding) -> None:
    said = triage.state(high, actor=scene.walk.cast.ada, **UNREACHED)
    assert said.needs_answer
    assert fresh(high).triage == "open"
    assert list(waiting()) == [said]
    triage.answer(said, actor=scene.walk.cast.rhea, agreed=True)
    assert fresh(high).triage == "not_affected"
    assert list(waiting()) == []
    assert Entry.objects.filter(kind="finding.answered").latest("pk").details["answer"] == "agreed"


def test_whoever_disagrees_says_why_and_the_finding_stays_open(scene: Scene, high: Finding) -> None:
    said = triage.state(high, actor=scene.walk.cast.ada, **UNREACHED)
    with pytest.raises(Invalid, match="a sentence that says why"):
        triage.answer(said, actor=scene.walk.cast.rhea, agreed=False)
    triage.answer(said, actor=scene.walk.cast.rhea, agreed=False, note="load() is called in train.py.")
    assert fresh(high).triage == "open"
    assert refusal(lambda: triage.answer(said, actor=scene.walk.cast.sol, agreed=True)) == "triage_answered"


def test_a_critical_is_never_cleared_by_one_person(scene: Scene, critical: Finding) -> None:
    rhea, sol = scene.walk.cast.rhea, scene.walk.cast.sol
    said = triage.state(critical, actor=rhea, **UNREACHED)
    assert said.needs_answer
    assert refusal(lambda: triage.answer(said, actor=rhea, agreed=True)) == "not_independent"
    triage.answer(said, actor=sol, agreed=True)
    assert fresh(critical).triage == "not_affected"


def test_unknown_severity_counts_as_high(scene: Scene, tmp_path: Path) -> None:
    unknown = find(scene.walk, scene.version, tmp_path, severity="nobody knows")
    assert unknown.severity == "unknown"
    assert not triage.state(unknown, actor=scene.walk.cast.rhea, **UNREACHED).needs_answer


def test_security_with_a_hand_in_it_is_not_the_second_person(scene: Scene, high: Finding) -> None:
    cast = scene.walk.cast
    people.give_seat(cast.ben, "security", actor=cast.alma)
    assert triage.state(high, actor=fresh(cast.ben), **UNREACHED).needs_answer
    said = triage.state(high, actor=cast.ada, **UNREACHED)
    with pytest.raises(Refused) as caught:
        triage.answer(said, actor=fresh(cast.ben), agreed=True)
    assert "Ben Backup works for the team that owns it." in str(caught.value)


def test_whoever_submitted_the_version_is_not_the_second_person(scene: Scene, high: Finding) -> None:
    cast = scene.walk.cast
    people.join_team(cast.risk_models, cast.rhea, actor=cast.alma)
    scene.walk.submit(scene.version, "staging", actor=fresh(cast.rhea))
    people.leave_team(cast.rhea.memberships.get(), actor=cast.alma)
    said = triage.state(high, actor=cast.ada, **UNREACHED)
    with pytest.raises(Refused, match="Rhea Security submitted it"):
        triage.answer(said, actor=fresh(cast.rhea), agreed=True)
    triage.answer(said, actor=cast.sol, agreed=True)


@pytest.mark.parametrize("name", ["mallory", "dana", "petra", "iris", "alma", "carl", "cee_i", "otto"])
def test_nobody_else_states(scene: Scene, high: Finding, name: str) -> None:
    before = count_rows()
    with pytest.raises(PermissionDenied):
        triage.state(high, actor=getattr(scene.walk.cast, name), **UNREACHED)
    assert count_rows() == before


@pytest.mark.parametrize("name", ["ada", "ben", "mallory", "dana", "iris", "alma", "cee_i"])
def test_nobody_but_security_answers(scene: Scene, high: Finding, name: str) -> None:
    said = triage.state(high, actor=scene.walk.cast.ada, **UNREACHED)
    with pytest.raises(PermissionDenied):
        triage.answer(said, actor=getattr(scene.walk.cast, name), agreed=True)
    assert fresh(high).triage == "open"


def test_a_statement_says_what_its_status_needs(scene: Scene, high: Finding) -> None:
    told = {"finding": high, "actor": scene.walk.cast.ada}
    assert faults(**told, justification="") == ["justification"]
    assert faults(**told, justification="trust me") == ["justification"]
    assert faults(**told, status="fine") == ["status", "justification"]
    assert faults(**told, status="fixed") == ["justification"]
    assert faults(**told, status="fixed", justification="", reason=" ") == ["reason"]
    assert faults(**told, status="accepted", justification="") == ["until"]
    assert faults(**told, status="accepted", justification="", until=days(0)) == ["until"]
    assert faults(**told, status="accepted", justification="", until=days(91)) == ["until"]
    assert faults(**told, until=days(5)) == ["until"]
    assert faults(**told, reason="x" * 4001) == ["reason"]
    assert faults(**told, reason="a \x00 in it") == ["reason"]


def test_an_acceptance_ends_by_itself(scene: Scene, high: Finding) -> None:
    end = days(10)
    said = triage.state(high, actor=scene.walk.cast.rhea, status="accepted", reason="Next build.", until=end)
    high = fresh(high)
    assert (high.triage, high.accepted_until) == ("accepted", end)
    assert not high.is_open_at(timezone.now())
    assert high.is_open_at(end)
    assert triage.in_force(high, end - timedelta(seconds=1)) == said
    assert triage.in_force(high, end) is None


def test_an_acceptance_whose_time_is_over_cannot_be_agreed_to(scene: Scene, high: Finding) -> None:
    said = triage.state(high, actor=scene.walk.cast.ada, status="accepted", reason="Next build.", until=days(2))
    with time_machine.travel(days(3), tick=False):
        assert refusal(lambda: triage.answer(said, actor=scene.walk.cast.rhea, agreed=True)) == "acceptance_over"


def test_a_newer_statement_supersedes_one_that_waits(scene: Scene, high: Finding) -> None:
    cast = scene.walk.cast
    first = triage.state(high, actor=cast.ada, **UNREACHED)
    second = triage.state(high, actor=cast.ben, status="fixed", reason="Patched in our build.")
    assert list(waiting()) == [second]
    assert refusal(lambda: triage.answer(first, actor=cast.rhea, agreed=True)) == "triage_superseded"
    triage.answer(second, actor=cast.rhea, agreed=True)
    assert fresh(high).triage == "fixed"


def test_opening_again_counts_at_once_whoever_says_it(scene: Scene, high: Finding) -> None:
    triage.state(high, actor=scene.walk.cast.rhea, **UNREACHED)
    said = triage.state(high, actor=scene.walk.cast.ada, status="open", reason="load() is called after all.")
    assert not said.needs_answer
    assert fresh(high).triage == "open"
    assert triage.in_force(high, timezone.now()) == said


def test_what_counted_is_known_for_every_past_instant(scene: Scene, high: Finding) -> None:
    cast, start = scene.walk.cast, timezone.now()
    hour = timedelta(hours=1)
    with time_machine.travel(start + hour, tick=False):
        first = triage.state(high, actor=cast.ada, **UNREACHED)
    with time_machine.travel(start + 3 * hour, tick=False):
        triage.answer(first, actor=cast.rhea, agreed=True)
    with time_machine.travel(start + 5 * hour, tick=False):
        refused = triage.state(high, actor=cast.ada, status="fixed", reason="Patched.")
        triage.answer(refused, actor=cast.rhea, agreed=False, note="Not in this build.")
    with time_machine.travel(start + 7 * hour, tick=False):
        last = triage.state(high, actor=cast.sol, status="open", reason="Found a caller.")
    when = [triage.in_force(high, start + hours * hour) for hours in (0, 1, 2, 3, 4, 5, 6, 7, 8)]
    assert when == [None, None, None, first, first, first, first, last, last]


def test_what_was_said_before_a_finding_went_away_does_not_come_back_with_it(scene: Scene, high: Finding) -> None:
    runner = User.objects.system("runner")
    said = triage.state(high, actor=scene.walk.cast.rhea, **UNREACHED)
    before = timezone.now()
    findings.close(fresh(high), actor=runner)
    assert refusal(lambda: triage.state(high, actor=scene.walk.cast.rhea, **UNREACHED)) == "finding_closed"
    findings.rematch(scene.version, actor=runner)
    high = fresh(high)
    assert (high.closed_at, high.triage) == (None, "open")
    assert triage.in_force(high, timezone.now()) is None
    assert triage.in_force(high, before) == said


def test_a_retired_version_needs_no_triage(scene: Scene, high: Finding) -> None:
    lifecycle.retire(scene.version, actor=scene.walk.cast.ada, reason="Nobody uses it.")
    assert refusal(lambda: triage.state(fresh(high), actor=scene.walk.cast.ada, **UNREACHED)) == "version_retired"


def test_one_vulnerability_is_stated_about_in_many_versions_or_in_none(scene: Scene, tmp_path: Path) -> None:
    walk, cast = scene.walk, scene.walk.cast
    others = [walk.candidate("fraud-scorer", f"1.{n}.0", artifacts.scorer(n + 1)) for n in (1, 2)]
    foreign = walk.candidate("router", "1.0.0", artifacts.scorer(4), team="assistants", owner="carl")
    rows = [find(walk, version, tmp_path) for version in (*others, scene.version, foreign)]
    before = count_rows()
    with pytest.raises(PermissionDenied):
        triage.state_all(rows, actor=cast.ada, **UNREACHED)
    assert count_rows() == before
    made = triage.state_all(rows[:3], actor=cast.ada, **UNREACHED)
    assert len({said.stated_at for said in made}) == 1
    assert {said.finding_id for said in made} == {row.pk for row in rows[:3]}
    triage.answer_all(made, actor=cast.rhea, agreed=True, note="Looked at all three.")
    assert {fresh(row).triage for row in rows[:3]} == {"not_affected"}
    with pytest.raises(Invalid, match="1 to 500"):
        triage.state_all([], actor=cast.ada, **UNREACHED)


def test_what_counts_is_asked_again_where_it_matters(scene: Scene, critical: Finding) -> None:
    cast = scene.walk.cast
    submission = scene.walk.submit(scene.version, "staging")
    assert submissions_blocked(scene) == ["vulnerabilities"]
    said = triage.state(critical, actor=cast.ada, **UNREACHED)
    assert not CheckRequest.objects.exists()
    triage.answer(said, actor=cast.rhea, agreed=True)
    scene.walk.work()
    assert submissions_blocked(scene) == []
    assert submission.is_open


def submissions_blocked(scene: Scene) -> list[str]:
    """Return the rules in the way of the version's open submission."""
    opened = scene.version.submissions.get(state="open")
    return [each.rule for each in verdicts.red(submissions.standing_verdicts(opened))]


def test_an_answer_ends_the_challenge_and_opening_again_begins_one(scene: Scene, tmp_path: Path) -> None:
    walk, cast = scene.walk, scene.walk.cast
    walk.approved(scene.version)
    found = find(walk, scene.version, tmp_path, severity="CRITICAL")
    assert len(challenges.open_of(scene.version)) == 1
    said = triage.state(found, actor=cast.ada, **UNREACHED)
    assert len(challenges.open_of(scene.version)) == 1
    triage.answer(said, actor=cast.rhea, agreed=True)
    assert challenges.open_of(scene.version) == []
    triage.state(found, actor=cast.sol, status="open", reason="Found a caller.")
    assert len(challenges.open_of(scene.version)) == 1


def test_what_one_person_cleared_is_opened_again_when_it_turns_out_to_be_critical(
    scene: Scene, high: Finding, tmp_path: Path
) -> None:
    cast = scene.walk.cast
    triage.state(high, actor=cast.rhea, **UNREACHED)
    worse = osv(GHSA, "numpy", fixed="99.0", aliases=[CVE], modified="2026-11-20T00:00:00Z")
    import_advisories(cast, tmp_path, worse)
    findings.rematch(scene.version, actor=User.objects.system("runner"))
    assert fresh(high).triage == "not_affected"
    assert triage.reopen_due() == 1
    assert fresh(high).triage == "open"
    assert "a second one has to look" in high.statements.last().reason
    assert triage.reopen_due() == 0
    said = triage.state(fresh(high), actor=cast.rhea, **UNREACHED)
    triage.answer(said, actor=cast.sol, agreed=True)
    sweeps.sweep_due()
    assert fresh(high).triage == "not_affected"


def test_nothing_is_ever_changed_outside_a_record(scene: Scene, high: Finding) -> None:
    said = triage.state(high, actor=scene.walk.cast.ada, **UNREACHED)
    given = triage.answer(said, actor=scene.walk.cast.rhea, agreed=True)
    assert TriageStatement.objects.get().recorded_in == Entry.objects.get(kind="finding.triaged").event_id
    assert TriageAnswer.objects.get().recorded_in == Entry.objects.get(kind="finding.answered").event_id
    assert log.entries(kind=Event.TRIAGE_ANSWERED, subject=high).count() == 1
    with pytest.raises(Exception, match="append-only"), connection.cursor() as cursor:
        cursor.execute("UPDATE governance_triageanswer SET agreed = false WHERE id = %s", [given.pk])
