"""Looking back: what was seen at an instant is what is seen about that instant, whatever has happened since."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine

from governance import decisions, hindsight, lifecycle, promotions, reviews, submissions, sweeps, waivers
from governance.hindsight import Hindsight
from governance.models import Decision
from portal.errors import Invalid
from registry import intake
from registry.models import User, Version
from tests.scene import Scene

pytestmark = pytest.mark.django_db


@pytest.fixture
def clock() -> Iterator[Any]:
    """Stop the time, to be moved by hand."""
    with time_machine.travel(datetime.now(UTC) + timedelta(minutes=1), tick=False) as traveller:
        yield traveller


def told(seen: Hindsight) -> dict[str, Any]:
    """Return everything that a look says, in plain words, so that two can be compared."""
    return {
        "state": seen.state,
        "policy": str(seen.policy),
        "description": seen.asset.description,
        "standings": [(each.environment, each.allow, each.says, each.decision_id) for each in seen.standings],
        "pointers": [(each.environment, each.version.label) for each in seen.pointers],
        "evidence": sorted(each.sha256 for each in seen.evidence),
        "runs": sorted((each.check_slug, each.outcome, str(each.public_id)) for each in seen.runs),
        "findings": sorted((each.vulnerability, each.purl, each.triage) for each in seen.findings),
        "waivers": sorted((each.waiver.rule, each.state) for each in seen.waivers),
        "submissions": [
            (each.submission.environment, each.state, [(row.role, row.verdict, gone) for row, gone in each.verdicts])
            for each in seen.submissions
        ],
        "decisions": sorted((each.environment, each.verdict) for each in seen.decisions),
        "obligations": sorted((each.obligation.says, each.state) for each in seen.obligations),
        "consumers": [each.consumer for each in seen.consumers],
        "people": str(seen.asset.owner),
    }


def live(scene: Scene) -> Iterator[str]:
    """Lead a life in which everything changes, and stop after each step."""
    walk, version = scene.walk, scene.version
    cast = walk.cast
    yield "a candidate"
    asked = {"reason": "Being fixed.", "compensating_control": "Watched.", "actor": cast.ada}
    day = timedelta(days=1)
    wanted = waivers.request(
        version, rule="owners", environment="production", expires_at=datetime.now(UTC) + 20 * day, **asked
    )
    yield "a waiver is wanted"
    waivers.grant(wanted, actor=cast.sol, note="For a while.")
    submission = walk.submit(version, "production")
    yield "submitted"
    reviews.approve(submission, actor=cast.petra, role="platform", proof=walk.proof())
    yield "half approved"
    walk.approve(submission, "product", "security")
    yield "approved"
    walk.promote(version)
    otto = User.objects.get(username="otto")
    otto.token_scopes = frozenset({"gate"})
    promotions.ask_gate(version.identity_digest, "production", "billing", actor=otto)
    yield "serving"
    intake.change_asset(version.asset, actor=cast.ada, description="Scores every transaction.")
    walk.attach_all(version, measured_at=datetime.now(UTC), parts={"numpy": "2.2.0"})
    walk.work()
    yield "measured again"
    waivers.revoke(wanted, actor=cast.rhea, reason="It is fixed.")
    decisions.revoke(Decision.objects.get(verdict="approved"), actor=cast.rhea, reason="Recalled.")
    yield "revoked"
    walk.submit(version, "staging")
    yield "asked for staging"
    submissions.withdraw(version.submissions.get(state="open"), actor=cast.ada)
    lifecycle.retire(version, actor=cast.ada, reason="Nobody uses it.")
    yield "retired"


def test_what_was_seen_then_is_what_is_seen_about_then(scene: Scene, clock: Any) -> None:
    seen: list[tuple[str, datetime, dict[str, Any]]] = []
    for step in live(scene):
        version = Version.objects.get(pk=scene.version.pk)
        seen.append((step, datetime.now(UTC), told(hindsight.look(version, datetime.now(UTC)))))
        clock.shift(timedelta(days=1))
    version = Version.objects.select_related("asset").get(pk=scene.version.pk)
    assert len({str(found) for _, _, found in seen}) == len(seen), "every step has to change something"
    for step, at, found in seen:
        assert told(hindsight.look(version, at)) == found, step


def test_the_last_instant_before_a_change_does_not_know_it(scene: Scene, clock: Any) -> None:
    decision = scene.walk.approved(scene.version)
    just_before = decision.made_at - timedelta(microseconds=1)
    version = Version.objects.get(pk=scene.version.pk)
    assert [each.allow for each in hindsight.look(version, just_before).standings] == [False, False]
    assert [each.allow for each in hindsight.look(version, decision.signature.signed_at).standings] == [False, True]


def test_unanswered_is_no_in_the_past_even_where_no_sweep_wrote_it_down(scene: Scene, clock: Any) -> None:
    submission = scene.walk.submit(scene.version, "staging")
    clock.shift(timedelta(days=30))
    seen = hindsight.look(scene.version, submission.due_at)
    assert [each.state for each in seen.submissions] == ["lapsed"]
    sweeps.sweep_due()
    before = hindsight.look(scene.version, submission.due_at - timedelta(seconds=1))
    assert [each.state for each in before.submissions] == ["open"]


def test_nothing_is_said_about_the_time_before_it_was_registered(scene: Scene) -> None:
    with pytest.raises(Invalid, match="when it was registered"):
        hindsight.look(scene.version, scene.version.registered_at - timedelta(seconds=1))
