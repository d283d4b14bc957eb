"""Who signed: genuine signatures of trusted keys that may sign such a thing about this version, and nothing else."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from django.utils import timezone

from audit import seal
from governance import keys
from governance.checks import attestations
from governance.checks.attestations import Verification
from governance.models import TrustedKey
from portal.errors import Invalid
from registry import readers
from tests.governance.checks.attested import build, bundle, envelope, new_key, read, sign, trusted
from tests.scene import Scene

NEW_KEYS: dict[str, Callable[[], Any]] = {
    "ed25519": ed25519.Ed25519PrivateKey.generate,
    "ecdsa-p256": new_key,
    "ecdsa-p384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "rsa-pss": lambda: rsa.generate_private_key(65537, 3072),
}


def ask(scene: Scene, document: Any, purpose: str = "provenance", **more: Any) -> Verification:
    more.setdefault("at", timezone.now())
    return attestations.find_signer(read(document), scene.version, purpose, **more)


@pytest.mark.parametrize("scheme", NEW_KEYS)
def test_every_algorithm_that_can_be_trusted_is_verified(scene: Scene, scheme: str) -> None:
    key = NEW_KEYS[scheme]()
    known = trusted(scene.walk, key)
    found = ask(scene, envelope(build(scene.version), key))
    assert (found.code, found.signer.name, found.signer.fingerprint) == ("ok", "Second key", known.fingerprint)
    assert ask(scene, bundle(build(scene.version), key)).code == "ok"


def test_an_algorithm_is_pinned_to_its_key(scene: Scene) -> None:
    wide, old = ec.generate_private_key(ec.SECP384R1()), rsa.generate_private_key(65537, 3072)
    trusted(scene.walk, wide, "Wide key")
    trusted(scene.walk, old, "Old key")
    document = envelope(build(scene.version), new_key())
    message = seal.pae(document["payloadType"], read(document).payload)
    for signature in (
        wide.sign(message, ec.ECDSA(hashes.SHA256())),
        old.sign(message, padding.PKCS1v15(), hashes.SHA256()),
        old.sign(message, padding.PSS(padding.MGF1(hashes.SHA1()), 20), hashes.SHA256()),
    ):
        document["signatures"][0]["sig"] = base64.b64encode(signature).decode()
        assert ask(scene, document).code == "untrusted_key"


def test_a_stranger_and_a_false_key_id_are_told_apart(scene: Scene) -> None:
    stranger = envelope(build(scene.version), new_key())
    assert ask(scene, stranger).code == "untrusted_key"
    stranger["signatures"][0]["keyid"] = TrustedKey.objects.get().fingerprint
    assert ask(scene, stranger).code == "bad_signature"


def test_a_key_of_another_asset_does_not_count_and_is_not_named(scene: Scene) -> None:
    key = new_key()
    trusted(scene.walk, key, "Key of merger-target-model", assets=["merger-target-model"])
    found = ask(scene, envelope(build(scene.version), key))
    assert (found.code, found.signer) == ("untrusted_key", None)
    assert "may not speak about fraud-scorer" in found.says
    assert "merger" not in found.says


def test_a_key_counts_only_for_its_purposes(scene: Scene) -> None:
    key = new_key()
    trusted(scene.walk, key, purposes=["evaluation"], builders=[])
    document = envelope(build(scene.version), key)
    assert ask(scene, document, "evaluation").code == "ok"
    for purpose in ("provenance", "model-signing"):
        found = ask(scene, document, purpose)
        assert (found.code, found.signers) == ("untrusted_key", ())
        assert "which is not trusted to sign" in found.says


def test_a_key_counts_only_within_its_time(scene: Scene) -> None:
    key, document = scene.walk.builder, envelope(build(scene.version), scene.walk.builder)
    known = TrustedKey.objects.get()
    moment = timedelta(microseconds=1)
    times = (known.valid_from - moment, known.valid_from, known.valid_until - moment, known.valid_until)
    found = [ask(scene, document, at=at) for at in times]
    assert [each.code for each in found] == ["revoked_key", "ok", "ok", "revoked_key"]
    assert (found[0].until, found[3].until) == (known.valid_from, None)
    assert "out of its validity" in found[3].says
    assert ask(scene, envelope(build(scene.version), key), at=known.valid_from).code == "ok"


def test_a_revoked_key_is_named_as_such(scene: Scene) -> None:
    document = envelope(build(scene.version), scene.walk.builder)
    keys.revoke(TrustedKey.objects.get(), actor=scene.walk.cast.alma, reason="The runner was broken into.")
    found = ask(scene, document)
    assert (found.code, found.signer) == ("revoked_key", None)
    assert "CI builder 2026, which was revoked on" in found.says


def test_one_key_under_two_key_ids_is_one_signer(scene: Scene) -> None:
    one = scene.walk.builder
    twice = envelope(build(scene.version), one, one, hints=["first", "second"])
    assert ask(scene, twice).code == "ok"
    found = ask(scene, twice, threshold=2)
    assert (found.code, found.signers) == ("untrusted_key", ())
    assert "2 different trusted signers are needed" in found.says
    other = new_key()
    both = envelope(build(scene.version), one, other)
    assert ask(scene, both, threshold=2).code == "untrusted_key"
    known = trusted(scene.walk, other)
    assert [signer.name for signer in ask(scene, both, threshold=2).signers] == ["CI builder 2026", "Second key"]
    keys.revoke(known, actor=scene.walk.cast.alma, reason="Lost with a laptop.")
    assert ask(scene, both, threshold=2).code == "revoked_key"
    assert ask(scene, both, threshold=0).code != "ok"


def test_another_payload_type_is_another_message(scene: Scene) -> None:
    """What was signed as something else, such as a decision, never passes as a statement."""
    payload = json.dumps(build(scene.version)).encode()
    document = envelope(payload, scene.walk.builder)
    for kind in ("text/plain", "application/vnd.in-toto+jsom", ""):
        signature = sign(scene.walk.builder, seal.pae(kind, payload))
        document["signatures"][0]["sig"] = base64.b64encode(signature).decode()
        assert ask(scene, document).code == "untrusted_key"
        with pytest.raises(Invalid):
            read(document | {"payloadType": kind})


def test_a_signature_over_the_bare_payload_is_no_envelope(scene: Scene) -> None:
    payload = json.dumps(build(scene.version)).encode()
    document = envelope(payload, scene.walk.builder)
    document["signatures"][0]["sig"] = base64.b64encode(sign(scene.walk.builder, payload)).decode()
    assert ask(scene, document).code == "untrusted_key"


def test_a_damaged_document_is_never_believed(scene: Scene) -> None:
    """Whatever is flipped, cut or doubled: nothing that is believed says anything else than what was signed."""
    chance = random.Random(4)
    whole = build(scene.version)
    for document in (envelope(whole, scene.walk.builder), bundle(whole, scene.walk.builder)):
        body, signed = json.dumps(document).encode(), read(document).payload
        for _ in range(250):
            place = chance.randrange(len(body))
            change = chance.choice([b"", bytes([chance.randrange(256)]), body[place : place + chance.randrange(60)]])
            damaged = body[:place] + change + body[place + chance.randrange(3) :]
            try:
                statement = readers.read(damaged, kind="provenance").statement
            except Invalid:
                continue
            found = attestations.find_signer(statement, scene.version, "provenance", at=timezone.now())
            assert found.code != "ok" or statement.payload == signed
            assert found.code == "ok" or found.says


def test_what_an_answer_depends_on_leaves_out_who_could_never_sign(scene: Scene) -> None:
    def depends(**more: Any) -> list[Any]:
        return attestations.depends_on(scene.version, "provenance", **more)

    before = depends()
    trusted(scene.walk, new_key(), "Elsewhere", assets=["another-model"])
    trusted(scene.walk, new_key(), "Evaluator", purposes=["evaluation"], builders=[])
    assert depends() == before
    trusted(scene.walk, new_key(), "Other builder", builders=["https://builds.example/other"])
    assert depends() != before
    assert depends(builders={"https://github.com/actions/runner"}) == before
    keys.revoke(TrustedKey.objects.get(name="CI builder 2026"), actor=scene.walk.cast.alma, reason="Broken into.")
    assert depends(builders={"https://github.com/actions/runner"}) != before
