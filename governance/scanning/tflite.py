"""Reads TFLite models: a flatbuffer whose tables must lie inside the file, and which operators the model uses.

Source: tensorflow/compiler/mlir/lite/schema/schema.fbs; the FlatBuffers internals description.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from governance.scanning import saved_ops, zips
from governance.scanning.limits import Unreadable, Unsafe
from governance.scanning.reading import Window
from governance.scanning.scene import Piece, Scene
from governance.scanning.vocabulary import read_vocabulary

IDENTIFIER = b"TFL3"
CUSTOM, OLD_PLACEHOLDER = 32, 127
FLEX = "Flex"
LONGEST_NAME = 4096
LONGEST_VECTOR = 1 << 20
# Fields of the Model table.
OPERATORS, GRAPHS, BUFFERS = 1, 2, 4
# What the fields of each table hold: texts (t), vectors of numbers of a width, one table, or a vector of tables ([).
# Of options only the table itself is known.
SHAPES: dict[str, dict[int, str]] = {
    "Model": {1: "[OperatorCode", 2: "[SubGraph", 3: "t", 4: "[Buffer", 5: "4", 6: "[Metadata", 7: "[SignatureDef"},
    "OperatorCode": {1: "t"},
    "SubGraph": {0: "[Tensor", 1: "4", 2: "4", 3: "[Operator", 4: "t"},
    "Tensor": {0: "4", 3: "t", 4: "Quantization", 7: "4"},
    "Quantization": {0: "4", 1: "4", 2: "4", 3: "8"},
    "Operator": {1: "4", 2: "4", 4: "Options", 5: "1", 7: "1", 8: "4"},
    "Buffer": {0: "1"},
    "Metadata": {0: "t"},
    "SignatureDef": {0: "[TensorMap", 1: "[TensorMap", 2: "t"},
    "TensorMap": {0: "t"},
    "Options": {},
}
PADDING = 64


def looks_like(head: bytes) -> bool:
    """Return whether the first bytes are those of a TFLite model."""
    return head[4:8] == IDENTIFIER


@dataclass(frozen=True)
class Table:
    """One table of a flatbuffer: where it stands and where its fields stand in it."""

    window: Window
    start: int
    places: tuple[int, ...]

    def at(self, field: int) -> int | None:
        """Return where a field stands, or None when it is absent."""
        place = self.places[field] if field < len(self.places) else 0
        return self.start + place if place else None

    def number(self, field: int, width: int, default: int = 0) -> int:
        """Return a signed number."""
        at = self.at(field)
        return default if at is None else _number(self.window, at, width, signed=True)

    def text(self, field: int) -> str | None:
        """Return a text."""
        at = self.at(field)
        if at is None:
            return None
        start = at + _number(self.window, at, 4)
        size = _number(self.window, start, 4)
        if size > LONGEST_NAME:
            raise Unreadable("too-large", f"A name in the model has {size:,} bytes.")
        return self.window.at(start + 4, size).decode("utf-8", "replace")

    def vector(self, field: int) -> tuple[int, int]:
        """Return where a vector's items begin, and how many there are."""
        at = self.at(field)
        if at is None:
            return 0, 0
        start = at + _number(self.window, at, 4)
        return start + 4, _number(self.window, start, 4)

    def tables(self, field: int, scene: Scene) -> Iterator[Table]:
        """Yield the tables of a vector."""
        start, count = self.vector(field)
        if count > LONGEST_VECTOR:
            raise Unreadable("too-many-members", f"The model announces {count:,} tables in one place.")
        offsets = self.window.at(start, 4 * count) if count else b""
        for number in range(count):
            scene.budget.spend_steps(1)
            at = start + 4 * number
            yield read_table(self.window, at + int.from_bytes(offsets[4 * number : 4 * number + 4], "little"))


def read_table(window: Window, start: int) -> Table:
    """Return the table at an offset. Raises Unreadable when it leaves the file."""
    fields = start - _number(window, start, 4, signed=True)
    if fields < 0:
        raise Unreadable("flatbuffer-broken", "A table of the model points before the file.")
    size, length = _number(window, fields, 2), _number(window, fields + 2, 2)
    if size < 4 or size % 2 or start + length > window.size:
        raise Unreadable("flatbuffer-broken", "A table of the model has an impossible size.")
    raw = window.at(fields + 4, size - 4)
    places = tuple(int.from_bytes(raw[at : at + 2], "little") for at in range(0, len(raw), 2))
    if any(place >= length for place in places):
        raise Unreadable("flatbuffer-broken", "A field of the model lies outside of its table.")
    return Table(window, start, places)


def read(piece: Piece, scene: Scene) -> None:
    """Judge a TFLite piece. Raises Unreadable or Unsafe."""
    window = piece.window
    model = read_table(window, _number(window, 0, 4))
    version = model.number(0, 4)
    if version != 3:
        raise Unreadable("flatbuffer-broken", f"The model has schema version {version}; known is 3.")
    codes = 0
    for operator in model.tables(OPERATORS, scene):
        codes += 1
        _judge_operator(piece, scene, operator)
    for graph in model.tables(GRAPHS, scene):
        _check_graph(scene, graph, codes)
    for buffer in model.tables(BUFFERS, scene):
        _check_buffer(window, buffer)
    if zips.has_directory(window):
        _read_notes(piece, scene)
        return
    reach = _reach(scene, model, "Model")
    if reach > window.size:
        raise Unreadable("truncated", f"The model should have {reach:,} bytes and has {window.size:,}.")
    if reach < window.size - PADDING:
        # Where the model ends is not written down, so that this is no proof of an attack.
        scene.hold(piece, "trailing-bytes", "Behind the last part of the model stand bytes that it does not mention.")


def _reach(scene: Scene, table: Table, kind: str) -> int:
    """Return where the furthest thing ends that a table holds."""
    window = table.window
    end = table.start + max((*table.places, 4))
    for field, shape in SHAPES[kind].items():
        at = table.at(field)
        if at is None:
            continue
        start = at + _number(window, at, 4)
        if shape in SHAPES:
            end = max(end, _reach(scene, read_table(window, start), shape))
        elif shape.startswith("["):
            parts = (_reach(scene, part, shape[1:]) for part in table.tables(field, scene))
            end = max(end, *parts, start) if table.vector(field)[1] else max(end, start)
        else:
            width = 1 if shape == "t" else int(shape)
            end = max(end, start + 4 + width * _number(window, start, 4))
    if kind == "Buffer" and table.at(1) is not None and table.at(2) is not None:
        end = max(end, table.number(1, 8) + table.number(2, 8))
    return end


def _read_notes(piece: Piece, scene: Scene) -> None:
    """Judge the files that stand behind the model as a zip: labels and vocabularies, which are texts."""
    for member, packed in zips.read_members(piece, scene, appended=True):
        inner = scene.nested(piece, zips.unpack(scene, member, packed), member.name)
        if scene.inspect(inner, scene) not in {"text", "json", "empty"}:
            scene.reject(inner, "polyglot", "Behind the model stands something else than labels.")


def _judge_operator(piece: Piece, scene: Scene, operator: Table) -> None:
    """Judge an OperatorCode: old code (0), custom name (1), version (2), code (3). Readers take the larger code."""
    names = read_vocabulary().tflite
    code = max(operator.number(0, 1), operator.number(3, 4))
    newest = max(int(number) for number in names["newest_builtin"])
    custom = operator.text(1)
    if code < 0 or (code > newest and code != CUSTOM):
        scene.hold(piece, "tflite-unknown", f"The model uses the operator number {code}, which is not known here.")
    if code != CUSTOM and custom is None:
        return
    shown = (custom or "")[:80]
    if shown.startswith(FLEX):
        saved_ops.judge(piece, scene, (custom or "").removeprefix(FLEX))
    elif custom not in names["custom"]:
        scene.hold(piece, "custom-operator", f"The operator {shown!r} needs a library of its own.")


def _check_graph(scene: Scene, graph: Table, codes: int) -> None:
    """Refuse a SubGraph whose operators (3) name an operator code (0) that is not there."""
    for operator in graph.tables(3, scene):
        if not 0 <= operator.number(0, 4) < codes:
            raise Unsafe("flatbuffer-broken", "The model uses an operator that it does not list.")
    for tensor in graph.tables(0, scene):
        tensor.text(3)


def _check_buffer(window: Window, buffer: Table) -> None:
    """Refuse a Buffer whose bytes (0), or bytes by offset (1) and size (2) behind the model, leave the file."""
    start, count = buffer.vector(0)
    window.part(start, count)
    at, size = buffer.at(1), buffer.at(2)
    offset = _number(window, at, 8) if at is not None else 0
    length = _number(window, size, 8) if size is not None else 0
    if offset > 1 or length > 1:
        window.part(offset, length)


def _number(window: Window, at: int, width: int, *, signed: bool = False) -> int:
    """Return a little-endian number at an offset. Raises Unreadable outside of the file."""
    return int.from_bytes(window.at(at, width), "little", signed=signed)
