"""Finds out where file names in a TensorFlow graph come from: the model's own saver, or somewhere else.

An ordinary SavedModel saves and restores itself: the name comes from the place holder of its saver, or of one of its
assets, and passes through calls to the operators that use it. A name that is written into the graph, comes from a
request, or is computed is no ordinary one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from governance.scanning import graphs
from governance.scanning.graphs import Graph, Node
from governance.scanning.protobuf import Message
from governance.scanning.saved_ops import OUTSIDE
from governance.scanning.scene import Piece, Scene
from governance.scanning.vocabulary import read_vocabulary

# Which inputs of an operator are names of files.
NAMED_BY = {
    "MergeV2Checkpoints": (0, 1),
    "InitializeTableFromTextFile": (1,),
    "InitializeTableFromTextFileV2": (1,),
}
HANDS_ON = "Identity StringJoin Select SelectV2 Pack ConcatV2 Concat ShardedFilename Reshape ExpandDims Squeeze Cast"
PASSES_ON = frozenset(f"{HANDS_ON} PlaceholderWithDefault StopGradient IdentityN ReadVariableOp".split())
HOLDERS = frozenset({"Placeholder", "PlaceholderV2"})
# The pieces of a name that TensorFlow itself writes into a graph.
ORDINARY = re.compile(r"([./]part|part|_temp/part|_temp_[0-9a-f]{32}/part|model|model\.ckpt|checkpoint|\^s3://\.\*|)")
ASSET = re.compile(r"[\w][\w.-]*")
Place = tuple[str, int]


class Tracer:
    """Follows the names of files back through the graphs of one piece."""

    def __init__(self, piece: Piece, scene: Scene, message: Message, all_graphs: Iterable[Graph]) -> None:
        self.piece = piece
        self.scene = scene
        self.message = message
        self.graphs = {graph.name: graph for graph in all_graphs}
        self.holders: set[str] = set()
        self.assets: set[str] = set()

    def run(self) -> None:
        """Judge every name of a file; arguments of functions are followed into the calls of the function."""
        operators = read_vocabulary().tensorflow["files"]
        waiting: list[Place] = []
        for graph in self.graphs.values():
            for node in graph.nodes.values():
                for operator in node.operators & operators:
                    for number in NAMED_BY.get(operator, (0,)):
                        waiting += self.trace(graph, node, number, operator)
        seen: set[Place] = set()
        calls = self.find_calls() if waiting else {}
        while waiting:
            place = waiting.pop()
            if place in seen:
                continue
            seen.add(place)
            for graph, node in calls.get(place[0], ()):
                waiting += self.trace(graph, node, place[1], f"function {place[0][:80]}")

    def find_calls(self) -> dict[str, list[tuple[Graph, Node]]]:
        """Return which nodes of which graphs call each function."""
        calls: dict[str, list[tuple[Graph, Node]]] = {}
        for graph in self.graphs.values():
            for node in graph.nodes.values():
                for name in (node.operators | node.functions) & self.graphs.keys():
                    calls.setdefault(name, []).append((graph, node))
        return calls

    def trace(self, graph: Graph, node: Node, number: int, user: str) -> Iterator[Place]:
        """Judge where an input of a node comes from; yield the arguments of the function that it comes from."""
        inputs = [name for name in node.inputs if not name.startswith("^")]
        waiting = inputs[number : number + 1]
        seen: set[str] = set()
        while waiting:
            name = waiting.pop().split(":")[0]
            if name in seen:
                continue
            seen.add(name)
            self.scene.budget.spend_steps(1)
            source = graph.nodes.get(name)
            if source is None:
                if name in graph.arguments:
                    yield graph.name, graph.arguments.index(name)
            elif source.operators & PASSES_ON:
                waiting += [each for each in source.inputs if not each.startswith("^")]
            elif "VarHandleOp" in source.operators and (given := _given_to(graph, name)):
                waiting += given
            else:
                self.judge_source(graph, name, source, user)

    def judge_source(self, graph: Graph, name: str, source: Node, user: str) -> None:
        """Judge the node that a name of a file begins with."""
        if "Const" in source.operators:
            for text in graphs.constants(self.message, source.attributes.get("value")) or ():
                self.judge_constant(text, user, is_asset=not graph.name and name in self.assets)
        elif source.operators & HOLDERS:
            if name not in self.holders | self.assets:
                says = f"The {user} uses a file that a request names ({name[:80]})."
                self.scene.hold(self.piece, "tensorflow-path", says)
        elif "StaticRegexFullMatch" not in source.operators:
            shown = ", ".join(sorted(source.operators))[:80]
            says = f"The {user} uses a file whose name is computed ({shown})."
            self.scene.hold(self.piece, "tensorflow-path", says)

    def judge_constant(self, text: str, user: str, is_asset: bool) -> None:
        """Judge a name of a file that is written into the graph; that of an asset is replaced on loading."""
        if ORDINARY.fullmatch(text) or is_asset:
            return
        if OUTSIDE.match(text):
            self.scene.reject(self.piece, "tensorflow-path", f"The {user} uses the file {text[:120]!r}.")
        elif not ASSET.fullmatch(text):
            self.scene.hold(self.piece, "tensorflow-path", f"The {user} uses the file {text[:120]!r}.")
        else:
            self.scene.hold(self.piece, "tensorflow-path", f"The {user} uses a file beside it, {text[:120]!r}.")


def _given_to(graph: Graph, variable: str) -> list[str]:
    """Return what a graph assigns to a variable."""
    assigned = [node.inputs for node in graph.nodes.values() if "AssignVariableOp" in node.operators]
    return [inputs[1] for inputs in assigned if len(inputs) > 1 and inputs[0].split(":")[0] == variable]
