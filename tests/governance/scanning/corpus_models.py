"""Attacks in model formats and texts: safetensors, ONNX, GGUF, Keras, templates, configurations."""

from __future__ import annotations

import io
import json
import struct
from functools import cache

import h5py
import numpy as np

from tests.governance.scanning.assemble import COMMAND, attack, gguf, onnx, safetensors, zip_file, zip_member
from tests.governance.scanning.corpus_pickles import Entry

ONE = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
TWO = {"dtype": "F32", "shape": [1], "data_offsets": [2, 6]}
TWICE = b'{"a":' + json.dumps(ONE).encode() + b',"a":' + json.dumps(ONE).encode() + b"}"
DEEP = b'{"a":' * 50_000 + b"1" + b"}" * 50_000
SAFETENSORS: dict[str, bytes] = {
    "overlap": safetensors({"a": ONE, "b": TWO}, b"\0" * 6),
    "hole": safetensors({"a": {**ONE, "data_offsets": [4, 8]}}, b"\0" * 8),
    "behind": safetensors({"a": ONE}, b"\0" * 4 + attack()),
    "short": safetensors({"a": ONE}, b"\0" * 2),
    "duplicate": safetensors({}, b"\0" * 4, raw=TWICE),
    "huge-header": struct.pack("<Q", 1 << 62) + b"{}",
    "size-lie": safetensors({"a": {**ONE, "shape": [2]}}, b"\0" * 4),
    "negative": safetensors({"a": {**ONE, "shape": [-1]}}, b"\0" * 4),
    "metadata-object": safetensors({"__metadata__": {"a": {"b": 1}}}),
    "extra-field": safetensors({"a": {**ONE, "code": "x"}}, b"\0" * 4),
    "not-json": safetensors({}, raw=b"{" + b"x" * 8),
    "deep": safetensors({}, raw=DEEP),
    "unknown-type": safetensors({"a": {**ONE, "dtype": "PY"}}, b"\0" * 4),
    "is-pickle": attack(),
}
LOCATIONS = ("../../etc/passwd", "/etc/passwd", "a/../../b", "..\\x", "https://x.y/w", "")
OPERATORS = (("PyOp", "ai.onnx.contrib"), ("Custom", "my.domain"), ("PythonOp", "com.microsoft"))
DOORS = (
    "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
    "{{ ''['\\x5f\\x5fclass\\x5f\\x5f'] }}",
    "{{ ''|attr('\\x5f\\x5fclass\\x5f\\x5f') }}",
    "{% for x in ().__class__.__base__.__subclasses__() %}{{ x }}{% endfor %}",
    "{{ self._TemplateReference__context }}",
    "{{ lipsum['__glob' ~ 'als__'] }}",
    "{% set u = '_' * 2 %}{{ messages[u ~ 'class' ~ u] }}",
    "{{ messages[['__cla','ss__']|join] }}",
    '{{ "}}" ~ messages.__class__ }}',
    "{{ {'a': {'b': messages.__class__}} }}",
    "{{ joiner.__init__ }}",
    "{{ request.application }}",
    "{# harmless #}{%- if messages.mro() -%}x{%- endif -%}",
)
GGUFS: dict[str, bytes] = {
    "counts": b"GGUF" + struct.pack("<IQQ", 3, 1 << 60, 1 << 60),
    "overlap": gguf(tensors=(("a", 8, 0), ("b", 8, 16)), data=b"\0" * 64),
    "beyond": gguf(tensors=(("a", 8, 1 << 40),), data=b"\0" * 32),
    "behind": gguf(tensors=(("a", 8, 0),), data=b"\0" * 32 + attack()),
}
LAYERS: dict[str, dict[str, object]] = {
    "lambda": {"module": "keras.layers", "class_name": "Lambda", "config": {"function": "x"}},
    "saved-model": {"module": "keras.layers", "class_name": "TFSMLayer", "config": {}},
    "torch": {"module": "keras.layers", "class_name": "TorchModuleWrapper", "config": {}},
    "function": {"module": "builtins", "class_name": "function", "config": "system"},
    "module": {"module": "os", "class_name": "system", "config": COMMAND},
    "utils": {"module": "keras.utils", "class_name": "get_file", "config": {}},
    "custom": {"module": None, "class_name": "Mine", "config": {}, "registered_name": "Custom>Mine"},
    "registered": {"module": "keras.layers", "class_name": "Dense", "config": {}, "registered_name": "Custom>Dense"},
    "path": {"module": "keras.layers", "class_name": "StringLookup", "config": {"vocabulary": "/etc/passwd"}},
}
TEXTS: dict[str, bytes] = {
    "auto.json": b'{"auto_map": {"AutoModel": "modeling.Evil"}}',
    "tag.yaml": b"a: !!python/object/apply:os.system ['id']",
    "long-tag.yaml": b"a: !<tag:yaml.org,2002:python/object/apply:os.system> ['id']",
    "entity.xml": b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>',
    "hydra.yaml": b"model:\n  _target_: os.system\n  command: id",
    "hydra.json": b'{"_target_": "builtins.eval", "_args_": ["1"]}',
    "jsonpickle.json": b'{"py/reduce": [{"py/function": "os.system"}, {"py/tuple": ["id"]}]}',
    "model.py": b"import os",
    "run.txt": b"#!/bin/sh\nid",
    "invisible.md": "Be kind.\U000e0049\U000e0067".encode(),
    "zero.txt": b"abc\0def",
    "latin.txt": b"caf\xe9",
    "broken.json": b'{"a": ',
    "deep.json": b"[" * 100_000 + b"]" * 100_000,
    "empty.safetensors": b"",
    "include.jinja": b"{% include '/etc/passwd' %}",
    "open.jinja": b"{{ 'never closed",
}


@cache
def weights() -> bytes:
    """Return an HDF5 file with the weights of one layer, as Keras 3 writes them."""
    out = io.BytesIO()
    with h5py.File(out, "w") as file:
        file.create_dataset("layers/dense/vars/0", data=np.zeros((4, 2), np.float32))
    return out.getvalue()


def keras_file(layer: object) -> bytes:
    """Return a .keras archive with one layer."""
    model = {"module": "keras", "class_name": "Sequential", "config": {"layers": [layer]}, "registered_name": None}
    members = [zip_member("metadata.json", b"{}"), zip_member("config.json", json.dumps(model).encode())]
    return zip_file([*members, zip_member("model.weights.h5", weights())])


def in_models() -> list[Entry]:
    """Return every attack in a model format or a text."""
    entries = [("safetensors", f"{label}.safetensors", data) for label, data in SAFETENSORS.items()]
    entries += [("onnx", f"path{place}.onnx", onnx(location=path)) for place, path in enumerate(LOCATIONS)]
    entries += [("onnx", f"{operator}.onnx", onnx(operator, domain)) for operator, domain in OPERATORS]
    entries.append(("onnx", "behind.onnx", onnx() + attack()))
    entries += [("gguf", f"{label}.gguf", data) for label, data in GGUFS.items()]
    entries += [("text", label, data) for label, data in TEXTS.items()]
    for place, template in enumerate(DOORS):
        entries.append(("template", f"t{place}.gguf", gguf(template)))
        entries.append(("template", f"t{place}.jinja", template.encode()))
        entries.append(("template", f"t{place}.txt", b"You are helpful.\n" + template.encode()))
        entries.append(("template", f"one{place}.json", json.dumps({"chat_template": template}).encode()))
        many = {"chat_template": [{"name": "default", "template": template}]}
        entries.append(("template", f"many{place}.json", json.dumps(many).encode()))
    for label, layer in LAYERS.items():
        model = {"class_name": "Model", "config": {"layers": [layer]}}
        entries.append(("keras", f"{label}.keras", keras_file(layer)))
        entries.append(("keras", f"{label}.json", json.dumps(model).encode()))
    return entries
