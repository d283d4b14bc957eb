"""Ordinary model files as people have them, by name: what Keras, TensorFlow, ONNX, transformers and others write."""

from __future__ import annotations

import json
import struct
import warnings
import zlib
from collections.abc import Iterator
from typing import Any

import h5py
import numpy as np
import onnx
from onnx import TensorProto, helper

from tests.governance.scanning.assemble import field, gguf, npy, safetensors, tar, zip_file, zip_member
from tests.governance.scanning.corpus_keras import archive
from tests.governance.scanning.model_files import (
    calls,
    const,
    coreml,
    function,
    graph,
    hdf5,
    keras_h5,
    keras_metadata,
    layer,
    meta_graph,
    named,
    node,
    plain_saved_model,
    revived,
    sequential,
    skops_file,
    skops_node,
    tensor_index,
    text_value,
    tflite,
)

POLICY = layer("DTypePolicy", "keras", name="float32")
TENSOR = {
    "class_name": "__keras_tensor__",
    "config": {"shape": [None, 8], "dtype": "float32", "keras_history": ["a", 0, 0]},
}
OLD_DENSE: dict[str, object] = {
    "class_name": "Dense",
    "config": {
        "name": "dense",
        "units": 2,
        "kernel_initializer": {"class_name": "VarianceScaling", "config": {"scale": 1}},
    },
}
OLD = {"class_name": "Sequential", "config": {"name": "sequential", "layers": [OLD_DENSE]}}
FUSED = {"class_name": "MeanMetricWrapper", "config": {"name": "accuracy", "dtype": "float32", "fn": "binary_accuracy"}}
TRAINING = {
    "loss": "binary_crossentropy",
    "metrics": [[FUSED]],
    "weighted_metrics": None,
    "loss_weights": None,
    "optimizer_config": {"class_name": "Custom>Adam", "config": {"name": "Adam", "learning_rate": 0.001}},
}
FUNCTIONAL = {
    "module": "keras.src.models.functional",
    "class_name": "Functional",
    "config": {
        "layers": [
            layer("InputLayer", batch_shape=[None, 8]),
            layer(
                "Dense",
                dtype=POLICY,
                activation="gelu",
                kernel_initializer=layer("GlorotUniform", "keras.initializers"),
            ),
            layer("Add", "keras.src.ops.numpy") | {"registered_name": "Add", "inbound_nodes": [{"args": [TENSOR]}]},
            layer("Relu", "keras.src.ops.nn") | {"registered_name": "Relu"},
            layer("MultiHeadAttention", num_heads=2),
            layer("TextVectorization", vocabulary=None, standardize="lower_and_strip_punctuation"),
            layer("Bidirectional", layer=layer("LSTM", units=4)),
        ]
    },
    "registered_name": "Functional",
    "build_config": {"input_shape": None},
    "compile_config": {
        "optimizer": layer(
            "AdamW", "keras.optimizers", learning_rate=layer("CosineDecay", "keras.optimizers.schedules")
        ),
        "loss": layer("SparseCategoricalCrossentropy", "keras.losses", from_logits=True),
        "loss_weights": None,
        "metrics": ["accuracy", named("sparse_categorical_accuracy"), layer("AUC", "keras.metrics")],
    },
}
SYMBOLS = ("math.multiply", "nn.relu", "__operators__.add", "concat", "compat.v1.transpose", "image.resize", "cast")


def keras_files() -> dict[str, tuple[str, bytes]]:
    """Return whole models and weights of Keras 1, 2 and 3."""
    lookups = [{"class_name": "TFOpLambda", "config": {"name": f"tf.{name}", "function": name}} for name in SYMBOLS]
    functional = {"class_name": "Functional", "config": {"layers": [OLD_DENSE, *lookups]}}
    compiled = sequential(layer("Dense"), compile_config={"optimizer": "adam", "loss": named("mean_squared_error")})
    more = {
        "name": "m",
        "trainable": True,
        "batch_input_shape": [None, 4],
        "class_name": "Custom>Mine",
        "config": {"units": 1},
    }
    return {
        "keras1.h5": ("hdf5", keras_h5(OLD)),
        "keras2.h5": ("hdf5", keras_h5(OLD, TRAINING)),
        "keras2-functional.h5": ("hdf5", keras_h5(functional, {**TRAINING, "loss": {"a": "mse"}})),
        "keras3.h5": ("hdf5", keras_h5(FUNCTIONAL, TRAINING)),
        "keras2.keras": ("hdf5", keras_h5(OLD)),
        "functional.keras": ("keras", archive(FUNCTIONAL)),
        "compiled.keras": ("keras", archive(compiled)),
        "assets.keras": (
            "keras",
            archive(FUNCTIONAL, zip_member("assets/layers/text/vocabulary.txt", b"hello\nworld\n")),
        ),
        "architecture.json": ("json", json.dumps(FUNCTIONAL).encode()),
        "old-architecture.json": ("json", json.dumps(OLD).encode()),
        "browser/model.json": (
            "json",
            json.dumps({"modelTopology": {"model_config": OLD}, "weightsManifest": []}).encode(),
        ),
        "browser/group1-shard1of2.bin": ("numbers", np.linspace(0, 1, 64, dtype=np.float32).tobytes()),
        "model.weights.h5": ("hdf5", hdf5(_weights)),
        "latest.h5": ("hdf5", hdf5(_weights, libver="latest")),
        "features.hdf5": ("hdf5", hdf5(_features)),
        "keras_metadata.pb": ("keras-metadata", keras_metadata(more, OLD_DENSE)),
    }


def _weights(file: Any) -> None:
    for number in range(30):
        group = file.create_group(f"layers/dense_{number}/vars")
        group["0"], group["1"] = np.ones((4, 4), np.float32), np.zeros(4, np.float16)
    file["optimizer/vars/0"] = np.int64(3)


def _features(file: Any) -> None:
    file.create_dataset("x", data=np.random.default_rng(1).random((500, 20)), compression="lzf", fletcher32=True)
    file.create_dataset("names", data=np.array(["a", "bc"], object), dtype=h5py.string_dtype())
    file["x"].attrs["units"] = "m/s."
    file["x"].attrs["scale"] = [1.0, 2.0]
    file["same"] = file["x"]


ASSET = function("__inference__initializer_3", ["path"], node("t", "InitializeTableFromTextFileV2", "h", "path"))
TABLES = (
    node("asset_path_initializer", "Placeholder"),
    node("v", "VarHandleOp"),
    node("v/assign", "AssignVariableOp", "v", "asset_path_initializer"),
    node("v/read", "ReadVariableOp", "v"),
    node("init", "StatefulPartitionedCall", "v/read", f=calls("__inference__initializer_3")),
)
OLD_TABLES = (
    const("asset_filepath", "/tmp/train/vocab.txt"),
    node("t", "InitializeTableFromTextFile", "h", "asset_filepath"),
)
FIRST_SAVER = (
    const("save/filename/input", "model"),
    node("save/filename", "PlaceholderWithDefault", "save/filename/input"),
    node("save/Const", "PlaceholderWithDefault", "save/filename"),
    const("save/part", "_temp_0123456789abcdef0123456789abcdef/part"),
    node("save/name", "StringJoin", "save/Const", "save/part"),
    node("save/shard", "ShardedFilename", "save/name"),
    node("save/save", "SaveV2", "save/shard"),
    node("save/restore", "RestoreV2", "save/Const"),
)


def saved_models() -> dict[str, tuple[str, bytes]]:
    """Return SavedModels by what is special about them."""
    printing = node("p", "PrintV2", output_stream=text_value("stderr"))
    found = {
        "plain": plain_saved_model(),
        "vocabulary": plain_saved_model(*TABLES, functions=[ASSET], assets={"asset_path_initializer": "vocab.txt"}),
        "old-vocabulary": plain_saved_model(*OLD_TABLES, assets={"asset_filepath": "vocab.txt"}),
        "first": plain_saved_model(*FIRST_SAVER),
        "printing": plain_saved_model(printing),
        "keras": plain_saved_model(objects=revived(OLD_DENSE)),
        "subclassed": plain_saved_model(objects=revived({"class_name": "Mine", "config": {"units": 1}})),
    }
    return {f"{label}/saved_model.pb": ("saved-model", data) for label, data in found.items()}


def tensorflow_files() -> dict[str, tuple[str, bytes]]:
    """Return archives of SavedModels, checkpoints, frozen graphs and TFLite models."""
    nodes = (node("x", "Placeholder"), node("w", "Const"), node("y", "MatMul", "x", "w"), node("z", "Softmax", "y"))
    plain = graph(*nodes)
    whole = [
        zip_member("1/saved_model.pb", plain_saved_model()),
        zip_member("1/variables/variables.index", tensor_index(("w", 1))),
        zip_member("1/variables/variables.data-00000-of-00001", b"\x80\x04" + b"\x01\x02\xf0" * 40),
        zip_member("1/assets/vocab.txt", b"a\nb\n"),
    ]
    return saved_models() | {
        "frozen.pb": ("frozen-graph", plain),
        "model.ckpt.meta": ("meta-graph", meta_graph(plain)),
        "fingerprint.pb": ("fingerprint", b"".join(field(number, 1 << 40) for number in range(1, 6)) + field(6, b"")),
        "graph.pbtxt": ("text", b'node {\n  name: "x"\n  op: "Placeholder"\n}\nversions {\n  producer: 1882\n}\n'),
        "ckpt-1.index": ("tensor-index", tensor_index(("_CHECKPOINTABLE_OBJECT_GRAPH", 7), ("dense/kernel", 1))),
        "ckpt-1.data-00000-of-00001": ("numbers", bytes(range(256)) * 8),
        "checkpoint": ("text", b'model_checkpoint_path: "ckpt-1"\nall_model_checkpoint_paths: "ckpt-1"\n'),
        "saved.zip": ("zip", zip_file(whole)),
        "saved.tar": ("tar", tar("1/saved_model.pb", plain_saved_model())),
        "float.tflite": ("tflite", tflite((9, None), (25, None))),
        "detector.tflite": ("tflite", tflite((3, None), (32, "TFLite_Detection_PostProcess"))),
        "text.tflite": ("tflite", tflite((32, "FlexRegexSplitWithOffsets"), (150, None))),
        "labelled.tflite": ("tflite", _labelled(tflite((9, None)))),
    }


def _labelled(model: bytes) -> bytes:
    """Return a TFLite model with its labels behind it, as TensorFlow's metadata tools write them."""
    return zip_file([zip_member("labels.txt", b"cat\ndog\n")], prefix=model, shift=len(model))


def onnx_files() -> dict[str, tuple[str, bytes]]:
    """Return ONNX models as exporters of PyTorch and scikit-learn write them, made by the ONNX library."""
    tensor = helper.make_tensor_value_info
    weight = helper.make_tensor("w", TensorProto.FLOAT, [4, 2], np.zeros(8, np.float32))
    float_in, float_out = tensor("x", TensorProto.FLOAT, [None, 4]), tensor("y", TensorProto.FLOAT, [None, 2])
    branch = helper.make_graph([helper.make_node("Identity", ["x"], ["z"])], "b", [], [tensor("z", 1, None)])
    graphs = {
        "gemm": [helper.make_node("Gemm", ["x", "w"], ["h"]), helper.make_node("Relu", ["h"], ["y"])],
        "trees": [
            helper.make_node("TreeEnsembleClassifier", ["x"], ["l", "y"], domain="ai.onnx.ml", nodes_modes=["LEAF"])
        ],
        "contrib": [helper.make_node("FusedMatMul", ["x", "w"], ["y"], domain="com.microsoft")],
        "branches": [helper.make_node("If", ["x"], ["y"], then_branch=branch, else_branch=branch)],
    }
    opsets = [
        helper.make_opsetid("", 17),
        helper.make_opsetid("ai.onnx.ml", 3),
        helper.make_opsetid("com.microsoft", 1),
    ]
    found = {}
    for label, nodes in graphs.items():
        made = helper.make_graph(nodes, label, [float_in], [float_out], [weight])
        model = helper.make_model(made, opset_imports=opsets, producer_name="pytorch", doc_string="A model.")
        helper.set_model_props(model, {"framework": "test"})
        found[f"{label}.onnx"] = ("onnx", model.SerializeToString())
    outside = onnx.ModelProto.FromString(found["gemm.onnx"][1])
    first = outside.graph.initializer[0]
    first.ClearField("raw_data")
    first.data_location = TensorProto.EXTERNAL
    first.external_data.add(key="location", value="model.onnx.data")
    found["model.onnx"] = ("onnx", outside.SerializeToString())
    found["model.onnx.data"] = ("numbers", np.linspace(0, 1, 64).tobytes())
    return found


# In the manner of what families of chat models use; none is a copy.
CHATS = {
    "headers": "{%- set ns = namespace(system='') %}{%- for m in messages %}{%- if m['role'] == 'system' %}"
    "{%- set ns.system = ns.system + m['content'] | trim + '\\n\\n' %}{%- endif %}{%- endfor %}{{- bos_token }}"
    '{%- if tools is not none %}{{- \'Respond with {"name": function name, "parameters": dictionary}.\' }}'
    "{%- for t in tools %}{{- t | tojson(indent=4) }}{{- '\\n\\n' }}{%- endfor %}{%- endif %}"
    "{%- for message in messages %}{%- if not (message.role == 'ipython' or 'tool_calls' in message) %}"
    "{{- '<|start|>' + message['role'] + '<|end|>\\n\\n' + message['content'] | trim + '<|eot_id|>' }}"
    "{%- elif message.tool_calls | length != 1 %}{{- raise_exception('Only one call!') }}{%- endif %}{%- endfor %}",
    "marks": "{%- if tools %}{{- '<|im_start|>system\\n' }}{{- '<tools>' }}{%- for tool in tools %}{{- '\\n' }}"
    "{{- tool | tojson }}{%- endfor %}{{- '\\n</tools>\\n<tool_call>\\n{\"name\": <function-name>}\\n</tool_call>' }}"
    "{%- endif %}{%- set ns = namespace(multi_step_tool=true, last_query_index=messages | length - 1) %}"
    "{%- for message in messages[::-1] %}{%- set index = (messages | length - 1) - loop.index0 %}"
    "{%- if ns.multi_step_tool and message.role == 'user' and not (message.content.startswith('<tool_response>')) %}"
    "{%- set ns.multi_step_tool = false %}{%- set ns.last_query_index = index %}{%- endif %}{%- endfor %}"
    "{%- set content = message.content.split('</think>')[-1].lstrip('\\n') %}"
    "{{- messages[ns.last_query_index].content + content }}",
    "turns": "{%- if messages[0]['role'] == 'system' %}{%- set loop_messages = messages[1:] %}{%- else %}"
    "{%- set loop_messages = messages %}{%- endif %}{%- for message in loop_messages %}"
    "{%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Alternate') }}{% endif %}"
    "{{ '[INST] ' + message['content'] + ' [/INST]' }}{% generation %}{{ eos_token }}{% endgeneration %}{% endfor %}",
    "macros": "{% macro param(name, spec) %}{{ name }}: {{ spec['type'] | upper }}{% for key in spec %}"
    "{% if key not in ['type', 'description'] %}{{ key ~ '=' ~ spec[key] }}{% endif %}{% endfor %}{% endmacro %}"
    "{% for name, spec in tools[0].parameters.properties.items() %}{{ param(name, spec) }}{% endfor %}"
    "{{ strftime_now('%d %B %Y') if strftime_now is defined }}{{ '{\"a\": \"%s\"}' | format(messages[0].role) }}",
}
VOCABULARY = {f"##tok{number}": number for number in range(2000)} | {
    "auto_map": 2001,
    "py/object": 2002,
    "_target_": 2003,
}
PIECES = b"".join(
    field(1, field(1, f"▁w{n}".encode()) + b"\x15" + struct.pack("<f", -n) + field(3, 1)) for n in range(400)
)
SERIALISED = {
    "version": "1.0",
    "model": {"type": "WordPiece", "vocab": VOCABULARY},
    "added_tokens": [{"content": "[CLS]"}],
}
PIPELINE = {
    "_class_name": "StableDiffusionPipeline",
    "_diffusers_version": "0.30.0",
    "unet": ["diffusers", "UNet2DConditionModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "safety_checker": ["stable_diffusion", "StableDiffusionSafetyChecker"],
    "feature_extractor": [None, None],
}
SENTENCES = [{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}]
ADAPTER = {"peft_type": "LORA", "auto_mapping": None, "target_modules": ["q_proj"], "r": 8}
SVG = b'<?xml version="1.0"?>\n<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://www.w3.org/svg11.dtd">\n<svg/>'


def text_files() -> Iterator[tuple[str, tuple[str, bytes]]]:
    """Yield tokenizers, templates, configurations, cards."""
    for label, template in CHATS.items():
        settings = {"chat_template": template, "bos_token": "<s>", "added_tokens_decoder": {"0": {"content": "<unk>"}}}
        yield f"{label}.jinja", ("text", template.encode())
        yield f"{label}/tokenizer_config.json", ("json", json.dumps(settings).encode())
        yield f"{label}.gguf", ("gguf", gguf(template, tensors=(("w", 8, 0),), data=b"\0" * 32))
    choices = [{"name": "default", "template": CHATS["turns"]}, {"name": "tool_use", "template": CHATS["marks"]}]
    yield "many/tokenizer_config.json", ("json", json.dumps({"chat_template": choices}).encode())
    documents = {
        "tokenizer.json": SERIALISED,
        "model_index.json": PIPELINE,
        "modules.json": SENTENCES,
        "adapter_config.json": ADAPTER,
        "config.json": {"architectures": ["BertModel"], "trust_remote_code": False, "auto_map": None},
        "chat_template.json": {"chat_template": CHATS["marks"]},
        "preprocessor_config.json": {"image_mean": [0.5], "processor_class": "LlavaProcessor"},
        "model.safetensors.index.json": {"metadata": {"total_size": 4}, "weight_map": {"a": "model.safetensors"}},
    }
    yield from ((path, ("json", json.dumps(document).encode())) for path, document in documents.items())
    yield "0a1b2c", ("json", json.dumps(documents["config.json"]).encode())
    yield (
        "model.pmml",
        ("text", b'<?xml version="1.0"?><PMML xmlns="http://www.dmg.org/PMML-4_4" version="4.4"><Header/></PMML>'),
    )
    yield "model.xml", ("text", b'<?xml version="1.0"?><net name="m" version="11"><layers/></net>')
    yield "logo.svg", ("text", SVG)
    yield "page.html", ("text", b"<!DOCTYPE html><html><body>{{ x }}</body></html>")
    yield "MLmodel", ("text", b"flavors:\n  sklearn:\n    code: null\n    loader_module: mlflow.sklearn\n")
    yield "train.yaml", ("text", b"model: bert\ntrust_remote_code: false\nlr: 1e-4\n")
    yield (
        "card.md",
        ("text", b"---\nlicense: mit\n---\n@article{a, title={{BERT}: x}}\n`pipeline(trust_remote_code=True)`\n"),
    )


def other_files() -> dict[str, tuple[str, bytes]]:
    """Return skops, Core ML, XGBoost, Flax, SentencePiece, pictures, safetensors."""
    inner = skops_node("ObjectNode", "sklearn.preprocessing._data", "StandardScaler", content={"type": "array"})
    steps = skops_node(
        "ListNode", "builtins", "list", content=[skops_node("TupleNode", "builtins", "tuple", content=[inner])]
    )
    pipeline = skops_node("ObjectNode", "sklearn.pipeline", "Pipeline", content=steps)
    random = skops_node("RandomStateNode", "numpy.random.mtrand", "RandomState")
    linear = field(1, field(1, b"fc") + field(2, b"x") + field(140, b"\x08\x04"))
    chunk = [(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)), (b"IDAT", zlib.compress(b"\0\0")), (b"IEND", b"")]
    png = b"".join(struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunk)
    one = {"w": {"dtype": "BF16", "shape": [2, 2], "data_offsets": [0, 8]}}
    flax = b"\x81\xa6params\x82\xa1w\xc7\x06\x01abcdef\xa4step\x03"
    booster = (
        b"{L"
        + (7).to_bytes(8, "big")
        + b"learner{i\x01a[$d#L"
        + (2).to_bytes(8, "big")
        + b"\0" * 8
        + b"i\x01bSi\x01xi\x01c[ZT]}}"
    )
    return {
        "pipeline.skops": ("skops", skops_file(pipeline, {"1.npy": npy("<f8", (3,), b"\0" * 24)})),
        "random.skops": ("skops", skops_file(random)),
        "network.mlmodel": ("coreml", coreml(500, linear)),
        "pipeline.mlmodel": ("coreml", coreml(202, field(1, coreml(604)) + field(1, coreml(400)))),
        "model.ubj": ("ubjson", booster),
        "flax_model.msgpack": ("msgpack", flax),
        "tokenizer.model": ("sentencepiece", PIECES + field(2, b"") + field(3, b"")),
        "logo.png": ("image", b"\x89PNG\r\n\x1a\n" + png),
        "photo.jpg": ("image", b"\xff\xd8\xff\xe0" + b"\0" * 40 + b"\xff\xd9"),
        "adapter.safetensors": ("safetensors", safetensors({"__metadata__": {"format": "pt"}, **one}, b"\0" * 8)),
        "plain.gguf": ("gguf", gguf(None, tensors=(("a", 8, 0), ("b", 8, 32)), data=b"\0" * 64)),
    }


def ordinary() -> dict[str, tuple[str, bytes]]:
    """Return every file: the format it is found to be, and its bytes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return keras_files() | tensorflow_files() | onnx_files() | dict(text_files()) | other_files()
