"""Where the embedded services put things, and as whom: short private folders, and the account PostgreSQL accepts."""

from __future__ import annotations

import fcntl
import os
import pwd
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from portal.embedded.children import Account, CannotStart

NOBODY = 65534
PREFIX = "countersign-"
# A socket's whole path is limited to 107 bytes on Linux and 103 on macOS; ours adds about 40 to the folder.
LONGEST_FOLDER = 60
SWEEP_AFTER = 60.0


def database_account() -> Account | None:
    """Return the account PostgreSQL must drop to, or None when it can run as we do.

    PostgreSQL refuses to run as root, and its initdb refuses a user id that has no name. Raises CannotStart.
    """
    wanted = NOBODY if os.getuid() == 0 else os.getuid()
    try:
        entry = pwd.getpwuid(wanted)
    except KeyError:
        raise CannotStart(
            f"PostgreSQL needs a name for user id {wanted} and this system has none. "
            "Add a line to /etc/passwd, or set DATABASE_URL to a server of your own."
        ) from None
    return Account(entry.pw_uid, entry.pw_gid) if os.getuid() == 0 else None


def can_enter(path: Path, account: Account | None) -> bool:
    """Tell whether an account may reach and execute a path, by the mode bits of the path and all its parents."""
    if account is None:
        return True
    resolved = path.resolve()
    return all(_lets_in(part.stat(), account) for part in (resolved, *resolved.parents))


def _lets_in(status: os.stat_result, account: Account) -> bool:
    """Tell whether one file's execute bit holds for the account."""
    if status.st_uid == account.uid:
        return bool(status.st_mode & stat.S_IXUSR)
    if status.st_gid == account.gid:
        return bool(status.st_mode & stat.S_IXGRP)
    return bool(status.st_mode & stat.S_IXOTH)


@contextmanager
def runtime_folder(account: Account | None) -> Iterator[Path]:
    """Make a short private folder for sockets and copies, and remove it at the end.

    Folders that a killed launcher left behind are removed first.
    """
    parent = _roomy_parent(account)
    _sweep(parent)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
    if account:
        folder.chmod(0o711)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _roomy_parent(account: Account | None) -> Path:
    """Return the first temporary folder with a short name that the account may enter."""
    candidates = [Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp")]  # noqa: S108 - mkdtemp follows
    for parent in candidates:
        if parent.is_dir() and len(os.fsencode(parent)) <= LONGEST_FOLDER and can_enter(parent, account):
            return parent
    raise CannotStart(f"No temporary folder is short enough for a socket and open to the database: tried {candidates}.")


def _sweep(parent: Path) -> None:
    """Remove our folders that nobody holds the lock of any more."""
    for lock_file in parent.glob(f"{PREFIX}*/lock"):
        try:
            # A folder this young may be between its making and its locking.
            if time.time() - lock_file.stat().st_mtime < SWEEP_AFTER or lock_file.stat().st_uid != os.getuid():
                continue
            with lock_file.open("r+") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(lock_file.parent, ignore_errors=True)
        except OSError:
            continue


def give(path: Path, account: Account | None) -> None:
    """Make an account the owner of a file or of a folder and all below it."""
    if account is None:
        return
    os.chown(path, account.uid, account.gid, follow_symlinks=False)
    for folder, folders, files in os.walk(path):
        for name in (*folders, *files):
            os.chown(Path(folder, name), account.uid, account.gid, follow_symlinks=False)
