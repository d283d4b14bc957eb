"""Attacks in templates, configurations and markup, and in the archives that name what they load: skops, TorchScript."""

from __future__ import annotations

import json
import struct

from tests.governance.scanning.assemble import (
    attack,
    call,
    gguf,
    npy,
    pickle,
    safetensors,
    stack_name,
    tensor,
    text,
    torch_file,
    zip_file,
    zip_member,
)
from tests.governance.scanning.corpus_models import ONE
from tests.governance.scanning.corpus_pickles import Entry
from tests.governance.scanning.model_files import keras_h5, sequential, skops_file, skops_node

TEMPLATES = (
    "{{ messages['\\x5f\\x5fclass\\x5f\\x5f'] }}",
    "{{ messages['\\137\\137class\\137\\137'] }}",
    "{{ messages['\\u005f\\u005fclass\\u005f\\u005f'] }}",
    "{{ messages['\\N{LOW LINE}\\N{LOW LINE}class\\N{LOW LINE}\\N{LOW LINE}'] }}",
    "{{ messages['_' '_class_' '_'] }}",
    "{{ messages['__cl' 'ass__'] }}",
    "{% set a = '__cla' %}{% set b = 'ss__' %}{{ messages[a ~ b] }}",
    "{% set k = '%c%cclass%c%c' | format(95, 95, 95, 95) %}{{ messages[k] }}",
    "{% set k = '%c%cclass' % (95, 95) %}{% set ns = namespace(key=k) %}{{ messages[ns.key] }}",
    "{% set ns = namespace(key='') %}{% set ns.key = 'x_x'.replace('x', '_') %}{{ messages[ns.key] }}",
    "{% set k = '_x_class_x_'.replace('x', '') %}{{ ''[k] }}",
    "{% set k = ['_', '_class_', '_'] | join %}{{ ().get[k] }}",
    "{% set k = 'ssalc' | reverse %}{{ messages[k] }}",
    "{% set u = 'a_b'[1] %}{{ messages[u + u + 'init' + u + u] }}",
    "{% set k %}_{{ '' }}_class_{{ '' }}_{% endset %}{{ messages[k] }}",
    "{% macro f(k) %}{{ messages[k] }}{% endmacro %}{{ f('_' ~ '_class__') }}",
    "{% for k in ['_' ~ '_class_' ~ '_'] %}{{ messages[k] }}{% endfor %}",
    "{% with k = 'x' ~ 'y' %}{{ messages[k] }}{% endwith %}",
    "{{ messages | map(attribute='_' ~ '_class__') | list }}",
    "{% set k = '_' ~ 'x' %}{{ messages | selectattr(k) | list }}",
    "{% set k = 'x' ~ 'y' %}{{ messages | groupby(k) }}",
    "{{ messages | map('attr', 'x') | list }}",
    "{% set f = '{0.' ~ 'x}' %}{{ f.format(messages) }}",
    "{{ '{0.__class__}'.format(messages) }}",
    "{{ ('{0.' ~ 'x}').format_map(messages) }}",
    "{{ cycler.next.__globals__ }}",
    "{%- set x = joiner -%}{{ x }}",
    "{{ lipsum('a') }}",
    "{{ self }}",
    "{{ request.args }}",
    "{{ get_flashed_messages() }}",
    "{{ url_for.__globals__ }}",
    "{{ messages.__init__.__globals__['os'] }}",
    "{{ (messages | first).gi_frame.f_builtins }}",
    "{{ namespace.mro() }}",
    "{{ dict.subclasses() }}",
    "{{ messages.f_back }}",
    "{{ messages['__builtins__'] }}",
    "{{ dict(__class__=1) | list }}",
    "{%- include '/etc/passwd' -%}",
    "{%- import 'x' as x -%}",
    "{% from 'x' import y %}",
    "{% extends 'base.html' %}",
    "{% for i in range(9999999999) %}{% endfor %}",
    "{{ 9 ** 999999999 }}",
    "{{ 'a' * 99999999999 }}",
    "{{ messages['mro'] }}{{ messages['subclasses'] }}",
    "Be kind.\U000e0049\U000e0067\U000e006e {{ messages }}",
    "{{ messages['_'] }}",
    "{{ '}}' }}{{ messages.__class__ }}",
    "{{ '{#' }}{{ messages.__class__ }}",
    '{{ "{%" ~ messages.__class__ }}',
    "{# {{ #}{{ messages.__class__ }}",
    "{{ messages.__class__",
)
DOCTYPE = '<!DOCTYPE PMML SYSTEM "http://x.y/evil.dtd">'
LAUGHS = '<!DOCTYPE a [<!ENTITY b "xx"><!ENTITY c "&b;&b;&b;">]><a>&c;</a>'
OUTSIDE = '<!DOCTYPE a [<!ENTITY % p SYSTEM "file:///etc/passwd"> %p;]><PMML/>'
DIFFUSERS = {"_class_name": "StableDiffusionPipeline", "_diffusers_version": "0.30.0", "unet": ["my_code", "Unet"]}
ADAPTER = {"peft_type": "LORA", "auto_mapping": {"base_model_class": "X", "parent_library": "my_code.modeling"}}
MODULES = [{"idx": 0, "name": "0", "path": "", "type": "os.system"}]
CONFIGS: dict[str, bytes] = {
    "config.json": json.dumps({"model_type": "x", "auto_map": {"AutoModel": "evil--modeling.Evil"}}).encode(),
    "deep.json": json.dumps({"a": [{"b": {"auto_map": {"AutoConfig": "c.D"}}}]}).encode(),
    "trusting.json": b'{"trust_remote_code": true}',
    "pipelines.json": b'{"custom_pipelines": {"x": {"impl": "x.Pipe"}}}',
    "pipeline.json": b'{"custom_pipeline": "evil/repo"}',
    "model_index.json": json.dumps(DIFFUSERS).encode(),
    "class/model_index.json": json.dumps({**DIFFUSERS, "_class_name": ["pipeline", "Evil"]}).encode(),
    "os/model_index.json": json.dumps({**DIFFUSERS, "unet": ["os", "system"]}).encode(),
    "modules.json": json.dumps(MODULES).encode(),
    "custom/modules.json": json.dumps([{**MODULES[0], "type": "my_code.Pool"}]).encode(),
    "adapter_config.json": json.dumps(ADAPTER).encode(),
    "os/adapter_config.json": json.dumps({"auto_mapping": {"parent_library": "subprocess"}}).encode(),
    "pickled.json": b'{"py/object/apply": "os.system"}',
    "typed.json": b'{"a": [{"py/type": "os.system"}]}',
    "reduced.json": b'{"py/reducestate": [1]}',
    "hydra.json": b'{"x": {"_target_": "torch.load"}}',
    "train.yaml": b"model: x\ntrust_remote_code: true\n",
    "map.yml": b"auto_map:\n  AutoModel: x.Y\nauto_map: {A: b.C}\n",
    "MLmodel": b"flavors:\n  python_function:\n    loader_module: my_loader\n",
    "code/MLmodel": b"flavors:\n  python_function:\n    code: code\n    loader_module: mlflow.pyfunc.model\n",
    "os/MLmodel": b"flavors:\n  python_function:\n    loader_module: os\n",
    "tag.yaml": b"%TAG ! tag:yaml.org,2002:python/\n---\n!object/apply:os.system [id]",
    "new.yaml": b"a: !!python/object/new:os.system [id]",
    "name.yml": b"a: !!python/name:os.system",
    "module.yml": b"!!python/module:os",
    "tuple.yaml": b"--- !!python/object/apply:subprocess.Popen\n- ls",
    "model.pmml": OUTSIDE.encode(),
    "laughs.pmml": LAUGHS.encode(),
    "type.pmml": (DOCTYPE + "<PMML/>").encode(),
    "no-mark.xml": b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>',
    "public.xml": b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b PUBLIC "x" "http://x.y">]><a/>',
    "include.xml": b'<a xmlns:xi="http://www.w3.org/2001/XInclude"><xi:include href="file:///etc/passwd"/></a>',
    "wide.xml": LAUGHS.encode("utf-16"),
    "tf/model.json": json.dumps({"modelTopology": {"node": [{"name": "a", "op": "PyFunc"}], "versions": {}}}).encode(),
    "keras/model.json": json.dumps(
        {"modelTopology": {"model_config": sequential({"class_name": "Lambda", "config": {}})}}
    ).encode(),
    "setup.py": b"import os\nos.system('id')",
    "run.sh": b"id",
    "notebook.ipynb": b'{"cells": []}',
    "script.txt": b"#!/usr/bin/env python\nimport os",
}


def _torchscript() -> dict[str, bytes]:
    """Return TorchScript archives with and without attacks in their pickles."""
    clean, evil = pickle(tensor(), 2), attack()
    calling = pickle(call(stack_name("subprocess", "Popen"), text("id")), 4)

    def script(data: bytes, *more: tuple[str, bytes], constants: bytes = b"\x80\x02).") -> bytes:
        members = [
            ("data.pkl", data),
            ("code/__torch__.py", b"class M(Module): pass"),
            ("constants.pkl", constants),
            *more,
        ]
        parts = [zip_member(f"m/{path}", content) for path, content in members]
        return zip_file([*parts, zip_member("m/data/0", b"\0" * 16), zip_member("m/version", b"3\n")])

    return {
        "script-plain.pt": script(clean),
        "script-data.pt": script(evil),
        "script-constants.pt": script(clean, constants=calling),
        "script-debug.pt": script(clean, ("code/__torch__.py.debug_pkl", calling)),
        "script-mobile.ptl": script(clean, ("bytecode.pkl", calling)),
        "script-notes.ptl": script(clean, ("mobile_debug_handles.pkl", calling)),
        "script-saves.pt": script(clean, ("code/__torch__/a.py", b"ops.aten.x; torch.save(a, '/etc/x')\naten::save")),
        "script-extra.pt": script(clean, ("extra/run.py", b"import os")),
        "torch-extra.pt": torch_file(clean)[:-30],
    }


EVIL_ARRAY = {"a.npy": npy("|O", (1,), attack())}
SKOPS: dict[str, object] = {
    "function": skops_node("FunctionNode", "os", "system", content={"module_path": "os", "function": "system"}),
    "function-lie": skops_node("FunctionNode", "numpy", "log1p", content={"module_path": "os", "function": "system"}),
    "object": skops_node("ObjectNode", "subprocess", "Popen"),
    "nested": skops_node("ListNode", "builtins", "list", content=[skops_node("ObjectNode", "os", "popen")]),
    "method": skops_node("MethodNode", "builtins", "method", content={"func": "system", "obj": {}}),
    "operator": skops_node("OperatorFuncNode", "operator", "methodcaller"),
    "operator-lie": skops_node("OperatorFuncNode", "builtins", "eval"),
    "partial": skops_node(
        "PartialNode", "functools", "partial", content={"func": skops_node("TypeNode", "os", "popen")}
    ),
    "constructor": skops_node("ConstructorFromReduceNode", "shutil", "rmtree"),
    "reduce": skops_node("ReduceNode", "pickle", "loads"),
    "unknown": skops_node("ObjectNode", "my_package", "Model"),
    "loader": skops_node("EvilNode", "sklearn.svm._classes", "SVC"),
    "dotted": skops_node("ObjectNode", "sklearn.svm", "os.system"),
    "type": skops_node("TypeNode", "builtins", "exec"),
    "no-loader": {"__class__": "SVC", "__module__": "sklearn.svm._classes"},
    "newer": skops_node("DictNode", "builtins", "dict", protocol=9),
    "made-dtype": skops_node("ObjectNode", "torch", "FloatStorage"),
    "broken": b"{",
    "list": b"[]",
}


def _gguf_parts() -> dict[str, bytes]:
    """Return GGUF files with a template where scanners rarely look, or with a broken header."""

    def value(key: str, kind: int, data: bytes) -> bytes:
        return struct.pack("<Q", len(key)) + key.encode() + struct.pack("<I", kind) + data

    def words(*texts: str) -> bytes:
        return b"".join(struct.pack("<Q", len(each)) + each.encode() for each in texts)

    def file(*pairs: bytes, version: int = 3) -> bytes:
        out = b"GGUF" + struct.pack("<IQQ", version, 0, len(pairs)) + b"".join(pairs)
        return out + b"\0" * (-len(out) % 32)

    evil = "{{ messages.__class__ }}"
    many = struct.pack("<IQ", 8, 2) + words("{{ a }}", evil)
    deep = struct.pack("<IQ", 9, 1) * 20 + struct.pack("<IQ", 8, 0)
    return {
        "named.gguf": file(value("tokenizer.chat_template.tool_use", 8, words(evil))),
        "many.gguf": file(value("tokenizer.chat_templates", 9, many), value("tokenizer.chat_template", 8, words(evil))),
        "in-array.gguf": file(value("tokenizer.chat_template", 9, many)),
        "twice.gguf": file(value("a", 8, words("b")), value("a", 8, words("c"))),
        "deep.gguf": file(value("a", 9, deep)),
        "kind.gguf": file(value("a", 99, b"")),
        "old.gguf": file(value("a", 8, words("b")), version=1),
        "long.gguf": file(value("a", 8, struct.pack("<Q", 1 << 40))),
        "count.gguf": file(value("a", 9, struct.pack("<IQ", 8, 1 << 50))),
        "align.gguf": file(value("general.alignment", 4, struct.pack("<I", 0))),
        "behind.gguf": file() + attack(),
        "cut.gguf": gguf("{{ messages }}", tensors=(("w", 8, 0),), data=b"\0" * 32)[:-10],
    }


def in_texts() -> list[Entry]:
    """Return every attack."""
    entries: list[Entry] = []
    for number, template in enumerate(TEMPLATES):
        choice: object = template if number % 2 else {"default": "x", "tool_use": template}
        settings = {"chat_template": choice}
        entries.append(("template", f"t{number}.jinja", template.encode()))
        entries.append(("template", f"t{number}/tokenizer_config.json", json.dumps(settings).encode()))
        entries.append(("template", f"t{number}.gguf", gguf(template)))
    entries += [("config", path, data) for path, data in CONFIGS.items()]
    entries += [("torchscript", path, data) for path, data in _torchscript().items()]
    entries += [("skops", f"{label}.skops", skops_file(schema)) for label, schema in SKOPS.items()]
    entries.append(("skops", "array.skops", skops_file(skops_node("DictNode", "builtins", "dict"), EVIL_ARRAY)))
    entries.append(
        ("skops", "pickle.skops", skops_file(skops_node("DictNode", "builtins", "dict"), {"a.pkl": attack()}))
    )
    entries += [("gguf", path, data) for path, data in _gguf_parts().items()]
    inner = {"b": {**ONE, "shape": [1, "x"]}, "c": {**ONE, "data_offsets": [0, 4.0]}}
    twice = b'{"a":{"dtype":"F32","shape":[1],"shape":[1],"data_offsets":[0,4]}}'
    entries += [
        ("safetensors", f"{label}.safetensors", safetensors({label: tensor_}, b"\0" * 4))
        for label, tensor_ in inner.items()
    ]
    return [
        *entries,
        ("safetensors", "inside-twice.safetensors", safetensors({}, b"\0" * 4, raw=twice)),
        ("safetensors", "behind-h5.safetensors", safetensors({"a": ONE}, b"\0" * 4 + keras_h5(sequential()))),
        ("safetensors", "metadata.safetensors", safetensors({"__metadata__": ["x"]})),
        ("safetensors", "shape-bomb.safetensors", safetensors({"a": {**ONE, "shape": [1 << 60, 1 << 60]}}, b"\0" * 4)),
    ]
