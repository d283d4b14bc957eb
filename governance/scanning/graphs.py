"""Reads TensorFlow graphs into nodes: operator, inputs and where the attributes stand. Judging is saved_model.py's.

Source: tensorflow/core/framework/{graph,node_def,function,attr_value,tensor}.proto.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from governance.scanning.limits import Unreadable
from governance.scanning.protobuf import BYTES, VARINT, Field, Message

LONGEST_NAME = 1 << 16
LONGEST_CONSTANT = 1 << 12
DEEPEST = 16
TEXT_TYPE = 7
NODE, LIBRARY = 1, 2


@dataclass
class Node:
    """One node: what it does, where its inputs come from, where its attributes stand, which functions they name."""

    operators: set[str] = field(default_factory=set)
    inputs: list[str] = field(default_factory=list)
    attributes: dict[str, Field] = field(default_factory=dict)
    functions: set[str] = field(default_factory=set)


@dataclass
class Graph:
    """The main graph or a function: nodes by name, and for a function its name and the names of its arguments."""

    name: str = ""
    arguments: list[str] = field(default_factory=list)
    nodes: dict[str, Node] = field(default_factory=dict)


def read_graphs(message: Message, graph: Field) -> Iterator[Graph]:
    """Yield the main graph of a GraphDef and the functions of its library."""
    main = Graph()
    for item in message.inside(graph):
        if item.number == NODE:
            _read_node(message, item, main)
        elif item.number == LIBRARY:
            yield from (_read_function(message, part) for part in message.inside(item, 1))
    yield main


def _read_function(message: Message, function: Field) -> Graph:
    """Return a FunctionDef: its signature (1) with name (1) and arguments (2), and its nodes (3)."""
    found = Graph()
    for item in message.inside(function, 1, 3):
        if item.number == 3:
            _read_node(message, item, found)
            continue
        for part in message.inside(item, 1, 2):
            if part.number == 1:
                found.name = message.text(part, LONGEST_NAME)
            else:
                found.arguments += [message.text(name, LONGEST_NAME) for name in message.inside(part, 1)]
    return found


def _read_node(message: Message, node: Field, graph: Graph) -> None:
    """Add a NodeDef to a graph: name (1), operator (2), inputs (3), attributes (5). All values of a field count."""
    name, found = "", Node()
    for item in message.inside(node):
        if item.number == 1:
            name = message.text(item, LONGEST_NAME)
        elif item.number == 2:
            found.operators.add(message.text(item, LONGEST_NAME))
        elif item.number == 3:
            found.inputs.append(message.text(item, LONGEST_NAME))
        elif item.number == 5:
            pair = {part.number: part for part in message.inside(item, 1, 2)}
            if 1 in pair and 2 in pair:
                found.attributes[message.text(pair[1])] = pair[2]
                found.functions.update(function_names(message, pair[2]))
    known = graph.nodes.get(name)
    if known is not None:
        # Two nodes of one name are one suspect with the deeds of both.
        known.operators |= found.operators
        known.inputs += found.inputs
        known.attributes |= found.attributes
        known.functions |= found.functions
    else:
        graph.nodes[name] = found


def function_names(message: Message, attribute: Field, depth: int = 0) -> Iterator[str]:
    """Yield the functions that an AttrValue names: func (10), and those in its list (1, field 9)."""
    if depth > DEEPEST:
        raise Unreadable("too-deep", f"Attributes of a graph are nested more than {DEEPEST} deep.")
    for item in message.inside(attribute, 1, 10):
        called = message.inside(item, 9) if item.number == 1 else iter((item,))
        for function in called:
            for part in message.inside(function, 1, 2):
                if part.number == 1:
                    yield message.text(part, LONGEST_NAME)
                else:
                    for value in message.inside(part, 2):
                        yield from function_names(message, value, depth + 1)


def text_of(message: Message, attribute: Field | None) -> str | None:
    """Return the text (2) of an AttrValue, or None."""
    if attribute is None:
        return None
    return next((message.text(part) for part in message.inside(attribute, 2)), None)


def constants(message: Message, attribute: Field | None) -> list[str] | None:
    """Return the texts in the tensor (8) of a constant, or None when it holds numbers."""
    if attribute is None:
        return None
    for tensor in message.inside(attribute, 8):
        end = tensor.start + tensor.size
        kinds = {part.value for part in message.fields(tensor.start, end) if (part.number, part.wire) == (1, VARINT)}
        if TEXT_TYPE in kinds:
            return [message.text(part, LONGEST_CONSTANT) for part in message.inside(tensor, 4, 8)]
    return None


def is_graph(message: Message, start: int, end: int) -> bool:
    """Return whether the bytes are a GraphDef whose first node has a name and an operator."""
    # The first node before the rest: other formats begin with a million fields of number one.
    first = next((item for item in message.fields(start, end) if (item.number, item.wire) == (NODE, BYTES)), None)
    if first is None:
        return False
    node = {1: BYTES, 2: BYTES, 3: BYTES, 4: BYTES, 5: BYTES, 6: BYTES, 7: BYTES}
    seen = message.fits(first.start, first.start + first.size, node)
    if seen is None or not {1, 2} <= seen:
        return False
    return message.fits(start, end, {1: BYTES, 2: BYTES, 3: VARINT, 4: BYTES, 5: BYTES}) is not None
