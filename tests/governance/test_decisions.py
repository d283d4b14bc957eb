"""Decisions prove themselves: their payload says everything, their signature is checked here without our code."""

from __future__ import annotations

import base64
import json
from datetime import datetime, timedelta
from typing import Any

import pytest
import time_machine
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from django.core.exceptions import PermissionDenied
from django.utils import timezone

from audit import seal, sealer
from audit.models import Entry
from governance import decisions, reviews, standing, submissions, waivers
from governance.models import Decision, Signature
from portal.errors import Invalid, Refused
from registry import evidence
from tests.factories import artifacts
from tests.scene import Scene
from tests.web.services import count_rows


def predicate(decision: Decision) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(bytes(decision.payload))["predicate"]
    return found


def open_envelope(envelope: dict[str, Any], pem: str) -> dict[str, Any]:
    """Verify a DSSE envelope by the words of its specification, with `cryptography` alone, and return what it says.

    github.com/secure-systems-lab/dsse, protocol.md: the signature is over
    "DSSEv1" SP LEN(type) SP type SP LEN(body) SP body, lengths as ASCII decimals.
    """
    kind, body = envelope["payloadType"].encode(), base64.b64decode(envelope["payload"])
    signed = b" ".join([b"DSSEv1", str(len(kind)).encode(), kind, str(len(body)).encode(), body])
    key = serialization.load_pem_public_key(pem.encode())
    assert isinstance(key, ec.EllipticCurvePublicKey)
    key.verify(base64.b64decode(envelope["signatures"][0]["sig"]), signed, ec.ECDSA(hashes.SHA256()))
    statement: dict[str, Any] = json.loads(body)
    return statement


def test_a_decision_says_what_was_decided_by_whom_on_what_and_until_when(scene: Scene) -> None:
    walk, version = scene
    decision = walk.approved(version)
    statement = json.loads(bytes(decision.payload))
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["subject"] == [{"name": "fraud-scorer@1.0.0", "digest": {"sha256": version.identity_digest}}]
    assert statement["predicateType"] == "https://countersign.dev/attestation/promotion-decision/v1"
    told = statement["predicate"]
    assert (told["verdict"], told["scope"]) == ("APPROVED", {"environment": "production"})
    assert told["decisionId"] == str(decision.public_id)
    assert told["policy"] == {"name": "default", "version": 1, "digest": {"sha256": walk.cast.policy.digest}}
    assert told["dossier"]["sha256"] == decision.submission.dossier_digest
    assert told["notBefore"] == told["issuedAt"] == seal.instant(decision.made_at)
    assert decision.expires_at is not None
    assert decision.expires_at - decision.made_at == timedelta(days=90)
    assert datetime.fromisoformat(told["expiresAt"]) == decision.expires_at
    assert [(each["role"], each["principal"]) for each in told["approvals"]] == [
        ("platform", walk.cast.petra.ledger_name),
        ("product", walk.cast.dana.ledger_name),
        ("security", walk.cast.rhea.ledger_name),
    ]
    assert {each["method"] for each in told["approvals"]} == {"password"}
    assert told["exceptions"] == told["configuration"] == []


def test_every_rule_is_in_it_with_the_run_that_answered(scene: Scene) -> None:
    walk, version = scene
    told = predicate(walk.approved(version))
    assert [each["id"] for each in told["checks"]] == [
        "metadata", "checksum", "artifact-scan", "sbom", "provenance",
        "vulnerabilities", "licence", "evaluations", "owners", "base-model", "no-personal-data-in-low-risk",
    ]  # fmt: skip
    runs = {str(run.public_id): run for run in version.check_runs.all()}
    # The policy's own rule has no run: it says which policy answered, and over what.
    own = told["checks"].pop()
    assert (own["run"], own["result"]) == (None, "PASSED")
    assert own["tool"] == {"name": "condition", "version": walk.cast.policy.digest}
    for each in told["checks"]:
        run = runs[each["run"]]
        assert (each["id"], each["result"]) == (run.check_slug, run.outcome.upper())
        assert run.outcome == ("not_applicable" if run.check_slug == "base-model" else "passed")
        assert each["inputs"]["sha256"] == run.input_digest
        assert each["tool"] == {"name": run.tool, "version": run.tool_version}


def test_nobody_is_in_it_by_name_or_address(scene: Scene) -> None:
    walk, version = scene
    text = bytes(walk.approved(version).payload).decode().casefold()
    for person in (walk.cast.petra, walk.cast.dana, walk.cast.rhea, walk.cast.ada, walk.cast.cee_i):
        for word in (f'"{person.username}"', person.name.casefold(), person.email):
            assert not word or word not in text


def test_the_signature_is_over_exactly_the_stored_bytes_and_verifies_without_us(scene: Scene) -> None:
    walk, version = scene
    decision = walk.approved(version)
    envelope, key = decisions.envelope(decision), seal.decision_key()
    opened = seal.verify(envelope, [key])
    assert opened.payload == bytes(decision.payload) == seal.canonical(json.loads(opened.payload))
    assert opened.fingerprints == {key.fingerprint} == {decision.signature.keyid}
    assert open_envelope(envelope, key.pem) == json.loads(bytes(decision.payload))


def test_one_changed_word_is_found_by_both(scene: Scene) -> None:
    walk, version = scene
    envelope, key = decisions.envelope(walk.approved(version)), seal.decision_key()
    for old, new in ((b"production", b"productiom"), (b"fraud-scorer@1.0.0", b"fraud-scorer@1.0.1"), (b"20", b"29")):
        forged = base64.b64decode(envelope["payload"]).replace(old, new)
        other = {**envelope, "payload": base64.b64encode(forged).decode()}
        with pytest.raises(Refused) as refusal:
            seal.verify(other, [key])
        assert refusal.value.code == "bad-signature"
        with pytest.raises(InvalidSignature):
            open_envelope(other, key.pem)
    with pytest.raises(InvalidSignature):
        open_envelope({**envelope, "payloadType": "text/plain"}, key.pem)
    stranger = ec.generate_private_key(ec.SECP256R1()).public_key()
    spki = serialization.PublicFormat.SubjectPublicKeyInfo
    with pytest.raises(InvalidSignature):
        open_envelope(envelope, stranger.public_bytes(serialization.Encoding.PEM, spki).decode())


def test_the_sigstore_bundle_holds_the_same_envelope(scene: Scene) -> None:
    walk, version = scene
    decision = walk.approved(version)
    bundle = json.loads(decisions.bundle(decision))
    assert bundle["mediaType"] == "application/vnd.dev.sigstore.bundle.v0.3+json"
    assert bundle["dsseEnvelope"] == decisions.envelope(decision)
    assert bundle["verificationMaterial"]["publicKey"]["hint"] == seal.decision_key().fingerprint


def test_a_decision_is_handed_out_once_it_is_signed_and_sealed(scene: Scene) -> None:
    walk, version = scene
    submission = walk.submit(version, "staging")
    reviews.approve(submission, actor=walk.cast.petra, role="platform")
    decision = Decision.objects.get()
    codes = []
    for step in (decisions.sign_due, sealer.seal_due):
        with pytest.raises(Refused) as refusal:
            decisions.bundle(decision)
        codes.append(refusal.value.code)
        assert step() >= 1
    assert codes == ["unsigned", "unsealed"]
    assert decisions.bundle(decision)


def test_signing_happens_once_and_brings_the_version_to_approved(scene: Scene) -> None:
    walk, version = scene
    submission = walk.submit(version, "production")
    for role, person in (("platform", walk.cast.petra), ("product", walk.cast.dana), ("security", walk.cast.rhea)):
        reviews.approve(submission, actor=person, role=role, proof=walk.proof())
    version.refresh_from_db()
    assert version.state == "candidate"
    with pytest.raises(PermissionDenied):
        decisions.sign(Decision.objects.get().pk, actor=walk.cast.alma)
    assert decisions.sign_due() == 1
    version.refresh_from_db()
    assert version.state == "approved"
    assert version.transitions.get(move="sign").cause == str(Decision.objects.get().public_id)
    before = count_rows()
    assert decisions.sign_due() == 0
    assert count_rows() == before


def test_a_decision_for_staging_does_not_approve_the_version(scene: Scene) -> None:
    walk, version = scene
    decision = walk.approved(version, "staging")
    assert decision.expires_at is not None
    assert decision.expires_at - decision.made_at == timedelta(days=180)
    version.refresh_from_db()
    assert version.state == "candidate"
    assert standing.of(version, "staging").allow
    assert not standing.of(version, "production").allow


def test_it_ends_no_later_than_the_first_exception_it_rests_on(scene: Scene) -> None:
    walk, _ = scene
    poor = walk.candidate("tagger", "1.0.0", artifacts.scorer(2), metrics={"quality/accuracy": "0.5"})
    until = timezone.now() + timedelta(days=9)
    waiver = waivers.request(
        poor,
        actor=walk.cast.ada,
        rule="evaluations",
        environment="production",
        reason="The set is wrong.",
        compensating_control="A person looks at every answer.",
        expires_at=until,
    )
    waivers.grant(waiver, actor=walk.cast.rhea)
    decision = walk.approved(poor)
    assert decision.expires_at == until
    told = predicate(decision)
    assert told["expiresAt"] == seal.instant(until)
    assert told["exceptions"] == [
        {
            "id": str(waiver.public_id),
            "control": "evaluations",
            "grantedBy": walk.cast.rhea.ledger_name,
            "expiresAt": seal.instant(until),
        }
    ]
    [answer] = [each for each in told["checks"] if each["id"] == "evaluations"]
    assert answer["result"] == "WAIVED"


def test_a_rejection_is_signed_too_and_lets_nobody_serve(scene: Scene) -> None:
    walk, version = scene
    submission = walk.submit(version, "staging")
    reviews.reject(submission, actor=walk.cast.petra, role="platform", note="Not like this.")
    walk.work()
    decision = Decision.objects.get()
    told = open_envelope(decisions.envelope(decision), seal.decision_key().pem)["predicate"]
    assert (told["verdict"], told["reason"], told["expiresAt"]) == ("REJECTED", "Not like this.", None)
    assert [each["verdict"] for each in told["approvals"]] == ["REJECT"]
    assert not standing.of(version, "staging").allow


def test_verdicts_on_an_older_dossier_are_not_in_it(scene: Scene) -> None:
    walk, version = scene
    submission = walk.submit(version, "production")
    walk.approve(submission, "platform")
    evidence.attach(version, actor=walk.cast.cee_i, kind="other", filename="note.txt", body=b"Odd.")
    walk.work()
    walk.approve(submission)
    told = predicate(Decision.objects.get())
    assert len(told["approvals"]) == 3
    assert told["dossier"]["sha256"] == submissions.current_digest(submission) != submission.dossier_digest


def test_a_revocation_ends_it_at_once_and_is_a_signed_decision_that_names_it(scene: Scene) -> None:
    walk, version = scene
    submission = walk.submit(version, "production")
    evidence.attach(version, actor=walk.cast.cee_i, kind="other", filename="note.txt", body=b"Odd.")
    walk.work()
    walk.approve(submission)
    decision = Decision.objects.get()
    revocation = decisions.revoke(decision, actor=walk.cast.sol, reason="Poisoned data.")
    assert standing.of(version, "production").reasons[0].rule == "revoked"
    version.refresh_from_db()
    assert version.state == "candidate"
    walk.work()
    told = open_envelope(decisions.envelope(revocation), seal.decision_key().pem)["predicate"]
    assert (told["verdict"], told["supersedes"], told["reason"]) == (
        "REVOKED", str(decision.public_id), "Poisoned data."
    )  # fmt: skip
    assert told["dossier"] == predicate(decision)["dossier"]
    assert Entry.objects.filter(kind="decision.revoked", subject_id=str(decision.public_id)).count() == 1


def test_only_security_revokes_once_and_with_a_reason(scene: Scene) -> None:
    walk, version = scene
    decision = walk.approved(version)
    before = count_rows()
    for actor in (walk.cast.ada, walk.cast.petra, walk.cast.alma, walk.cast.iris, walk.cast.mallory, walk.cast.otto):
        with pytest.raises(PermissionDenied):
            decisions.revoke(decision, actor=actor, reason="I want to.")
    for reason in ("", " ", "a\x00bc", "x" * 4001):
        with pytest.raises(Invalid, match="reason: saw"):
            decisions.revoke(decision, actor=walk.cast.rhea, reason=reason)
    assert count_rows() == before
    revocation = decisions.revoke(decision, actor=walk.cast.rhea, reason="Poisoned data.")
    for ended in (decision, revocation):
        with pytest.raises(Refused) as refusal:
            decisions.revoke(ended, actor=walk.cast.rhea, reason="Again.")
        assert refusal.value.code == "not_revocable"


def test_what_is_revoked_before_it_is_signed_never_comes_into_force(scene: Scene) -> None:
    walk, version = scene
    submission = walk.submit(version, "staging")
    reviews.approve(submission, actor=walk.cast.petra, role="platform")
    decisions.revoke(Decision.objects.get(), actor=walk.cast.rhea, reason="Too early.")
    walk.work()
    assert Signature.objects.count() == 2
    assert standing.of(version, "staging").reasons[0].rule == "revoked"


def test_a_revocation_leaves_another_decision_in_force(scene: Scene) -> None:
    walk, version = scene
    first = walk.approved(version)
    with time_machine.travel(timezone.now() + timedelta(days=1)):
        walk.submit(version, "production")
        walk.approve(version.submissions.get(state="open"))
        decisions.revoke(first, actor=walk.cast.rhea, reason="Superseded by the second.")
        assert standing.of(version, "production").allow
        version.refresh_from_db()
        assert version.state == "approved"
