"""What a report was measured on: the model and the prompt that it names by their hashes are held against the record."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from governance import submissions
from portal.errors import Invalid
from registry import evidence
from registry.models import Evidence, Version
from tests.factories import Walk, artifacts
from tests.registry.readers.samples import sample

PROMPT = "You are a bank assistant. Answer: {{q}}"


def attach(walk: Walk, version: Version, body: bytes, **more: Any) -> Evidence:
    return evidence.attach(version, actor=walk.cast.cee_i, kind="evaluation", filename="report.json", body=body, **more)


def frozen(walk: Walk, *told: Any, **more: Any) -> Version:
    return submissions.nominate(walk.register(*told, **more), actor=walk.cast.cee_i)


def prompt(walk: Walk, number: str, text: str = PROMPT) -> Version:
    return frozen(walk, "desk-prompt", number, artifacts.prompt(text), kind="prompt", suffix="txt")


def desk(walk: Walk, *parts: Version) -> Version:
    components = [
        {"role": "prompt" if each.asset.kind == "prompt" else "member", "version": each.label} for each in parts
    ]
    return walk.register("desk", "1.0.0", None, kind="bundle", components=components)


def run() -> bytes:
    return sample("promptfoo-results.json")


def log(digest: str) -> bytes:
    document = json.loads(sample("inspect-log.json"))
    said = {"model_digest": f"sha256:{digest}"}
    document["eval"]["metadata"] = document["metadata"] = said
    return json.dumps(document).encode()


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_a_run_is_about_the_prompt_whose_text_it_names(walk: Walk, end: str) -> None:
    version = prompt(walk, "1.0.0", PROMPT + end)
    row = attach(walk, version, run())
    assert row.subject_digests == [version.identity_digest]
    assert {each.subject_digest for each in row.evaluations.all()} == {version.identity_digest}


def test_a_run_of_another_prompt_is_kept_and_told_apart(walk: Walk) -> None:
    version = prompt(walk, "1.0.0", "Be careful.")
    row = attach(walk, version, run())
    assert row.subject_digests == [hashlib.sha256(PROMPT.encode()).hexdigest()]


def test_a_run_of_another_prompt_cannot_be_declared_to_be_about_this_one(walk: Walk) -> None:
    version = prompt(walk, "1.0.0", "Be careful.")
    with pytest.raises(Invalid, match=f"expected the prompt of desk-prompt@1.0.0: {version.artifact_sha256}"):
        attach(walk, version, run(), identity_digest=version.identity_digest)
    assert not version.evidence.exists()


def test_a_bundle_with_the_prompt_may_be_declared_and_one_with_another_prompt_may_not(walk: Walk) -> None:
    model = frozen(walk, "fraud-scorer", "1.0.0", artifacts.scorer(1))
    fitting = desk(walk, model, prompt(walk, "1.0.0"))
    assert attach(walk, fitting, run()).subject_digests == [], "the run knows its prompt and not the bundle"
    other = walk.register(
        "other-desk",
        "1.0.0",
        None,
        kind="bundle",
        components=[{"role": "prompt", "version": prompt(walk, "2.0.0", "Be brief.").label}],
    )
    with pytest.raises(Invalid, match="expected the prompt of other-desk"):
        attach(walk, other, run(), identity_digest=other.identity_digest)
    newer = json.loads(run())
    newer["evalId"] = "another run"
    row = attach(walk, fitting, json.dumps(newer).encode(), identity_digest=fitting.identity_digest)
    assert row.subject_digests == [fitting.identity_digest]


def test_a_model_that_has_no_prompt_may_be_measured_with_any(walk: Walk) -> None:
    version = walk.register("fraud-scorer", "1.0.0", artifacts.scorer(1))
    assert attach(walk, version, run(), identity_digest=version.identity_digest).evaluations.exists()


def test_a_log_is_about_the_model_that_its_metadata_names(walk: Walk) -> None:
    version = walk.register("fraud-scorer", "1.0.0", artifacts.scorer(1))
    assert attach(walk, version, log(version.artifact_sha256)).subject_digests == [version.identity_digest]
    assert attach(walk, version, log("b" * 64)).subject_digests == ["b" * 64]
    with pytest.raises(Invalid, match=f"model: saw {'c' * 64}, expected the model of fraud-scorer@1.0.0"):
        attach(walk, version, log("c" * 64), identity_digest=version.identity_digest)


def test_every_value_is_kept_with_its_direction_data_set_slice_and_error(walk: Walk) -> None:
    version = walk.register("fraud-scorer", "1.0.0", artifacts.scorer(1))
    body = sample("garak.report.jsonl")
    row = attach(walk, version, body, identity_digest=version.identity_digest)
    found = row.evaluations.get(dataset="garak", slice="dan.Dan_11_0, dan.DAN")
    assert (found.name, found.direction, found.sample_size) == ("jailbreak/attack_success_rate", "lower", 25)
    assert (str(found.ci_low.normalize()), str(found.ci_high.normalize())) == ("0", "0.12")
    assert not row.evaluations.filter(slice__contains="leakreplay").exists()


def test_reported_results_are_kept_as_a_document_and_never_as_values(walk: Walk) -> None:
    version = walk.register("fraud-scorer", "1.0.0", artifacts.scorer(1))
    row = attach(walk, version, sample("eval_results.yaml"), identity_digest=version.identity_digest)
    assert not row.evaluations.exists()
    assert row.summary["reported"][0]["value"] == "20.90"
