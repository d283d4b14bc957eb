"""Child processes that never outlive their parent, and the one error of this package. Not what they run."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PR_SET_PDEATHSIG = 1
# Looked up before any fork: between fork and exec a child may not import or allocate more than it must.
_prctl: Any = getattr(ctypes.CDLL(None), "prctl", None) if sys.platform == "linux" else None


class CannotStart(Exception):
    """Something cannot run here. The message is whole sentences for the person at the terminal."""


@dataclass(frozen=True)
class Account:
    """The user and group that a child drops to."""

    uid: int
    gid: int


@dataclass(frozen=True)
class Child:
    """A running program: its name for people, its process, its log, and the signal that stops it cleanly."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    stop_signal: signal.Signals

    @property
    def running(self) -> bool:
        """Tell whether the program has not ended yet."""
        return self.process.poll() is None

    def last_lines(self, count: int = 12) -> str:
        """Return the end of the program's log, indented for the terminal."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-count:]
        return "\n".join(f"    {line}" for line in lines)

    def failure(self) -> CannotStart:
        """Return the error that says how the program ended and what it said last."""
        return CannotStart(f"{self.name} ended with code {self.process.poll()}; {self.log} says:\n{self.last_lines()}")


def spawn(
    name: str,
    command: Sequence[str | Path],
    *,
    env: Mapping[str, str],
    log: Path,
    cwd: Path | None = None,
    account: Account | None = None,
    stop_signal: signal.Signals = signal.SIGTERM,
    death_signal: signal.Signals = signal.SIGTERM,
    output: Path | None = None,
) -> Child:
    """Start a program in a session of its own; it writes to the log and gets the death signal when we die.

    Call it from the main thread: the kernel watches the thread that forked, not the process.
    `output` takes the standard output away from the log.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as errors, (output or log).open("ab") as lines:
        process = subprocess.Popen(  # noqa: S603 - the commands are this package's own
            [str(part) for part in command],
            env=dict(env),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=lines,
            stderr=errors,
            # Ctrl-C reaches the whole foreground group; the children wait for their turn in our order instead.
            start_new_session=True,
            preexec_fn=_die_with_parent(death_signal),  # noqa: PLW1509 - one system call, and nothing else can do it
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
        )
    return Child(name, process, log, stop_signal)


def _die_with_parent(death_signal: signal.Signals) -> Callable[[], None] | None:
    """Return what a fresh child does before it becomes its program, or nothing where the system cannot do it."""
    if _prctl is None:
        return None
    parent = os.getpid()

    def bind() -> None:
        _prctl(PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
        if os.getppid() != parent:  # The parent died before the call above, so no signal will come.
            os._exit(1)

    return bind


def finish(child: Child) -> None:
    """Wait for a program that does one thing, and raise CannotStart when it fails; stop it when we are interrupted."""
    try:
        code = child.process.wait()
    except BaseException:
        stop([child])
        raise
    if code != 0:
        raise child.failure()


def wait_until(answers: Callable[[], bool], child: Child, *, seconds: float, every: float = 0.03) -> None:
    """Wait until a program answers; raise CannotStart when it ends first or takes longer than `seconds`."""
    deadline = time.monotonic() + seconds
    while not answers():
        if not child.running:
            raise child.failure()
        if time.monotonic() > deadline:
            raise CannotStart(
                f"{child.name} did not answer in {seconds:.0f} seconds; {child.log} says:\n{child.last_lines()}"
            )
        time.sleep(every)


def stop(children: Sequence[Child], *, seconds: float = 15) -> None:
    """Stop programs together, and kill those that are still there after `seconds`, with all they started."""
    for child in children:
        if child.running:
            child.process.send_signal(child.stop_signal)
    deadline = time.monotonic() + seconds
    for child in children:
        with suppress(subprocess.TimeoutExpired):
            child.process.wait(timeout=max(0.0, deadline - time.monotonic()))
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(child.process.pid, signal.SIGKILL)
        child.process.wait()
