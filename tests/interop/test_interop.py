"""An implementation that is not ours verifies our decisions, and refuses what we would refuse. See README.md here."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from django.test import Client

from governance import decisions
from governance.models import Decision
from tests.audit.exports.ceremony import pem
from tests.factories import Walk, artifacts

HERE = Path(__file__).parent
NODE = shutil.which("node")
REQUIRED = os.environ.get("COUNTERSIGN_REQUIRE_INTEROP", "") not in {"", "0"}
MISSING = not NODE or not (HERE / "node_modules" / "@sigstore" / "verify").is_dir()

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif(MISSING and not REQUIRED, reason="no Node.js, or no @sigstore/verify here (make interop)"),
]
Ran = subprocess.CompletedProcess


@pytest.fixture
def decision(walk: Walk) -> Decision:
    found = walk.approved(walk.candidate("fraud-scorer", "1.0.0", artifacts.scorer(1)), "production")
    walk.work()
    return found


@pytest.fixture
def verify(decision: Decision, tmp_path: Path) -> Callable[..., Ran]:
    """Write bundle and key as an auditor fetches them, change the bundle, and let the other implementation look."""
    published: Any = Client().get("/api/v1/keys").json()

    def run(change: Callable[[Any], object] = lambda bundle: None, key: str = "", digest: str = "") -> Ran:
        bundle = json.loads(decisions.bundle(decision))
        change(bundle)
        (tmp_path / "bundle.json").write_text(json.dumps(bundle))
        (tmp_path / "key.pem").write_text(key or find_pem(published))
        line = [NODE or "node", str(HERE / "verify.js"), "bundle.json", "key.pem", digest or decision.identity_digest]
        return subprocess.run(line, capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path)

    return run


def find_pem(published: Any) -> str:
    """Return the first key in PEM that the portal publishes: the one of decisions."""
    texts = [each for each in json.dumps(published).split('"') if each.startswith("-----BEGIN PUBLIC KEY")]
    return str(json.loads(f'"{texts[0]}"'))


def test_a_decision_is_verified_by_somebody_elses_code(verify: Callable[..., Ran], decision: Decision) -> None:
    ran = verify()
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.startswith("verified: APPROVED for production until ")
    assert decision.identity_digest in ran.stdout


def other_payload(bundle: Any) -> None:
    envelope = bundle["dsseEnvelope"]
    said = base64.b64decode(envelope["payload"]).replace(b"production", b"staging")
    envelope["payload"] = base64.b64encode(said).decode()


def other_signature(bundle: Any) -> None:
    signature = bundle["dsseEnvelope"]["signatures"][0]
    raw = bytearray(base64.b64decode(signature["sig"]))
    raw[-1] ^= 1
    signature["sig"] = base64.b64encode(bytes(raw)).decode()


def other_type(bundle: Any) -> None:
    bundle["dsseEnvelope"]["payloadType"] = "application/json"


def no_signature(bundle: Any) -> None:
    bundle["dsseEnvelope"]["signatures"] = []


@pytest.mark.parametrize("change", [other_payload, other_signature, other_type, no_signature])
def test_what_was_changed_is_refused(verify: Callable[..., Ran], change: Callable[[Any], object]) -> None:
    ran = verify(change)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr.startswith("refused: ")


def test_another_key_is_refused(verify: Callable[..., Ran]) -> None:
    assert verify(key=pem(ec.generate_private_key(ec.SECP256R1()))).returncode == 1


def test_another_digest_is_refused(verify: Callable[..., Ran]) -> None:
    ran = verify(digest="0" * 64)
    assert (ran.returncode, "not about 000000" in ran.stderr) == (1, True)
