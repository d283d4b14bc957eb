"""Provenance: signed by a trusted key, about this artifact, by an allowed builder, from the registered source."""

from __future__ import annotations

import base64
import json
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from django.core.files.storage import default_storage
from django.utils import timezone

from governance import independence, keys, reviews
from governance.checks import runner
from governance.checks.provenance import FIXES, Provenance
from governance.models import TrustedKey
from portal.demo import documents
from portal.demo.walk import COMMIT
from portal.errors import Invalid, Refused
from registry.models import Version
from tests.governance.checks.attested import build, bundle, envelope, new_key, trusted
from tests.governance.checks.conftest import Ask, Attach
from tests.scene import Scene


def signed(scene: Scene, version: Version, **changed: Any) -> bytes:
    """Return provenance of a version as its builder signs it, with something changed."""
    told: dict[str, Any] = {"commit": COMMIT, "at": timezone.now() - timedelta(minutes=1), **changed}
    name, digest = told.pop("name", "fraud-scorer"), told.pop("digest", version.artifact_sha256)
    return documents.provenance(name, digest, told.pop("key", scene.walk.builder), **told)


def code_of(answer: Any) -> str:
    return str(answer.facts["code"])


def test_signed_provenance_of_this_artifact_passes_while_its_key_is_valid(ask: Ask) -> None:
    answer = ask("provenance")
    assert answer.outcome == "passed"
    assert code_of(answer) == "ok"
    assert "signed by the trusted key CI builder 2026" in answer.says
    assert answer.valid_until == TrustedKey.objects.get().valid_until


def test_no_provenance_fails(ask: Ask, bare: Version) -> None:
    answer = ask("provenance", bare)
    assert answer.outcome == "failed"
    assert code_of(answer) == "no_attestation"


@pytest.mark.parametrize(
    ("changed", "code", "said"),
    [
        ({"digest": "ab" * 32}, "subject_mismatch", "It is about abababababab"),
        ({"builder": "https://builders.example/own-laptop"}, "builder_not_allowed", "not on the policy's list"),
        ({"commit": "f" * 40}, "source_mismatch", "It was built at ffff"),
        ({"name": "another-repository"}, "source_mismatch", "not from https://git.example.com/ml/fraud-scorer"),
    ],
)
def test_what_does_not_fit_is_named(
    ask: Ask, attach: Attach, scene: Scene, bare: Version, changed: dict[str, Any], code: str, said: str
) -> None:
    attach("provenance", signed(scene, bare, **changed), bare)
    answer = ask("provenance", bare)
    assert answer.outcome == "failed"
    assert code_of(answer) == code
    assert said in answer.says


def test_a_stranger_s_signature_is_worth_nothing(ask: Ask, attach: Attach, scene: Scene, bare: Version) -> None:
    attach("provenance", signed(scene, bare, key=ec.generate_private_key(ec.SECP256R1())), bare)
    answer = ask("provenance", bare)
    assert answer.outcome == "failed"
    assert code_of(answer) == "untrusted_key"


def test_a_key_speaks_only_for_its_own_builders(ask: Ask, attach: Attach, scene: Scene, bare: Version) -> None:
    other = "https://builders.example/hosted"
    attach("provenance", signed(scene, bare, builder=other), bare)
    answer = ask("provenance", bare, builders=[documents.BUILDER, other])
    assert code_of(answer) == "builder_not_allowed"
    assert "may not speak for the builder" in answer.says


def test_a_changed_payload_breaks_the_signature(ask: Ask, attach: Attach, scene: Scene, bare: Version) -> None:
    envelope = json.loads(signed(scene, bare, digest="ab" * 32))
    statement = base64.b64decode(envelope["payload"]).replace(b"ab" * 32, bare.artifact_sha256.encode())
    envelope["payload"] = base64.b64encode(statement).decode()
    attach("provenance", envelope, bare)
    answer = ask("provenance", bare)
    assert answer.outcome == "failed"
    assert code_of(answer) in {"bad_signature", "untrusted_key"}


def test_a_key_id_is_a_hint_and_no_proof(ask: Ask, attach: Attach, scene: Scene, bare: Version) -> None:
    envelope = json.loads(signed(scene, bare, key=ec.generate_private_key(ec.SECP256R1())))
    envelope["signatures"][0]["keyid"] = TrustedKey.objects.get().fingerprint
    attach("provenance", envelope, bare)
    assert code_of(ask("provenance", bare)) == "bad_signature"


def test_revoking_the_key_ends_what_rests_on_it(ask: Ask, scene: Scene) -> None:
    keys.revoke(TrustedKey.objects.get(), actor=scene.walk.cast.alma, reason="The builder was broken into.")
    answer = ask("provenance")
    assert answer.outcome == "failed"
    assert code_of(answer) == "revoked_key"


def test_a_key_counts_only_within_its_time(ask: Ask) -> None:
    key = TrustedKey.objects.get()
    assert ask("provenance", at=key.valid_until - timedelta(seconds=1)).outcome == "passed"
    assert code_of(ask("provenance", at=key.valid_until)) == "revoked_key"


def test_a_build_that_had_not_finished_yet_is_not_believed(ask: Ask) -> None:
    answer = ask("provenance", at=timezone.now() - timedelta(hours=1))
    assert code_of(answer) == "unsupported"
    assert "in the future" in answer.says


def test_one_good_attestation_among_bad_ones_is_enough(ask: Ask, attach: Attach, scene: Scene) -> None:
    attach("provenance", signed(scene, scene.version, commit="f" * 40))
    assert ask("provenance").outcome == "passed"


def test_another_predicate_is_not_even_attached(ask: Ask, attach: Attach, scene: Scene, bare: Version) -> None:
    envelope = json.loads(signed(scene, bare))
    statement = json.loads(base64.b64decode(envelope["payload"]))
    statement["predicateType"] = "https://example.com/attestation/other/v1"
    with pytest.raises(Invalid, match="unsupported"):
        attach("provenance", documents.envelope(json.dumps(statement).encode(), scene.walk.builder), bare)
    assert code_of(ask("provenance", bare)) == "no_attestation"


@pytest.mark.parametrize("body", [b"{}", b"not json", b'{"payloadType": "x", "payload": "!", "signatures": []}'])
def test_a_broken_envelope_is_not_even_attached(ask: Ask, attach: Attach, bare: Version, body: bytes) -> None:
    with pytest.raises(Invalid):
        attach("provenance", body, bare)
    assert code_of(ask("provenance", bare)) == "no_attestation"


def built(attach: Attach, scene: Scene, version: Version, **changes: Any) -> None:
    """Attach the provenance of a version, signed by its builder, with parts of it replaced."""
    attach("provenance", envelope(build(version, **changes), scene.walk.builder), version)


def test_what_was_seen_is_kept_as_facts(ask: Ask, attach: Attach, scene: Scene, bare: Version) -> None:
    built(attach, scene, bare)
    facts, key = ask("provenance", bare).facts, TrustedKey.objects.get()
    assert (facts["key"], facts["fingerprint"], facts["fingerprints"]) == (
        "CI builder 2026", key.fingerprint, [key.fingerprint]
    )  # fmt: skip
    assert facts["subject"] == {"name": "model", "sha256": bare.artifact_sha256}
    assert (facts["builder"], facts["source"], facts["commit"]) == (
        documents.BUILDER, "https://git.example.com/ml/fraud-scorer", COMMIT
    )  # fmt: skip
    assert facts["evidence"] == bare.evidence.get().sha256
    assert facts["started_at"] < facts["finished_at"]


def test_every_attestation_is_told_with_its_own_code(ask: Ask, attach: Attach, scene: Scene, bare: Version) -> None:
    attach("provenance", envelope(build(bare), new_key()), bare)
    built(attach, scene, bare, commit="f" * 40)
    built(attach, scene, bare, subject="ab" * 32)
    answer = ask("provenance", bare)
    assert code_of(answer) == "source_mismatch"
    told = [(each["code"], [signer["name"] for signer in each["signers"]]) for each in answer.facts["attempts"]]
    assert told == [
        ("subject_mismatch", ["CI builder 2026"]), ("source_mismatch", ["CI builder 2026"]), ("untrusted_key", [])
    ]  # fmt: skip
    assert answer.fix == FIXES["source_mismatch"]


def test_the_provenance_of_another_version_is_another_subject(ask: Ask, attach: Attach, scene: Scene) -> None:
    newer = scene.walk.register("fraud-scorer", "1.2.0", b"a newer model")
    built(attach, scene, newer, subject=scene.version.artifact_sha256)
    assert code_of(ask("provenance", newer)) == "subject_mismatch"


def test_more_subjects_do_no_harm_and_names_prove_nothing(
    ask: Ask, attach: Attach, scene: Scene, bare: Version
) -> None:
    statement = build(bare, subject="cd" * 32)
    statement["subject"][0]["name"] = bare.artifact_sha256
    attach("provenance", envelope(statement, scene.walk.builder), bare)
    assert code_of(ask("provenance", bare)) == "subject_mismatch"
    statement["subject"].append({"name": "the other", "digest": {"sha256": bare.artifact_sha256.upper()}})
    attach("provenance", bundle(statement, scene.walk.builder), bare)
    assert ask("provenance", bare).facts["subject"]["name"] == "the other"


def test_a_bundle_is_attested_by_its_identity_digest(ask: Ask, attach: Attach, scene: Scene) -> None:
    parts = [{"role": "member", "version": scene.version.label}]
    desk = scene.walk.register("fraud-desk", "1.0.0", None, kind="bundle", components=parts)
    built(attach, scene, desk, subject=scene.version.artifact_sha256)
    assert code_of(ask("provenance", desk)) == "subject_mismatch"
    built(attach, scene, desk, subject=desk.identity_digest)
    assert ask("provenance", desk).outcome == "passed"


def test_a_rule_can_ask_for_two_different_keys(ask: Ask, attach: Attach, scene: Scene, bare: Version) -> None:
    ours, theirs, mute = scene.walk.builder, new_key(), new_key()
    second = trusted(scene.walk, theirs)
    trusted(scene.walk, mute, "Mute key", builders=["https://builds.example/other"])
    attach("provenance", envelope(build(bare), ours, ours, hints=["one", "two"]), bare)
    assert code_of(ask("provenance", bare, signatures=2)) == "untrusted_key"
    attach("provenance", envelope(build(bare), ours, mute), bare)
    answer = ask("provenance", bare, signatures=2)
    assert code_of(answer) == "builder_not_allowed"
    assert "the trusted key Mute key may not speak for" in answer.says
    attach("provenance", envelope(build(bare), ours, theirs), bare)
    answer = ask("provenance", bare, signatures=2)
    assert (answer.outcome, len(answer.facts["fingerprints"])) == ("passed", 2)
    assert answer.valid_until == second.valid_until
    assert ask("provenance", bare).valid_until == TrustedKey.objects.get(name="CI builder 2026").valid_until


@pytest.mark.parametrize(
    ("rule", "code", "said"),
    [
        ({"build_types": ["https://builds.example/train/v2"]}, "builder_not_allowed", "The build type"),
        ({"build_types": ["https://builds.example/train/v1"]}, "ok", "Built by"),
        ({"min_level": 1}, "builder_not_allowed", "reaches SLSA build level 0; the policy asks for 1"),
        ({"min_level": 3, "levels": {documents.BUILDER: 2}}, "builder_not_allowed", "reaches SLSA build level 2"),
        ({"min_level": 2, "levels": {documents.BUILDER: 2}}, "ok", "(SLSA build level 2)"),
        ({"builders": []}, "builder_not_allowed", "is not on the policy's list"),
        ({"builders": [documents.BUILDER + "/"]}, "builder_not_allowed", "is not on the policy's list"),
        ({"unknown_parameters": "fail"}, "unsupported", "parameters that the policy does not know: 'entryPoint'"),
        ({"unknown_parameters": "show"}, "ok", "Built by"),
    ],
)
def test_what_the_rule_says_about_builds_is_asked(
    ask: Ask, attach: Attach, scene: Scene, bare: Version, rule: dict[str, Any], code: str, said: str
) -> None:
    claims = {"slsaLevel": 3, "https://slsa.dev/level": "SLSA_BUILD_LEVEL_3"}
    built(attach, scene, bare, external={"entryPoint": "train.py", "inputs": {}}, internal=claims, metadata=claims)
    answer = ask("provenance", bare, **rule)
    assert code_of(answer) == code
    assert said in answer.says
    assert answer.facts["level"] == rule.get("levels", {}).get(documents.BUILDER)
    assert answer.facts["unknown_parameters"] == ["entryPoint"]


def test_the_bases_of_a_build_are_held_against_the_record(ask: Ask, attach: Attach, scene: Scene) -> None:
    """What else is registered stays unknown to whoever may attach provenance that names its digest."""
    secret = scene.walk.register("merger-target-model", "1.0.0", b"a secret model")
    edges = [{"role": "base", "version": scene.version.label}]
    tuned = scene.walk.register("fraud-tuned", "1.0.0", b"a tuned model", components=edges)
    source = {"uri": f"git+{tuned.source_repository}", "digest": {"gitCommit": COMMIT}}
    built(attach, scene, tuned, dependencies=[source])
    assert [base["says"] for base in ask("provenance", tuned).facts["bases"]] == [
        "does not name the registered base fraud-scorer@1.0.0"
    ]
    base = {"uri": "s3://models/base", "digest": {"sha256": scene.version.artifact_sha256}}
    hidden = {"uri": "pkg:huggingface/org/base@abc", "digest": {"sha256": secret.artifact_sha256}}
    built(attach, scene, tuned, dependencies=[source, base, hidden])
    answer = ask("provenance", tuned)
    assert [base["says"] for base in answer.facts["bases"]] == [
        "built from base fraud-scorer@1.0.0",
        "names a base that is not registered as one: 'pkg:huggingface/org/base@abc'",
    ]
    assert "merger" not in json.dumps(dict(answer.facts))


def test_evidence_that_cannot_be_read_is_an_error_unless_another_holds(
    ask: Ask, attach: Attach, scene: Scene, bare: Version
) -> None:
    built(attach, scene, bare)
    digest = bare.evidence.get().sha256
    default_storage.delete(f"sha256/{digest[:2]}/{digest[2:4]}/{digest}")
    assert ask("provenance", bare).outcome == "error"
    built(attach, scene, bare)
    attach("provenance", bundle(build(bare), scene.walk.builder), bare)
    assert ask("provenance", bare).outcome == "passed"


def test_only_keys_that_could_sign_what_is_attached_make_an_answer_stale(scene: Scene, bare: Version) -> None:
    check = Provenance()
    before, nothing = check.outside(scene.version), check.outside(bare)
    run = runner.newest_runs(scene.version, scene.walk.cast.policy)["provenance"]
    trusted(scene.walk, new_key(), "Elsewhere", assets=["another-model"])
    trusted(scene.walk, new_key(), "Evaluator", purposes=["evaluation"], builders=[])
    trusted(scene.walk, new_key(), "Release signer", purposes=["model-signing"], builders=[])
    trusted(scene.walk, new_key(), "Other builder", builders=["https://builds.example/other"])
    assert check.outside(scene.version) == before
    trusted(scene.walk, new_key(), "Same builder")
    assert check.outside(scene.version) != before
    assert check.outside(bare) == nothing == {"signers": []}
    assert run.facts["fingerprint"] == TrustedKey.objects.get(name="CI builder 2026").fingerprint


@pytest.mark.parametrize(
    "told",
    [
        {"internal": {"github": {"actor": "Petra", "event": {"head_commit": {"author": {"name": "P"}}}}}},
        {"external": {"commit": {"message": "Train\n\nCo-authored-by: P. P. <PETRA@example.com>"}}},
        {"byproducts": [{"name": "git-log", "annotations": {"git.committer_email": "petra@EXAMPLE.com"}}]},
        {"internal": {"GITHUB_EVENT": {"commits": [{"author": {"email": "7+petra@users.noreply.github.com"}}]}}},
    ],
    ids=["actor", "trailer", "byproduct", "hidden address"],
)
def test_an_approver_who_committed_cannot_approve(attach: Attach, scene: Scene, told: dict[str, Any]) -> None:
    walk, version = scene
    assert independence.hand_in(version, walk.cast.petra) == []
    built(attach, scene, version, **told)
    walk.work()
    submission = walk.submit(version, "staging")
    with pytest.raises(Refused) as refusal:
        reviews.approve(submission, actor=walk.cast.petra, role="platform", proof=walk.proof())
    assert refusal.value.code == "not_independent"
    assert "is a commit author behind the build" in str(refusal.value)
    assert independence.hand_in(version, walk.cast.rhea) == []
