"""Whose signatures count: trusted by administrators, for a time, and asked about again when trust ends."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from django.core.exceptions import PermissionDenied
from django.utils import timezone

from audit import seal
from governance import keys, submissions
from governance.models import TrustedKey
from portal.errors import Invalid, Refused
from tests.factories import Walk, documents
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
        "builders": [[], [""], [7], [documents.BUILDER, " "]],
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


def test_revoking_a_key_reddens_what_rests_on_it_without_anybody_asking(scene: Scene) -> None:
    walk, version = scene
    submission = walk.submit(version, "staging")
    keys.revoke(TrustedKey.objects.get(), actor=walk.cast.alma, reason="The runner was broken into.")
    verdicts = {each.rule: each.outcome for each in submissions.standing_verdicts(submission)}
    assert verdicts["provenance"] == "stale"
    assert submissions.refresh_due() == 1
    walk.work()
    [verdict] = [each for each in submissions.standing_verdicts(submission) if each.rule == "provenance"]
    assert verdict.outcome == "failed"
    assert "which is revoked or out of its validity" in verdict.says


def test_a_key_is_revoked_once_and_with_a_reason(scene: Scene) -> None:
    walk, key = scene.walk, TrustedKey.objects.get()
    for reason in ("", "x" * 501, "a\x00bc"):
        with pytest.raises(Invalid):
            keys.revoke(key, actor=walk.cast.alma, reason=reason)
    keys.revoke(key, actor=walk.cast.alma, reason="The runner was broken into.")
    with pytest.raises(Refused) as refusal:
        keys.revoke(key, actor=walk.cast.alma, reason="Again.")
    assert refusal.value.code == "key_revoked"
