"""Reads what TensorFlow writes as protocol buffers: SavedModels, meta graphs, frozen graphs, Keras' notes beside them.

Which operators a graph may use is data (vocabulary.json); where file names come from is found in graph_paths.py.
A file is judged as everything that it could be read as. Source: tensorflow/core/protobuf/{saved_model,meta_graph,
saved_object_graph,fingerprint}.proto, keras/protobuf/saved_metadata.proto.
"""

from __future__ import annotations

from collections.abc import Callable

from governance.scanning import graphs, keras, saved_ops
from governance.scanning.graph_paths import Tracer
from governance.scanning.graphs import Graph, Node
from governance.scanning.limits import Budget, Unreadable
from governance.scanning.protobuf import BYTES, FIXED64, VARINT, Field, Message
from governance.scanning.reading import Window
from governance.scanning.scene import Piece, Scene
from governance.scanning.vocabulary import read_vocabulary

META_GRAPH = dict.fromkeys(range(1, 8), BYTES)
SAVED_MODEL = {1: VARINT, 2: BYTES}
METADATA_NODE = {1: BYTES, 2: VARINT, 3: BYTES, 4: BYTES, 5: BYTES, 6: BYTES}
FINGERPRINT = {1: VARINT, 2: VARINT, 3: VARINT, 4: VARINT, 5: VARINT, 6: BYTES, 7: BYTES}
OLD_FINGERPRINT = dict.fromkeys(range(1, 6), FIXED64) | {6: BYTES, 7: BYTES}
PRINTS_TO = frozenset({"stderr", "stdout", "log(info)", "log(warning)", "log(error)"})
LONGEST_METADATA = 16 << 20


def looks_like(window: Window) -> str | None:
    """Return which of TensorFlow's files the bytes could be, or None."""
    message = Message(window, Budget(window.budget.limits))
    try:
        return next((kind for kind, (fits, _) in READINGS.items() if fits(message, 0, window.size)), None)
    except Unreadable:
        return None


def read(piece: Piece, scene: Scene) -> str:
    """Judge a piece as each kind of file that it could be; return the first. Raises Unreadable or Unsafe."""
    message = Message(piece.window, scene.budget)
    fitting = [kind for kind, (fits, _) in READINGS.items() if fits(message, 0, piece.window.size)]
    if not fitting:
        raise Unreadable("protobuf-broken", "The content is no message that TensorFlow writes.")
    whole = Field(0, BYTES, 0, 0, piece.window.size)
    for kind in fitting:
        READINGS[kind][1](piece, scene, message, whole)
    return fitting[0]


def _is_saved_model(message: Message, start: int, end: int) -> bool:
    """Return whether the bytes are a version and meta graphs."""
    if message.fits(start, end, SAVED_MODEL) not in ({1, 2}, {2}):
        return False
    first = next(item for item in message.fields(start, end) if item.number == 2)
    seen = message.fits(first.start, first.start + first.size, META_GRAPH)
    return seen is not None and 2 in seen


def _is_meta_graph(message: Message, start: int, end: int) -> bool:
    """Return whether the bytes are notes about a graph and the graph."""
    # Notes come once, before the graph; vocabularies begin with a million fields of number one.
    second = next((item for place, item in enumerate(message.fields(start, end)) if place), None)
    if second is None or second.number == 1:
        return False
    seen = message.fits(start, end, META_GRAPH)
    if seen is None or not {1, 2} <= seen:
        return False
    graph = next(item for item in message.fields(start, end) if item.number == 2)
    return graphs.is_graph(message, graph.start, graph.start + graph.size)


def _is_metadata(message: Message, start: int, end: int) -> bool:
    """Return whether the bytes are Keras' notes: nodes with a path (3), an identifier (4) and JSON (5)."""
    first = next(message.fields(start, end), None)
    if first is None or (first.number, first.wire) != (1, BYTES):
        return False
    seen = message.fits(first.start, first.start + first.size, METADATA_NODE)
    return seen is not None and {3, 4} <= seen and message.fits(start, end, {1: BYTES}) == {1}


def _is_fingerprint(message: Message, start: int, end: int) -> bool:
    """Return whether the bytes are checksums and a version only."""
    for layout in (FINGERPRINT, OLD_FINGERPRINT):
        seen = message.fits(start, end, layout)
        if seen is not None and len(seen) >= 4 and {1, 2} <= seen:
            return True
    return False


def _read_saved_model(piece: Piece, scene: Scene, message: Message, whole: Field) -> None:
    """Judge every meta graph of a SavedModel."""
    for item in message.inside(whole, 2):
        _read_meta_graph(piece, scene, message, item)


def _read_meta_graph(piece: Piece, scene: Scene, message: Message, meta: Field) -> None:
    """Judge a MetaGraphDef: graph (2), saver (3), assets (6), objects (7)."""
    found: list[Graph] = []
    holders, assets = set(), set()
    for item in message.inside(meta):
        if item.number == 2:
            found += graphs.read_graphs(message, item)
        elif item.number == 3:
            holders |= {message.text(part).split(":")[0] for part in message.inside(item, 1)}
        elif item.number == 6:
            assets |= _read_asset(piece, scene, message, item)
        elif item.number == 7:
            _read_objects(piece, scene, message, item)
    _judge_graphs(piece, scene, message, found, holders, assets)


def _read_asset(piece: Piece, scene: Scene, message: Message, asset: Field) -> set[str]:
    """Judge an AssetFileDef: the tensor (1) that gets the path, and the file's name (2) in the model's folder."""
    for name in message.inside(asset, 2):
        text = message.text(name)
        if saved_ops.OUTSIDE.match(text) or text.startswith("/") or "\\" in text or "\0" in text:
            scene.reject(piece, "tensorflow-path", f"The model has the asset {text[:120]!r}, outside of its folder.")
    return {message.text(part).split(":")[0] for info in message.inside(asset, 1) for part in message.inside(info, 1)}


def _read_graph(piece: Piece, scene: Scene, message: Message, graph: Field) -> None:
    """Judge a graph that stands alone."""
    _judge_graphs(piece, scene, message, list(graphs.read_graphs(message, graph)), set(), set())


def _judge_graphs(
    piece: Piece, scene: Scene, message: Message, found: list[Graph], holders: set[str], assets: set[str]
) -> None:
    """Judge the operators of graphs that belong together, and where their file names come from."""
    functions = {graph.name for graph in found if graph.name}
    names = read_vocabulary().tensorflow
    special: dict[str, Callable[[Piece, Scene, Message, Node], None]] = {
        "PrintV2": _judge_print,
        "DecodeProtoV2": _judge_proto,
        "EncodeProto": _judge_proto,
    }
    used: set[str] = set()
    for graph in found:
        for node in graph.nodes.values():
            used |= node.operators | node.functions
            for operator in node.operators & special.keys():
                special[operator](piece, scene, message, node)
    for operator in sorted(used):
        own = operator in functions and operator not in names["dangerous"]
        if not own and operator not in names["files"] and operator not in special:
            saved_ops.judge(piece, scene, operator)
    tracer = Tracer(piece, scene, message, found)
    tracer.holders, tracer.assets = holders, assets
    tracer.run()


def _judge_print(piece: Piece, scene: Scene, message: Message, node: Node) -> None:
    """Judge PrintV2, which can write to a file."""
    target = graphs.text_of(message, node.attributes.get("output_stream"))
    if target is not None and target not in PRINTS_TO:
        scene.reject(piece, "tensorflow-path", f"The operator PrintV2 writes to {target[:120]!r}.")


def _judge_proto(piece: Piece, scene: Scene, message: Message, node: Node) -> None:
    """Judge DecodeProtoV2 and EncodeProto, which can read the description of messages from a file."""
    source = graphs.text_of(message, node.attributes.get("descriptor_source")) or "local://"
    if source.startswith(("local://", "bytes://")):
        scene.hold(piece, "tensorflow-proto", "The graph decodes protocol buffers by a description of its own.")
    else:
        scene.reject(piece, "tensorflow-path", f"The graph reads a description of messages from {source[:120]!r}.")


def _read_objects(piece: Piece, scene: Scene, message: Message, objects: Field) -> None:
    """Judge a SavedObjectGraph: objects of users (4) with JSON (3), and savers that need code of their own (16)."""
    for node in message.inside(objects, 1):
        for item in message.inside(node, 4, 16):
            if item.number == 16:
                scene.hold(piece, "tensorflow-saver", "The model has a saver that is registered in a program.")
                continue
            for part in message.inside(item, 3):
                _judge_metadata(piece, scene, message, part)


def _read_metadata(piece: Piece, scene: Scene, message: Message, whole: Field) -> None:
    """Judge Keras' notes for each layer (1): the configuration as JSON (5)."""
    for node in message.inside(whole, 1):
        for item in message.inside(node, 5):
            _judge_metadata(piece, scene, message, item)


def _judge_metadata(piece: Piece, scene: Scene, message: Message, item: Field) -> None:
    """Judge a configuration of Keras as JSON; layers that Keras does not know are revived from the graph."""
    if item.size > LONGEST_METADATA:
        raise Unreadable("too-large", f"A configuration of Keras has {item.size:,} bytes.")
    text = message.raw(item, item.size)
    if text.lstrip()[:1] in {b"{", b"["}:
        keras.judge_text(piece, scene, text, lenient=True)


READINGS: dict[str, tuple[Callable[[Message, int, int], bool], Callable[[Piece, Scene, Message, Field], None]]] = {
    "saved-model": (_is_saved_model, _read_saved_model),
    "meta-graph": (_is_meta_graph, _read_meta_graph),
    "frozen-graph": (graphs.is_graph, _read_graph),
    "keras-metadata": (_is_metadata, _read_metadata),
    "fingerprint": (_is_fingerprint, lambda piece, scene, message, whole: None),
}
