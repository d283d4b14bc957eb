"""Reads HDF5 files: links, attributes and the description of datasets, never their content. Keras models live here.

h5py reads the structure, with filter plugins switched off and without following a link that leaves the file. Source:
the HDF5 file format specification 3.0; keras/src/legacy/saving/legacy_h5_format.py. Known attacks: CVE-2025-9905,
CVE-2026-0897 (shapes without data), CVE-2026-1669 (external storage).
"""

from __future__ import annotations

import os
from functools import cache
from types import ModuleType
from typing import Any

from governance.scanning import keras, pickles
from governance.scanning.limits import Unreadable, Unsafe
from governance.scanning.reading import in_memory
from governance.scanning.scene import Piece, Scene

MAGIC = b"\x89HDF\r\n\x1a\n"
UNDEFINED = 0xFF
# deflate, shuffle, fletcher32, szip, nbit, scaleoffset, and LZF, which h5py brings along.
FILTERS = frozenset({1, 2, 3, 4, 5, 6, 32000})
CONFIGURATIONS = frozenset({"model_config", "training_config"})
DEEPEST = 64
LONGEST_ATTRIBUTE = 64 << 20
MOST_TEXTS = 1 << 20
ORDINARY_DATA = 64 << 20
# What the walk may meet in one file.
MOST_OBJECTS = 200_000


@cache
def _library() -> ModuleType:
    """Return h5py with filter plugins switched off."""
    # HDF5 would load any library from its plugin folder that a file names as filter; "::" switches that off. It is
    # read when the library starts.
    os.environ["HDF5_PLUGIN_PRELOAD"] = "::"
    # It costs half a second with numpy, which only this format should pay for.
    import h5py  # noqa: PLC0415

    return h5py


def read(piece: Piece, scene: Scene) -> None:
    """Judge an HDF5 piece. Raises Unreadable or Unsafe."""
    _check_bounds(piece)
    h5py = _library()
    try:
        with h5py.File(piece.window.stream(), "r") as file:
            _Walk(piece, scene, h5py).run(file)
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, OverflowError, AttributeError) as error:
        raise Unreadable("hdf5-broken", f"The HDF5 structure cannot be read: {str(error)[:160]}.") from error


def _check_bounds(piece: Piece) -> None:
    """Compare the length that the superblock says with the file's: what stands behind it belongs to nobody."""
    window = piece.window
    version = window.at(8, 1)[0]
    if version <= 1:
        width, start = window.at(13, 1)[0], 24 if version == 0 else 28
        places = {"base": 0, "end": 2, "driver": 3}
    elif version <= 3:
        width, start = window.at(9, 1)[0], 12
        places = {"base": 0, "end": 2}
    else:
        raise Unreadable("hdf5-version", f"The file has superblock version {version}; known are 0 to 3.")
    if width not in {2, 4, 8}:
        raise Unreadable("hdf5-broken", f"The file has addresses of {width} bytes.")
    found = {name: window.at(start + place * width, width) for name, place in places.items()}
    if any(found["base"]):
        raise Unsafe("hdf5-shifted", "The file says that it begins somewhere else than at its beginning.")
    if "driver" in found and found["driver"] != bytes([UNDEFINED]) * width:
        raise Unsafe("hdf5-parts", "The file is one of several that belong together.")
    end = int.from_bytes(found["end"], "little")
    if end > window.size:
        raise Unreadable("truncated", f"The file should have {end:,} bytes and has {window.size:,}.")
    if end < window.size:
        raise Unsafe("trailing-bytes", f"{window.size - end:,} bytes follow the end of the HDF5 content.")


class _Walk:
    """A walk through the objects of one file by hard links only, each object once."""

    def __init__(self, piece: Piece, scene: Scene, h5py: ModuleType) -> None:
        self.piece = piece
        self.scene = scene
        self.h5py = h5py
        self.seen: set[Any] = set()

    def run(self, file: Any) -> None:
        """Judge everything that can be reached from the root."""
        h5py = self.h5py
        waiting: list[tuple[Any, int]] = [(h5py.h5g.open(file.id, b"/"), 0)]
        while waiting:
            found, depth = waiting.pop()
            if not self.is_new(found):
                continue
            if depth > DEEPEST:
                raise Unreadable("too-deep", f"Groups are nested more than {DEEPEST} deep.")
            self.judge_attributes(found)
            if isinstance(found, h5py.h5d.DatasetID):
                self.judge_dataset(found)
            elif isinstance(found, h5py.h5g.GroupID):
                waiting += [(child, depth + 1) for child in self.children(found)]

    def is_new(self, found: Any) -> bool:
        """Return whether an object is met for the first time, and count it."""
        self.scene.budget.spend_steps(1)
        info = self.h5py.h5o.get_info(found)
        known = (info.fileno, info.addr)
        if known in self.seen:
            return False
        self.seen.add(known)
        if len(self.seen) > MOST_OBJECTS:
            raise Unreadable("too-many-members", f"The file has more than {MOST_OBJECTS:,} objects.")
        return True

    def children(self, group: Any) -> list[Any]:
        """Return what a group's hard links lead to, and judge its other links by what they say."""
        names: list[bytes] = []
        group.links.iterate(names.append)
        found = []
        for name in names:
            self.scene.budget.spend_steps(1)
            kind = group.links.get_info(name).type
            shown = name.decode("utf-8", "replace")[:80]
            if kind == self.h5py.h5l.TYPE_HARD:
                if shown in CONFIGURATIONS:
                    says = f"{shown!r} is kept as an object, not as an attribute, and is not read."
                    self.scene.hold(self.piece, "keras-unseen", says)
                found.append(self.h5py.h5o.open(group, name))
            elif kind == self.h5py.h5l.TYPE_SOFT:
                self.scene.hold(self.piece, "hdf5-link", f"{shown!r} is a link to another name, which is not followed.")
            else:
                self.scene.reject(self.piece, "hdf5-external", f"{shown!r} is a link to another file.")
        return found

    def judge_dataset(self, dataset: Any) -> None:
        """Judge where a dataset's numbers are, what they are packed with, and how many there would be."""
        h5py, scene, piece = self.h5py, self.scene, self.piece
        plan = dataset.get_create_plist()
        # Asking a virtual dataset for its shape would open the files that it is made of.
        if plan.get_layout() == h5py.h5d.VIRTUAL:
            scene.reject(piece, "hdf5-external", "A dataset is put together from other datasets, or other files.")
            return
        if plan.get_external_count():
            scene.reject(piece, "hdf5-external", "A dataset has its numbers in another file.")
            return
        for number in range(plan.get_nfilters()):
            code = plan.get_filter(number)[0]
            if code not in FILTERS:
                scene.hold(piece, "hdf5-filter", f"A dataset needs the filter {code}, a library of its own.")
        announced = dataset.get_space().get_simple_extent_npoints() * dataset.get_type().get_size()
        stored = dataset.get_storage_size()
        if announced > ORDINARY_DATA and announced > scene.limits.ratio * max(stored, 1):
            says = f"A dataset of {stored:,} bytes would take {announced:,} bytes when it is loaded."
            scene.reject(piece, "expansion-bomb", says)

    def judge_attributes(self, found: Any) -> None:
        """Judge the attributes of an object."""
        h5py = self.h5py
        for number in range(h5py.h5a.get_num_attrs(found)):
            self.scene.budget.spend_steps(1)
            attribute = h5py.h5a.open(found, index=number)
            name = attribute.name.decode("utf-8", "replace")
            for data in self.texts(attribute):
                self.judge_text(name, data)

    def texts(self, attribute: Any) -> list[bytes]:
        """Return the texts and bytes in an attribute; numbers are not read."""
        kind = attribute.get_type()
        h5py = self.h5py
        opaque = kind.get_class() == h5py.h5t.OPAQUE
        if kind.get_class() != h5py.h5t.STRING and not opaque:
            return []
        count = attribute.get_space().get_simple_extent_npoints()
        if count > MOST_TEXTS or count * kind.get_size() > LONGEST_ATTRIBUTE:
            raise Unreadable("too-large", f"An attribute has {count:,} texts, more than a model needs.")
        # numpy comes with h5py, and is only needed to hold what it reads.
        import numpy  # noqa: PLC0415

        found = numpy.zeros(attribute.shape, attribute.dtype)
        attribute.read(found)
        values = [bytes(value) if not isinstance(value, str) else value.encode() for value in found.flat]
        if sum(map(len, values)) > LONGEST_ATTRIBUTE:
            raise Unreadable("too-large", f"An attribute has more than {LONGEST_ATTRIBUTE:,} bytes.")
        return values

    def judge_text(self, name: str, data: bytes) -> None:
        """Judge a text in an attribute: the configuration of a model, a pickle of PyTables, or a harmless word."""
        scene, piece = self.scene, self.piece
        plain = data.rstrip(b"\0")
        if name in CONFIGURATIONS or (plain[:1] in {b"{", b"["} and b'"class_name"' in plain):
            keras.judge_text(piece, scene, plain)
        elif name == "PSEUDOATOM" and plain in {b"object", b"pickle"}:
            scene.hold(piece, "hdf5-pickles", "A dataset holds pickled objects, which PyTables loads.")
        # PyTables loads every text that ends like a pickle.
        elif len(plain) > 1 and plain.endswith(b"."):
            window = in_memory(plain, scene.budget)
            if pickles.is_whole_pickle(window, scene) or pickles.looks_like_pickle(window, scene):
                inner = scene.nested(piece, window, f"{name[:60]}.pkl")
                scene.attempt(inner, pickles.read)
