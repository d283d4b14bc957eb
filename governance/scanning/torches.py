"""Reads PyTorch's pickles: the one inside its zip files, and the older format of five pickles and raw storages.

Source: torch/serialization.py (`_save`, `_legacy_save`). Storages are numbers and are stepped over.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from governance.scanning import pickles
from governance.scanning.allowlist import Kind
from governance.scanning.limits import Unreadable
from governance.scanning.machine import Machine
from governance.scanning.opcodes import Source
from governance.scanning.scene import Piece, Scene
from governance.scanning.values import Bag, Made, Name, Value

MAGIC = 0x1950A86A20F9469CFC6C
MAGIC_PICKLE = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
VERSION = 1001
ITEM_SIZES = {
    "ByteStorage": 1,
    "CharStorage": 1,
    "BoolStorage": 1,
    "QInt8Storage": 1,
    "QUInt8Storage": 1,
    "QUInt4x2Storage": 1,
    "QUInt2x4Storage": 1,
    "UntypedStorage": 1,
    "ShortStorage": 2,
    "HalfStorage": 2,
    "BFloat16Storage": 2,
    "IntStorage": 4,
    "FloatStorage": 4,
    "QInt32Storage": 4,
    "LongStorage": 8,
    "DoubleStorage": 8,
    "ComplexFloatStorage": 8,
    "ComplexDoubleStorage": 16,
}


@dataclass
class Storages:
    """The storages a PyTorch pickle refers to: key to item size in bytes."""

    sizes: dict[str, int] = field(default_factory=dict)

    def load(self, machine: Machine, pid: Value) -> Value:
        """Return what PyTorch gives for a persistent id: a storage, or the class of a whole module."""
        if isinstance(pid, tuple) and len(pid) == 4 and pid[0] == "module" and isinstance(pid[1], Name):
            return pid[1]
        kind = pid[1] if isinstance(pid, tuple) and len(pid) in {5, 6} and pid[0] == "storage" else None
        key = pid[2] if isinstance(pid, tuple) and len(pid) > 2 else None
        if not (isinstance(kind, Name) and isinstance(key, str) and kind.name in ITEM_SIZES):
            machine.reject("persistent-id", "A reference to outside the pickle is not a PyTorch storage.")
            return Made(None)
        if kind.kind is Kind.UNKNOWN:
            return Made(kind)  # Already held by its name.
        self.sizes[key] = ITEM_SIZES[kind.name]
        return Made(kind)


def read_zip_pickle(piece: Piece, scene: Scene, keys: frozenset[str]) -> None:
    """Judge the data.pkl of a PyTorch zip, whose storages are the members with these keys."""
    stream = piece.window.stream()
    storages = Storages()
    if pickles.follow(piece, scene, stream, storages.load) is None:
        return
    if stream.tell() < piece.window.size:
        scene.reject(piece, "trailing-bytes", "Bytes follow the pickle's STOP; a loader may read on there.")
    missing = sorted(set(storages.sizes) - keys)
    if missing:
        scene.fail(piece, "storage-missing", f"The pickle refers to storage {missing[0]!r}, which is not in the file.")


def read_legacy(piece: Piece, scene: Scene) -> None:
    """Judge a file of five pickles (magic, version, system, object, storage keys) and the storages behind them."""
    stream = piece.window.stream()
    storages = Storages()
    last: Value = None
    for number in range(5):
        machine = pickles.follow(piece, scene, stream, storages.load if number == 3 else None)
        if machine is None:
            return
        last = machine.last
        if number < 2 and last != (MAGIC, VERSION)[number]:
            scene.reject(piece, "torch-header", "The file begins like PyTorch's older format, but is not it.")
            return
    keys = last.items if isinstance(last, Bag) and last.whole else None
    if keys is None or not all(isinstance(key, str) for key in keys):
        raise Unreadable("torch-keys", "The list of storages at the end of the PyTorch file cannot be read.")
    _step_over_storages(piece, scene, stream, [storages.sizes.get(str(key)) for key in keys])


def _step_over_storages(piece: Piece, scene: Scene, stream: Source, sizes: list[int | None]) -> None:
    """Check that nothing but the announced storages, each with its count in front, follows the pickles."""
    position = stream.tell()
    for size in sizes:
        if size is None:
            raise Unreadable("torch-keys", "The PyTorch file has a storage that its pickle does not refer to.")
        count = int.from_bytes(piece.window.at(position, 8), "little", signed=True)
        if count < 0:
            raise Unreadable("torch-storage", "A storage in the PyTorch file has a negative length.")
        position += 8 + count * size
    if position > piece.window.size:
        raise Unreadable("truncated", "The storages of the PyTorch file are longer than the file.")
    if position < piece.window.size:
        left = piece.window.size - position
        scene.reject(piece, "trailing-bytes", f"{left:,} bytes follow the storages of the PyTorch file.")
