"""The whole demo: started, refused a second time, killed, started again, stopped. Nothing of it outlives it."""

from __future__ import annotations

import http.client
import os
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from portal.embedded import postgres
from portal.embedded.broker import free_port
from tests.processes import children_of, gone

ROOT = Path(__file__).resolve().parents[2]
OURS = {"DATABASE_URL", "REDIS_URL", "KEYS_DIR", "SECRET_KEY"}


def start(folder: Path, port: int) -> subprocess.Popen[str]:
    environ = {name: value for name, value in os.environ.items() if name not in OURS}
    return subprocess.Popen(
        [sys.executable, str(ROOT / "manage.py"), "demo"],
        env={**environ, "COUNTERSIGN_VAR": str(folder), "PORT": str(port)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def read_until(demo: subprocess.Popen[str], words: str) -> str:
    assert demo.stdout is not None
    lines = []
    for line in demo.stdout:
        lines.append(line)
        if words in line:
            return "".join(lines)
    raise AssertionError("".join(lines))


def answer_beside_idle_connections(port: int) -> None:
    """Ask while thirty connections stay open, as those of a few browsers do; Python opens one for each request."""
    idle = [http.client.HTTPConnection("127.0.0.1", port, timeout=10) for _ in range(30)]
    for connection in idle:
        connection.request("GET", "/healthz")
        assert connection.getresponse().read()
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=10) as answer:
        assert answer.status == 200
    for connection in idle:
        connection.close()


@pytest.mark.demo
def test_the_demo_survives_a_kill_and_leaves_nothing_behind(tmp_path: Path) -> None:
    folder, port = tmp_path / "demo", free_port()
    first = start(folder, port)
    said = read_until(first, "Ctrl-C stops everything.")
    assert f"ready at http://localhost:{port}" in said
    assert "demo data ready" in said
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=10) as answer:
        assert answer.status == 200

    answer_beside_idle_connections(port)

    second = start(folder, port)
    says_so, _ = second.communicate(timeout=60)
    assert second.returncode == 1
    assert says_so == f"The demo already runs: http://localhost:{port}, process {first.pid}. Stop that one first.\n"

    family = children_of(first.pid)
    first.kill()
    first.communicate()
    third = start(folder, port)
    said = read_until(third, "Ctrl-C stops everything.")
    assert gone(family)
    assert "seeding" not in said
    assert re.search(r"\bada\b", said)

    family = children_of(third.pid)
    third.send_signal(signal.SIGINT)
    rest, _ = third.communicate(timeout=60)
    assert third.returncode == 0
    assert rest.rstrip().endswith("stopped")
    assert gone(family)
    postgres.remove_data(folder)
