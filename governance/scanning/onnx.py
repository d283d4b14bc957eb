"""Reads ONNX models: which operators the graph uses and which other files it points to. Weights are stepped over.

Source: onnx/onnx.proto3. The library's own checker is not used: it opens external files and refuses valid graphs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from governance.scanning.limits import Budget, Unreadable
from governance.scanning.protobuf import BYTES, VARINT, Field, Message
from governance.scanning.reading import Window
from governance.scanning.scene import Piece, Scene

DOMAINS = frozenset(
    {
        "",
        "ai.onnx",
        "ai.onnx.ml",
        "ai.onnx.training",
        "ai.onnx.preview.training",
        "com.microsoft",
        "com.microsoft.dml",
        "com.microsoft.experimental",
        "com.microsoft.nchwc",
        "com.ms.internal.nhwc",
        "org.pytorch.aten",
    }
)
PYTHON_OPERATORS = frozenset({"PyOp", "PythonOp", "PythonOpGrad", "PyCustomOp"})
# Carries a compiled program for one accelerator, or the path of one.
COMPILED = ("com.microsoft", "EPContext")
MODEL = {1: VARINT, 2: BYTES, 3: BYTES, 4: BYTES, 5: VARINT, 6: BYTES, 7: BYTES, 8: BYTES, 14: BYTES, 20: BYTES}
MODEL |= {25: BYTES, 26: BYTES}
IR_VERSION, GRAPH, OPSETS, TRAINING, FUNCTIONS = 1, 7, 8, 20, 25
DEEPEST = 32
SCHEME = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*:")


@dataclass
class Seen:
    """What the walk through a model collects."""

    operators: set[tuple[str, str]] = field(default_factory=set)
    functions: set[tuple[str, str]] = field(default_factory=set)
    locations: set[str] = field(default_factory=set)


def looks_like(window: Window) -> bool:
    """Return whether the top level is an ONNX model: known fields only, a version, a graph and operator sets."""
    seen = set()
    try:
        for item in Message(window, Budget(window.budget.limits)).fields(0, window.size):
            if MODEL.get(item.number) != item.wire:
                return False
            seen.add(item.number)
    except Unreadable:
        return False
    return {IR_VERSION, GRAPH} <= seen and bool(seen & {OPSETS, 2})


def read(piece: Piece, scene: Scene) -> None:
    """Judge an ONNX piece. Raises Unreadable or Unsafe."""
    message = Message(piece.window, scene.budget)
    seen = Seen()
    for item in message.fields(0, piece.window.size):
        if item.number == GRAPH:
            _walk_graph(message, item, seen, 0)
        elif item.number == FUNCTIONS:
            _walk_function(message, item, seen)
        elif item.number == TRAINING:
            for part in _children(message, item):
                _walk_graph(message, part, seen, 0)
    for domain, operator in sorted(seen.operators):
        _judge_operator(piece, scene, domain, operator, own=(domain, operator) in seen.functions)
    for location in sorted(seen.locations):
        _judge_location(piece, scene, location)


def _judge_operator(piece: Piece, scene: Scene, domain: str, operator: str, own: bool) -> None:
    """Judge an operator; what the model defines itself is judged by what it is made of."""
    if operator in PYTHON_OPERATORS:
        scene.reject(piece, "python-operator", f"The operator {operator} runs Python code.")
    elif (domain, operator) == COMPILED:
        scene.hold(piece, "custom-operator", f"The operator {operator} holds a program compiled for an accelerator.")
    elif domain not in DOMAINS and not own:
        shown = f"{domain[:80]}.{operator[:80]}"
        scene.hold(piece, "custom-operator", f"The operator {shown} needs a library of its own.")


def _judge_location(piece: Piece, scene: Scene, location: str) -> None:
    """Refuse weights that are read from outside the model's folder."""
    parts = PurePosixPath(location).parts
    if not location or location.startswith(("/", "~")) or ".." in parts or "\\" in location or SCHEME.match(location):
        scene.reject(piece, "external-path", f"Weights are read from {location[:120]!r}, outside the model's folder.")
    elif "\0" in location:
        scene.reject(piece, "external-path", "Weights are read from a path with a zero byte.")
    else:
        scene.remark(
            piece, "external-data", f"Weights are in a second file, {location[:120]!r}, which is scanned by itself."
        )


def _children(message: Message, parent: Field) -> Iterator[Field]:
    """Yield the byte fields of a message inside another one."""
    for item in message.fields(parent.start, parent.start + parent.size):
        if item.wire == BYTES:
            yield item


def _walk_graph(message: Message, graph: Field, seen: Seen, depth: int) -> None:
    """Collect from a GraphProto: nodes (1), initializers (5), sparse initializers (15)."""
    if depth > DEEPEST:
        raise Unreadable("too-deep", f"The graph is nested more than {DEEPEST} deep.")
    for item in _children(message, graph):
        if item.number == 1:
            _walk_node(message, item, seen, depth)
        elif item.number == 5:
            _walk_tensor(message, item, seen)
        elif item.number == 15:
            _walk_sparse(message, item, seen)


def _walk_node(message: Message, node: Field, seen: Seen, depth: int) -> None:
    """Collect from a NodeProto: operator (4), attributes (5), domain (7)."""
    operator = domain = ""
    for item in _children(message, node):
        if item.number == 4:
            operator = message.text(item)
        elif item.number == 7:
            domain = message.text(item)
        elif item.number == 5:
            _walk_attribute(message, item, seen, depth)
    seen.operators.add((domain, operator))


def _walk_attribute(message: Message, attribute: Field, seen: Seen, depth: int) -> None:
    """Collect from an AttributeProto: tensors (5, 10), graphs (6, 11), sparse tensors (22, 23)."""
    for item in _children(message, attribute):
        if item.number in {5, 10}:
            _walk_tensor(message, item, seen)
        elif item.number in {6, 11}:
            _walk_graph(message, item, seen, depth + 1)
        elif item.number in {22, 23}:
            _walk_sparse(message, item, seen)


def _walk_sparse(message: Message, sparse: Field, seen: Seen) -> None:
    """Collect from a SparseTensorProto: values (1) and indices (2)."""
    for item in _children(message, sparse):
        if item.number in {1, 2}:
            _walk_tensor(message, item, seen)


def _walk_tensor(message: Message, tensor: Field, seen: Seen) -> None:
    """Collect from a TensorProto: entries of external data (13) whose key (1) is a location, with its value (2)."""
    for item in _children(message, tensor):
        if item.number == 13:
            pair = {part.number: message.text(part) for part in _children(message, item)}
            if pair.get(1) == "location":
                seen.locations.add(pair.get(2, ""))


def _walk_function(message: Message, function: Field, seen: Seen) -> None:
    """Collect from a FunctionProto: name (1), nodes (7), domain (10)."""
    name = domain = ""
    for item in _children(message, function):
        if item.number == 1:
            name = message.text(item)
        elif item.number == 10:
            domain = message.text(item)
        elif item.number == 7:
            _walk_node(message, item, seen, 0)
        elif item.number == 11:
            _walk_attribute(message, item, seen, 0)
    seen.functions.add((domain, name))
