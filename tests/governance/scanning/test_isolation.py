"""The child process: its limits hold, it cannot run anything, and every way it can die is a report that says so."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from governance.scanning import Limits, Verdict, hash_file, isolation, scan, scan_in_child
from governance.scanning.isolation import ROOT
from tests.governance.scanning.assemble import attack, safetensors
from tests.governance.scanning.assemble import pickle as make_pickle

FORBIDDEN = """
import sys
from governance.scanning import child
child.forbid_running()
try:
    {attempt}
except PermissionError as error:
    print("refused:", error)
"""


def run_child_code(attempt: str) -> str:
    """Run code after the child has forbidden itself to run anything, and return what it prints."""
    command = [sys.executable, "-c", FORBIDDEN.format(attempt=attempt)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout


def test_the_child_and_the_library_agree(tmp_path: Path) -> None:
    path = tmp_path / "m.pkl"
    path.write_bytes(attack())
    inside, here = scan_in_child(path), scan(path)
    assert inside.verdict is here.verdict is Verdict.REJECTED
    assert (inside.reasons, inside.sha256, inside.allowlist_digest) == (
        here.reasons,
        here.sha256,
        here.allowlist_digest,
    )
    assert (inside.sha256, inside.size) == hash_file(path)
    assert {"memory", "cpu", "no-writing", "no-running"} <= set(inside.isolation)


def test_the_declared_name_decides_where_files_are_stored_by_digest(tmp_path: Path) -> None:
    path = tmp_path / ("ab" * 32)
    path.write_bytes(safetensors({}))
    assert scan_in_child(path).verdict is Verdict.HELD
    assert scan_in_child(path, name="model.safetensors").verdict is Verdict.PASS
    assert scan_in_child(path, name="model\0.onnx").verdict is not Verdict.PASS


@pytest.mark.parametrize(
    "attempt",
    [
        "import pickle; pickle.loads(b'cos\\nsystem\\n.')",
        "import os; os.system('true')",
        "import subprocess; subprocess.run(['true'])",
        "import os; os.execv('/bin/true', ['true'])",
        "import os; os.fork()",
        "import socket; socket.socket().connect(('127.0.0.1', 9))",
    ],
    ids=["pickle", "system", "subprocess", "exec", "fork", "connect"],
)
def test_a_child_that_forbade_itself_to_run_things_cannot(attempt: str) -> None:
    assert run_child_code(attempt).startswith("refused: A scan must not do this")


def test_the_child_loads_neither_django_nor_a_model_library() -> None:
    code = "import sys, governance.scanning.child; print(json.dumps(sorted(sys.modules)))"
    command = [sys.executable, "-c", f"import json; {code}"]
    loaded = set(json.loads(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout))
    assert not loaded & {"django", "celery", "numpy", "joblib", "sklearn", "onnx", "picklescan"}


def test_no_network_is_reported_only_when_it_was_left(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("hello")
    possible = subprocess.run(["unshare", "-rn", "true"], capture_output=True, check=False).returncode == 0
    assert ("no-network" in scan_in_child(path).isolation) == possible


def test_a_child_that_takes_too_long_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "m.pkl"
    path.write_bytes(make_pickle(b"N0" * 2_000_000 + b"N"))
    monkeypatch.setattr(isolation, "GRACE_SECONDS", 0.0)
    started = time.monotonic()
    report = scan_in_child(path, limits=Limits(wall_seconds=0.05))
    assert (report.verdict, [reason.code for reason in report.reasons]) == (Verdict.ERROR, ["too-slow"])
    assert time.monotonic() - started < 10


def test_a_child_that_uses_up_its_processor_time_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "m.pkl"
    path.write_bytes(make_pickle(b"N0" * 10_000_000 + b"N"))
    report = scan_in_child(path, limits=Limits(cpu_seconds=1, opcodes=1 << 30))
    assert (report.verdict, [reason.code for reason in report.reasons]) == (Verdict.ERROR, ["too-slow"])


def test_a_child_without_memory_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    path.write_text("[" + "[]," * 3_000_000 + "[]]")
    report = scan_in_child(path, limits=Limits(address_bytes=160 << 20))
    assert report.verdict is Verdict.ERROR


def test_an_answer_that_is_too_long_or_no_answer_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "m.pkl"
    path.write_bytes(attack())
    report = scan_in_child(path, limits=Limits(answer_bytes=10))
    assert [reason.code for reason in report.reasons] == ["child-garbage"]


def test_what_is_no_readable_file_is_an_error(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.pkl")
    for path, code in ((tmp_path / "pipe.pkl", "not-a-file"), (tmp_path, "not-a-file"), (tmp_path / "no", "unopened")):
        for report in (scan(path), scan_in_child(path)):
            assert (report.verdict, [reason.code for reason in report.reasons]) == (Verdict.ERROR, [code])


def test_the_child_gets_none_of_our_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEY", "do-not-tell")
    monkeypatch.setenv("PYTHONPATH", "/tmp/evil")
    environment = isolation._environment()
    assert "do-not-tell" not in environment.values()
    assert "PYTHONPATH" not in environment
