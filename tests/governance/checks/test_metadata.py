"""Metadata: the check asks exactly what the form's completeness meter asks."""

from __future__ import annotations

import pytest
from django.utils import timezone

from audit import log
from audit.events import Event
from registry import completeness, drafts, intake
from registry.models import Version
from tests.factories import artifacts
from tests.governance.checks.conftest import Ask
from tests.scene import Scene


def test_a_complete_record_passes(ask: Ask, scene: Scene) -> None:
    answer = ask("metadata")
    found = completeness.measure(scene.version)
    assert answer.outcome == "passed"
    assert answer.facts == {"filled": found.total, "total": found.total, "faults": []}


@pytest.mark.parametrize(
    "name", ["licence", "storage_uri", "source_commit", "risk_rationale", "authors", "release_notes", "lockfile_sha256"]
)
def test_a_missing_part_is_named(ask: Ask, scene: Scene, bare: Version, name: str) -> None:
    drafts.edit(bare, actor=scene.walk.cast.ada, **{name: [] if name == "authors" else ""})
    answer = ask("metadata", bare)
    assert answer.outcome == "failed"
    assert [fault["field"] for fault in answer.facts["faults"]] == [name]
    assert name in answer.says


def test_an_asset_without_a_backup_is_incomplete(ask: Ask, scene: Scene) -> None:
    intake.change_asset(scene.version.asset, actor=scene.walk.cast.ada, backup_owner=None)
    answer = ask("metadata")
    assert "backup_owner" in answer.says
    assert answer.fix == "Name the asset's backup owner on the page of fraud-scorer."


def test_what_to_fill_in_is_said_with_what_is_expected_and_where(ask: Ask, scene: Scene, bare: Version) -> None:
    ada = scene.walk.cast.ada
    drafts.edit(bare, actor=ada, licence="", release_notes="")
    answer = ask("metadata", bare)
    assert answer.fix.startswith("Fill in on the version's form: licence (the licence (an SPDX expression")
    assert "; release_notes (" in answer.fix
    empty = drafts.start_draft(bare.asset, "3.0.0", actor=ada)
    assert ask("metadata", empty).fix.count("; ") == 4
    assert " more." in ask("metadata", empty).fix


def test_what_a_frozen_version_lacks_can_only_be_in_a_new_one(ask: Ask, scene: Scene) -> None:
    # A release that asks for more than the one before meets versions that were complete when they were nominated.
    bare = scene.walk.register("fraud-scorer", "1.1.0", artifacts.scorer(2), datasets=[])
    bare.frozen_at = timezone.now()
    with log.record(Event.VERSION_NOMINATED, actor=scene.walk.cast.ada, subject=bare):
        bare.save(update_fields=["frozen_at"])
    assert ask("metadata", bare).fix.startswith("Fill in on a new version, because the content of this one is frozen: ")


def test_a_model_that_was_tuned_names_its_base(ask: Ask, scene: Scene) -> None:
    tuned = scene.walk.register("fraud-scorer", "1.1.0", artifacts.scorer(2), finetune_method="lora")
    assert "components" in ask("metadata", tuned).says


def test_a_model_without_data_sets_is_incomplete(ask: Ask, scene: Scene) -> None:
    untold = scene.walk.register("fraud-scorer", "1.1.0", artifacts.scorer(2), datasets=[])
    assert "datasets" in ask("metadata", untold).says


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("licence", "Do what you like"),
        ("licence", "Apache-2.0 AND"),
        ("storage_uri", "file:///etc/passwd"),
        ("storage_uri", "ftp://elsewhere.example/model"),
        ("storage_uri", "not an address"),
    ],
)
def test_a_part_that_means_nothing_is_wrong_and_shown(
    ask: Ask, scene: Scene, bare: Version, name: str, value: str
) -> None:
    drafts.edit(bare, actor=scene.walk.cast.ada, **{name: value})
    answer = ask("metadata", bare)
    [fault] = answer.facts["faults"]
    assert answer.outcome == "failed"
    assert fault["field"] in {name, "storage_uri", "uri"}
    assert fault["expected"]
