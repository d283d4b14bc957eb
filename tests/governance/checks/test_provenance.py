"""Provenance: signed by a trusted key, about this artifact, by an allowed builder, from the registered source."""

from __future__ import annotations

import base64
import json
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from django.utils import timezone

from governance import keys
from governance.checks.provenance import repository
from governance.models import TrustedKey
from portal.demo import documents
from portal.demo.walk import COMMIT
from portal.errors import Invalid
from registry.models import Version
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


@pytest.mark.parametrize(
    "spelling",
    [
        "https://git.example.com/ml/fraud-scorer",
        "git+https://GIT.example.com/ml/fraud-scorer.git",
        "git+https://git.example.com/ml/fraud-scorer@refs/heads/main",
        "git+https://bot@git.example.com/ml/fraud-scorer.git@refs/tags/v1",
        "https://git.example.com/ml/fraud-scorer/#readme",
    ],
)
def test_spellings_of_one_repository_compare_equal(spelling: str) -> None:
    assert repository(spelling) == "git.example.com/ml/fraud-scorer"


@pytest.mark.parametrize(
    "other",
    [
        "https://evil.example/x@git.example.com/ml/fraud-scorer",
        "https://git.example.com.evil.example/ml/fraud-scorer",
        "https://git.example.com/ml/other",
        "git.example.com",
    ],
)
def test_another_repository_never_compares_equal(other: str) -> None:
    assert repository(other) != "git.example.com/ml/fraud-scorer"
