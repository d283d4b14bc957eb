"""Reads files that are one pickle: plain ones, joblib's with arrays in between, and pickles inside other formats."""

from __future__ import annotations

from governance.scanning.allowlist import IDENTIFIERS
from governance.scanning.limits import Unreadable, Unsafe
from governance.scanning.machine import Machine, Persistent
from governance.scanning.opcodes import Malformed, Source, read_opcodes
from governance.scanning.reading import Joined, Window
from governance.scanning.scene import Piece, Scene

MOST_PICKLES = 10_000
RUNNING = {"REDUCE", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "BUILD"}
GLOBAL_FINDINGS = {"dangerous-global", "unknown-global", "dotted-name", "hidden-name"}
NAMING = {"BINUNICODE", "BINUNICODE8", "SHORT_BINUNICODE", "UNICODE", "STRING", "BINSTRING", "SHORT_BINSTRING"}
NAMING |= {"GET", "BINGET", "LONG_BINGET", "DUP"}


class PlainReading(Machine):
    """A joblib file as a plain unpickler would read it: array bytes become opcodes. Only globals found there matter."""

    def __init__(self, piece: Piece, scene: Scene, stream: Source) -> None:
        super().__init__(piece, scene, stream)
        self.follow_arrays = False

    def reject(self, code: str, says: str) -> None:
        """Note a global; anything else means that these bytes are an array after all."""
        if code not in GLOBAL_FINDINGS:
            raise Malformed(code, says)
        super().reject(code, says)

    def hold(self, code: str, says: str) -> None:
        """Note a global; anything else means that these bytes are an array after all."""
        if code not in GLOBAL_FINDINGS:
            raise Malformed(code, says)
        super().hold(code, says)


def read(piece: Piece, scene: Scene) -> str:
    """Judge a piece that is one pickle, or several laid end to end; return `joblib` when arrays stand between opcodes.

    People write several with one dump after the other; every one of them is judged like the first.
    """
    stream = piece.window.stream()
    has_arrays = False
    for _ in range(MOST_PICKLES):
        start = stream.tell()
        machine = follow(piece, scene, stream)
        has_arrays = has_arrays or (machine is not None and bool(machine.arrays))
        if machine is None and start:
            left = piece.window.size - start
            scene.reject(piece, "trailing-bytes", f"{left:,} bytes that are no pickle follow a pickle's STOP.")
        if machine is None or stream.tell() >= piece.window.size:
            break
    else:
        raise Unreadable("too-many-members", f"The file has more than {MOST_PICKLES:,} pickles laid end to end.")
    return "joblib" if has_arrays else "pickle"


def follow(piece: Piece, scene: Scene, stream: Source, persistent: Persistent | None = None) -> Machine | None:
    """Follow the pickle at the stream's position; return the machine, or None when it could not be followed."""
    start = stream.tell()
    machine = Machine(piece, scene, stream, persistent)
    try:
        machine.run()
    except Malformed as error:
        (scene.reject if error.code == "no-stop" else scene.fail)(piece, error.code, error.says)
    except (Unreadable, Unsafe):
        _hand_on(piece, scene, machine, start, piece.window.size)
        raise
    else:
        end = stream.tell()
        _hand_on(piece, scene, machine, start, end)
        _read_plainly(piece, scene, machine, start)
        stream.seek(end)
        return machine
    _hand_on(piece, scene, machine, start, piece.window.size)
    return None


def looks_like_pickle(window: Window, scene: Scene) -> bool:
    """Return whether bytes without a protocol mark are a pickle, or several, that name a global and run something."""
    stream = window.stream()
    try:
        while stream.tell() < window.size:
            if _names_something(stream, scene):
                return True
    except Malformed:
        return False
    return False


def _names_something(stream: Source, scene: Scene) -> bool:
    """Return whether the pickle at the stream's position names a global. Raises Malformed where it is no pickle."""
    named, texts = False, 0
    for opcode, argument in read_opcodes(stream, scene.budget.spend_steps):
        texts += opcode in NAMING
        if opcode in {"GLOBAL", "INST"} and isinstance(argument, tuple):
            named = named or all(IDENTIFIERS.fullmatch(part) for part in argument)
        # Any byte can be an opcode, but only a pickle has put two texts down before it names a global by them.
        if (opcode == "STACK_GLOBAL" and texts > 1) or (named and opcode in RUNNING):
            return True
    return named


def is_whole_pickle(window: Window, scene: Scene) -> bool:
    """Return whether the whole window decodes as opcodes up to a STOP at its very end."""
    stream = window.stream()
    try:
        for _ in read_opcodes(stream, scene.budget.spend_steps):
            pass
    except Malformed:
        return False
    return stream.tell() == window.size


def _hand_on(piece: Piece, scene: Scene, machine: Machine, start: int, end: int) -> None:
    """Give the second engine the same pickle without the arrays, which it would take for opcodes."""
    window = piece.window
    places = [(begin, stop) for begin, stop in machine.arrays if start <= begin and stop <= end]
    edges = [start, *(edge for place in sorted(places) for edge in place), end]
    parts = [window.part(begin, stop - begin) for begin, stop in zip(edges[::2], edges[1::2], strict=True)]
    scene.pickles.append((piece.trail or piece.name, Joined(tuple(part for part in parts if part.size))))
    for begin, stop in machine.nested:
        scene.pickles.append((piece.trail or piece.name, Joined((window.part(begin, stop - begin),))))


def _read_plainly(piece: Piece, scene: Scene, machine: Machine, start: int) -> None:
    """Read a joblib file a second time as `pickle.load` would, so that nothing hides in an array."""
    if not machine.arrays:
        return
    stream = piece.window.stream()
    stream.seek(start)
    try:
        PlainReading(piece, scene, stream).run()
    except (Malformed, Unsafe):
        return
