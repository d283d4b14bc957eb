"""The offline kit of a real decision: what the portal hands out, the gate believes, and no more than that."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from audit import seal
from audit.exports import kit
from governance import decisions, revocations
from governance.models import Decision
from portal.demo.roots import publish_next
from portal.errors import Invalid, Refused
from tests.audit.exports.forging import envelope_in
from tests.cli.command import COMMAND
from tests.factories import Walk, artifacts

pytestmark = pytest.mark.django_db


@pytest.fixture
def decision(walk: Walk, settings: Settings, tmp_path: Path) -> Decision:
    """Approve a version for production, in a portal with a keyset and a revocation list."""
    settings.KEYS_DIR = tmp_path / "keys"
    seal.ensure_keys()
    publish_next(tmp_path / "roots")
    found = walk.approved(walk.candidate("fraud-scorer", "1.0.0", artifacts.scorer(1)), "production")
    walk.work()
    revocations.issue_due()
    return found


@pytest.fixture
def folder(decision: Decision, tmp_path: Path) -> Path:
    """Unpack the decision's kit, and put the roots beside it that were given by another way."""
    unpack(kit.write(decision), tmp_path / "kit")
    pems = [path.read_text() for path in sorted((tmp_path / "roots").glob("*.pub.pem"))]
    (tmp_path / "kit" / "roots.pem").write_text("".join(pems))
    return tmp_path / "kit"


def unpack(packed: bytes, folder: Path) -> None:
    zipfile.ZipFile(io.BytesIO(packed)).extractall(folder)


def ask(folder: Path, decision: Decision, *more: str, by: tuple[str, ...] = ("gate.py",)) -> tuple[int, str]:
    files = {"bundle": "decision.sigstore.json", "keyset": "keyset.json", "revocations": "revocations.json"}
    words = [word for name, file in files.items() for word in (f"--{name}", file)]
    digest = ("--digest", decision.identity_digest, "--environment", "production", "--roots", "roots.pem")
    line = [sys.executable, "-W", "error", *by, *digest, *words, "--proof", "decision.tlog-proof", *more]
    ran = subprocess.run(line, capture_output=True, text=True, timeout=60, check=False, cwd=folder)
    return ran.returncode, ran.stdout + ran.stderr


def test_the_gate_of_a_kit_says_yes_to_its_decision_and_no_once_it_is_revoked(
    walk: Walk, decision: Decision, folder: Path
) -> None:
    state = ("--state", "state.json")
    assert ask(folder, decision, *state)[0] == 0, ask(folder, decision)
    code, said = ask(folder, decision, "--environment", "staging")
    assert (code, 'The decision is for the environment "production", not for staging.' in said) == (1, True)
    decisions.revoke(decision, actor=walk.cast.rhea, reason="A leak was found.")
    walk.work()
    revocations.issue_due()
    unpack(kit.write(decision), folder)
    code, said = ask(folder, decision, *state)
    assert (code, "ledger: Nothing shows that the ledger only grew" in said) == (1, True), said
    assert "- revoked: It counts no longer: The decision was revoked." in said
    old, new = said.partition("?old=")[2].partition(" ")[0].split("&new=")
    (folder / "grown").write_text(kit.consistency(int(old), int(new)))
    code, said = ask(folder, decision, *state, "--consistency", "grown")
    assert (code, "- revoked:" in said, "- ledger:" in said) == (1, True, False)


def test_the_command_asks_the_gate_beside_it(decision: Decision, folder: Path) -> None:
    (folder / "countersign").write_bytes(COMMAND.read_bytes())
    assert ask(folder, decision, by=("countersign", "gate", "--offline"))[0] == 0
    (folder / "gate.py").unlink()
    code, said = ask(folder, decision, by=("countersign", "gate", "--offline"))
    assert (code, "gate.py is missing. Fetch it from the portal, at /cli/gate.py" in said) == (2, True)


def test_the_kit_of_a_rejection_is_a_no(walk: Walk, decision: Decision, folder: Path) -> None:
    made = decisions.revoke(decision, actor=walk.cast.rhea, reason="A leak was found.")
    walk.work()
    unpack(kit.write(made), folder)
    code, said = ask(folder, decision)
    assert (code, "verdict: The decision says REVOKED, not APPROVED." in said) == (1, True)


def test_there_is_no_kit_without_a_keyset(walk: Walk) -> None:
    found = walk.approved(walk.candidate("fraud-scorer", "1.0.0", artifacts.scorer(1)), "production")
    walk.work()
    with pytest.raises(Refused, match="There is no keyset or no revocation list yet"):
        kit.write(found)


def test_whoever_may_see_a_decision_may_have_its_kit(walk: Walk, decision: Decision, folder: Path) -> None:
    address = reverse("governance:decision-kit", args=[decision.public_id])
    client = Client()
    for name, status in (("ada", 200), ("iris", 200), ("mallory", 404)):
        client.force_login(getattr(walk.cast, name), "allauth.account.auth_backends.AuthenticationBackend")
        assert client.get(address).status_code == status
    machine: Any = Client(headers={"Authorization": f"Bearer {walk.cast.deploy_token}"})
    root = f"/api/v1/decisions/{decision.public_id}"
    assert zipfile.ZipFile(io.BytesIO(machine.get(f"{root}.kit.zip").content)).namelist()[0] == "decision.sigstore.json"
    assert machine.get(f"{root}.tlog-proof").content == (folder / "decision.tlog-proof").read_bytes()
    assert Client().get(f"{root}.kit.zip").status_code == 401


def test_the_ledger_shows_that_it_only_grew(walk: Walk, decision: Decision) -> None:
    machine: Any = Client(headers={"Authorization": f"Bearer {walk.cast.deploy_token}"})
    answer = machine.get("/api/v1/ledger/consistency?old=3&new=9")
    assert (answer.status_code, answer.content.decode()) == (200, kit.consistency(3, 9))
    assert answer.content.startswith(b"old 3\n")
    assert machine.get("/api/v1/ledger/consistency?old=3&new=99999").status_code == 422
    assert machine.get("/api/v1/ledger/consistency?old=0&new=9").status_code == 422
    with pytest.raises(Invalid, match="old, new"):
        kit.consistency(9, 3)


def test_what_the_kit_holds_is_what_the_portal_publishes(decision: Decision, folder: Path) -> None:
    public = "/.well-known/countersign"
    for name in ("keyset.json", "revocations.json"):
        assert Client().get(f"{public}/{name}").json() == json.loads((folder / name).read_bytes())
    assert envelope_in((folder / "decision.sigstore.json").read_bytes()) == decisions.envelope(decision)
    served: Any = Client().get("/cli/gate.py")
    assert served.content == (folder / "gate.py").read_bytes()
    readme = (folder / "README.txt").read_text()
    assert seal.load_public_key((folder / "roots.pem").read_bytes()).fingerprint in readme
