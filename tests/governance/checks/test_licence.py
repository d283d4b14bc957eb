"""Licence: what this version, its bases, its data sets and its components are licensed for, against what it is for."""

from __future__ import annotations

import json
from typing import Any

import pytest

from governance import submissions
from governance.checks import BY_SLUG, licence
from portal.demo import documents
from portal.demo.walk import DATASET
from registry import drafts
from registry.models import Version
from tests.factories import artifacts
from tests.governance.checks.conftest import Ask, Attach
from tests.scene import Scene


def licensed(scene: Scene, licence: str, number: str = "1.1.0", **changes: Any) -> Version:
    """Register a version with a licence, or with another asset's name, uses, parts or data sets."""
    asset = changes.pop("asset", "fraud-scorer")
    made: Version = scene.walk.register(asset, number, artifacts.scorer(2), licence=licence, **changes)
    if uses := {name: changes[name] for name in ("allowed_uses", "prohibited_uses") if name in changes}:
        drafts.edit(made, actor=scene.walk.cast.ada, **uses)
    return made


def row_of(answer: Any, name: str) -> dict[str, Any]:
    """Return the fact about one thing with a licence."""
    [found] = [row for row in answer.facts["licences"] if row["name"] == name]
    return dict(found)


def test_licences_that_allow_everything_pass_and_are_listed(ask: Ask, scene: Scene) -> None:
    answer = ask("licence")
    assert answer.outcome == "passed"
    assert answer.says == "All licences that are known here allow commercial use."
    assert row_of(answer, "fraud-scorer@1.0.0")["outcome"] == "allowed"
    assert row_of(answer, DATASET["name"])["licence"] == "LicenseRef-internal"
    [component] = answer.facts["components"]
    assert (component["licence"], component["how_many"]) == ("BSD-3-Clause", 5)
    assert answer.tool_version.startswith("table ")


@pytest.mark.parametrize(
    ("licence", "said"),
    [
        ("CC-BY-NC-4.0", "CC-BY-NC-4.0 forbids commercial use, which the policy assumes"),
        ("LicenseRef-qwen-research", "LicenseRef-qwen-research forbids commercial use"),
        ("MIT AND CC-BY-NC-SA-4.0", "CC-BY-NC-SA-4.0 forbids commercial use"),
        ("LicenseRef-ours", "Neither SPDX nor the licence table knows “LicenseRef-ours”"),
        ("other", "“other” is Hugging Face's word"),
    ],
)
def test_a_licence_that_does_not_fit_is_named_with_the_reason(ask: Ask, scene: Scene, licence: str, said: str) -> None:
    answer = ask("licence", licensed(scene, licence))
    assert answer.outcome == "failed"
    assert answer.says.startswith("1 of 2 licences stands in the way: fraud-scorer@1.1.0: ")
    assert said in answer.says
    assert row_of(answer, "fraud-scorer@1.1.0")["stands_in_the_way"]


def test_a_choice_of_licences_is_made_in_favour_of_the_use(ask: Ask, scene: Scene) -> None:
    answer = ask("licence", licensed(scene, "CC-BY-NC-4.0 OR MIT"))
    assert answer.outcome == "passed"
    assert row_of(answer, "fraud-scorer@1.1.0")["kind"] == "permissive"


def test_a_prohibited_use_is_not_assumed(ask: Ask, scene: Scene) -> None:
    version = licensed(scene, "CC-BY-NC-4.0", prohibited_uses="Commercial use.\nMedical advice.")
    answer = ask("licence", version)
    assert answer.outcome == "passed"
    assert answer.facts["uses_asked"] == []
    assert [row["use"] for row in answer.facts["uses_prohibited"]] == ["commercial", "medical-advice"]


def test_a_prohibition_with_a_condition_does_not_count(ask: Ask, scene: Scene) -> None:
    answer = ask("licence", licensed(scene, "CC-BY-NC-4.0", prohibited_uses="Commercial use outside the EU."))
    assert answer.outcome == "failed"
    assert "say “Commercial use.” as a sentence of its own" in answer.fix


def test_a_use_that_is_allowed_and_prohibited_at_once_counts_as_allowed(ask: Ask, scene: Scene) -> None:
    both = {"allowed_uses": "Commercial use.", "prohibited_uses": "Commercial use."}
    answer = ask("licence", licensed(scene, "CC-BY-NC-4.0", **both))
    assert answer.outcome == "failed"
    assert "which the allowed uses (“Commercial use”) ask for" in answer.says


def test_a_forbidden_use_that_the_version_allows_fails_whatever_the_policy_assumes(ask: Ask, scene: Scene) -> None:
    version = licensed(scene, "LicenseRef-bigscience-bloom-rail-1.0", allowed_uses="Giving medical advice to nurses.")
    answer = ask("licence", version, purposes=["research"])
    assert answer.outcome == "failed"
    assert "forbids medical advice, which the allowed uses (“Giving medical advice to nurses”) ask for" in answer.says
    assert "Take the use out of the allowed uses" in answer.fix


def test_conditions_are_shown_and_do_not_stand_in_the_way(ask: Ask, scene: Scene) -> None:
    answer = ask("licence", licensed(scene, "LicenseRef-llama3.1"))
    assert answer.outcome == "passed"
    row = row_of(answer, "fraud-scorer@1.1.0")
    assert any("700 million" in says for says in row["conditions"])
    assert "military" in row["forbids"]
    assert row["texts"] == ["https://www.llama.com/llama3_1/license/"]


def test_the_base_of_the_base_counts_too(ask: Ask, scene: Scene) -> None:
    root = licensed(scene, "LicenseRef-mrl", "1.0.0", asset="root")
    middle = licensed(
        scene, "Apache-2.0", "1.0.0", asset="middle", components=[{"role": "base", "version": root.label}]
    )
    top = licensed(scene, "Apache-2.0", components=[{"role": "base", "version": middle.label}])
    answer = ask("licence", top)
    assert answer.outcome == "failed"
    assert "its base root@1.0.0: LicenseRef-mrl forbids commercial use" in answer.says


def test_the_parts_of_a_bundle_and_their_data_count(ask: Ask, scene: Scene) -> None:
    scraped = {**DATASET, "name": "scraped", "sha256": "cd" * 32, "licence": "CC-BY-NC-4.0"}
    part = licensed(scene, "Apache-2.0", "1.0.0", asset="ranker", datasets=[scraped])
    submissions.nominate(part, actor=scene.walk.cast.ada)
    bundle = scene.walk.register(
        "desk", "1.0.0", None, kind="bundle", components=[{"role": "member", "version": part.label}]
    )
    answer = ask("licence", bundle)
    assert answer.outcome == "failed"
    assert "the data set scraped: CC-BY-NC-4.0 forbids commercial use" in answer.says


def test_distilling_is_training_another_model_and_tuning_is_not(ask: Ask, scene: Scene) -> None:
    teacher = licensed(scene, "LicenseRef-llama2", "1.0.0", asset="teacher")
    below = [{"role": "base", "version": teacher.label}]
    tuned = licensed(scene, "LicenseRef-llama2", finetune_method="lora", components=below)
    assert ask("licence", tuned).outcome == "passed"
    distilled = licensed(scene, "Apache-2.0", "1.2.0", finetune_method="distillation", components=below)
    answer = ask("licence", distilled)
    assert answer.outcome == "failed"
    assert "forbids training other models, which fraud-scorer@1.2.0 was made by" in answer.says
    assert answer.fix == "Build on something whose licence allows to make a version of it this way."


def test_data_that_nobody_may_train_on_fails_only_where_it_was_trained_on(ask: Ask, scene: Scene) -> None:
    output = {**DATASET, "name": "llama2-answers", "sha256": "ef" * 32, "licence": "LicenseRef-llama2"}
    trained = licensed(scene, "Apache-2.0", datasets=[output])
    assert "forbids training other models" in ask("licence", trained).says
    evaluated = licensed(scene, "Apache-2.0", "1.2.0", datasets=[DATASET, {**output, "purpose": "evaluate"}])
    assert ask("licence", evaluated).outcome == "passed"


@pytest.mark.parametrize("unknown", ["", "fail", "show"])
def test_the_policy_says_what_an_unknown_licence_does(ask: Ask, attach: Attach, scene: Scene, unknown: str) -> None:
    version = licensed(scene, "LicenseRef-acme-special")
    document = json.loads(documents.sbom("fraud-scorer", "1.1.0", version.artifact_sha256))
    document["components"][0]["licenses"] = [{"license": {"name": "ACME Terms, see the web"}}]
    del document["components"][1]["licenses"]
    attach("sbom", document, version)
    answer = ask("licence", version, **({"unknown": unknown} if unknown else {}))
    wrong = [
        row["name"] for row in (*answer.facts["licences"], *answer.facts["components"]) if row["stands_in_the_way"]
    ]
    own, two = ["fraud-scorer@1.1.0"], ["pkg:pypi/numpy@2.2.6", "pkg:pypi/scikit-learn@1.7.2"]
    assert sorted(wrong) == {"": own, "fail": [*own, *two], "show": []}[unknown]
    assert answer.facts["components_unknown"] == 2
    assert answer.outcome == ("passed" if unknown == "show" else "failed")


def test_components_of_a_denied_class_fail_and_a_choice_around_it_does_not(
    ask: Ask, attach: Attach, scene: Scene, bare: Version
) -> None:
    document = json.loads(documents.sbom("fraud-scorer", "1.1.0", bare.artifact_sha256))
    document["components"][0]["licenses"] = [{"expression": "MIT OR AGPL-3.0-or-later"}]
    attach("sbom", document, bare)
    assert ask("licence", bare, deny=["network-copyleft"]).outcome == "passed"
    document["components"][0]["licenses"] = [{"license": {"id": "MIT"}}, {"license": {"id": "AGPL-3.0-or-later"}}]
    attach("sbom", document, bare)
    answer = ask("licence", bare, deny=["AGPL-3.0"])
    assert answer.outcome == "failed"
    assert "AGPL-3.0-or-later is on the policy's list of licences that are never allowed" in answer.says


def test_a_use_that_is_no_word_of_the_vocabulary_is_an_error_and_never_green(ask: Ask) -> None:
    answer = ask("licence", purposes=["comercial"])
    assert answer.outcome == "error"
    assert "comercial" in answer.says


def test_many_components_stay_few_facts(ask: Ask, attach: Attach, bare: Version) -> None:
    document = json.loads(documents.sbom("fraud-scorer", "1.1.0", bare.artifact_sha256))
    document["components"] = [
        {"type": "library", "name": f"part-{number}", "version": "1", "licenses": [{"license": {"name": f"N{number}"}}]}
        for number in range(400)
    ]
    attach("sbom", document, bare)
    answer = ask("licence", bare)
    assert answer.outcome == "passed"
    assert len(answer.facts["components"]) == 100
    assert answer.facts["components_unknown"] == answer.facts["components_counted"] == 400
    assert "400 of 400 components name none that is known here" in answer.says


def test_more_different_licences_than_are_read_are_unknown(
    ask: Ask, attach: Attach, bare: Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(licence, "MOST_READ", 10)
    document = json.loads(documents.sbom("fraud-scorer", "1.1.0", bare.artifact_sha256))
    document["components"] = [
        {"type": "library", "name": f"part-{number:02}", "licenses": [{"expression": f"MIT OR X-{number}"}]}
        for number in range(30)
    ]
    attach("sbom", document, bare)
    answer = ask("licence", bare)
    assert (answer.facts["components_counted"], answer.facts["components_unknown"]) == (30, 20)
    assert ask("licence", bare, unknown="fail").outcome == "failed"


def test_the_answer_depends_on_the_table_and_on_what_is_below(scene: Scene) -> None:
    base = licensed(scene, "Apache-2.0", "1.0.0", asset="root")
    top = licensed(scene, "Apache-2.0", components=[{"role": "base", "version": base.label}])
    check = BY_SLUG["licence"]
    before = check.outside(top)
    assert "table 20" in before["table"]
    drafts.edit(base, actor=scene.walk.cast.ada, licence="CC-BY-NC-4.0")
    assert check.outside(top) != before
