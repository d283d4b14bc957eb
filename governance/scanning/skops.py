"""Reads skops files: a zip with a schema that names every type and function that loading would use.

Source: skops/io (protocol 0 to 2). The types are judged by the same allow-list as pickles, since loading imports them.
Known attacks: CVE-2025-54412, CVE-2025-54413 (a node whose names disagree with what is loaded).
"""

from __future__ import annotations

from governance.scanning.allowlist import IDENTIFIERS, Kind
from governance.scanning.documents import read_json
from governance.scanning.limits import Unreadable
from governance.scanning.scene import Piece, Scene

NEWEST_PROTOCOL = 2
DEEPEST = 200
# What each loader does with the type it names: makes it, or only mentions or calls it.
OBJECTS = "ObjectNode ReduceNode ConstructorFromReduceNode TreeNode LossNode SGDNode QuantileForestNode"
MADE = frozenset(f"{OBJECTS} _DictWithDeprecatedKeysNode".split())
VALUES = "DictNode DefaultDictNode ListNode SetNode TupleNode JsonNode BytesNode BytearrayNode SliceNode CachedNode"
ARRAYS = "NdArrayNode MaskedArrayNode RandomStateNode RandomGeneratorNode SparseMatrixNode DTypeNode"
PLAIN = frozenset(f"{VALUES} {ARRAYS}".split())
NAMED = frozenset({"TypeNode", "FunctionNode", "PartialNode"})
# What the loader of random numbers makes, and nothing else does.
RANDOM = {
    "RandomStateNode": "numpy.random.mtrand.RandomState",
    "RandomGeneratorNode": "numpy.random._generator.Generator",
}
CALLING = frozenset({"MethodNode", "OperatorFuncNode"})


def read_schema(piece: Piece, scene: Scene) -> None:
    """Judge schema.json of a skops file. Raises Unreadable."""
    if piece.window.size > scene.limits.text_bytes:
        raise Unreadable("too-large", f"The schema has {piece.window.size:,} bytes.")
    schema = read_json(piece, scene, piece.window.head(piece.window.size))
    if not isinstance(schema, dict) or "__loader__" not in schema:
        raise Unreadable("skops-schema", "The schema does not say how anything is loaded.")
    protocol = schema.get("protocol")
    if not isinstance(protocol, int) or protocol > NEWEST_PROTOCOL:
        scene.hold(piece, "skops-protocol", f"The file has protocol {str(protocol)[:20]}; known are 0 to 2.")
    waiting: list[tuple[object, int]] = [(schema, 0)]
    while waiting:
        value, depth = waiting.pop()
        scene.budget.spend_steps(1)
        if depth > DEEPEST:
            raise Unreadable("too-deep", f"The schema is nested more than {DEEPEST} deep.")
        if isinstance(value, dict):
            if "__loader__" in value or "__class__" in value or "__module__" in value:
                _judge_node(piece, scene, value)
            waiting += [(part, depth + 1) for part in value.values() if isinstance(part, dict | list)]
        elif isinstance(value, list):
            waiting += [(part, depth + 1) for part in value if isinstance(part, dict | list)]


def _judge_node(piece: Piece, scene: Scene, node: dict[str, object]) -> None:
    """Judge one node by its loader and the type it names."""
    loader = str(node.get("__loader__"))
    module, name = str(node.get("__module__")), str(node.get("__class__"))
    content = node.get("content")
    if RANDOM.get(loader) == f"{module}.{name}":
        return
    if loader in CALLING:
        scene.hold(piece, "skops-calls", f"Loading calls {module[:80]}.{name[:80]} ({loader}).")
        _judge_name(piece, scene, module, name, called=True)
    elif loader in NAMED or loader in PLAIN or loader in MADE:
        _judge_name(piece, scene, module, name, called=loader in MADE)
    else:
        scene.hold(piece, "skops-loader", f"The loader {loader[:80]!r} is not known here.")
        _judge_name(piece, scene, module, name, called=True)
    if loader in {"FunctionNode", "TypeNode"} and isinstance(content, dict):
        inner = (str(content.get("module_path", module)), str(content.get("function", name)))
        _judge_name(piece, scene, *inner, called=False)


def _judge_name(piece: Piece, scene: Scene, module: str, name: str, called: bool) -> None:
    """Judge a type or function that loading imports."""
    kind = scene.allowlist.judge(module, name)
    shown = f"{module[:80]}.{name[:80]}"
    if kind is Kind.DANGEROUS:
        scene.reject(piece, "dangerous-global", f"It names {shown}, which can run code or reach files.")
    elif not IDENTIFIERS.fullmatch(f"{module}.{name}"):
        scene.reject(piece, "odd-name", f"It names {shown!r}, which is no name that Python writes.")
    elif kind is Kind.UNKNOWN:
        scene.hold(piece, "unknown-global", f"It names {shown}, which is not on the allow-list.")
        scene.want(module, name, Kind.CALL if called else Kind.REF)
    elif called and kind in {Kind.REF, Kind.CONSTANT}:
        scene.hold(piece, "call-not-allowed", f"Loading makes {shown}, which may only be named.")
        scene.want(module, name, Kind.CLASS)
