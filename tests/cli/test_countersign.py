"""The command for CI against a real portal: the whole way, and every no with its sentences and its exit code."""

from __future__ import annotations

import copy
import json
import subprocess
import time
from base64 import b64decode
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone
from pytest_django.live_server_helper import LiveServer

from audit.serving.lookups import floor
from governance.models import ConsumerGrant, Promotion, Submission
from registry.models import Version
from tests.cli.command import finish, run, start
from tests.factories import Walk, artifacts

pytestmark = pytest.mark.django_db(transaction=True)
YES, REFUSED, INVALID, UNREACHABLE = 0, 1, 2, 3
FRAUD = "fraud-scorer@1.0.0"
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def ci(live_server: LiveServer, walk: Walk) -> Run:
    return lambda *arguments: run(live_server.url, walk.cast.ci_token, *arguments)


@pytest.fixture
def deployer(live_server: LiveServer, walk: Walk) -> Run:
    return lambda *arguments: run(live_server.url, walk.cast.deploy_token, *arguments)


@pytest.fixture
def files(walk: Walk, tmp_path: Path) -> Path:
    """Return a folder with what a build leaves behind: the artifact and the registration without its digest."""
    body = copy.deepcopy(walk.registration("fraud-scorer", "1.0.0", artifacts.scorer(1)))
    (tmp_path / "model.joblib").write_bytes(artifacts.scorer(1))
    for name in ("sha256", "size"):
        del body["version"]["artifact"][name]
    (tmp_path / "version.json").write_text(json.dumps(body))
    return tmp_path


def register(ci: Run, files: Path, *more: str) -> tuple[int, str, str]:
    return ci("register", str(files / "version.json"), "--artifact", str(files / "model.joblib"), *more)


def evidence(walk: Walk, files: Path) -> list[str]:
    """Write the version's evidence to files, and return them as KIND=PATH."""
    parts = walk.evidence(Version.objects.get())
    for part in parts:
        (files / part["filename"]).write_bytes(b64decode(part["content_base64"]))
    return [f"{part['kind']}={files / part['filename']}" for part in parts]


def help_until_done(process: subprocess.Popen[str], walk: Walk) -> tuple[int, str, str]:
    """Do what workers do until the command ends by itself."""
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        walk.work()
        time.sleep(0.2)
    return finish(process)


def test_a_version_goes_the_whole_way(live_server: LiveServer, walk: Walk, ci: Run, deployer: Run, files: Path) -> None:
    code, out, err = register(ci, files)
    assert (code, err) == (YES, "")
    assert "fraud-scorer@1.0.0 is registered" in out
    documents = evidence(walk, files)
    code, out, _ = ci("attach", FRAUD, *documents)
    assert (code, out.count("is attached")) == (YES, 4)
    code, out, _ = register(ci, files, *(word for each in documents for word in ("--evidence", each)))
    assert (code, "was registered before with the same content" in out) == (YES, True)

    nominate = start(live_server.url, walk.cast.ci_token, "nominate", FRAUD, "--wait", "60")
    code, out, _ = help_until_done(nominate, walk)
    assert (code, "fraud-scorer@1.0.0 is a candidate" in out) == (YES, True)
    assert ci("wait", FRAUD, "candidate")[0] == YES

    code, out, _ = ci("submit", FRAUD, "production", "--note", "Please.")
    assert (code, "platform: waiting" in out) == (YES, True)
    walk.work()
    code, _, err = ci("wait", FRAUD, "approved", "--timeout", "0")
    assert (code, "- security has not approved." in err) == (REFUSED, True)
    walk.approve(Submission.objects.get())
    code, out, _ = ci("wait", FRAUD, "approved")
    assert (code, "approved by Rhea Security" in out) == (YES, True)

    artifact = str(files / "model.joblib")
    code, out, err = deployer("gate", "--artifact", artifact, "--environment", "production", "--consumer", "billing")
    assert (code, out.startswith("YES: fraud-scorer@1.0.0 in production for billing")) == (YES, True), err
    assert ConsumerGrant.objects.get().consumer == "billing"
    assert deployer("promote", FRAUD, "production", "--reason", "Go.")[0] == YES
    assert deployer("promote", FRAUD, "production", "--reason", "Go.")[0] == YES
    assert Promotion.objects.count() == 1
    code, out, _ = ci("show", FRAUD)
    assert (code, "production: May serve in production until" in out) == (YES, True)


def test_another_checksum_prints_both_hashes(ci: Run, files: Path) -> None:
    register(ci, files)
    old = Version.objects.get().artifact_sha256
    (files / "model.joblib").write_bytes(artifacts.scorer(2))
    code, out, err = register(ci, files)
    assert (code, out) == (REFUSED, "")
    assert f"expected: {old}" in err
    assert "seen: " in err
    assert "A version never changes: use a new number." in err


def test_a_refused_nomination_prints_every_reason_with_its_fix_and_place(
    live_server: LiveServer, ci: Run, files: Path
) -> None:
    body = json.loads((files / "version.json").read_text())
    del body["version"]["licence"], body["version"]["release_notes"]
    (files / "version.json").write_text(json.dumps(body))
    _, out, _ = register(ci, files)
    assert out.count("missing before nomination") == 2
    code, _, err = ci("nominate", FRAUD)
    assert code == REFUSED
    assert "- metadata: licence: saw nothing" in err
    assert "- metadata: release_notes: saw nothing" in err
    assert f"Fill it in on the version's form. {live_server.url}/versions/fraud-scorer/1.0.0/" in err


def test_waiting_for_a_candidate_ends_with_the_check_that_failed(live_server: LiveServer, walk: Walk, ci: Run) -> None:
    walk.attach_all(walk.register("fraud-scorer", "1.0.0", artifacts.scorer(1)), without=("sbom",))
    process = start(live_server.url, walk.cast.ci_token, "nominate", FRAUD, "--wait", "60")
    code, _, err = help_until_done(process, walk)
    assert code == REFUSED
    assert "fraud-scorer@1.0.0 is no candidate: it is a draft." in err
    assert "- sbom: " in err
    assert "- checksum: " not in err


def test_waiting_for_what_nobody_asked_ends_at_once(walk: Walk, ci: Run) -> None:
    walk.register("fraud-scorer", "1.0.0", artifacts.scorer(1))
    code, _, err = ci("wait", FRAUD, "candidate")
    assert (code, err) == (REFUSED, "fraud-scorer@1.0.0 is no candidate: it is a draft that was never nominated.\n")
    code, _, err = ci("wait", FRAUD, "approved")
    assert (code, err) == (REFUSED, "fraud-scorer@1.0.0 was never submitted for production.\n")


def test_a_no_of_the_gate_says_what_would_make_it_a_yes(walk: Walk, deployer: Run) -> None:
    version = walk.candidate("fraud-scorer", "1.0.0", artifacts.scorer(1))
    code, out, err = deployer("gate", f"sha256:{version.identity_digest}", "--consumer", "billing")
    assert (code, out) == (REFUSED, "")
    assert "NO: fraud-scorer@1.0.0 in production for billing" in err
    assert "- no_decision: fraud-scorer@1.0.0 has no decision for production." in err
    assert "Submit it for production and have it approved." in err
    code, _, err = deployer("gate", "0" * 64, "--consumer", "billing")
    assert (code, "- unregistered: " in err) == (REFUSED, True)


def test_a_promotion_that_may_not_be_is_refused(walk: Walk, deployer: Run) -> None:
    walk.candidate("fraud-scorer", "1.0.0", artifacts.scorer(1))
    code, _, err = deployer("promote", FRAUD, "production")
    assert (code, "- no_decision: " in err) == (REFUSED, True)
    assert Promotion.objects.count() == 0


def test_serving_is_reported_once_however_often_it_is_sent(deployer: Run, tmp_path: Path) -> None:
    end = floor(timezone.now() - timedelta(hours=1))
    window = {
        "deployment": "eu-1",
        "customer": "acme",
        "digest": "a" * 64,
        "environment": "production",
        "start": (end - timedelta(minutes=5)).isoformat(),
        "end": end.isoformat(),
        "requests": 7,
    }
    report = tmp_path / "hour-12.jsonl"
    report.write_text(json.dumps(window) + "\n")
    first = deployer("serve-report", str(report))
    assert first == (YES, "otto/hour-12.jsonl is recorded: 1 windows, 7 requests.\n", "")
    assert deployer("serve-report", str(report)) == first
    report.write_text(json.dumps({**window, "requests": 8}) + "\n")
    code, _, err = deployer("serve-report", str(report))
    assert (code, "the first report stands" in err) == (REFUSED, True)
    report.write_text(json.dumps({**window, "requests": -8}) + "\n")
    code, _, err = deployer("serve-report", str(report), "--batch-id", "hour-13")
    assert (code, "line 1, requests: saw -8, expected" in err) == (INVALID, True)


def test_machines_read_the_portals_answer_also_when_it_is_a_no(walk: Walk, ci: Run, deployer: Run) -> None:
    version = walk.candidate("fraud-scorer", "1.0.0", artifacts.scorer(1))
    code, out, _ = ci("show", FRAUD, "--json")
    assert (code, json.loads(out)["state"]) == (YES, "candidate")
    code, out, _ = deployer("gate", version.identity_digest, "--consumer", "billing", "--json")
    assert (code, json.loads(out)["allow"]) == (REFUSED, False)
    code, out, _ = deployer("promote", FRAUD, "production", "--json")
    assert (code, json.loads(out)["error"]) == (REFUSED, "may_not_serve")


def test_a_missing_scope_and_a_foreign_version_are_refusals(walk: Walk, ci: Run, deployer: Run, files: Path) -> None:
    code, _, err = register(deployer, files)
    assert (code, "'register' is needed" in err) == (REFUSED, True)
    code, _, err = ci("show", "nobody@1.0.0")
    assert (code, err) == (REFUSED, "No version nobody@1.0.0 is registered that this token may see.\n")


def test_a_wrong_token_is_refused_and_never_printed(live_server: LiveServer, files: Path) -> None:
    secret = "csn_abcdefgh_" + "S" * 43
    code, out, err = run(live_server.url, secret, "show", FRAUD)
    assert code == REFUSED
    assert "Send a valid token" in err
    assert secret not in out + err


def test_wrong_input_is_named_with_what_is_expected(ci: Run, files: Path) -> None:
    body: dict[str, Any] = json.loads((files / "version.json").read_text())
    body["version"]["colour"] = "blue"
    (files / "version.json").write_text(json.dumps(body))
    code, _, err = register(ci, files)
    assert code == INVALID
    assert "version.colour: saw 'blue', expected" in err
    assert Version.objects.count() == 0
