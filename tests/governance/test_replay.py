"""A replay says what a text would judge otherwise, and why, and writes nothing."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from governance import policy, replay
from tests.policies import shipped, with_cases
from tests.scene import Scene
from tests.web.services import count_rows

STRICTER = shipped("environments.staging.approvals", ["platform", "security"])


def replayed(content: dict[str, Any]) -> list[replay.Flip]:
    return replay.replay(policy.read(with_cases(content)), at=timezone.now())


def test_nothing_open_and_nothing_in_force_is_an_empty_replay(scene: Scene) -> None:
    assert replayed(STRICTER) == []


def test_a_replay_says_what_turns_red_and_which_roles_come_and_go_and_writes_nothing(scene: Scene) -> None:
    walk, version = scene
    walk.submit(version, "staging")
    walk.approved(version, "production")
    content = shipped("rules.evaluations.thresholds.quality/accuracy", {"min": "0.99"})
    content["environments"]["production"]["approvals"] = ["platform", "legal"]
    before = count_rows()
    staging, production = replayed(content)
    assert count_rows() == before
    assert (staging.kind, staging.label, staging.environment) == ("submission", "fraud-scorer@1.0.0", "staging")
    assert [(each.rule, each.to) for each in staging.changes] == [("evaluations", "red")]
    assert staging.sentences[0].startswith("Evaluations would turn red: ")
    assert "0.99" in staging.sentences[0]
    assert (production.kind, production.environment, production.effect) == ("version", "production", "blocked")
    assert (production.roles_added, production.roles_gone) == (("legal",), ("product", "security"))
    assert "Legal would have to approve as well." in production.sentences


def test_conditions_of_the_text_are_replayed_too(scene: Scene) -> None:
    walk, version = scene
    walk.submit(version, "staging")
    content = shipped("environments.staging.when", [{"if": 'version.kind == "model"', "approvals": ["legal"]}])
    denying = {"id": "no-models", "deny_if": 'version.kind == "model"', "say": "{version.label} is a model."}
    content["rules"]["custom"].append(denying)
    [row] = replayed(content)
    assert row.sentences == (
        "No models is asked anew and would be red: fraud-scorer@1.0.0 is a model.",
        "Legal would have to approve as well.",
    )


def test_a_change_that_touches_nothing_stays(scene: Scene) -> None:
    walk, version = scene
    walk.submit(version, "staging")
    walk.approved(version, "production")
    assert [(each.stays, each.effect, each.sentences) for each in replayed(shipped("waivers.max_days", 30))] == [
        (True, "stays", ())
    ] * 2


def test_what_reads_an_artifacts_bytes_is_not_asked_in_a_replay(scene: Scene) -> None:
    walk, version = scene
    walk.submit(version, "staging")
    content = shipped("rules.artifact-scan", {"critical": False})
    [row] = replayed(content)
    assert [(each.rule, each.to) for each in row.changes] == [("artifact-scan", "asked")]
    assert row.effect == "asked"
    content = shipped("environments.staging.rules", ["vulnerabilities"])
    [row] = replayed(content)
    assert [(each.rule, each.to) for each in row.changes] == [("evaluations", "gone")]
    assert row.effect == "eased"


def test_a_replay_is_the_same_until_something_that_counts_has_changed(scene: Scene) -> None:
    walk, version = scene
    walk.submit(version, "staging")
    content = policy.read(with_cases(STRICTER))
    now = timezone.now()
    digest = replay.digest(content, replay.replay(content, at=now))
    assert replay.digest(content, replay.replay(content, at=now + timedelta(hours=2))) == digest
    # In five weeks the evaluation is too old under both texts: what differs is what the text says, still.
    later = replay.replay(content, at=now + timedelta(days=5))
    assert replay.digest(content, later) == digest
    assert replay.digest(policy.read(with_cases(shipped("waivers.max_days", 30))), later) != digest


def test_the_bound_is_said(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    walk, version = scene
    walk.approved(version, "production")
    monkeypatch.setattr(replay, "MAX_VERSIONS", 0)
    [row] = replayed(STRICTER)
    assert (row.kind, row.sentences) == (
        "rest",
        ("1 more versions may be in force; a replay looks at the newest 0.",),
    )
