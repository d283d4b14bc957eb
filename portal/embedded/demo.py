"""`manage.py demo`: the whole portal on one machine, started in order, watched, and stopped without leftovers.

Everything it keeps is in one folder (COUNTERSIGN_VAR, else var/demo). What the demo shows is written by `seed_demo`.
"""

from __future__ import annotations

import fcntl
import itertools
import json
import os
import secrets
import shutil
import signal
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

import psycopg

from portal.embedded import postgres, services
from portal.embedded.broker import free_port
from portal.embedded.children import CannotStart, Child, finish, spawn, stop, wait_until
from portal.embedded.processes import processes

ROOT = Path(__file__).resolve().parent.parent.parent
HOST = "127.0.0.1"
LOCK = "demo.lock"
LONGEST_WAIT = 180.0


@dataclass(frozen=True)
class Progress:
    """Lines for the person at the terminal, each with the seconds since the start."""

    begin: float = field(default_factory=time.monotonic)

    def say(self, line: str) -> None:
        """Print one line."""
        print(f"{time.monotonic() - self.begin:6.1f} s  {line}", flush=True)


@dataclass(frozen=True)
class Site:
    """One run of the demo: its folder, its address, its environment and its progress lines."""

    folder: Path
    port: int
    environ: Mapping[str, str]
    progress: Progress

    def log(self, name: str) -> Path:
        """Return the log file of one program."""
        return self.folder / "logs" / f"{name}.log"

    def start(self, *arguments: str, output: Path | None = None) -> Child:
        """Start one management command; `output` receives its standard output instead of the log."""
        command: list[str | Path] = [sys.executable, ROOT / "manage.py", *arguments]
        log = self.log(arguments[0])
        return spawn(f"manage.py {arguments[0]}", command, env=self.environ, log=log, cwd=ROOT, output=output)

    def manage(self, *arguments: str) -> None:
        """Run one management command to its end. Raises CannotStart when it fails."""
        finish(self.start(*arguments))


def run(*, port: int, until_ready: bool) -> int:
    """Start everything, print where it is, and keep it running until Ctrl-C or until one part ends.

    With `until_ready`, stop once everything answers. Raises CannotStart.
    """
    folder = Path(os.environ.get("COUNTERSIGN_VAR", ROOT / "var" / "demo")).absolute()
    progress, code = Progress(), 0
    with ExitStack() as stack:
        lock = stack.enter_context(_claim_folder(folder))
        # A start right after a kill meets the old web process on its way out.
        port = _claim_port(port, patience=10.0 if lock.read() else 0.0)
        _sign(lock, f"http://localhost:{port}, process {os.getpid()}")
        try:
            with _interruptible():
                children = _start(stack, folder, port, progress)
                if not until_ready:
                    _watch(children)
        except KeyboardInterrupt:
            # Ctrl-C is how a demo ends; only who asked for readiness and did not get it has reason to complain.
            code = 130 if until_ready else 0
            print(flush=True)
        # Once stopping has begun, another Ctrl-C would only leave things behind.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        progress.say("stopping; a running job gets ten seconds to end")
        stack.close()
        progress.say("stopped")
    return code


@contextmanager
def _interruptible() -> Iterator[None]:
    """Treat a termination and a closed terminal like Ctrl-C."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
    yield


@contextmanager
def _claim_folder(folder: Path) -> Iterator[TextIO]:
    """Hold the folder for this run alone, and hand out its lock file, which is empty after a clean end.

    The kernel lets go of the lock however we end. Raises CannotStart.
    """
    lock_file = folder / LOCK
    if folder.exists() and any(folder.iterdir()) and not lock_file.exists():
        raise CannotStart(f"{folder} is not empty and not a demo's; set COUNTERSIGN_VAR to another folder.")
    folder.mkdir(parents=True, exist_ok=True)
    with lock_file.open("a+") as lock:
        lock.seek(0)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CannotStart(f"The demo already runs: {lock.read().strip()}. Stop that one first.") from None
        try:
            yield lock
        finally:
            _sign(lock, "")


def _sign(lock: TextIO, text: str) -> None:
    """Write who holds the folder, for the person who starts a second one."""
    lock.truncate(0)
    lock.write(text)
    lock.flush()


def _claim_port(port: int, *, patience: float) -> int:
    """Return the port when nobody listens there within `patience` seconds, or a free one for 0. Raises CannotStart."""
    if port == 0:
        return free_port()
    deadline = time.monotonic() + patience
    while True:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError as error:
                if time.monotonic() > deadline:
                    raise CannotStart(f"Port {port}: {error.strerror}. Choose another: PORT=8001 make demo") from None
            else:
                return port
        time.sleep(0.1)


def _start(stack: ExitStack, folder: Path, port: int, progress: Progress) -> list[Child]:
    """Start database, broker and the portal in order, say so line by line, and return what must stay running."""
    cast = folder / "cast.txt"
    progress.say(f"Countersign demo; data and logs in {folder}")
    if not cast.exists() and not os.environ.get("DATABASE_URL"):
        _forget(folder)
    runtime = stack.enter_context(services.private_folder())
    parts = stack.enter_context(services.serve(folder, runtime, durable=True))
    progress.say(f"database and broker ready ({parts.database_version()}, {parts.broker_version()})")
    site = Site(folder, port, _environment(folder, port, parts), progress)
    fresh = _is_empty(parts.database_url)
    static = site.start("collectstatic", "--no-input")
    stack.callback(stop, [static])
    site.manage("migrate", "--no-input")
    finish(static)
    progress.say("tables and static files ready")
    if fresh:
        _seed(site, cast)
        # Every step of the cast rang for a worker, and most of that work is done.
        parts.forget_messages()
    children = _start_portal(stack, site)
    progress.say(f"ready at http://localhost:{port}")
    print(f"\n{cast.read_text(encoding='utf-8').strip() if cast.exists() else 'This database was not seeded here.'}\n")
    print("Ctrl-C stops everything.", flush=True)
    return [*parts.children, *children]


def _forget(folder: Path) -> None:
    """Remove what a start left that ended before its data was complete: half a story is worse than none."""
    postgres.remove_data(folder)
    for left in folder.iterdir():
        if left.is_dir() and not left.is_symlink():
            shutil.rmtree(left)
        elif left.name != LOCK:
            left.unlink()


def _environment(folder: Path, port: int, parts: services.Services) -> dict[str, str]:
    """Return the environment of the demo's processes, with a secret key that survives a restart."""
    key_file = folder / "secret_key"
    if not key_file.exists():
        key_file.touch(mode=0o600)
        key_file.write_text(secrets.token_urlsafe(48))
    return {
        **os.environ,
        **parts.environ(),
        "SECRET_KEY": key_file.read_text(),
        "COUNTERSIGN_VAR": str(folder),
        "COUNTERSIGN_DEMO": "1",
        "PORTAL_URL": f"http://localhost:{port}",
        "PYTHONUNBUFFERED": "1",
    }


def _is_empty(database_url: str) -> bool:
    """Tell whether no migration has ever run here. Raises CannotStart when the database does not answer."""
    with psycopg.connect(database_url, connect_timeout=5) as connection:
        row = connection.execute("SELECT to_regclass('django_migrations') IS NULL").fetchone()
    return bool(row and row[0])


def _seed(site: Site, cast: Path) -> None:
    """Let the cast walk its versions through the portal, saying each step, and write who can sign in to `cast`.

    The command prints its steps, an empty line, and the cast. Raises CannotStart when it fails.
    """
    site.progress.say("seeding: the cast walks its first versions through the portal")
    cast.unlink(missing_ok=True)
    unfinished = cast.with_suffix(".new")
    unfinished.unlink(missing_ok=True)
    unfinished.touch(mode=0o600)
    child = site.start("seed_demo", output=unfinished)
    try:
        for line in itertools.takewhile(bool, _lines(child, unfinished)):
            site.progress.say(f"  {line}")
    except BaseException:
        stop([child])
        raise
    finish(child)
    steps, _, people = unfinished.read_text(encoding="utf-8").partition("\n\n")
    unfinished.write_text(people or steps, encoding="utf-8")
    unfinished.rename(cast)
    site.progress.say("demo data ready")


def _lines(child: Child, output: Path) -> Iterator[str]:
    """Yield each line that a program writes, stripped, as soon as it is whole, until the program ends."""
    with output.open(encoding="utf-8") as stream:
        rest, running = "", True
        while running:
            running = child.running
            *whole, rest = (rest + stream.read()).split("\n")
            yield from (line.strip() for line in whole)
            time.sleep(0.1)


def _start_portal(stack: ExitStack, site: Site) -> list[Child]:
    """Start web, worker and clock together, and wait until the web process reports that all of them work."""
    children: list[Child] = []
    # Rows are the queue: a job that is cut short is found and done again.
    stack.callback(stop, children, seconds=10)
    for name, process in processes(HOST, site.port).items():
        children.append(
            spawn(
                f"The {name}",
                process.arguments(),
                env={**site.environ, **process.environ},
                log=site.log(name),
                cwd=ROOT,
                death_signal=process.death_signal,
            )
        )
    web = children[0]
    wait_until(lambda: _page_is_good(site.port, "/readyz"), web, seconds=LONGEST_WAIT)
    site.progress.say("web ready; waiting for the clock's first tick through the worker")
    wait_until(
        lambda: _all_run(children) and _page_is_good(site.port, "/healthz"), web, seconds=LONGEST_WAIT, every=0.2
    )
    return children


def _all_run(children: list[Child]) -> bool:
    """Return True, or raise CannotStart for the first child that has ended."""
    for child in children:
        if not child.running:
            raise child.failure()
    return True


def _page_is_good(port: int, path: str) -> bool:
    """Tell whether a page of the portal answers 200."""
    try:
        with urllib.request.urlopen(f"http://{HOST}:{port}{path}", timeout=5) as answer:
            json.load(answer)
    except (urllib.error.URLError, OSError, ValueError):
        return False
    return True


def _watch(children: list[Child]) -> None:
    """Sleep until a child ends, which raises CannotStart; Ctrl-C interrupts it."""
    while _all_run(children):
        time.sleep(0.5)
