"""The child process of a scan: takes an open file, shuts every door behind itself, prints one report as JSON.

Run as `python -m governance.scanning.child DESCRIPTOR NAME LIMITS`, with the allowances as JSON on standard input. The
parent's side is isolation.py.
"""

from __future__ import annotations

import ctypes
import io
import json
import resource
import signal
import sys
from collections.abc import Callable

from governance.scanning.allowlist import read_allowlist
from governance.scanning.engine import inspect, scan_handle
from governance.scanning.limits import Budget, Limits
from governance.scanning.report import read_globals
from governance.scanning.scene import Scene

CLONE_NEWUSER = 0x10000000
CLONE_NEWNET = 0x40000000
PR_SET_PDEATHSIG = 1
RUNNING = "pickle.find_class os.system os.exec os.fork os.forkpty os.posix_spawn os.spawn subprocess.Popen pty.spawn"
REACHING = "socket.connect socket.bind socket.sendto socket.getaddrinfo ctypes.dlopen webbrowser.open"
FORBIDDEN = frozenset(f"{RUNNING} {REACHING}".split())


def set_limits(limits: Limits) -> list[str]:
    """Bound memory, processor time, written files and core dumps; return the names of the bounds that hold."""
    # The kernel says why only at the soft limit on processor time, so the hard one comes a second later.
    bounds = (
        ("memory", resource.RLIMIT_AS, limits.address_bytes, 0),
        ("cpu", resource.RLIMIT_CPU, limits.cpu_seconds, 1),
        ("no-writing", resource.RLIMIT_FSIZE, 0, 0),
        ("no-core", resource.RLIMIT_CORE, 0, 0),
    )
    held = []
    for name, kind, wanted, more in bounds:
        _, hard = resource.getrlimit(kind)
        soft, most = (
            value if hard == resource.RLIM_INFINITY else min(value, hard) for value in (wanted, wanted + more)
        )
        resource.setrlimit(kind, (soft, most))
        held.append(name)
    return held


def leave_network() -> list[str]:
    """Move into an empty network of its own where the kernel permits it; return what was achieved."""
    try:
        library = ctypes.CDLL(None, use_errno=True)
        library.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if library.unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0 or library.unshare(CLONE_NEWNET) == 0:
            return ["no-network"]
    except (OSError, AttributeError):
        return []
    return []


def forbid_running() -> list[str]:
    """Make the interpreter itself refuse to unpickle, start programs or use sockets from now on (PEP 578)."""
    # sys.addaudithook cannot be undone, which is the point of using it.
    sys.addaudithook(_refuse)
    return ["no-running"]


def _refuse(event: str, args: tuple[object, ...]) -> None:
    """Stop at an event that no reading of bytes needs."""
    if event in FORBIDDEN:
        raise PermissionError(f"A scan must not do this: {event}")


def main(arguments: list[str]) -> int:
    """Scan the open file whose descriptor is given and print the report; return the exit status."""
    descriptor, name, text = arguments
    limits = Limits(**json.loads(text))
    allowlist = read_allowlist().counting_on(read_globals(json.load(sys.stdin)))
    steps: tuple[Callable[[], list[str]], ...] = (lambda: set_limits(limits), leave_network, forbid_running)
    isolation = [part for step in steps for part in step()]
    scene = Scene(limits, Budget(limits), allowlist, inspect)
    with io.FileIO(int(descriptor), "rb") as handle:
        report = scan_handle(handle, name, scene)
    sys.stdout.write(json.dumps(report.as_dict() | {"isolation": isolation}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
