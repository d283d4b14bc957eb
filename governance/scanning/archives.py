"""Says what a zip's members mean together: PyTorch, numpy, Keras, or a plain archive. Structure is read by zips.py."""

from __future__ import annotations

import re
from functools import partial

from governance.scanning import hdf5, keras, skops, torches, torchscript, zips
from governance.scanning.documents import read_json
from governance.scanning.limits import Unreadable
from governance.scanning.reading import Window
from governance.scanning.scene import Piece, Scene

TORCH_NOTES = re.compile(r"(\.data/serialization_id|\.format_version|\.storage_alignment|byteorder|version)")
TORCH_STORAGE = re.compile(r"(?:data|constants)/(\d+)")
LONGEST_NOTE = 1024
Members = list[tuple[zips.Member, Window]]


def read(piece: Piece, scene: Scene) -> str:
    """Judge a zip and return what kind it is. Raises Unreadable or Unsafe."""
    members = zips.read_members(piece, scene)
    names = {member.name for member, _ in members}
    root = _torch_root(names)
    if root is not None:
        return _read_torch(piece, scene, members, root)
    if names and all(name.endswith(".npy") for name in names):
        _read_plain(piece, scene, members)
        return "npz"
    if "config.json" in names and names & {"metadata.json", "model.weights.h5"}:
        _read_keras(piece, scene, members)
        return "keras"
    if "schema.json" in names and piece.name.lower().endswith(".skops"):
        _read_skops(piece, scene, members)
        return "skops"
    _read_plain(piece, scene, members)
    return "zip"


def _torch_root(names: set[str]) -> str | None:
    """Return the folder that holds data.pkl when all members are in it, as PyTorch writes them."""
    roots = {name.split("/", 1)[0] for name in names}
    root = next(iter(roots)) if len(roots) == 1 else ""
    return f"{root}/" if root and f"{root}/data.pkl" in names else None


def _read_torch(piece: Piece, scene: Scene, members: Members, root: str) -> str:
    """Judge a PyTorch zip: storages by their checksum only, the pickle, a few short notes, and nothing else."""
    names = {member.name.removeprefix(root) for member, _ in members}
    script = torchscript.is_script(names)
    if script:
        torchscript.hold(piece, scene)
    for member, packed in members:
        name = member.name.removeprefix(root)
        storage = TORCH_STORAGE.fullmatch(name)
        content = zips.unpack(scene, member, packed, keep=storage is None)
        inner = scene.nested(piece, content, member.name)
        if storage is not None or (script and torchscript.try_member(inner, scene, name)):
            continue
        if name in {"data.pkl", "constants.pkl"}:
            folder = name.removesuffix(".pkl") + "/"
            keys = frozenset(other.removeprefix(folder) for other in names if other.startswith(folder))
            scene.attempt(inner, partial(torches.read_zip_pickle, keys=keys))
        elif not (TORCH_NOTES.fullmatch(name) and content.size <= LONGEST_NOTE):
            scene.hold(inner, "unexpected-member", f"PyTorch writes no member named {name[:120]!r}.")
            scene.inspect(inner, scene)
    return "torchscript" if script else "torch"


def _read_plain(piece: Piece, scene: Scene, members: Members) -> None:
    """Judge every member by itself."""
    for member, packed in members:
        content = zips.unpack(scene, member, packed)
        scene.inspect(scene.nested(piece, content, member.name), scene)


def _read_keras(piece: Piece, scene: Scene, members: Members) -> None:
    """Judge a .keras archive: its configuration, weights in HDF5 by their mark, everything else by itself."""
    for member, packed in members:
        content = zips.unpack(scene, member, packed)
        inner = scene.nested(piece, content, member.name)
        if member.name == "config.json":
            scene.attempt(inner, _read_keras_config)
        elif member.name.endswith(".weights.h5") and content.head(len(hdf5.MAGIC)) != hdf5.MAGIC:
            scene.reject(inner, "disguised", "The member is named like Keras' weights, but is not HDF5.")
            scene.inspect(inner, scene)
        else:
            scene.inspect(inner, scene)


def _read_skops(piece: Piece, scene: Scene, members: Members) -> None:
    """Judge a skops archive: the types its schema names, and every other member by itself."""
    for member, packed in members:
        content = zips.unpack(scene, member, packed)
        inner = scene.nested(piece, content, member.name)
        if member.name == "schema.json":
            scene.attempt(inner, skops.read_schema)
        else:
            scene.inspect(inner, scene)


def _read_keras_config(piece: Piece, scene: Scene) -> None:
    """Judge the configuration inside a .keras archive."""
    if piece.window.size > scene.limits.text_bytes:
        raise Unreadable("too-large", f"The configuration has {piece.window.size:,} bytes.")
    config = read_json(piece, scene, piece.window.head(piece.window.size))
    keras.judge(piece, scene, config)
    if not keras.looks_like(config):
        scene.hold(piece, "keras-custom", "The configuration does not name a model class.")
