"""Runs the command as CI does: another process, an isolated interpreter, two variables in the environment."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

COMMAND = Path(__file__).resolve().parents[2] / "static" / "cli" / "countersign"


def start(url: str, token: str, *arguments: str) -> subprocess.Popen[str]:
    """Start the command without site packages, so that only the standard library is there."""
    return subprocess.Popen(
        [sys.executable, "-I", "-S", "-W", "error", str(COMMAND), *arguments],
        env={"COUNTERSIGN_URL": url, "COUNTERSIGN_TOKEN": token, "PYTHONUTF8": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Return (exit code, standard output, standard error)."""
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def run(url: str, token: str, *arguments: str) -> tuple[int, str, str]:
    """Run the command to its end."""
    return finish(start(url, token, *arguments))
