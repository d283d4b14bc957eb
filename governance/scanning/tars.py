"""Reads tar archives: ordinary files only, no way out of the folder, and nothing behind the end."""

from __future__ import annotations

import tarfile
from typing import cast

from governance.scanning.limits import Unreadable, Unsafe
from governance.scanning.reading import Window
from governance.scanning.scene import Piece, Scene

BLOCK = 512


def read(piece: Piece, scene: Scene) -> None:
    """Judge every member of a tar. Raises Unreadable or Unsafe."""
    window = piece.window
    seen: set[str] = set()
    end = 0
    try:
        # Mode "r:" reads plain tars only, so nothing is decompressed here; members are never extracted.
        with tarfile.open(fileobj=window.stream(), mode="r:") as archive:
            for member in archive:
                scene.budget.spend_members(1)
                _refuse(member, seen)
                if member.isfile():
                    content = window.part(member.offset_data, member.size)
                    scene.inspect(scene.nested(piece, content, member.name), scene)
                end = member.offset_data + -(-member.size // BLOCK) * BLOCK if member.isfile() else member.offset_data
    except (tarfile.TarError, ValueError, OSError, EOFError) as error:
        raise Unreadable("tar-broken", f"The tar cannot be read: {str(error)[:120]}.") from error
    _refuse_rest(window, end)


def _refuse(member: tarfile.TarInfo, seen: set[str]) -> None:
    """Refuse links, devices, sparse files, names that leave the folder and names that appear twice."""
    name = member.name
    if not (member.isfile() or member.isdir()):
        raise Unsafe("tar-link", f"{name[:120]} is a link or a device, not a file.")
    if cast(object, member.sparse) is not None:
        raise Unreadable("tar-sparse", f"{name[:120]} is a sparse file, which is not read.")
    if name.startswith("/") or "\\" in name or "\0" in name or ".." in name.split("/"):
        raise Unsafe("tar-path", f"A name in the tar leads outside of it: {name[:120]!r}.")
    if member.isfile() and name.casefold() in seen:
        raise Unsafe("tar-duplicate", f"The tar has two members named {name[:120]!r}.")
    seen.add(name.casefold())


def _refuse_rest(window: Window, end: int) -> None:
    """Refuse bytes other than zeros behind the last member."""
    if end < window.size and any(chunk.strip(b"\0") for chunk in window.rest(end).chunks()):
        raise Unsafe("trailing-bytes", "Bytes follow the last member of the tar.")
