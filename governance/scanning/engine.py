"""Scans one file: hash, identify, read, second opinion, report. The only module that knows every reader."""

from __future__ import annotations

import hashlib
import io
import os
import stat
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import BinaryIO

from governance.scanning import (
    archives,
    bundle,
    compressed,
    coreml,
    formats,
    gguf,
    hdf5,
    images,
    msgpacks,
    numpys,
    onnx,
    pickles,
    safetensors,
    saved_model,
    second_engine,
    sentencepiece,
    sevens,
    tars,
    texts,
    tflite,
    torches,
    ubjson,
    zips,
)
from governance.scanning.allowlist import AllowList, read_allowlist
from governance.scanning.limits import Budget, Limits, Unreadable
from governance.scanning.reading import Joined, Window
from governance.scanning.report import Finding, Report, Verdict, worst
from governance.scanning.scene import Piece, Scene
from governance.scanning.vocabulary import read_vocabulary

NAME = "countersign"
VERSION = "2"
VOCABULARY = "countersign-vocabulary"
NAMED_PICKLES = {"pickle", "torch-legacy"}
IN_MEMORY = 32 << 20
HASH_CHUNK = 1 << 20


def _refuse_executable(piece: Piece, scene: Scene) -> None:
    """Refuse machine code."""
    scene.reject(piece, "executable", "This is a program, not a model.")


def _fail_opaque(piece: Piece, scene: Scene) -> None:
    """Fail containers that are not opened here."""
    raise Unreadable("unsupported", "This container cannot be opened by the scanner, so its content is unknown.")


def _accept_empty(piece: Piece, scene: Scene) -> None:
    """Accept a place holder inside an archive: without a byte nothing can happen."""


READERS: dict[str, Callable[[Piece, Scene], str | None]] = {
    "pickle": pickles.read,
    "torch-legacy": torches.read_legacy,
    "zip": archives.read,
    "npy": numpys.read,
    "safetensors": safetensors.read,
    "onnx": onnx.read,
    "gguf": gguf.read,
    "sentencepiece": sentencepiece.read,
    "empty": _accept_empty,
    "tar": tars.read,
    "7z": sevens.read,
    "text": texts.read,
    "hdf5": hdf5.read,
    "tensorflow": saved_model.read,
    "tensor-index": bundle.read,
    "numbers": bundle.accept_shard,
    "tflite": tflite.read,
    "coreml": coreml.read,
    "image": images.read,
    "msgpack": msgpacks.read,
    "ubjson": ubjson.read,
    "executable": _refuse_executable,
}
READERS |= {method: partial(compressed.read, method=method) for method in formats.COMPRESSED}
READERS |= dict.fromkeys(formats.OPAQUE, _fail_opaque)


def inspect(piece: Piece, scene: Scene) -> str:
    """Judge one piece, the file itself or something inside it, and return its format. Findings go to the scene."""
    return scene.attempt(piece, _inspect) or "unknown"


def _inspect(piece: Piece, scene: Scene) -> str:
    """Identify a piece, read it, and compare its name and its end with what it is."""
    found = formats.identify(piece, scene)
    reader = READERS.get(found)
    if reader is None:
        scene.hold(piece, "unknown-content", "The content is of no format that the scanner knows.")
        return found
    refined = scene.attempt(piece, reader) or found
    formats.check_extension(piece, refined, scene)
    # TFLite's own tools put labels behind a model as a zip, which its reader judges.
    if found not in {"zip", "tflite"} and zips.has_directory(piece.window):
        scene.reject(piece, "polyglot", f"The {found} file can also be opened as a zip.")
    if found not in NAMED_PICKLES and pickles.looks_like_pickle(piece.window, scene):
        scene.reject(piece, "polyglot", f"The {found} file can also be loaded as a pickle.")
    return refined


def engines() -> dict[str, str]:
    """Return the engines that judge files, with their versions; a change of either asks for a new scan."""
    vocabulary = read_vocabulary()
    return {
        NAME: VERSION,
        VOCABULARY: f"{vocabulary.version}+{vocabulary.digest[:12]}",
        second_engine.NAME: second_engine.version(),
    }


def hash_file(path: Path) -> tuple[str, int]:
    """Return sha256 in hexadecimal and size in bytes of a file, read once in bounded pieces. Raises OSError."""
    with path.open("rb", buffering=0) as handle:
        return _hash(handle)


def scan(
    path: Path, *, name: str | None = None, limits: Limits | None = None, allowlist: AllowList | None = None
) -> Report:
    """Judge one file by reading its bytes; `name` replaces the path's name where files are stored by digest.

    Never loads, imports or runs anything from the file, and never raises for what is in it.
    """
    limits, allowlist = limits or Limits(), allowlist or read_allowlist()
    scene = Scene(limits, Budget(limits), allowlist, inspect)
    piece_name = path.name if name is None else name
    try:
        descriptor = open_file(path)
    except Unreadable as problem:
        return make_report(scene, "unknown", extra=Finding(problem.code, problem.says, "", Verdict.ERROR))
    with io.FileIO(descriptor, "rb") as handle:
        return scan_handle(handle, piece_name, scene)


def open_file(path: Path) -> int:
    """Return a descriptor of an ordinary file, for reading. Raises Unreadable for anything else."""
    try:
        # Without O_NONBLOCK a named pipe would keep the scanner waiting for a writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        raise Unreadable("unopened", f"The file cannot be opened: {error}.") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise Unreadable("not-a-file", "This is a folder, a pipe or a device, not a file.")
    return descriptor


def scan_handle(handle: io.FileIO, name: str, scene: Scene) -> Report:
    """Judge an open file. Small ones are read into memory once; of large ones only what decides is read twice."""
    before = os.fstat(handle.fileno())
    if before.st_size > scene.limits.file_bytes:
        says = f"The file has {before.st_size:,} bytes; {scene.limits.file_bytes:,} is the most."
        return make_report(scene, "unknown", extra=Finding("too-large", says, "", Verdict.ERROR), size=before.st_size)
    try:
        source, digest = _take_in(handle, before.st_size, scene)
    except Unreadable as problem:
        return make_report(scene, "unknown", extra=Finding(problem.code, problem.says, "", Verdict.ERROR))
    window = Window(source, 0, before.st_size, scene.budget)
    found = inspect(Piece(window, name), scene)
    # The second engine knows no bounds, so it opens only containers that could be read within ours.
    bounded = not any(each.verdict is Verdict.ERROR or each.code == "expansion-bomb" for each in scene.findings)
    openable = bounded and found in {"zip", "torch", "torchscript", "npz"}
    containers = [(name, Joined((window,)))] if openable else []
    if scene.pickles or containers:
        for finding in second_engine.examine(scene.pickles, containers, scene.explained):
            scene.note(finding)
    after = os.fstat(handle.fileno())
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        scene.note(Finding("changed", "The file changed while it was read.", "", Verdict.ERROR))
    return make_report(scene, found, digest=digest, size=before.st_size)


def make_report(scene: Scene, found: str, *, digest: str = "", size: int = 0, extra: Finding | None = None) -> Report:
    """Return the report of a scene; without findings worse than a remark the verdict is `pass`."""
    if extra is not None:
        scene.note(extra)
    findings = tuple(scene.findings)
    return Report(
        verdict=worst(findings),
        format=found,
        reasons=findings,
        engines=engines(),
        allowlist_digest=scene.allowlist.digest,
        sha256=digest,
        size=size,
        bytes_read=scene.budget.bytes_read,
        seconds=round(scene.budget.seconds(), 4),
        held_globals=scene.held_globals(),
        allowances_used=scene.allowances_used(),
    )


def _take_in(handle: io.FileIO, size: int, scene: Scene) -> tuple[BinaryIO, str]:
    """Return something seekable to read from and the sha256 of exactly those bytes."""
    if size <= IN_MEMORY:
        data = handle.readall()
        scene.budget.bytes_read += len(data)
        if len(data) != size:
            raise Unreadable("changed", "The file changed while it was read.")
        return io.BytesIO(data), hashlib.sha256(data).hexdigest()
    digest, count = _hash(handle, scene.budget)
    if count != size:
        raise Unreadable("changed", "The file changed while it was read.")
    return handle, digest


def _hash(handle: io.FileIO, budget: Budget | None = None) -> tuple[str, int]:
    """Return sha256 and count of the bytes from the handle's position on."""
    digest, count = hashlib.sha256(), 0
    buffer = bytearray(HASH_CHUNK)
    view = memoryview(buffer)
    while got := handle.readinto(buffer):
        digest.update(view[:got])
        count += got
        if budget is not None:
            budget.bytes_read += got
            budget.check_clock()
    return digest.hexdigest(), count
