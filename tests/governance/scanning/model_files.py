"""Builds model files for the scanner's tests: HDF5, TensorFlow graphs and checkpoints, TFLite, skops, Core ML."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import h5py
import numpy as np

from governance.scanning.bundle import MAGIC, _crc32c
from tests.governance.scanning.assemble import field, zip_file, zip_member

TEXT_TYPE, FLOAT_TYPE = 7, 1


def hdf5(write: Callable[[Any], object], **settings: Any) -> bytes:
    """Return an HDF5 file that a function has written."""
    out = io.BytesIO()
    with h5py.File(out, "w", **settings) as file:
        write(file)
    return out.getvalue()


def keras_h5(config: object, training: object = None, *, weights: bool = True) -> bytes:
    """Return a whole model as Keras 2 saves it: configuration and training in attributes, weights in groups."""

    def write(file: Any) -> None:
        file.attrs["model_config"] = config if isinstance(config, str) else json.dumps(config)
        file.attrs["keras_version"], file.attrs["backend"] = "2.15.0", b"tensorflow"
        if training is not None:
            file.attrs["training_config"] = json.dumps(training).encode()
        if weights:
            layer = file.create_group("model_weights/dense/dense")
            layer["kernel:0"], layer["bias:0"] = np.zeros((4, 2), np.float32), np.zeros(2, np.float32)
            file["model_weights"].attrs["layer_names"] = np.array([b"dense"])
            file["model_weights/dense"].attrs["weight_names"] = np.array([b"dense/kernel:0", b"dense/bias:0"])
            moment = file.create_group("optimizer_weights/Adam/m")
            moment.create_dataset("kernel", data=np.zeros((64, 64), np.float32), compression="gzip", shuffle=True)

    return hdf5(write)


def sequential(*layers: object, **more: object) -> dict[str, object]:
    """Return the configuration of a Keras 3 model with these layers."""
    config = {"name": "sequential", "trainable": True, "layers": list(layers)}
    return {"module": "keras", "class_name": "Sequential", "config": config, "registered_name": None, **more}


def layer(name: str, module: str | None = "keras.layers", /, **config: object) -> dict[str, object]:
    """Return the configuration of one object."""
    return {"module": module, "class_name": name, "config": config, "registered_name": None}


def named(function: str, module: str | None = "builtins") -> dict[str, object]:
    """Return a function by its name, as Keras 3 writes it."""
    return {"module": module, "class_name": "function", "config": function, "registered_name": "function"}


def node(name: str, operator: str, *inputs: str, **attributes: bytes) -> bytes:
    """Return a NodeDef."""
    out = field(1, name.encode()) + field(2, operator.encode())
    out += b"".join(field(3, each.encode()) for each in inputs)
    return out + b"".join(field(5, field(1, key.encode()) + field(2, value)) for key, value in attributes.items())


def text_value(text: str) -> bytes:
    """Return an AttrValue with a text."""
    return field(2, text.encode())


def calls(function: str) -> bytes:
    """Return an AttrValue that names a function."""
    return field(10, field(1, function.encode()))


def const(name: str, *texts: str) -> bytes:
    """Return a constant node with texts."""
    tensor = field(1, TEXT_TYPE) + b"".join(field(8, text.encode()) for text in texts)
    return node(name, "Const", value=field(8, tensor), dtype=field(6, TEXT_TYPE))


def function(name: str, arguments: Iterable[str], *nodes: bytes) -> bytes:
    """Return a FunctionDef."""
    signature = field(1, name.encode()) + b"".join(field(2, field(1, each.encode())) for each in arguments)
    return field(1, signature) + b"".join(field(3, each) for each in nodes)


def graph(*nodes: bytes, functions: Iterable[bytes] = ()) -> bytes:
    """Return a GraphDef."""
    out = b"".join(field(1, each) for each in nodes)
    library = b"".join(field(1, each) for each in functions)
    return out + (field(2, library) if library else b"") + field(4, field(1, 1882))


def meta_graph(data: bytes, *, holder: str = "saver_filename", assets: Mapping[str, str] | None = None) -> bytes:
    """Return a MetaGraphDef: notes, a graph, a saver, assets (tensor to file name)."""
    out = (
        field(1, field(4, b"serve") + field(5, b"2.15.0"))
        + field(2, data)
        + field(3, field(1, holder.encode() + b":0"))
    )
    for tensor, path in (assets or {}).items():
        out += field(6, field(1, field(1, tensor.encode() + b":0")) + field(2, path.encode()))
    return out


def saved_model(*nodes: bytes, functions: Iterable[bytes] = (), objects: bytes = b"", **more: Any) -> bytes:
    """Return a SavedModel."""
    meta = meta_graph(graph(*nodes, functions=functions), **more)
    return field(1, 1) + field(2, meta + (field(7, objects) if objects else b""))


def revived(config: object) -> bytes:
    """Return a SavedObjectGraph with one Keras layer and its configuration."""
    user = field(1, b"_tf_keras_layer") + field(3, json.dumps(config).encode())
    return field(1, field(4, user))


def keras_metadata(*configs: object) -> bytes:
    """Return keras_metadata.pb."""
    out = b""
    for number, config in enumerate(configs):
        out += field(
            1,
            field(2, number) + field(3, b"root") + field(4, b"_tf_keras_layer") + field(5, json.dumps(config).encode()),
        )
    return out


SAVER = (
    const("save/part", "_temp/part"),
    node("save/name", "StringJoin", "file_prefix", "save/part:output:0"),
    const("save/names", "dense/kernel/.ATTRIBUTES/VARIABLE_VALUE"),
    node("save/shard", "ShardedFilename", "save/name:output:0"),
    node("save/save", "SaveV2", "save/shard:filename:0", "save/names:output:0"),
    node("save/all", "Pack", "save/shard:filename:0"),
    node("save/merge", "MergeV2Checkpoints", "save/all:output:0", "file_prefix"),
)


def plain_saved_model(*more: bytes, functions: Iterable[bytes] = (), **settings: Any) -> bytes:
    """Return a SavedModel of one dense layer with the saver that TensorFlow 2 gives it, and more nodes."""
    serve = function(
        "__inference_signature_wrapper_1",
        ["x", "w"],
        node("MatMul", "MatMul", "x", "w"),
        node("out", "BiasAdd", "MatMul:product:0", "w"),
    )
    save = function("__inference__traced_save_2", ["file_prefix", "w"], *SAVER)
    nodes = [
        node("serving_default_x", "Placeholder"),
        node("w", "VarHandleOp"),
        node("saver_filename", "Placeholder"),
        node("call", "StatefulPartitionedCall", "serving_default_x", "w", f=calls("__inference_signature_wrapper_1")),
        node("save", "StatefulPartitionedCall", "saver_filename", "w", f=calls("__inference__traced_save_2")),
    ]
    return saved_model(*nodes, *more, functions=[serve, save, *functions], **settings)


def tensor_index(*tensors: tuple[str, int], hidden: bytes = b"", break_sum: bool = False) -> bytes:
    """Return the index of a checkpoint: (name, type) of each tensor."""

    def entry(key: bytes, value: bytes) -> bytes:
        return bytes([0, len(key), len(value)]) + key + value

    def close(block: bytes) -> bytes:
        block += struct.pack("<II", 0, 1) + b"\0"
        crc = _crc32c(block)
        masked = (((crc >> 15) | (crc << 17)) + 0xA282EAD8 + int(break_sum)) & 0xFFFFFFFF
        return block + struct.pack("<I", masked)

    def handle(offset: int, size: int) -> bytes:
        return b"".join(bytes([value & 0x7F | 0x80, value >> 7]) for value in (offset, size))

    entries = entry(b"", field(1, 1))
    entries += b"".join(entry(name.encode(), field(1, kind) + field(5, 16)) for name, kind in tensors)
    data = close(entries)
    empty = close(b"")
    meta = handle(len(data), len(empty) - 5)
    top = close(entry(b"z", handle(0, len(data) - 5)))
    index = handle(len(data) + len(empty) + len(hidden), len(top) - 5)
    return data + empty + hidden + top + (meta + index).ljust(40, b"\0") + MAGIC


class Flat:
    """A flatbuffer being built from front to back; offsets are filled in when their target is there."""

    def __init__(self) -> None:
        self.data = bytearray(struct.pack("<I4s", 0, b"TFL3"))

    def put(self, data: bytes) -> int:
        """Add bytes at a multiple of eight and return where."""
        self.data.extend(b"\0" * (-len(self.data) % 8))
        self.data.extend(data)
        return len(self.data) - len(data)

    def table(self, *slots: tuple[str, int] | None) -> int:
        """Add a table of numbers in fields; None is a field that is absent."""
        body, places = b"", []
        for slot in slots:
            body += b"\0" * (-(4 + len(body)) % 8 if slot and slot[0] in "qQ" else -len(body) % 4)
            places.append(4 + len(body) if slot else 0)
            body += struct.pack("<" + slot[0], slot[1]) if slot else b""
        fields = self.put(struct.pack(f"<HH{len(places)}H", 4 + 2 * len(places), 4 + len(body), *places))
        start = self.put(struct.pack("<i", 0) + body)
        struct.pack_into("<i", self.data, start, start - fields)
        return start

    def point(self, start: int, number: int, target: int) -> None:
        """Let a field of a table point to what stands behind it."""
        fields = start - struct.unpack_from("<i", self.data, start)[0]
        at = start + struct.unpack_from("<H", self.data, fields + 4 + 2 * number)[0]
        struct.pack_into("<I", self.data, at, target - at)

    def vector(self, count: int) -> int:
        """Add room for the offsets of tables."""
        return self.put(struct.pack(f"<I{count}I", count, *[0] * count))

    def item(self, start: int, number: int, target: int) -> None:
        """Let an item of a vector point to a table behind it."""
        at = start + 4 + 4 * number
        struct.pack_into("<I", self.data, at, target - at)


def tflite(*operators: tuple[int, str | None], version: int = 3, buffer: tuple[int, int] = (0, 0)) -> bytes:
    """Return a TFLite model with operator codes (number, custom name), one graph and one buffer (offset, size)."""
    flat = Flat()
    model = flat.table(("I", version), ("I", 0), ("I", 0), None, ("I", 0))
    struct.pack_into("<I", flat.data, 0, model)
    vectors = [flat.vector(len(operators)), flat.vector(1), flat.vector(1)]
    for number, target in zip((1, 2, 4), vectors, strict=True):
        flat.point(model, number, target)
    for number, (code, custom) in enumerate(operators):
        made = flat.table(("b", min(code, 127)), ("I", 0) if custom is not None else None, ("i", 1), ("i", code))
        flat.item(vectors[0], number, made)
        if custom is not None:
            flat.point(made, 1, flat.put(struct.pack("<I", len(custom)) + custom.encode() + b"\0"))
    flat.item(vectors[1], 0, flat.table())
    flat.item(vectors[2], 0, flat.table(None, ("Q", buffer[0]), ("Q", buffer[1])))
    return bytes(flat.data)


def skops_node(loader: str, module: str, name: str, **more: object) -> dict[str, object]:
    """Return one node of a skops schema."""
    return {"__class__": name, "__module__": module, "__loader__": loader, "__id__": 1, **more}


def skops_file(schema: object, members: Mapping[str, bytes] | None = None) -> bytes:
    """Return a skops archive."""
    if isinstance(schema, dict):
        schema = {"protocol": 2, "_skops_version": "0.16.0", **schema}
    text = schema if isinstance(schema, bytes) else json.dumps(schema).encode()
    return zip_file(
        [*(zip_member(path, data) for path, data in (members or {}).items()), zip_member("schema.json", text)]
    )


def coreml(kind: int, content: bytes = b"") -> bytes:
    """Return a Core ML model of one kind."""
    return field(1, 5) + field(2, field(1, b"a model")) + field(kind, content)
