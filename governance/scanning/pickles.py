"""Reads files that are one pickle: plain ones, joblib's with arrays in between, and pickles inside other formats."""

from __future__ import annotations

from governance.scanning.limits import Unreadable, Unsafe
from governance.scanning.machine import IDENTIFIERS, Machine, Persistent
from governance.scanning.opcodes import Malformed, Source, read_opcodes
from governance.scanning.reading import Joined, Window
from governance.scanning.scene import Piece, Scene

RUNNING = {"REDUCE", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "BUILD"}
GLOBAL_FINDINGS = {"dangerous-global", "unknown-global", "dotted-name", "hidden-name"}
LONGEST_LOOK = 1 << 16


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
    """Judge a piece that is one pickle and nothing else; return `joblib` when arrays stand between its opcodes."""
    stream = piece.window.stream()
    machine = follow(piece, scene, stream)
    if machine is not None and stream.tell() < piece.window.size:
        left = piece.window.size - stream.tell()
        scene.reject(piece, "trailing-bytes", f"{left:,} bytes follow the pickle's STOP; a loader may read on there.")
    return "joblib" if machine is not None and machine.arrays else "pickle"


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
    """Return whether bytes without a protocol mark are a pickle of protocol 0 or 1 that names and runs something."""
    if not window.size:
        return False
    named = False
    stream = window.part(0, min(window.size, LONGEST_LOOK)).stream()
    try:
        for opcode, argument in read_opcodes(stream, scene.budget.spend_steps):
            if opcode in {"GLOBAL", "INST"} and isinstance(argument, tuple):
                named = named or all(IDENTIFIERS.fullmatch(part) for part in argument)
            if opcode == "STACK_GLOBAL" or (named and opcode in RUNNING):
                return True
    except Malformed:
        return False
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
