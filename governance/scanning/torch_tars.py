"""Reads PyTorch's oldest format, a tar of four members: sys_info, storages, tensors and pickle.

Source: torch/serialization.py (`_legacy_load.legacy_load`). Storages are numbers and are stepped over.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from governance.scanning import pickles
from governance.scanning.limits import Unreadable, Unsafe
from governance.scanning.machine import Machine
from governance.scanning.opcodes import Source
from governance.scanning.reading import Window
from governance.scanning.scene import Piece, Scene
from governance.scanning.torches import ITEM_SIZES
from governance.scanning.values import Made, Name, Value

MEMBERS = {"sys_info", "storages", "tensors", "pickle"}
MOST_TENSORS = 1_000_000
MOST_DIMENSIONS = 64


def is_one(names: set[str]) -> bool:
    """Return whether a tar with these members is a PyTorch file."""
    return names == MEMBERS or names == MEMBERS - {"sys_info"}


def read(piece: Piece, scene: Scene, members: Mapping[str, Window]) -> None:
    """Judge the four members, each as PyTorch reads it. Raises Unreadable or Unsafe."""
    readers = {"sys_info": _read_one, "storages": _read_storages, "tensors": _read_tensors, "pickle": _read_objects}
    for name, content in members.items():
        readers[name](scene.nested(piece, content, name), scene)


def _read_one(piece: Piece, scene: Scene) -> None:
    """Judge a member that is one plain pickle."""
    pickles.read(piece, scene)


def _read_objects(piece: Piece, scene: Scene) -> None:
    """Judge the pickle of objects, which refers to tensors by number and to classes of modules."""
    stream = piece.window.stream()
    if pickles.follow(piece, scene, stream, _refer) is not None and stream.tell() < piece.window.size:
        scene.reject(piece, "trailing-bytes", "Bytes follow the pickle's STOP; a loader may read on there.")


def _refer(machine: Machine, pid: Value) -> Value:
    """Return what PyTorch gives for a persistent id: a tensor, or the class of a whole module."""
    if isinstance(pid, tuple) and pid and isinstance(pid[0], Name):
        return pid[0]
    if not (isinstance(pid, str) and pid.isdigit()) and not isinstance(pid, int):
        machine.reject("persistent-id", "A reference to outside the pickle is not a PyTorch tensor.")
    return Made(None)


def _read_storages(piece: Piece, scene: Scene) -> None:
    """Judge the storages: their number, then each as a small pickle, a count and raw numbers, then views of them."""
    stream = piece.window.stream()
    for _ in _counted(piece, scene, stream):
        told = _follow(piece, scene, stream)
        kind = told[2] if isinstance(told, tuple) and len(told) == 3 else None
        if not isinstance(kind, Name) or kind.name not in ITEM_SIZES:
            raise Unsafe("torch-storage", "A storage in the PyTorch file does not say its type as PyTorch writes it.")
        count = _whole(piece, stream, 8)
        end = stream.tell() + count * ITEM_SIZES[kind.name]
        if count < 0 or end > piece.window.size:
            raise Unreadable("truncated", "A storage in the PyTorch file is longer than the file.")
        stream.seek(end)
    _follow(piece, scene, stream)
    _expect_end(piece, stream)


def _read_tensors(piece: Piece, scene: Scene) -> None:
    """Judge the tensors: their number, then each as a small pickle and its shape as plain numbers."""
    stream = piece.window.stream()
    for _ in _counted(piece, scene, stream):
        _follow(piece, scene, stream)
        dimensions = _whole(piece, stream, 4)
        if not 0 <= dimensions <= MOST_DIMENSIONS:
            raise Unreadable("torch-storage", f"A tensor in the PyTorch file has {dimensions} dimensions.")
        stream.seek(stream.tell() + 4 + 8 * (2 * dimensions + 1))
    _expect_end(piece, stream)


def _counted(piece: Piece, scene: Scene, stream: Source) -> Iterator[int]:
    """Yield once for each of the things whose number is the first pickle of a member."""
    count = _follow(piece, scene, stream)
    if not isinstance(count, int) or not 0 <= count <= MOST_TENSORS:
        raise Unreadable("torch-storage", "The PyTorch file does not say how many tensors it has.")
    yield from range(count)


def _follow(piece: Piece, scene: Scene, stream: Source) -> Value:
    """Return what the pickle at the stream's position gives. Raises Unreadable when it cannot be followed."""
    scene.budget.spend_members(1)
    machine = pickles.follow(piece, scene, stream)
    if machine is None:
        raise Unreadable("torch-storage", "A part of the PyTorch file is not a pickle that can be followed.")
    return machine.last


def _whole(piece: Piece, stream: Source, width: int) -> int:
    """Return a whole number of some bytes."""
    value = int.from_bytes(piece.window.at(stream.tell(), width), "little", signed=True)
    stream.seek(stream.tell() + width)
    return value


def _expect_end(piece: Piece, stream: Source) -> None:
    """Raise unless a member was read to its last byte."""
    if stream.tell() > piece.window.size:
        raise Unreadable("truncated", "A part of the PyTorch file is cut off.")
    if stream.tell() < piece.window.size:
        raise Unsafe("trailing-bytes", "Bytes follow what PyTorch reads of a part of its file.")
