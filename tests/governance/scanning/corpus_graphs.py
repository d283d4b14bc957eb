"""Attacks in graphs: SavedModels and what lies beside them, TFLite, ONNX, Core ML."""

from __future__ import annotations

import struct

from tests.governance.scanning.assemble import attack, field, onnx, tar, zip_file, zip_member
from tests.governance.scanning.corpus_keras import CODE, LAMBDA, OLD_LAMBDA, WHOLE
from tests.governance.scanning.corpus_pickles import Entry
from tests.governance.scanning.model_files import (
    SAVER,
    calls,
    const,
    coreml,
    function,
    graph,
    keras_metadata,
    meta_graph,
    node,
    plain_saved_model,
    revived,
    saved_model,
    sequential,
    tensor_index,
    text_value,
    tflite,
)

PYTHON = "PyFunc PyFuncStateless EagerPyFunc"
FILES = "ReadFile WriteFile MatchingFiles WholeFileReaderV2 TextLineDataset TFRecordDatasetV2 CSVDatasetV2 SqlDataset"
WRITERS = "SaveDatasetV2 SnapshotDatasetV2 ImmutableConst LoadAndRemapMatrix CreateSummaryFileWriter Abort RecordInput"
NETWORK = "DebugIdentityV3 RpcCall RemoteCall DataServiceDatasetV4 DatasetFromGraph FileSystemSetConfiguration"
DANGEROUS = f"{PYTHON} {FILES} {WRITERS} {NETWORK}".split()
UNKNOWN = ["MyCustomOp", "TRTEngineOp", "XlaCustomCall", "Addons>Gelu", "_HostSend", "SimpleMLCreateModelResource"]
SAVING = function("__inference__traced_save_9", ["file_prefix"], *SAVER)
TWO_OPERATORS = field(1, b"a") + field(2, b"Relu") + field(2, b"PyFunc")
NESTED = field(10, field(1, b"g") + field(2, field(1, b"h") + field(2, calls("ReadFile"))))


def path_to(operator: str, *inputs: bytes, place: int = 0) -> bytes:
    """Return a SavedModel with an operator whose file name comes from the nodes given."""
    name = inputs[-1][2 : 2 + inputs[-1][1]].decode()
    before = ["serving_default_x"] * place
    return plain_saved_model(*inputs, node("op", operator, *before, name))


REJECTED: dict[str, bytes] = {
    "const-save": path_to("SaveV2", const("p", "/etc/cron.d/evil")),
    "const-restore": path_to("RestoreV2", const("p", "/etc/passwd")),
    "const-merge": path_to("MergeV2Checkpoints", const("p", "/root/.ssh/authorized_keys"), place=1),
    "const-address": path_to("RestoreV2", const("p", "gs://evil/ckpt")),
    "const-up": path_to("SaveV2", const("p", "../../../tmp/x")),
    "const-home": path_to("SaveV2", const("p", "~/.bashrc")),
    "const-table": path_to("InitializeTableFromTextFileV2", const("p", "/etc/shadow"), place=1),
    "const-shard": path_to("SaveV2", const("p", "/etc/x"), node("s", "ShardedFilename", "p")),
    "const-joined": path_to("SaveV2", const("p", "/etc/x"), const("q", "/part"), node("s", "StringJoin", "p", "q")),
    "const-default": path_to("SaveV2", const("p", "/etc/x"), node("d", "PlaceholderWithDefault", "p")),
    "const-variable": path_to(
        "RestoreV2",
        const("p", "/etc/x"),
        node("v", "VarHandleOp"),
        node("a", "AssignVariableOp", "v", "p"),
        node("r", "ReadVariableOp", "v"),
    ),
    "const-call": plain_saved_model(
        const("p", "/etc/x"),
        node("c", "StatefulPartitionedCall", "p", f=calls("__inference__traced_save_9")),
        functions=[SAVING],
    ),
    "const-call-by-name": plain_saved_model(
        const("p", "/etc/x"), node("c", "__inference__traced_save_9", "p"), functions=[SAVING]
    ),
    "const-call-twice": plain_saved_model(
        const("p", "/etc/x"),
        node("c", "PartitionedCall", "p", f=calls("outer")),
        functions=[
            SAVING,
            function("outer", ["q"], node("i", "PartitionedCall", "q", f=calls("__inference__traced_save_9"))),
        ],
    ),
    "print-file": plain_saved_model(node("p", "PrintV2", output_stream=text_value("file:///etc/cron.d/x"))),
    "proto-file": plain_saved_model(node("p", "DecodeProtoV2", descriptor_source=text_value("/etc/passwd"))),
    "asset-outside": plain_saved_model(assets={"asset": "../../etc/passwd"}),
    "asset-absolute": plain_saved_model(assets={"asset": "/etc/passwd"}),
    "keras-lambda": plain_saved_model(objects=revived({"class_name": "Lambda", "config": {"function": [CODE]}})),
    "keras-nested": plain_saved_model(objects=revived(sequential(LAMBDA))),
    "two-operators": saved_model(TWO_OPERATORS),
    "in-list": saved_model(node("a", "Case", branches=field(1, field(9, field(1, b"PyFunc"))))),
    "in-attribute": saved_model(node("a", "PartitionedCall", f=NESTED)),
    "own-name": saved_model(node("a", "WriteFile"), functions=[function("WriteFile", ["a"])]),
    "library-only": saved_model(functions=[function("f", [], node("w", "WriteFile"))]),
    "second-graph": plain_saved_model() + field(2, meta_graph(graph(node("a", "PyFunc")))),
    "merged-graph": field(1, 1) + field(2, meta_graph(graph(node("a", "Relu"))) + field(2, graph(node("a", "PyFunc")))),
}
NOT_PASSED: dict[str, bytes] = {
    "request-save": path_to("SaveV2", node("serving_default_path", "Placeholder")),
    "request-restore": path_to("RestoreV2", node("serving_default_path", "Placeholder")),
    "computed": path_to("SaveV2", const("p", "L2V0Yy94"), node("d", "DecodeBase64", "p")),
    "substring": path_to("SaveV2", const("p", "x/etc/x"), node("d", "Substr", "p")),
    "beside": path_to("SaveV2", const("p", "other-model")),
    "variable": path_to("RestoreV2", node("v", "VarHandleOp"), node("r", "ReadVariableOp", "v")),
    "looked-up": path_to("SaveV2", node("d", "LookupTableFindV2", "serving_default_x")),
    "proto-own": plain_saved_model(node("p", "DecodeProtoV2", descriptor_source=text_value("bytes://abc"))),
    "print-odd": plain_saved_model(node("p", "PrintV2", output_stream=text_value("log(x)"))),
    "own-saver": plain_saved_model(objects=field(1, field(16, b"my.saver"))),
    "cut": plain_saved_model()[:-40],
    "group": b"\x08\x01\x13\x14",
    "empty-graph": field(1, 1) + field(2, b""),
    "junk": field(1, 1) + field(2, b"\xff" * 50),
    "behind": plain_saved_model() + attack(),
    "zip-behind": plain_saved_model() + zip_file([zip_member("a.pkl", attack())]),
}
PBTXT: dict[str, bytes] = {
    "python": b'node {\n name: "a"\n op: "PyFunc"\n}',
    "quoted": b"node { name: 'a' op: 'WriteFile' }",
    "split": b'node { name: "a" op: "Py" "Func" }',
    "split-empty": b'node { name: "a" op: "" "PyFunc" }',
    "escaped": b'node { name: "a" op: "\\x50yFunc" }',
    "comment": b'node { name: "a" op: # x\n "PyFunc" }',
    "function": b'node { op: "PartitionedCall" attr { key: "f" value { func { name: "ReadFile" } } } }',
    "saver": b'node { op: "SaveV2" } node { op: "Const" attr { value { tensor { string_val: "/etc/x" } } } }',
    "keras": b'user_object { identifier: "_tf_keras_layer" metadata: "{\\"class_name\\": \\"Lambda\\"}" }',
}
TFLITE: dict[str, bytes] = {
    "flex-read": tflite((32, "FlexReadFile")),
    "flex-write": tflite((0, None), (32, "FlexWriteFile")),
    "flex-python": tflite((32, "FlexPyFunc")),
    "flex-unknown": tflite((32, "FlexMine")),
    "custom": tflite((32, "my_custom_op")),
    "custom-nameless": tflite((32, None)),
    "custom-hidden": tflite((9, "my_custom_op")),
    "operator-number": tflite((5000, None)),
    "operator-negative": tflite((-9, None)),
    "version": tflite((9, None), version=2),
    "buffer": tflite((9, None), buffer=(1 << 20, 100)),
    "cut": tflite((9, None), (10, None))[:-30],
    "root": struct.pack("<I4s", 1 << 30, b"TFL3") + b"\0" * 64,
    "root-back": struct.pack("<I4sii", 8, b"TFL3", 1 << 20, 0),
    "vector": tflite((9, None)).replace(struct.pack("<I", 1), struct.pack("<I", 1 << 28), 1),
    "zip-behind": tflite((9, None)) + zip_file([zip_member("a.pkl", attack())]),
}
INDEXES: dict[str, bytes] = {
    "checksum": tensor_index(("a", 1), break_sum=True),
    "hidden": tensor_index(("a", 1), hidden=attack()),
    "variant": tensor_index(("a", 21)),
    "resource": tensor_index(("a", 20)),
    "in-front": attack() + tensor_index(("a", 1)),
    "cut": tensor_index(("a", 1))[20:],
}


def _onnx_parts() -> dict[str, bytes]:
    """Return ONNX models with the operator or the file name where scanners rarely look."""
    evil = field(4, b"PyOp") + field(7, b"ai.onnx.contrib")
    entry = field(13, field(1, b"location") + field(2, b"../../etc/passwd"))
    tensor = field(8, b"w") + entry + field(14, 1)
    branch = field(5, field(1, b"then_branch") + field(6, field(1, evil)))
    branches = field(5, field(1, b"bodies") + field(11, field(1, evil)))
    opset = field(8, field(1, b"") + field(2, 17))
    body = field(1, field(1, b"x") + field(4, b"Relu"))
    return {
        "in-branch": onnx("If", extra=branch),
        "in-branches": onnx("Loop", extra=branches),
        "in-function": onnx("F", "my") + field(25, field(1, b"F") + field(10, b"my") + field(7, evil)),
        "own-python": onnx("PyOp", "ai.onnx.contrib") + field(25, field(1, b"PyOp") + field(10, b"ai.onnx.contrib")),
        "in-training": onnx() + field(20, field(1, field(1, evil))),
        "in-constant": onnx("Constant", extra=field(5, field(1, b"value") + field(5, tensor))),
        "in-sparse": onnx("Constant", extra=field(5, field(1, b"v") + field(22, field(1, tensor)))),
        "in-sparse-indices": field(1, 9) + field(7, body + field(15, field(2, tensor))) + opset,
        "in-function-default": onnx() + field(25, field(1, b"F") + field(11, field(1, b"v") + field(5, tensor))),
        "two-graphs": onnx() + field(7, field(1, evil)),
        "compiled": onnx("EPContext", "com.microsoft"),
        "custom": onnx("Op", "com.example.plugin"),
        "look-alike": onnx("Relu", "ai.onnx "),
        "home": onnx(location="~/x"),
        "drive": onnx(location="C:\\windows\\x"),
        "address": onnx(location="http://x.y/z"),
        "host": onnx(location="\\\\host\\share"),
        "dots": onnx(location="a/b/../../../x"),
        "zero": onnx(location="a\0b"),
        "cut": onnx(location="a.bin")[:-5],
        "zip-behind": onnx() + zip_file([zip_member("a.pkl", attack())]),
    }


def _coreml_parts() -> dict[str, bytes]:
    """Return Core ML models that need code of an application."""
    layered = field(1, field(1, b"l") + field(500, field(10, b"MyLayer")))
    return {
        "custom": coreml(555, field(10, b"MyModel")),
        "linked": coreml(556, b""),
        "layer": coreml(500, layered),
        "classifier": coreml(403, layered),
        "pipeline": coreml(202, field(1, coreml(555, b""))),
        "pipeline-classifier": coreml(200, field(1, field(1, coreml(500, layered)))),
        "cut": coreml(500, layered)[:-3],
    }


def in_graphs() -> list[Entry]:
    """Return every attack; the kind begins with `rejected` where nothing less will do."""
    entries = [("rejected-operator", f"{name}/saved_model.pb", saved_model(node("a", name))) for name in DANGEROUS]
    inside = [(name, function("f", ["x"], node("a", name, "x"))) for name in DANGEROUS[::3]]
    entries += [
        ("rejected-operator", f"in-{name}/saved_model.pb", plain_saved_model(functions=[f])) for name, f in inside
    ]
    entries += [("rejected-operator", f"{name}.pb", graph(node("a", name))) for name in DANGEROUS[::2]]
    entries += [("rejected-operator", f"{name}.meta", meta_graph(graph(node("a", name)))) for name in DANGEROUS[1::4]]
    entries += [("operator", f"{name}/saved_model.pb", saved_model(node("a", name))) for name in UNKNOWN]
    entries += [("rejected-graph", f"{label}/saved_model.pb", data) for label, data in REJECTED.items()]
    entries += [("graph", f"{label}/saved_model.pb", data) for label, data in NOT_PASSED.items()]
    entries += [("graph", f"{label}.pbtxt", data) for label, data in PBTXT.items()]
    evil = saved_model(node("a", "PyFunc"))
    shard = "variables/variables.data-00000-of-00001"
    members = [zip_member("m/saved_model.pb", evil), zip_member(f"m/{shard}", b"\0" * 64)]
    entries += [
        ("rejected-graph", "model.zip", zip_file(members)),
        ("rejected-graph", "model.tar", tar("m/saved_model.pb", evil)),
        ("rejected-graph", "lambda/keras_metadata.pb", keras_metadata(sequential(OLD_LAMBDA))),
        ("rejected-graph", "second/keras_metadata.pb", keras_metadata(sequential(), sequential(LAMBDA))),
        ("graph", "text/keras_metadata.pb", keras_metadata(sequential())[:-4] + b"}}}}"),
        ("graph", shard, attack()),
        ("graph", f"zip/{shard}", zip_file([zip_member("a.pkl", attack())])),
        ("graph", f"h5/{shard}", WHOLE + b"x"),
        ("graph", "disguised.onnx", plain_saved_model()),
        ("graph", "disguised.safetensors", tflite((9, None))),
        ("graph", "disguised.tflite", onnx()),
    ]
    entries += [("tflite", f"{label}.tflite", data) for label, data in TFLITE.items()]
    entries += [("index", f"{label}.index", data) for label, data in INDEXES.items()]
    entries += [("onnx", f"{label}.onnx", data) for label, data in _onnx_parts().items()]
    return entries + [("coreml", f"{label}.mlmodel", data) for label, data in _coreml_parts().items()]
