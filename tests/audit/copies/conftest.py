"""What the tests of copies share: sealing some entries, and a witness that runs as a process of its own."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from audit import sealer
from audit.exports import standalone
from audit.models import Checkpoint, Entry

# The one file as the portal hands it out, where nothing of ours lies beside it.
FOLDER = tempfile.TemporaryDirectory()
WITNESS = Path(FOLDER.name) / "witness.py"
WITNESS.write_bytes(standalone.witness_file())
NAME = "witness.example/w1"


@pytest.fixture
def grow(say: Callable[..., Entry]) -> Callable[..., Checkpoint]:
    """Append entries, seal them, and return the newest checkpoint."""

    def append(count: int = 1) -> Checkpoint:
        say(count)
        while sealer.seal_due():
            pass
        return Checkpoint.objects.all()[0]

    return append


@dataclass
class Host:
    """Another host with a witness on it: its folder, its key, and the process that runs or not."""

    folder: Path
    vkey: str = ""
    port: int = 0
    process: subprocess.Popen[str] | None = None
    said: list[str] = field(default_factory=list)

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def setting(self) -> str:
        return f"{self.vkey}+http://127.0.0.1:{self.port}"

    def keygen(self, name: str = NAME) -> None:
        command = ("keygen", "--name", name, "--key", str(self.folder / "key"), "--state", str(self.state))
        self.vkey = run(*command).stdout.strip()

    def start(self, *logs: str) -> None:
        options = [part for log in logs for part in ("--log", log)]
        where = ("--key", str(self.folder / "key"), "--state", str(self.state), "--listen", f"127.0.0.1:{self.port}")
        command = [sys.executable, "-I", "-W", "error", str(WITNESS), "serve", *where, *options]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert self.process.stderr is not None
        while "listens on" not in (line := self.process.stderr.readline()):
            assert line, "the witness did not start"
        self.port = int(line.rpartition(":")[2])

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
            self.process = None


def run(*arguments: str) -> Any:
    """Run the witness to its end, in an isolated interpreter."""
    command = [sys.executable, "-I", "-W", "error", str(WITNESS), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    """Return a host with a witness that has a key and does not run yet."""
    folder = tmp_path / "other-host"
    folder.mkdir()
    found = Host(folder)
    found.keygen()
    yield found
    with suppress(ProcessLookupError):
        found.kill()


def eventually(holds: Callable[[], bool], seconds: float = 10) -> bool:
    """Return whether something holds within a time."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
