"""Whose signatures count: trusted by administrators, for a time, and asked about again when trust ends."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from django.core.exceptions import PermissionDenied
from django.utils import timezone

from audit import log, seal
from governance import decisions, keys, lifecycle, policy, standing, submissions
from governance.checks import runner, verdicts
from governance.checks.verdicts import RuleVerdict
from governance.models import CheckRequest, CheckRun, TrustedKey, TrustedRoot
from portal.errors import Invalid, Refused
from registry.models import Version
from tests.factories import Walk, artifacts, documents
from tests.governance.checks.private_sigstore import Instance
from tests.scene import Scene
from tests.web.services import count_rows

NOW = timezone.now()


def pem(key: Any) -> str:
    spki = serialization.PublicFormat.SubjectPublicKeyInfo
    return str(key.public_key().public_bytes(serialization.Encoding.PEM, spki).decode())


def trust(walk: Walk, **changes: Any) -> TrustedKey:
    facts: dict[str, Any] = {
        "name": "Another builder",
        "public_pem": pem(ed25519.Ed25519PrivateKey.generate()),
        "actor": walk.cast.alma,
        "owner": walk.cast.petra,
        "purposes": ["provenance"],
        "builders": [documents.BUILDER],
        "valid_from": NOW,
        "valid_until": NOW + timedelta(days=365),
        **changes,
    }
    return keys.trust(**facts)


def test_a_key_counts_from_its_first_instant_until_just_before_its_last(scene: Scene) -> None:
    key, moment = trust(scene.walk), timedelta(microseconds=1)
    until = key.valid_until
    assert [key.is_valid_at(at) for at in (NOW - moment, NOW, until - moment, until)] == [False, True, True, False]
    assert key.fingerprint == seal.load_public_key(key.public_pem).fingerprint


def test_a_key_is_registered_once_under_one_name(scene: Scene) -> None:
    known = TrustedKey.objects.get()
    before = count_rows()
    with pytest.raises(Refused) as refusal:
        trust(scene.walk, public_pem=known.public_pem)
    assert refusal.value.code == "key_known"
    with pytest.raises(Refused) as refusal:
        trust(scene.walk, name=known.name)
    assert refusal.value.code == "key_name_taken"
    assert count_rows() == before


def test_only_administrators_decide_whom_to_trust(scene: Scene) -> None:
    walk, _ = scene
    before = count_rows()
    for actor in (walk.cast.ada, walk.cast.rhea, walk.cast.petra, walk.cast.iris, walk.cast.cee_i):
        with pytest.raises(PermissionDenied):
            trust(walk, actor=actor)
        with pytest.raises(PermissionDenied):
            keys.revoke(TrustedKey.objects.get(), actor=actor, reason="I want to.")
    assert count_rows() == before


def test_a_key_that_cannot_be_trusted_is_refused_by_the_field(scene: Scene) -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    secret = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    weak = pem(rsa.generate_private_key(65537, 2048))
    wrong: dict[str, list[Any]] = {
        "public_key": ["", "not a key", secret.decode(), weak, pem(ec.generate_private_key(ec.SECP256K1()))],
        "valid_until": [NOW, NOW - timedelta(days=1)],
        "purposes": [[], ["everything"], ["provenance", ""], "provenance", [7], ["evaluation"] * 201],
        "builders": [[], [""], [7], [documents.BUILDER, " "], ["a\x00b"], ["x" * 501], documents.BUILDER],
        "assets": [["Fraud Scorer"], ["*"], ["fraud-scorer "], [None], "fraud-scorer"],
        "name": ["", "x" * 121, "a\x00b"],
    }
    before = count_rows()
    for field, values in wrong.items():
        for value in values:
            with pytest.raises(Invalid) as refusal:
                trust(scene.walk, **{"public_pem" if field == "public_key" else field: value})
            assert refusal.value.faults[0].field == field, value
            assert "PRIVATE KEY-----\nMI" not in str(refusal.value)
    assert count_rows() == before


def test_a_key_is_trusted_for_what_was_said_and_nothing_else(scene: Scene) -> None:
    twice = {"builders": [documents.BUILDER] * 2, "assets": ["fraud-scorer", "churn", "churn"]}
    key = trust(scene.walk, purposes=["provenance", "evaluation", "evaluation"], **twice)
    assert key.purposes == ["provenance", "evaluation"]
    assert (key.builders, key.assets) == ([documents.BUILDER], ["fraud-scorer", "churn"])
    entry = log.entries(kind="key.trusted", subject=key).first()
    assert {name: entry.details[name] for name in ("purposes", "builders", "assets")} == {
        "purposes": key.purposes, "builders": key.builders, "assets": key.assets
    }  # fmt: skip
    reports = trust(scene.walk, name="Evaluator", purposes=["evaluation"], builders=[])
    assert (reports.builders, reports.speaks_about(scene.version.asset)) == ([], True)


def test_a_name_stays_taken_after_its_key_was_revoked(scene: Scene) -> None:
    known = TrustedKey.objects.get()
    keys.revoke(known, actor=scene.walk.cast.alma, reason="The runner was broken into.")
    for again in ({"public_pem": known.public_pem}, {"name": known.name}):
        with pytest.raises(Refused):
            trust(scene.walk, **again)


def questions() -> set[tuple[str, str]]:
    return {(each.version.label, each.check_slug) for each in CheckRequest.objects.select_related("version__asset")}


def test_revoking_a_key_asks_again_at_once_whatever_rests_on_it(scene: Scene) -> None:
    walk, version = scene
    other, key = ec.generate_private_key(ec.SECP256R1()), TrustedKey.objects.get()
    trust(walk, public_pem=pem(other))
    theirs = Walk(walk.cast, builder=other).candidate("churn-model", "1.0.0", artifacts.scorer(2))
    retired = walk.candidate("fraud-scorer", "0.9.0", artifacts.scorer(3))
    lifecycle.retire(retired, actor=walk.cast.ada, reason="Replaced by 1.0.0.")
    assert theirs.state == "candidate"
    assert questions() == set()
    keys.revoke(key, actor=walk.cast.alma, reason="The runner was broken into.")
    assert questions() == {("fraud-scorer@1.0.0", "provenance")}
    assert log.entries(kind="key.revoked").first().details["asked_again"] == 1
    walk.work()
    assert newest_code(version) == "revoked_key"
    assert newest_code(theirs) == "ok"


def newest_code(version: Version) -> str:
    run = CheckRun.objects.filter(version=version, check_slug="provenance").latest("pk")
    return str(run.facts["code"])


def test_revoking_a_key_reddens_what_rests_on_it_without_anybody_asking(scene: Scene) -> None:
    """Even before a worker has looked, the old answer is no answer."""
    walk, version = scene
    submission = walk.submit(version, "staging")

    def verdict() -> RuleVerdict:
        return next(each for each in submissions.standing_verdicts(submission) if each.rule == "provenance")

    assert verdict().outcome == "passed"
    keys.revoke(TrustedKey.objects.get(), actor=walk.cast.alma, reason="The runner was broken into.")
    assert verdict().outcome == "queued"
    with pytest.raises(Refused):
        walk.approve(submission)
    CheckRequest.objects.all().delete()
    assert verdict().outcome == "stale"
    assert submissions.refresh_due() == 1
    walk.work()
    assert verdict().outcome == "failed"
    assert "CI builder 2026, which was revoked on" in verdict().says


def test_an_approved_version_stays_approved_and_shows_that_its_provenance_fell(scene: Scene) -> None:
    """The decision was true when it was made; ending it is a decision of its own, by a person of security."""
    walk, version = scene
    decision = walk.approved(version)
    keys.revoke(TrustedKey.objects.get(), actor=walk.cast.alma, reason="The runner was broken into.")
    walk.work()
    version.refresh_from_db()
    assert version.state == "approved"
    assert standing.of(version, "production").allow
    rules = policy.governing(version)
    [shown] = verdicts.judge(version, ["provenance"], rules, "baseline", at=timezone.now())
    assert (shown.outcome, shown.run.facts["code"]) == ("failed", "revoked_key")
    decisions.revoke(decision, actor=walk.cast.rhea, reason="Its provenance fell.")
    assert not standing.of(version, "production").allow


def test_an_answer_given_while_a_key_is_revoked_is_asked_again(scene: Scene) -> None:
    """A worker that looked before the change finds its request gone, and writes nothing."""
    walk, version = scene
    runner.request(version, ["provenance"], walk.cast.policy, actor=walk.cast.alma)
    claimed = runner.claim()
    keys.revoke(TrustedKey.objects.get(), actor=walk.cast.alma, reason="The runner was broken into.")
    assert runner.answer_request(claimed) is None
    assert questions() == {("fraud-scorer@1.0.0", "provenance")}


def test_trusting_a_key_asks_again_whoever_waited_for_it(scene: Scene) -> None:
    walk, other = scene.walk, ec.generate_private_key(ec.SECP256R1())
    late = Walk(walk.cast, builder=other)
    version = late.candidate("churn-model", "1.0.0", artifacts.scorer(2))
    assert (version.state, newest_code(version)) == ("draft", "untrusted_key")
    trust(walk, public_pem=pem(other))
    assert questions() == {("churn-model@1.0.0", "provenance")}
    walk.work()
    version.refresh_from_db()
    assert version.state == "candidate"


def test_a_key_is_revoked_once_and_with_a_reason(scene: Scene) -> None:
    walk, key = scene.walk, TrustedKey.objects.get()
    for reason in ("", "x" * 501, "a\x00bc"):
        with pytest.raises(Invalid):
            keys.revoke(key, actor=walk.cast.alma, reason=reason)
    keys.revoke(key, actor=walk.cast.alma, reason="The runner was broken into.")
    with pytest.raises(Refused) as refusal:
        keys.revoke(key, actor=walk.cast.alma, reason="Again.")
    assert refusal.value.code == "key_revoked"


# --- roots -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def instance() -> Instance:
    return Instance()


def trust_root(walk: Walk, instance: Instance, **changes: Any) -> TrustedRoot:
    facts: dict[str, Any] = {
        "name": "Our own Sigstore",
        "text": instance.trusted_root(),
        "actor": walk.cast.alma,
        "owner": walk.cast.petra,
        "identities": [{"issuer": "https://accounts.example", "identity": "cee-i@example.com"}],
        "purposes": ["provenance"],
        "builders": [documents.BUILDER],
        "valid_from": NOW,
        "valid_until": NOW + timedelta(days=365),
        **changes,
    }
    return keys.trust_root(**facts)


def test_a_root_is_registered_once_however_it_is_written(scene: Scene, instance: Instance) -> None:
    root = trust_root(scene.walk, instance)
    entry = log.entries(kind="root.trusted").first()
    assert (entry.subject_id, entry.details["identities"]) == (root.sha256, 1)
    assert b"cee-i@example.com" not in bytes(entry.body)
    before = count_rows()
    spaced = json.dumps(json.loads(root.text), indent=4, sort_keys=True)
    for again, code in (
        ({"text": spaced, "name": "Again"}, "root_known"),
        ({"text": Instance().trusted_root()}, "root_name_taken"),
    ):
        with pytest.raises(Refused) as refusal:
            trust_root(scene.walk, instance, **again)
        assert refusal.value.code == code
    assert count_rows() == before


def test_a_root_needs_exact_identities_and_a_scope(scene: Scene, instance: Instance) -> None:
    pair = {"issuer": "https://accounts.example", "identity": "cee-i@example.com"}
    wrong: dict[str, list[Any]] = {
        "identities": [
            [],
            [{}],
            ["cee-i@example.com"],
            [{"issuer": "", "identity": "x"}],
            [{**pair, "regex": ".*"}],
            [{"issuer": "https://a.example", "identity": 7}],
            [pair] * 201,
            pair,
        ],
        "purposes": [[], ["decision"]],
        "builders": [[]],
        "assets": [["*"]],
        "text": ["{}", instance.trusted_root(tlogs=[])],
        "valid_until": [NOW],
    }
    before = count_rows()
    for field, values in wrong.items():
        for value in values:
            with pytest.raises(Invalid) as refusal:
                trust_root(scene.walk, instance, **{field: value})
            assert refusal.value.faults[0].field == field, value
    assert count_rows() == before


def test_only_administrators_trust_roots(scene: Scene, instance: Instance) -> None:
    root = trust_root(scene.walk, instance)
    before = count_rows()
    for actor in (scene.walk.cast.rhea, scene.walk.cast.iris, scene.walk.cast.ada, scene.walk.cast.otto):
        with pytest.raises(PermissionDenied):
            trust_root(scene.walk, instance, actor=actor, name="Mine")
        with pytest.raises(PermissionDenied):
            keys.revoke_root(root, actor=actor, reason="I want to.")
    assert count_rows() == before


def test_a_root_is_revoked_once_and_with_a_reason(scene: Scene, instance: Instance) -> None:
    root = trust_root(scene.walk, instance)
    with pytest.raises(Invalid):
        keys.revoke_root(root, actor=scene.walk.cast.alma, reason="")
    keys.revoke_root(root, actor=scene.walk.cast.alma, reason="The authority was broken into.")
    with pytest.raises(Refused) as refusal:
        keys.revoke_root(root, actor=scene.walk.cast.alma, reason="Again.")
    assert refusal.value.code == "root_revoked"
    root.refresh_from_db()
    assert not root.is_valid_at(timezone.now())
    assert root.is_valid_at(NOW)
