"""How sure it is what was measured: proven, declared or none, computed when it is read; and why a value is stale."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.core.files.storage import default_storage
from django.utils import timezone

from governance import keys, submissions
from governance.checks.evaluations import Evaluations
from governance.checks.measurements import gather
from portal.demo import documents
from portal.errors import Invalid
from registry import composition, drafts, evidence
from registry.models import Evidence, Version
from registry.readers.signed_evaluation import EVALUATION, TEST_RESULT
from tests.factories import artifacts
from tests.governance.checks.attested import bundle, envelope, new_key, trusted
from tests.governance.checks.conftest import Ask, Attach
from tests.registry.readers.samples import sample
from tests.scene import Scene

ACC = {"quality/mytask.acc": {"min": "0.1"}}
F1 = {"quality/f1": {"min": "0.5"}}


def statement(version: Version, predicate: dict[str, Any], kind: str, **members: Any) -> dict[str, Any]:
    subject = [{"name": version.label, "digest": {"sha256": version.identity_digest}}]
    about = {"_type": "https://in-toto.io/Statement/v1", "subject": subject}
    return {**about, "predicateType": kind, "predicate": predicate, **members}


def vouching(version: Version, row: Evidence, **members: Any) -> dict[str, Any]:
    """Return a test result that names a raw report."""
    reports = [{"name": row.filename, "digest": {"sha256": row.sha256}}]
    return statement(version, {"result": "PASSED", "reports": reports}, TEST_RESULT, **members)


def package(version: Version, **members: Any) -> dict[str, Any]:
    document = json.loads(documents.evaluation(version.identity_digest, at=timezone.now(), author="eva@example.com"))
    f1 = {"category": "quality", "name": "f1", "value": "0.9", "direction": "higher"}
    return {**document, "metrics": [f1], **members}


def harness(scene: Scene, version: Version, *, declared: str = "") -> Evidence:
    body = sample("lm-eval-results.json")
    who = scene.walk.cast.cee_i
    more = {"identity_digest": declared} if declared else {}
    return evidence.attach(version, actor=who, kind="evaluation", filename="results.json", body=body, **more)


def bindings(version: Version) -> set[tuple[str, bool]]:
    found = gather(version, at=timezone.now())
    return {(each.binding, each.subject == version.identity_digest) for each in found}


def only_fault(answer: Any) -> str:
    (told,) = answer.facts["metrics"]
    return str(told["fault"])


@pytest.fixture
def lab(scene: Scene) -> Any:
    """Return a key that is trusted for evaluation results of everything."""
    key = new_key()
    trusted(scene.walk, key, "Evaluation lab", purposes=["evaluation"], builders=[])
    return key


def test_a_report_that_names_nothing_and_was_declared_by_nobody_counts_for_nothing(
    ask: Ask, scene: Scene, bare: Version
) -> None:
    harness(scene, bare)
    assert bindings(bare) == {("none", False)}
    answer = ask("evaluations", bare, thresholds=ACC)
    assert answer.outcome == "failed"
    assert only_fault(answer) == "does not count: nobody says what it was measured on"


def test_whoever_attaches_a_report_may_declare_what_it_measured(ask: Ask, scene: Scene, bare: Version) -> None:
    harness(scene, bare, declared=bare.identity_digest)
    assert bindings(bare) == {("declared", True)}
    assert ask("evaluations", bare, thresholds=ACC).outcome == "passed"
    answer = ask("evaluations", bare, thresholds=ACC, binding="proven")
    assert answer.outcome == "failed"
    assert "is not proven to be measured on this identity digest, only declared" in only_fault(answer)
    assert "signed by a key that is trusted for evaluation results" in answer.fix


@pytest.mark.parametrize("sidecar_first", [True, False])
def test_a_sidecar_declares_what_a_raw_report_measured(
    ask: Ask, attach: Attach, scene: Scene, bare: Version, sidecar_first: bool
) -> None:
    raw = "a4" * 32 if sidecar_first else harness(scene, bare).sha256
    if sidecar_first:
        raw = Evidence(sha256=evidence.storage.put(sample("lm-eval-results.json")).sha256).sha256
    attach("evaluation", package(bare, metrics=[], raw_file_sha256=raw), bare)
    if sidecar_first:
        harness(scene, bare)
    assert bindings(bare) == {("declared", True)}
    answer = ask("evaluations", bare, thresholds=ACC)
    assert answer.outcome == "passed"
    assert answer.facts["metrics"][0]["bound_by"] == "as evaluation.json says"


@pytest.mark.parametrize("sidecar_first", [True, False])
def test_a_sidecar_and_its_report_cannot_tell_different_stories(
    attach: Attach, scene: Scene, bare: Version, sidecar_first: bool
) -> None:
    sidecar = package(bare, metrics=[], raw_file_sha256=evidence.storage.put(sample("lm-eval-results.json")).sha256)
    steps: list[Any] = [
        lambda: attach("evaluation", sidecar, bare),
        lambda: harness(scene, bare, declared=scene.version.identity_digest),
    ]
    first, second = steps if sidecar_first else reversed(steps)
    first()
    with pytest.raises(Invalid, match=r"identity_digest: saw .* expected what .* is about"):
        second()
    assert bare.evidence.count() == 1


def test_a_signed_package_proves_its_own_values_while_its_key_is_trusted(
    ask: Ask, attach: Attach, bare: Version, lab: Any
) -> None:
    attach("evaluation", envelope(statement(bare, package(bare), EVALUATION), lab), bare)
    assert bindings(bare) == {("proven", True)}
    answer = ask("evaluations", bare, thresholds=F1, binding="proven")
    assert answer.outcome == "passed"
    assert answer.facts["metrics"][0]["bound_by"] == "signed by the trusted key Evaluation lab"
    assert len(answer.facts["fingerprints"]) == 1
    soon = ask("evaluations", bare, thresholds=F1, binding="proven", max_age_days=366).valid_until
    assert soon is not None
    assert soon - timezone.now() < timedelta(days=31), "trust in the key ends before the value is too old"


@pytest.mark.parametrize("wrap", [envelope, bundle])
@pytest.mark.parametrize("declared", [True, False])
def test_a_signed_test_result_proves_the_raw_report_it_names(
    ask: Ask, attach: Attach, scene: Scene, bare: Version, lab: Any, wrap: Any, declared: bool
) -> None:
    row = harness(scene, bare, declared=bare.identity_digest if declared else "")
    attach("evaluation", wrap(vouching(bare, row), lab), bare)
    assert bindings(bare) == {("proven", True)}
    assert ask("evaluations", bare, thresholds=ACC, binding="proven").outcome == "passed"


@pytest.mark.parametrize(
    ("trust", "said"),
    [
        ({"purposes": ["provenance"]}, "is not trusted to sign evaluation results"),
        ({"purposes": ["evaluation"], "assets": ["churn-embedder"]}, "may not speak about fraud-scorer"),
        (None, "which is not among the trusted keys"),
    ],
)
def test_a_signature_of_somebody_else_proves_nothing_and_is_told(
    ask: Ask, attach: Attach, scene: Scene, bare: Version, trust: dict[str, Any] | None, said: str
) -> None:
    key = new_key()
    if trust is not None:
        trusted(scene.walk, key, "Some key", **trust)
    attach("evaluation", envelope(statement(bare, package(bare), EVALUATION), key), bare)
    assert bindings(bare) == {("declared", True)}
    assert ask("evaluations", bare, thresholds=F1).outcome == "passed"
    answer = ask("evaluations", bare, thresholds=F1, binding="proven")
    assert answer.outcome == "failed"
    assert answer.facts["code"] == "untrusted_key"
    assert "only declared" in only_fault(answer)
    if trust is not None:
        assert said in only_fault(answer)


def test_revoking_the_key_takes_the_proof_away_and_asks_again(
    ask: Ask, attach: Attach, scene: Scene, bare: Version, lab: Any
) -> None:
    attach("evaluation", envelope(statement(bare, package(bare), EVALUATION), lab), bare)
    before = Evaluations().outside(bare)
    key = keys.TrustedKey.objects.get(name="Evaluation lab")
    keys.revoke(key, actor=scene.walk.cast.alma, reason="The lab has lost its laptop.")
    assert Evaluations().outside(bare) != before
    assert bindings(bare) == {("declared", True)}
    answer = ask("evaluations", bare, thresholds=F1, binding="proven")
    assert (answer.outcome, answer.facts["code"]) == ("failed", "revoked_key")


def test_a_statement_about_another_version_proves_nothing_here(
    ask: Ask, attach: Attach, scene: Scene, bare: Version, lab: Any
) -> None:
    row = harness(scene, bare, declared=bare.identity_digest)
    attach("evaluation", envelope(vouching(scene.version, row), lab), bare)
    assert bindings(bare) == {("declared", True)}


def test_a_signature_cannot_overrule_what_the_report_says_about_itself(
    attach: Attach, scene: Scene, bare: Version, lab: Any
) -> None:
    row = harness(scene, bare, declared=scene.version.identity_digest)
    attach("evaluation", envelope(vouching(bare, row), lab), bare)
    assert bindings(bare) == {("declared", False)}


def test_content_that_is_not_what_was_signed_counts_for_nothing(
    ask: Ask, attach: Attach, bare: Version, lab: Any
) -> None:
    hint = keys.TrustedKey.objects.get(name="Evaluation lab").fingerprint
    signed = envelope(statement(bare, package(bare), EVALUATION), lab, hints=[hint])
    forged = envelope(statement(bare, package(bare, author="mallory"), EVALUATION), lab, hints=[hint])
    attach("evaluation", signed | {"signatures": forged["signatures"]}, bare)
    assert bindings(bare) == {("none", False)}
    assert "the signature around it is broken" in only_fault(ask("evaluations", bare, thresholds=F1))


def test_a_statement_whose_bytes_are_gone_proves_nothing(ask: Ask, attach: Attach, bare: Version, lab: Any) -> None:
    row = attach("evaluation", envelope(statement(bare, package(bare), EVALUATION), lab), bare)
    default_storage.delete(f"sha256/{row.sha256[:2]}/{row.sha256[2:4]}/{row.sha256}")
    assert bindings(bare) == {("declared", True)}


def bundle_of(scene: Scene, number: str, *parts: Version, **more: Any) -> Version:
    components = [
        {"role": "prompt" if part.asset.kind == "prompt" else "member", "version": part.label} for part in parts
    ]
    return scene.walk.register("desk", number, None, kind="bundle", components=components, **more)


def frozen(scene: Scene, *told: Any, **more: Any) -> Version:
    """Register a version and close its content, so that others can be made from it."""
    return submissions.nominate(scene.walk.register(*told, **more), actor=scene.walk.cast.cee_i)


def prompt(scene: Scene, number: str, text: str) -> Version:
    return frozen(scene, "desk-prompt", number, artifacts.prompt(text), kind="prompt", suffix="txt")


def test_a_changed_prompt_is_another_identity_and_the_reason_is_told(ask: Ask, attach: Attach, scene: Scene) -> None:
    old, new = prompt(scene, "1.0.0", "Be careful."), prompt(scene, "1.1.0", "Be careful and brief.")
    first, second = bundle_of(scene, "1.0.0", scene.version, old), bundle_of(scene, "1.1.0", scene.version, new)
    attach("evaluation", package(first), second)
    said = only_fault(ask("evaluations", second, thresholds=F1))
    assert said == (
        f"was measured on desk 1.0.0 ({first.identity_digest[:12]}…), whose prompt desk-prompt is 1.0.0 and not 1.1.0"
    )


def test_what_was_measured_on_a_part_alone_says_nothing_about_the_whole(ask: Ask, attach: Attach, scene: Scene) -> None:
    whole = bundle_of(scene, "1.0.0", scene.version, prompt(scene, "1.0.0", "Be careful."))
    attach("evaluation", package(scene.version), whole)
    assert only_fault(ask("evaluations", whole, thresholds=F1)).endswith("alone, not on the whole of desk@1.0.0")


def test_an_earlier_composition_of_the_same_version_is_told_apart(ask: Ask, attach: Attach, scene: Scene) -> None:
    ada = scene.walk.cast.ada
    old, new = prompt(scene, "1.0.0", "Be careful."), prompt(scene, "1.1.0", "Be careful and brief.")
    whole = bundle_of(scene, "1.0.0", scene.version, old)
    attach("evaluation", package(whole), whole)
    drafts.remove_component(whole.components.get(part=old), actor=ada)
    drafts.add_component(Version.objects.get(pk=whole.pk), actor=ada, role="prompt", part=new)
    whole.refresh_from_db()
    said = only_fault(ask("evaluations", whole, thresholds=F1))
    assert said.startswith("was measured on an earlier composition of this version (")
    assert said.endswith("), whose prompt desk-prompt is 1.0.0 and not 1.1.0")


def test_another_teams_version_is_not_named(ask: Ask, attach: Attach, scene: Scene, bare: Version) -> None:
    secret = scene.walk.register("merger-oracle", "9.9.9", artifacts.scorer(3))
    attach("evaluation", package(secret), bare)
    said = only_fault(ask("evaluations", bare, thresholds=F1))
    assert "which is a version of another asset" in said
    assert "merger-oracle" not in said
    assert "9.9.9" not in said


def test_a_base_is_no_part_of_what_an_identity_rests_on(scene: Scene) -> None:
    base, adapter = scene.version, frozen(scene, "fraud-lora", "1.0.0", artifacts.scorer(3), kind="adapter")
    whole = bundle_of(scene, "2.0.0", adapter)
    edges = [{"role": "base", "version": base.label}, {"role": "member", "version": adapter.label}]
    tuned = scene.walk.register("desk", "3.0.0", None, kind="bundle", components=edges)
    assert {each.label for each in composition.contained(whole)} == {"desk@2.0.0", "fraud-lora@1.0.0"}
    assert {each.label for each in composition.contained(tuned)} == {"desk@3.0.0", "fraud-lora@1.0.0"}
