"""Attacks in Keras models, each as a .keras archive, as HDF5 and as JSON; and attacks on HDF5 itself."""

from __future__ import annotations

import base64
import io
import json
import marshal
import pickle as standard_pickle
from collections.abc import Callable
from typing import Any

import h5py
import numpy as np

from tests.governance.scanning.assemble import attack, npy, zip_file, zip_member
from tests.governance.scanning.corpus_models import weights
from tests.governance.scanning.corpus_pickles import Entry
from tests.governance.scanning.model_files import hdf5, keras_h5, layer, named, sequential

CODE = base64.b64encode(marshal.dumps(compile("1", "<attack>", "eval"))).decode()
LAMBDA = layer("Lambda", function={"class_name": "__lambda__", "config": {"code": CODE, "defaults": None}})
OLD_LAMBDA = {
    "class_name": "Lambda",
    "config": {"name": "l", "function": [CODE, None, None], "function_type": "lambda"},
}
NODE = '{"name": "x", "op": "PyFunc", "attr": {"token": {"s": "cHlmdW5jXzA="}}}'


def wrapped(inner: object) -> dict[str, object]:
    """Return a layer hidden deep in others."""
    deep = layer("TimeDistributed", layer=layer("Bidirectional", layer=inner))
    return layer("RNN", cell=layer("StackedRNNCells", cells=[layer("Dense", units=1), deep]))


def compiled(**config: object) -> dict[str, object]:
    """Return a model with a configuration of its training."""
    return sequential(layer("Dense", units=1), compile_config={"optimizer": "adam", "jit_compile": False, **config})


REJECTED: dict[str, object] = {
    "lambda": sequential(LAMBDA),
    "old-lambda": {"class_name": "Sequential", "config": {"layers": [OLD_LAMBDA]}},
    "nested-lambda": sequential(wrapped(LAMBDA)),
    "lambda-by-path": sequential(layer("Lambda", "keras.src.layers.core.lambda_layer", function="f")),
    "lambda-by-package": sequential(layer("Custom>Lambda", None)),
    "bare-lambda": sequential(
        layer("Dense", kernel_initializer={"class_name": "__lambda__", "config": {"value": CODE}})
    ),
    "bytecode": sequential(layer("Dense", units=[CODE, None, None])),
    "function-system": sequential(layer("Dense", activation=named("system", "os"))),
    "function-exec": sequential(layer("Dense", activation=named("exec"))),
    "function-print": sequential(layer("Dense", activation=named("print"))),
    "get-file": sequential(layer("Dense", activation=named("get_file", "keras.utils"))),
    "get-file-class": sequential(layer("get_file", "keras.utils", origin="https://x.y/z", fname="/tmp/a")),
    "get-file-by-path": sequential(layer("Dense", activation=named("get_file", "keras.src.utils.file_utils"))),
    "unsafe-switch": sequential(layer("Dense", activation=named("enable_unsafe_deserialization", "keras.config"))),
    "unsafe-switch-class": sequential(layer("enable_unsafe_deserialization", "keras.config")),
    "load-model": sequential(layer("Dense", activation=named("load_model", "keras.models"))),
    "clone-model": sequential(layer("clone_model", "keras.models", clone_function="x")),
    "saving": sequential(layer("deserialize_keras_object", "keras.saving")),
    "torch-wrapper": sequential(layer("TorchModuleWrapper", module="gAJjb3MKc3lzdGVtCg==")),
    "saved-model-layer": sequential(layer("TFSMLayer", filepath="/tmp/evil")),
    "jax-layer": sequential(layer("JaxLayer", call_fn="x")),
    "flax-layer": sequential(layer("FlaxLayer", module="x")),
    "vocabulary-lookup": sequential(layer("StringLookup", vocabulary="/etc/passwd")),
    "vocabulary-integer": sequential(layer("IntegerLookup", vocabulary="../../secret.txt")),
    "vocabulary-address": sequential(layer("TextVectorization", vocabulary="http://169.254.169.254/latest/meta-data")),
    "vocabulary-relative": sequential(layer("StringLookup", vocabulary="vocab.txt")),
    "download": sequential(layer("Dense", units={"origin": "https://x.y/a.tar", "fname": "a.tar", "extract": True})),
    "loss-popen": compiled(loss=named("Popen", "subprocess")),
    "loss-class": compiled(loss=layer("system", "posix")),
    "metrics-eval": compiled(metrics=[named("eval")]),
    "weighted-metrics": compiled(weighted_metrics=[[named("run", "subprocess")]]),
    "optimizer-module": compiled(optimizer=layer("loads", "pickle")),
    "initializer-module": sequential(layer("Dense", kernel_initializer=layer("load", "marshal"))),
    "policy-module": sequential(layer("Dense", dtype=layer("import_module", "importlib"))),
    "build-config": sequential(layer("Dense"), build_config={"input_shape": layer("call", "subprocess")}),
    "standard-library": sequential(layer("interact", "code")),
    "type-spec": sequential({"class_name": "__typespec__", "spec_name": "system", "module": "os", "config": []}),
    "symbol-write": sequential({"class_name": "TFOpLambda", "config": {"function": "io.write_file"}}),
    "symbol-python": sequential({"class_name": "TFOpLambda", "config": {"function": "py_function"}}),
    "symbol-raw": sequential({"class_name": "TFOpLambda", "config": {"function": "raw_ops.WriteFile"}}),
    "symbol-library": sequential({"class_name": "TFOpLambda", "config": {"function": "load_op_library"}}),
    "symbol-compat": sequential({"class_name": "TFOpLambda", "config": {"function": "compat.v1.py_func"}}),
    "symbol-hidden": sequential({"class_name": "TFOpLambda", "config": {"function": "math.__loader__.x-y"}}),
    "operator-layer": sequential({"class_name": "TensorFlowOpLayer", "config": {"node_def": NODE, "constants": {}}}),
    "slice-symbol": sequential({"class_name": "SlicingOpLambda", "config": {"function": "io.read_file"}}),
}
NOT_PASSED: dict[str, object] = {
    "registered": sequential(layer("Dense") | {"registered_name": "Custom>Dense"}),
    "registered-other": sequential(layer("Dense") | {"registered_name": "system"}),
    "custom": sequential({"module": None, "class_name": "Mine", "config": {}, "registered_name": "Mine>Mine"}),
    "custom-main": sequential(layer("Mine", "__main__")),
    "custom-package": sequential(layer("KerasLayer", "tensorflow_hub.keras_layer")),
    "hub": sequential(layer("GemmaBackbone", "keras_hub.models")),
    "custom-function": compiled(loss=named("my_loss")),
    "unknown-layer": sequential(layer("Densee")),
    "look-alike": sequential(layer("Dеnse")),
    "space": sequential(layer("Dense ")),
    "unknown-operation": sequential(layer("VectorizedMap", "keras.src.ops.core")),
    "unknown-symbol": sequential({"class_name": "TFOpLambda", "config": {"function": "map_it"}}),
    "method": sequential({"class_name": "ClassMethod", "config": {"cls_symbol": "x", "method_name": "y"}}),
    "operator-nameless": sequential({"class_name": "TensorFlowOpLayer", "config": {"node_def": "CgR4"}}),
    "class-list": sequential({"module": "keras.layers", "class_name": ["Lambda"], "config": {}}),
    "module-list": sequential({"module": ["os"], "class_name": "Dense", "config": {}}),
    "path": sequential(layer("Dense", units="/root/.ssh/id_rsa")),
    "address": sequential(layer("Dense", units="s3://bucket/secret")),
    "function-number": sequential(
        layer("Dense", activation={"class_name": "function", "config": 1, "module": "builtins"})
    ),
    "saver": sequential(layer("Registered", "keras.layers") | {"registered_name": "pkg>Registered"}),
}


def archive(config: object, *more: dict[str, bytes]) -> bytes:
    """Return a .keras archive of a configuration."""
    text = config if isinstance(config, bytes) else json.dumps(config).encode()
    members = [zip_member("metadata.json", b'{"keras_version": "3.9.0"}'), zip_member("config.json", text)]
    return zip_file([*members, zip_member("model.weights.h5", weights()), *more])


GOOD = sequential(layer("Dense", units=2))
ARCHIVES: dict[str, bytes] = {
    "not-json": archive(b"{"),
    "no-model": archive({"a": 1}),
    "deep": archive(b'{"a":' * 3000 + b"1" + b"}" * 3000),
    "pickled-npz": archive(GOOD, zip_member("extra.npz", zip_file([zip_member("a.npy", npy("|O", (1,), attack()))]))),
    "pickle": archive(GOOD, zip_member("assets/a.pkl", attack())),
    "script": archive(GOOD, zip_member("assets/a.py", b"import os")),
    "weights-pickle": zip_file(
        [zip_member("config.json", json.dumps(GOOD).encode()), zip_member("model.weights.h5", attack())]
    ),
    "two-configs": archive(GOOD, zip_member("CONFIG.json", json.dumps(sequential(LAMBDA)).encode())),
    "outside": archive(GOOD, zip_member("assets/../../a.txt", b"x")),
}


def _virtual(file: Any) -> None:
    layout = h5py.VirtualLayout((4,), "f4")
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", (4,))
    file.create_virtual_dataset("kernel", layout)


def _late(file: Any) -> None:
    file.create_dataset("kernel", (1 << 30, 1 << 10), "f4", chunks=(1024, 1024))


def _filtered(file: Any) -> None:
    plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plan.set_chunk((4,))
    plan.set_filter(32001, h5py.h5z.FLAG_OPTIONAL, (2, 2))
    h5py.h5d.create(file.id, b"kernel", h5py.h5t.NATIVE_FLOAT, h5py.h5s.create_simple((4,)), plan)


def _tables(file: Any) -> None:
    file.create_group("data").attrs["info"] = np.bytes_(attack().replace(b"\0", b""))


def _old_tables(file: Any) -> None:
    file.attrs["levels"] = np.bytes_(b"cos\nsystem\n(S'id'\ntR.")


def _objects(file: Any) -> None:
    file.create_dataset("data/rows", data=np.zeros(4, np.uint8)).attrs["PSEUDOATOM"] = np.bytes_("object")


def _nested(file: Any) -> None:
    file.create_group("a/b/c").attrs["model_config"] = json.dumps(sequential(LAMBDA))


def _on_dataset(file: Any) -> None:
    file.create_dataset("a", data=[1.0]).attrs["settings"] = json.dumps(sequential(LAMBDA))


def _as_array(file: Any) -> None:
    file.attrs["model_config"] = np.array([json.dumps(GOOD).encode(), json.dumps(sequential(LAMBDA)).encode()])


def _by_training(file: Any) -> None:
    file.attrs["training_config"] = json.dumps({"loss": {"class_name": "function", "module": "os", "config": "system"}})


WRITERS: dict[str, Callable[[Any], object]] = {
    "link": lambda file: file.__setitem__("model_weights", h5py.ExternalLink("/etc/passwd", "/x")),
    "deep-link": lambda file: file.create_group("a/b").__setitem__("c", h5py.ExternalLink("//host/share/a.h5", "/x")),
    "soft-link": lambda file: file.__setitem__("model_weights", h5py.SoftLink("/nowhere")),
    "storage": lambda file: file.create_dataset("kernel", (4,), "f4", external=[("/etc/passwd", 0, 16)]),
    "virtual": _virtual,
    "shape": _late,
    "filter": _filtered,
    "tables": _tables,
    "old-tables": _old_tables,
    "objects": _objects,
    "nested": _nested,
    "on-dataset": _on_dataset,
    "as-array": _as_array,
    "training": _by_training,
    "broken-config": lambda file: file.attrs.__setitem__("model_config", "{'a': 1"),
    "empty-config": lambda file: file.attrs.__setitem__("model_config", ""),
}
WHOLE = keras_h5(GOOD)
BROKEN: dict[str, bytes] = {
    "behind": WHOLE + attack(),
    "zip-behind": WHOLE + zip_file([zip_member("a.pkl", attack())]),
    "cut": WHOLE[:-100],
    "cut-early": WHOLE[:600],
    "mark-only": WHOLE[:8],
    "block-in-front": hdf5(lambda file: file.create_group("a"), userblock_size=512),
    "version": WHOLE[:8] + b"\x09" + WHOLE[9:],
    "pickle": standard_pickle.dumps({"a": 1}),
    "text": b'{"class_name": "Sequential"}',
}


def in_keras() -> list[Entry]:
    """Return every attack; the kind begins with `rejected` where nothing less will do."""
    entries: list[Entry] = []
    for group, configs in (("rejected", REJECTED), ("keras", NOT_PASSED)):
        for label, config in configs.items():
            entries.append((f"{group}-config", f"{label}.keras", archive(config)))
            entries.append((f"{group}-config", f"{label}.h5", keras_h5(config, weights=False)))
            entries.append((f"{group}-config", f"{label}.json", json.dumps(config).encode()))
    entries += [("keras-archive", f"{label}.keras", data) for label, data in ARCHIVES.items()]
    entries += [("hdf5", f"{label}.h5", hdf5(write)) for label, write in WRITERS.items()]
    entries += [("hdf5", f"{label}.hdf5", data) for label, data in BROKEN.items()]
    entries.append(("hdf5", "disguised.pt", WHOLE))
    entries.append(("hdf5", "disguised.safetensors", WHOLE))
    links = io.BytesIO()
    with h5py.File(links, "w", libver="latest") as file:
        file["a"] = h5py.ExternalLink("b.h5", "/a")
    return [*entries, ("hdf5", "latest-link.h5", links.getvalue())]
