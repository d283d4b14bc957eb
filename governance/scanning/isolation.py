"""Runs a scan in a child process with limits and makes a report of whatever happens to it. A failure never passes."""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from governance.scanning.allowlist import NamedGlobal, read_allowlist
from governance.scanning.engine import inspect, make_report, open_file
from governance.scanning.limits import Budget, Limits, Unreadable
from governance.scanning.report import Finding, Report, Verdict
from governance.scanning.scene import Scene

ROOT = Path(__file__).resolve().parent.parent.parent
GRACE_SECONDS = 5.0
PASSED_ON = ("LD_LIBRARY_PATH", "OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
SIGNALS = {
    signal.SIGXCPU: ("too-slow", "It used up its processor time."),
    signal.SIGKILL: ("child-died", "The scanning process was killed, most likely for its memory."),
}


class ChildFailed(Exception):
    """The child gave no usable answer."""

    def __init__(self, code: str, says: str) -> None:
        super().__init__(says)
        self.code = code
        self.says = says


def scan_in_child(
    path: Path, *, name: str | None = None, limits: Limits | None = None, allowed: Iterable[NamedGlobal] = ()
) -> Report:
    """Judge one file in a process without network, with bounded memory, processor and wall time.

    `name` replaces the path's name where files are stored by digest; `allowed` are globals that this scan may count on
    besides the allow-list. Never raises for what is in the file: a time-out, a crash and an unreadable answer are
    reports with the verdict `error`.
    """
    limits = limits or Limits()
    try:
        descriptor = open_file(path)
    except Unreadable as problem:
        return _failure(limits, problem.code, problem.says)
    try:
        return _ask_child(descriptor, path.name if name is None else name, limits, list(allowed))
    except ChildFailed as problem:
        return _failure(limits, problem.code, problem.says)
    finally:
        os.close(descriptor)


def _ask_child(descriptor: int, name: str, limits: Limits, allowed: list[NamedGlobal]) -> Report:
    """Start a child on an open file and return its report. Raises ChildFailed."""
    # A zero byte cannot be handed to a process, and no file system has one in a name.
    arguments = [str(descriptor), name.replace("\0", "?"), json.dumps(asdict(limits))]
    # A file, because a pipe would fill up when there are many allowances and the child dies before it reads them.
    with tempfile.TemporaryFile("w+", encoding="utf-8") as told:
        json.dump([asdict(each) for each in allowed], told)
        told.seek(0)
        # Every part of the command is ours, except the name, which is an argument and never seen by a shell.
        child = subprocess.Popen(  # noqa: S603
            [sys.executable, "-s", "-m", "governance.scanning.child", *arguments],
            cwd=ROOT,
            env=_environment(),
            pass_fds=[descriptor],
            stdin=told,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    return _take_answer(child, limits)


def _take_answer(child: subprocess.Popen[bytes], limits: Limits) -> Report:
    """Wait for a child's report, and leave nothing of the child behind. Raises ChildFailed."""
    try:
        answer = _read_answer(child, limits)
    finally:
        _end(child)
    if child.returncode != 0:
        known = SIGNALS.get(signal.Signals(-child.returncode)) if child.returncode < 0 else None
        says = f"The scanning process stopped with status {child.returncode}."
        raise ChildFailed(*(known or ("child-died", says)))
    try:
        return Report.from_dict(json.loads(answer))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ChildFailed("child-garbage", "The scanning process gave an answer that cannot be read.") from error


def _read_answer(child: subprocess.Popen[bytes], limits: Limits) -> bytes:
    """Return what the child prints until it ends, bounded in size and time. Raises ChildFailed."""
    if child.stdout is None:
        raise ChildFailed("child-died", "The scanning process has no way to answer.")
    deadline = time.monotonic() + limits.wall_seconds + GRACE_SECONDS
    parts: list[bytes] = []
    size = 0
    with selectors.DefaultSelector() as selector:
        selector.register(child.stdout, selectors.EVENT_READ)
        while True:
            if not selector.select(max(0.0, deadline - time.monotonic())):
                raise ChildFailed("too-slow", f"Reading it took longer than {limits.wall_seconds:g} seconds.")
            part = os.read(child.stdout.fileno(), 1 << 16)
            if not part:
                break
            size += len(part)
            parts.append(part)
            if size > limits.answer_bytes:
                raise ChildFailed("child-garbage", "The scanning process gave an answer that is too long.")
    try:
        child.wait(timeout=max(0.1, deadline - time.monotonic()))
    except subprocess.TimeoutExpired as error:
        raise ChildFailed("too-slow", f"Reading it took longer than {limits.wall_seconds:g} seconds.") from error
    return b"".join(parts)


def _end(child: subprocess.Popen[bytes]) -> None:
    """Make sure that nothing of the child is left."""
    if child.poll() is None:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    if child.stdout is not None:
        child.stdout.close()


def _environment() -> dict[str, str]:
    """Return the child's environment: nothing of ours that could be a secret or steer Python."""
    kept = {key: os.environ[key] for key in PASSED_ON if key in os.environ}
    return kept | {
        "PATH": os.defpath,
        "LC_ALL": "C.UTF-8",
        "OPENBLAS_NUM_THREADS": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUTF8": "1",
    }


def _failure(limits: Limits, code: str, says: str) -> Report:
    """Return the report of a scan that gave no answer."""
    scene = Scene(limits, Budget(limits), read_allowlist(), inspect)
    return make_report(scene, "unknown", extra=Finding(code, says, "", Verdict.ERROR))
