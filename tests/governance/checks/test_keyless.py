"""Keyless signatures: exactly the listed identities, under exactly the roots that an operator supplied, offline."""

from __future__ import annotations

import base64
import json
import random
import socket
import subprocess
import sys
from collections.abc import Callable
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from governance import keys
from governance.checks import attestations, keyless
from governance.models import TrustedRoot
from portal.demo import documents
from portal.errors import Invalid
from registry import readers
from registry.models import Asset, Version
from registry.readers.reading import Statement
from tests.governance.checks.attested import build, read
from tests.governance.checks.conftest import Ask, Attach
from tests.governance.checks.private_sigstore import ISSUER, WORKFLOW, Instance, encoded
from tests.scene import Scene
from tests.web.services import count_rows

VERSION = Version(
    asset=Asset(slug="fraud-scorer"),
    artifact_sha256="ab" * 32,
    source_repository="https://git.example.com/ml/fraud-scorer",
)
PAYLOAD = json.dumps(build(VERSION)).encode()
PAIRS = [(ISSUER, WORKFLOW)]


@pytest.fixture(scope="module")
def instance() -> Instance:
    return Instance()


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Refuse every connection, except where a test has the database."""

    def refuse(*_: object) -> None:
        raise AssertionError("something asked the network")

    if not {"db", "scene"} & set(request.fixturenames):
        monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def seen(bundle: dict[str, Any], root: str, pairs: list[tuple[str, str]] = PAIRS) -> str:
    return keyless.verify(read(bundle), root, pairs).code


def test_a_listed_identity_signed(instance: Instance) -> None:
    found = keyless.verify(read(instance.sign(PAYLOAD)), instance.trusted_root(), PAIRS)
    assert (found.code, found.issuer, found.identity) == ("ok", ISSUER, WORKFLOW)
    mail = instance.sign(PAYLOAD, identity="cee-i@example.com")
    assert seen(mail, instance.trusted_root(), [("https://other.example", "x"), (ISSUER, "cee-i@example.com")]) == "ok"


@pytest.mark.parametrize(
    "pair",
    [
        (ISSUER, WORKFLOW.replace("main", "mine")),
        (ISSUER, WORKFLOW[:-1]),
        (ISSUER, WORKFLOW.upper()),
        (ISSUER, ".*"),
        (ISSUER, ""),
        ("https://token.actions.example.evil.example", WORKFLOW),
        ("https://token.actions", WORKFLOW),
        ("", WORKFLOW),
    ],
)
def test_an_identity_is_compared_exactly(instance: Instance, pair: tuple[str, str]) -> None:
    found = keyless.verify(read(instance.sign(PAYLOAD)), instance.trusted_root(), [pair])
    assert (found.code, found.identity) == ("untrusted_key", "")
    assert "on no list" in found.says
    assert seen(instance.sign(PAYLOAD), instance.trusted_root(), []) == "untrusted_key"


def test_issuer_and_identity_are_one_pair(instance: Instance) -> None:
    crossed = [(ISSUER, "ada@example.com"), ("https://accounts.example", WORKFLOW)]
    assert seen(instance.sign(PAYLOAD), instance.trusted_root(), crossed) == "untrusted_key"


def test_another_instance_is_another_root(instance: Instance) -> None:
    assert seen(Instance().sign(PAYLOAD), instance.trusted_root()) == "foreign"
    # The name of an authority proves nothing; its key does.
    thief = Instance(certificate_log=instance.certificate_log, transparency_log=instance.transparency_log)
    assert seen(thief.sign(PAYLOAD), instance.trusted_root()) == "foreign"


def other_payload(bundle: dict[str, Any]) -> None:
    bundle["dsseEnvelope"]["payload"] = encoded(PAYLOAD.replace(b"ab" * 32, b"cd" * 32))


def other_signature(bundle: dict[str, Any]) -> None:
    signature = bytearray(base64.b64decode(bundle["dsseEnvelope"]["signatures"][0]["sig"]))
    signature[-1] ^= 1
    bundle["dsseEnvelope"]["signatures"][0]["sig"] = encoded(bytes(signature))


def no_entry(bundle: dict[str, Any]) -> None:
    bundle["verificationMaterial"]["tlogEntries"] = []


def no_promise(bundle: dict[str, Any]) -> None:
    del bundle["verificationMaterial"]["tlogEntries"][0]["inclusionPromise"]


def no_proof(bundle: dict[str, Any]) -> None:
    del bundle["verificationMaterial"]["tlogEntries"][0]["inclusionProof"]


def other_root_hash(bundle: dict[str, Any]) -> None:
    bundle["verificationMaterial"]["tlogEntries"][0]["inclusionProof"]["rootHash"] = encoded(b"\1" * 32)


def other_time(bundle: dict[str, Any]) -> None:
    bundle["verificationMaterial"]["tlogEntries"][0]["integratedTime"] = str(int(timezone.now().timestamp()) + 1)


def two_entries(bundle: dict[str, Any]) -> None:
    bundle["verificationMaterial"]["tlogEntries"] *= 2


def broken_certificate(bundle: dict[str, Any]) -> None:
    bundle["verificationMaterial"]["certificate"]["rawBytes"] = encoded(b"0\x82nothing of the kind")


BREAKS = (
    other_payload,
    other_signature,
    no_entry,
    no_promise,
    no_proof,
    other_root_hash,
    other_time,
    two_entries,
    broken_certificate,
)


@pytest.mark.parametrize("damage", BREAKS)
def test_a_broken_bundle_proves_nothing(instance: Instance, damage: Callable[[dict[str, Any]], None]) -> None:
    bundle = instance.sign(PAYLOAD)
    damage(bundle)
    found = keyless.verify(read(bundle), instance.trusted_root(), PAIRS)
    assert found.code == "bad_signature"
    assert found.says.startswith("The bundle does not verify: ")


def test_the_entry_of_another_bundle_proves_nothing(instance: Instance) -> None:
    bundle, other = instance.sign(PAYLOAD), instance.sign(PAYLOAD + b" ")
    bundle["verificationMaterial"]["tlogEntries"] = other["verificationMaterial"]["tlogEntries"]
    assert seen(bundle, instance.trusted_root()) == "bad_signature"


def test_a_certificate_has_to_be_valid_when_the_log_took_the_entry(instance: Instance) -> None:
    at = datetime.now(UTC) - timedelta(days=2)
    assert seen(instance.sign(PAYLOAD, at=at), instance.trusted_root()) == "ok"
    for late in (timedelta(minutes=11), timedelta(minutes=-1)):
        assert seen(instance.sign(PAYLOAD, at=at, logged_at=at + late), instance.trusted_root()) == "bad_signature"


def test_logs_of_another_instance_do_not_vouch(instance: Instance) -> None:
    for role in ("certificate_log", "transparency_log"):
        forger = Instance(**{"authority": instance.authority, role: Instance().authority})
        assert seen(forger.sign(PAYLOAD), instance.trusted_root()) == "bad_signature", role


def test_a_log_key_counts_only_within_its_time(instance: Instance) -> None:
    ended = {"end": (datetime.now(UTC) - timedelta(days=1)).isoformat()}
    before, after = datetime.now(UTC) - timedelta(days=2), datetime.now(UTC) - timedelta(minutes=5)
    root = instance.trusted_root(log_window=ended)
    assert seen(instance.sign(PAYLOAD, at=before), root) == "ok"
    assert seen(instance.sign(PAYLOAD, at=after), root) == "bad_signature"


def test_another_payload_type_is_no_statement(instance: Instance) -> None:
    bundle = instance.sign(PAYLOAD, payload_type="text/plain")
    with pytest.raises(Invalid, match="payloadType"):
        read(bundle)
    bundle["dsseEnvelope"]["payloadType"] = "application/vnd.in-toto+json"
    assert seen(bundle, instance.trusted_root()) == "bad_signature"


def test_a_damaged_bundle_is_never_believed(instance: Instance) -> None:
    """Mutations of a real bundle: refused by the reader or by the verifier, or what was signed is what is shown."""
    chance, body, root = random.Random(7), json.dumps(instance.sign(PAYLOAD)).encode(), instance.trusted_root()
    for _ in range(300):
        place = chance.randrange(len(body))
        change = chance.choice([b"", bytes([chance.randrange(256)]), body[place : place + chance.randrange(60)]])
        damaged = body[:place] + change + body[place + chance.randrange(3) :]
        try:
            statement = readers.read(damaged, kind="provenance").statement
        except Invalid:
            continue
        if "certificate" in statement.material:
            found = keyless.verify(statement, root, PAIRS)
            assert found.code != "ok" or statement.payload == PAYLOAD


def test_what_is_verified_is_what_is_shown(instance: Instance) -> None:
    """The library also reads names of fields that our reader does not know."""
    bundle = instance.sign(PAYLOAD)
    shown = deepcopy(bundle["dsseEnvelope"])
    shown["payload"] = encoded(PAYLOAD.replace(b"ab" * 32, b"cd" * 32))
    two_faced = {**bundle, "dsse_envelope": bundle["dsseEnvelope"], "dsseEnvelope": shown}
    assert seen(two_faced, instance.trusted_root()) != "ok"


def test_the_library_is_not_imported_before_it_is_needed() -> None:
    """It takes a second, which every command and every worker would pay."""
    told = "import django; django.setup(); import governance.checks, governance.keys, governance.admin, sys"
    found = subprocess.run(
        [sys.executable, "-c", f"{told}; print('sigstore' in sys.modules)"], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "False"


# --- the registry of roots and the check -----------------------------------------------------------------------------


@pytest.fixture
def root(scene: Scene, instance: Instance) -> TrustedRoot:
    """Have an administrator trust the instance for the workflow of fraud-scorer."""
    now = timezone.now()
    return keys.trust_root(
        "Our own Sigstore",
        instance.trusted_root(),
        actor=scene.walk.cast.alma,
        owner=scene.walk.cast.petra,
        identities=[{"issuer": ISSUER, "identity": WORKFLOW}],
        purposes=["provenance"],
        builders=[documents.BUILDER],
        assets=["fraud-scorer"],
        valid_from=now - timedelta(days=1),
        valid_until=now + timedelta(days=30),
    )


def signed(instance: Instance, version: Version, **more: Any) -> dict[str, Any]:
    return instance.sign(json.dumps(build(version)).encode(), **more)


def test_keyless_provenance_passes_and_is_revoked_with_its_root(
    ask: Ask, attach: Attach, scene: Scene, bare: Version, instance: Instance, root: TrustedRoot
) -> None:
    attach("provenance", signed(instance, bare), bare)
    answer = ask("provenance", bare)
    assert answer.outcome == "passed"
    assert f"signed by {WORKFLOW} (certified by {ISSUER}) under the trusted root Our own Sigstore" in answer.says
    assert (answer.facts["fingerprint"], answer.facts["signers"][0]["identity"]) == (root.sha256, WORKFLOW)
    assert answer.valid_until == root.valid_until
    assert ask("provenance", bare, signatures=2).facts["code"] == "untrusted_key"
    keys.revoke_root(root, actor=scene.walk.cast.alma, reason="The authority was broken into.")
    assert ask("provenance", bare).facts["code"] == "revoked_key"


def test_a_root_speaks_only_about_its_assets(scene: Scene, instance: Instance, root: TrustedRoot) -> None:
    other = scene.walk.register("churn-model", "1.0.0", b"another artifact")
    statement: Statement = read(signed(instance, other))
    found = attestations.find_signer(statement, other, "provenance", at=timezone.now())
    assert (found.code, found.signers) == ("untrusted_key", ())
    assert "fraud" not in found.says
    assert attestations.find_signer(statement, scene.version, "evaluation", at=timezone.now()).code == "untrusted_key"


def test_without_a_trusted_root_nobody_s_certificate_counts(
    ask: Ask, attach: Attach, bare: Version, instance: Instance
) -> None:
    attach("provenance", signed(instance, bare), bare)
    answer = ask("provenance", bare)
    assert answer.facts["code"] == "untrusted_key"
    assert "under no trusted root" in answer.says


def test_a_root_that_could_verify_nothing_is_refused(scene: Scene, instance: Instance) -> None:
    whole = json.loads(instance.trusted_root())
    broken = deepcopy(whole)
    broken["certificateAuthorities"][0]["certChain"]["certificates"][0]["rawBytes"] = encoded(b"no certificate")
    texts = [
        "",
        "[]",
        "{}",
        "not json",
        '{"tlogs": 1, "tlogs": 2}',
        json.dumps({**whole, "mediaType": "application/json"}),
        json.dumps(broken),
        *[json.dumps({**whole, part: []}) for part in ("tlogs", "ctlogs", "certificateAuthorities")],
        json.dumps(whole) + " " * 300_000,
    ]
    before = count_rows()
    for text in texts:
        with pytest.raises(Invalid):
            keys.trust_root(
                "Broken",
                text,
                actor=scene.walk.cast.alma,
                owner=scene.walk.cast.petra,
                identities=[{"issuer": ISSUER, "identity": WORKFLOW}],
                purposes=["evaluation"],
                valid_from=timezone.now(),
                valid_until=timezone.now() + timedelta(days=1),
            )
    assert count_rows() == before
