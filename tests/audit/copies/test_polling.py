"""A witness to which nobody may connect: it asks the portal over HTTP, and believes hashes and signatures alone."""

from __future__ import annotations

import ast
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client
from pytest_django import Settings
from pytest_django.live_server_helper import LiveServer

from audit import copies, cosignatures, sealer
from audit.exports import standalone
from audit.models import Checkpoint
from tests.audit.copies.conftest import WITNESS, Host
from tests.audit.copies.logs import Log
from tests.audit.copies.test_cosigning import cut_off
from tests.cli.command import COMMAND
from tests.web.services import make_service

COSIGNED, REFUSED, USAGE, CANNOT = 0, 1, 2, 3
Grow = Callable[..., Checkpoint]
Poll = Callable[..., subprocess.CompletedProcess[str]]


def start(host: Host, portal: str, token: str, *more: str, log: str = "") -> subprocess.Popen[str]:
    """Start one poll as a timer on another host does."""
    key = ("--key", str(host.folder / "key"), "--state", str(host.state))
    words = [*key, "--log", log or sealer.ledger_keys()[0].vkey, "--portal", portal, *more]
    command = [sys.executable, "-I", "-W", "error", str(WITNESS), "poll", *words]
    environ = {"PATH": os.environ["PATH"], "COUNTERSIGN_TOKEN": token, "PYTHONUTF8": "1"}
    return subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ended(process: subprocess.Popen[str]) -> subprocess.CompletedProcess[str]:
    out, err = process.communicate(timeout=60)
    assert "Traceback" not in err, err
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


@pytest.fixture
def token(transactional_db: None) -> str:
    return make_service("outsider", "read")[1].secret


@pytest.fixture
def poll(live_server: LiveServer, host: Host, token: str) -> Poll:
    """Poll the running portal once, and return how that ended."""
    return lambda *more, **named: ended(start(host, named.pop("portal", live_server.url), token, *more, **named))


def cosigned(host: Host) -> str:
    (path,) = host.state.glob("*.checkpoint")
    return path.read_text(encoding="utf-8")


def test_a_poll_cosigns_what_continues_and_keeps_it_where_verify_ledger_reads_it(
    poll: Poll, host: Host, grow: Grow, tmp_path: Path, settings: Settings
) -> None:
    kept = tmp_path / "kept"
    sizes = []
    for count in (1, 3, 0, 4):
        if count:
            grow(count)
        sizes.append(Checkpoint.objects.all()[0].size)
        ran = poll("--copies", str(kept))
        says = "Cosigned" if count else "Nothing new since"
        assert (ran.returncode, ran.stderr) == (COSIGNED, "")
        assert ran.stdout.startswith(f"{says}: {sizes[-1]} entries of {settings.LEDGER_ORIGIN}, in {kept}/000/000/000/")
    files = sorted(kept.rglob("*.checkpoint"))
    found = [int(path.read_text(encoding="utf-8").split("\n")[1]) for path in files]
    assert found == sorted({*sizes})
    newest = files[-1].read_text(encoding="utf-8")
    assert newest == cosigned(host)
    note, line = newest.removesuffix("\n").rsplit("\n", 1)
    assert cosignatures.verify(line, cosignatures.parse_witness_key(host.vkey), f"{note}\n") > 1_700_000_000
    call_command("verify_ledger", checkpoint=files[-1])
    settings.CHECKPOINT_PLACES, settings.WITNESSES = [f"file://{kept}"], []
    assert copies.newest().note == newest


def test_a_history_that_was_rewritten_is_refused_and_kept_as_evidence(poll: Poll, host: Host, grow: Grow) -> None:
    kept = grow(2).size
    grow(4)
    assert poll().returncode == COSIGNED
    before = cosigned(host)
    cut_off(kept)
    size = grow(4).size
    assert size == kept + 4
    ran = poll()
    assert (ran.returncode, ran.stdout) == (REFUSED, "")
    assert f"The ledger was written anew: its {size} entries do not begin with the {size} cosigned" in ran.stderr
    newest = grow(3)
    ran = poll()
    assert (ran.returncode, f"written anew: its {newest.size} entries" in ran.stderr) == (REFUSED, True), ran.stderr
    evidence = [path.read_text(encoding="utf-8") for path in (host.state / "evidence").iterdir()]
    assert any(newest.note in text for text in evidence)
    assert len(evidence) == 2
    assert cosigned(host) == before


def test_a_ledger_that_was_cut_off_is_refused(poll: Poll, host: Host, grow: Grow) -> None:
    kept = grow(2).size
    grow(4)
    assert poll().returncode == COSIGNED
    before = cosigned(host)
    cut_off(kept)
    ran = poll()
    assert (ran.returncode, ran.stdout) == (REFUSED, "")
    assert "The ledger was cut off, or something on the way answered with an old checkpoint" in ran.stderr
    assert f"it has {kept} entries, and this witness has cosigned {kept + 4}" in ran.stderr
    assert cosigned(host) == before


def test_another_log_and_a_checkpoint_of_another_key_are_refused(poll: Poll, host: Host, grow: Grow) -> None:
    grow(2)
    key = sealer.ledger_keys()[0].vkey
    name = key.partition("+")[0]
    for origin, says in ((name, "is not signed by a key of"), ("other.example/log", "which is not one of --log")):
        ran = poll(log=another_key(origin))
        assert (ran.returncode, says in ran.stderr) == (REFUSED, True), ran.stderr
    assert not list(host.state.glob("*.checkpoint"))


def another_key(origin: str) -> str:
    return Log(origin=origin).vkey


def test_a_copy_that_a_crash_prevented_is_made_by_the_next_poll(
    poll: Poll, host: Host, grow: Grow, tmp_path: Path
) -> None:
    grow(2)
    assert poll().returncode == COSIGNED
    assert poll("--copies", str(tmp_path / "kept")).returncode == COSIGNED
    (path,) = (tmp_path / "kept").rglob("*.checkpoint")
    assert path.read_text(encoding="utf-8") == cosigned(host)


def test_a_poll_that_is_killed_at_any_moment_leaves_a_state_that_goes_on(
    live_server: LiveServer, host: Host, token: str, poll: Poll, grow: Grow, pytestconfig: pytest.Config
) -> None:
    moment, seen = random.Random(7), 0
    for _ in range(60 if pytestconfig.getoption("--long") else 6):
        grow(1)
        process = start(host, live_server.url, token)
        time.sleep(moment.uniform(0.15, 0.7))
        process.kill()
        process.communicate()
        found = [int(path.read_text(encoding="utf-8").split("\n")[1]) for path in host.state.glob("*.checkpoint")]
        assert max(found, default=0) >= seen
        seen = max(found, default=0)
    assert poll().returncode == COSIGNED


def test_a_damaged_or_lost_state_cosigns_nothing(poll: Poll, host: Host, grow: Grow) -> None:
    grow(2)
    assert poll().returncode == COSIGNED
    (path,) = host.state.glob("*.checkpoint")
    path.write_text("nonsense", encoding="utf-8")
    ran = poll()
    assert (ran.returncode, "cannot be read or written" in ran.stderr) == (REFUSED, True)
    (host.state / "witness").unlink()
    ran = poll()
    assert (ran.returncode, "A lost one is not replaced" in ran.stderr) == (REFUSED, True)


def test_without_a_token_the_proof_cannot_be_had_and_that_is_no_accusation(
    live_server: LiveServer, host: Host, grow: Grow
) -> None:
    for number, (token, says) in enumerate([("", ""), ("", "COUNTERSIGN_TOKEN is empty"), ("csn_no", "HTTP 401")]):
        grow(1)
        ran = ended(start(host, live_server.url, token))
        assert (ran.returncode, says in ran.stderr) == (CANNOT if number else COSIGNED, True), ran.stderr
    assert not (host.state / "evidence").exists()


@pytest.mark.parametrize("url", ["http://portal.example", "ftp://localhost", "https://", "https://a@b", "portal"])
def test_the_portal_is_asked_over_tls_unless_it_is_on_this_machine(host: Host, url: str) -> None:
    ran = ended(start(host, url, "", log=another_key("x")))
    assert (ran.returncode, "is no address of a portal" in ran.stderr) == (USAGE, True)


@contextmanager
def answering(status: int, body: bytes, **headers: str) -> Iterator[tuple[str, list[Any]]]:
    """Run something that is no portal; yield its address and what it was sent."""
    heard: list[Any] = []

    class Door(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            heard.append((self.path, dict(self.headers)))
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *values: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", heard
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (302, b"", "answered HTTP 302"),
        (500, b"", "answered HTTP 500"),
        (200, b"x" * 70_000, "more than 65536 bytes"),
        (200, b"\xff", "gave no answer"),
        (200, b"<html>sign in</html>", "is no checkpoint"),
    ],
)
def test_what_is_no_answer_is_no_reason_to_sign_or_to_accuse(host: Host, status: int, body: bytes, says: str) -> None:
    with answering(status, body, Location="/elsewhere") as (url, heard):
        ran = ended(start(host, url, "csn_secret", log=another_key("x")))
    assert (ran.returncode, says in ran.stderr) == (CANNOT, True), ran.stderr
    assert len(heard) == 1
    assert "csn_secret" not in repr(heard) + ran.stderr


def test_what_is_handed_out_is_the_one_file_and_needs_cryptography_alone() -> None:
    served: Any = Client().get("/cli/witness.py")
    assert (served.status_code, served.content) == (200, WITNESS.read_bytes())
    tree = ast.parse(standalone.witness_file())
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in names} - sys.stdlib_module_names == {"cryptography"}


def test_the_command_runs_the_witness_beside_it(host: Host, tmp_path: Path) -> None:
    (tmp_path / "countersign").write_bytes(COMMAND.read_bytes())
    words = [sys.executable, str(tmp_path / "countersign"), "witness", "poll", "--help"]
    missing = subprocess.run(words, capture_output=True, text=True, timeout=30, check=False)
    assert (missing.returncode, "at /cli/witness.py" in missing.stderr) == (2, True)
    (tmp_path / "witness.py").write_bytes(standalone.witness_file())
    found = subprocess.run(words, capture_output=True, text=True, timeout=30, check=False)
    assert (found.returncode, "--portal URL" in found.stdout) == (0, True)
