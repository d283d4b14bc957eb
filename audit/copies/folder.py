"""A folder as a place: each checkpoint one read-only file, written whole and for good, never written over."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from audit.copies import naming
from audit.copies.place import Place, Unreachable
from audit.models import Checkpoint
from audit.notes import MAX_NOTE


class Folder(Place):
    """A folder, best on a disk that another team owns or that keeps what was written once."""

    takes_all = True
    is_readable = True

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = f"file://{path}"
        self.words = f"folder {path}"

    def bring(self, checkpoint: Checkpoint) -> None:
        """Write a checkpoint there, unless it is there already."""
        target = self.path / naming.path_of(checkpoint.size)
        try:
            self._expect_there()
            self._make_folders(target.parent)
            if not target.exists():
                self._publish(target, checkpoint.note)
            naming.compare(_read(target), checkpoint.note, checkpoint.size)
        except (OSError, UnicodeDecodeError) as error:
            raise Unreachable(_why(error)) from error

    def newest_size(self) -> int | None:
        """Return the size of the newest checkpoint in the folder."""
        found = self._newest_path()
        return naming.size_of(found) if found else None

    def newest(self) -> str | None:
        """Return the newest checkpoint in the folder."""
        try:
            self._expect_there()
            found = self._newest_path()
            return _read(self.path / found) if found else None
        except (OSError, UnicodeDecodeError) as error:
            raise Unreachable(_why(error)) from error

    def _newest_path(self) -> str | None:
        """Return the path of the newest copy below the folder."""

        def names_in(below: str) -> list[str]:
            try:
                return [each.name for each in (self.path / below).iterdir()]
            except OSError:
                return []

        return naming.newest_path(names_in)

    def _expect_there(self) -> None:
        """Expect the folder itself, which is never made here: a disk that is not mounted must not go unnoticed."""
        if not self.path.is_dir():
            raise FileNotFoundError(2, "The folder is not there. Is its disk mounted?")

    def _make_folders(self, folder: Path) -> None:
        """Make the steps below the folder, each on the disk before the next."""
        missing = [each for each in (folder, *folder.parents) if each.is_relative_to(self.path) and not each.exists()]
        for each in reversed(missing):
            with suppress(FileExistsError):
                each.mkdir()
            _sync(each.parent)

    def _publish(self, target: Path, note: str) -> None:
        """Make a complete file appear under its name, unless there is one."""
        handle, draft = tempfile.mkstemp(prefix=".incoming-", dir=target.parent)
        try:
            with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as stream:
                stream.write(note)
                stream.flush()
                os.fsync(stream.fileno())
            Path(draft).chmod(0o444)
            with suppress(FileExistsError):
                os.link(draft, target)
        finally:
            Path(draft).unlink(missing_ok=True)
        _sync(target.parent)


def _sync(folder: Path) -> None:
    """Bring the names in a folder to the disk."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _read(path: Path) -> str:
    """Return a file's text, as much of it as a checkpoint can have."""
    with path.open("rb") as stream:
        return stream.read(MAX_NOTE).decode("utf-8")


def _why(error: Exception) -> str:
    """Return what went wrong as a sentence."""
    if isinstance(error, OSError):
        said = error.strerror or type(error).__name__
        return said if said.endswith("?") else f"{said}."
    return "A file there is no text."
