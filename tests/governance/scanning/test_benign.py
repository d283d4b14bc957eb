"""Ordinary files pass: what scikit-learn, numpy, joblib, PyTorch, ONNX and people write."""

from __future__ import annotations

import gzip
import json
import pickle
import warnings
import zipfile
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path, PurePosixPath

import joblib
import numpy as np
import onnx
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import GradientBoostingRegressor, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.svm import SVC

from governance.scanning import Verdict, scan
from tests.governance.scanning.assemble import (
    call,
    field,
    gguf,
    name,
    safetensors,
    tar,
    tensor,
    text,
    torch_file,
    torch_legacy,
    zip_file,
    zip_member,
)
from tests.governance.scanning.assemble import pickle as make_pickle
from tests.governance.scanning.corpus_models import keras_file

NUMBERS = np.random.default_rng(1).random((40, 4))
CLASSES = (NUMBERS[:, 0] > 0.5).astype(int)
WORDS = ["a cat sat", "the dog ran"] * 20

ESTIMATORS: dict[str, Callable[[], object]] = {
    "logistic": lambda: LogisticRegression().fit(NUMBERS, CLASSES),
    "forest": lambda: RandomForestClassifier(5).fit(NUMBERS, CLASSES),
    "boosting": lambda: GradientBoostingRegressor(n_estimators=3).fit(NUMBERS, CLASSES),
    "histogram": lambda: HistGradientBoostingClassifier(max_iter=3).fit(NUMBERS, CLASSES),
    "neighbours": lambda: KNeighborsClassifier(algorithm="kd_tree").fit(NUMBERS, CLASSES),
    "support": lambda: SVC().fit(NUMBERS, CLASSES),
    "network": lambda: MLPClassifier((3,), max_iter=20).fit(NUMBERS, CLASSES),
    "process": lambda: GaussianProcessRegressor().fit(NUMBERS, CLASSES),
    "text": lambda: make_pipeline(TfidfVectorizer(), SGDClassifier()).fit(WORDS, CLASSES),
    "function": lambda: make_pipeline(FunctionTransformer(np.log1p), StandardScaler()).fit(NUMBERS),
    "search": lambda: GridSearchCV(LogisticRegression(), {"C": [1, 2]}, cv=StratifiedKFold(2)).fit(NUMBERS, CLASSES),
    "columns": lambda: ColumnTransformer([("n", StandardScaler(), [0]), ("c", OneHotEncoder(), [1])]).fit(NUMBERS),
}  # fmt: skip
OBJECTS: dict[str, list[object] | dict[str, object]] = {
    "containers": [OrderedDict(a=1), defaultdict(list, a=[1]), Counter("aab"), {1}, frozenset({3}), (1, [{"x": None}])],
    "dates": [date(2026, 1, 2), datetime(2026, 1, 2, tzinfo=UTC), timedelta(1)],
    "standard": [Decimal("1.5"), PurePosixPath("a"), 1j, slice(1), range(3)],
    "bytes": [b"x" * 300, bytearray(b"y"), "z" * 300, 2**200, -1, 1.5, True],
    "records": [np.zeros(2, [("a", "O"), ("b", "f4", (3,))]), np.zeros(2, [("t", "M8[ns]"), ("s", "S3")])],
    "classes": [np.rec.array([(1, 2)], "i4,i4"), np.ma.array([1, 2], mask=[False, True])],
    "generators": [np.random.default_rng(1), np.random.RandomState(1)],
    "arrays": [NUMBERS, np.array(["a", None], object), np.array([(1, 2.0)], [("a", "i4"), ("b", "f8")]), np.float32(1)],
    "odd-arrays": [np.array([], float), np.zeros(3, "U5"), np.array(3.0), np.asfortranarray(NUMBERS), np.matrix([[1]])],
    "vocabulary": {f"word{number}": number for number in range(5000)},
}  # fmt: skip
COMPRESSIONS = [0, 3, ("gzip", 3), ("bz2", 3), ("xz", 3), ("lzma", 3)]


def assert_passes(path: Path, expected: str) -> None:
    """Scan a file and show the reasons when it does not pass."""
    report = scan(path)
    assert (report.verdict, report.format) == (Verdict.PASS, expected), report.reasons


@pytest.fixture(scope="module")
def models() -> dict[str, object]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {label: make() for label, make in ESTIMATORS.items()}


@pytest.mark.parametrize("label", ESTIMATORS)
def test_an_estimator_saved_by_joblib_passes(label: str, models: dict[str, object], tmp_path: Path) -> None:
    joblib.dump(models[label], tmp_path / "model.joblib")
    assert scan(tmp_path / "model.joblib").reasons == ()


@pytest.mark.parametrize("compression", COMPRESSIONS, ids=str)
def test_a_compressed_estimator_passes(compression: object, models: dict[str, object], tmp_path: Path) -> None:
    joblib.dump(models["forest"], tmp_path / "model.joblib", compress=compression)
    assert scan(tmp_path / "model.joblib").reasons == ()


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("label", [*OBJECTS, "forest", "histogram"])
def test_a_pickle_of_any_protocol_passes(label: str, protocol: int, models: dict[str, object], tmp_path: Path) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps(OBJECTS.get(label) or models[label], protocol))
    assert_passes(path, "pickle")


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_joblib_arrays_of_every_kind_pass(protocol: int, tmp_path: Path) -> None:
    arrays = [*OBJECTS["arrays"], *OBJECTS["odd-arrays"], *OBJECTS["records"]]
    joblib.dump(arrays, tmp_path / "arrays.joblib", protocol=protocol)
    assert_passes(tmp_path / "arrays.joblib", "joblib")


def test_numpy_files_pass(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", NUMBERS)
    np.save(tmp_path / "o.npy", np.array(["a", None], object))
    np.savez(tmp_path / "a.npz", x=NUMBERS, y=CLASSES)
    np.savez_compressed(tmp_path / "c.npz", x=NUMBERS, o=np.array(["a"], object))
    assert_passes(tmp_path / "a.npy", "npy")
    assert_passes(tmp_path / "o.npy", "npy-objects")
    assert_passes(tmp_path / "a.npz", "npz")
    assert_passes(tmp_path / "c.npz", "npz")


def test_an_onnx_model_passes(tmp_path: Path) -> None:
    weights = onnx.numpy_helper.from_array(NUMBERS.astype(np.float32), "w")
    shape = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 40])
    out = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1, 4])
    node = onnx.helper.make_node("MatMul", ["x", "w"], ["y"])
    graph = onnx.helper.make_graph([node], "g", [shape], [out], [weights])
    onnx.save(onnx.helper.make_model(graph), tmp_path / "model.onnx")
    assert_passes(tmp_path / "model.onnx", "onnx")


SETTINGS = {"model_type": "bert", "chat_template": "{% for m in messages %}{{ m['content'] | trim }}{% endfor %}"}
STATE = call(name("collections", "OrderedDict")) + b"(" + text("w") + tensor() + b"u"
HEADER = {"__metadata__": {"format": "pt"}, "w": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}}
DENSE = {"module": "keras.layers", "class_name": "Dense", "config": {"units": 1}, "registered_name": None}
FILES: dict[str, tuple[str, bytes]] = {
    "model.pt": ("torch", torch_file(make_pickle(STATE, 2))),
    "pytorch_model.bin": ("torch", torch_file(make_pickle(STATE, 2), root="pytorch_model")),
    "checkpoint.pth.tar": ("torch", torch_file(make_pickle(STATE, 2))),
    "old.pth": ("torch-legacy", torch_legacy(tensor(), {"0": b"\0" * 16})),
    "model.safetensors": ("safetensors", safetensors(HEADER, b"\0" * 16)),
    "model.gguf": ("gguf", gguf("{{ bos_token }}", tensors=(("w", 8, 0),), data=b"\0" * 32)),
    "model.keras": ("keras", keras_file(DENSE)),
    "folder.zip": ("zip", zip_file([zip_member("a/.gitkeep", b""), zip_member("a/config.json", b"{}")])),
    "model.zip": ("zip", zip_file([zip_member("a/config.json", b"{}"), zip_member("a/README.md", b"# Hi")])),
    "model.tar": ("tar", tar("model.safetensors", safetensors(HEADER, b"\0" * 16))),
    "system.txt": ("text", "You are a polite clerk. Answer {{ question }} in {language}. 🏴󠁧󠁢󠁳󠁣󠁴󠁿".encode()),
    "prompt.md": ("text", b"# Task\n\nSummarise {{ document }} for {{ user.name | title }}.\n"),
    "prompt.yaml": ("text", b"name: triage\nversion: 1\ntemplate: |\n  Sort this ticket: {{ ticket }}\n"),
    "prompt.jinja": ("text", b"{% if messages[0].role == 'system' %}{{ messages[0]['content'] }}{% endif %}"),
    "tokenizer_config.json": ("json", json.dumps(SETTINGS).encode()),
    "tokenizer.model": ("sentencepiece", field(1, field(1, b"<unk>") + field(3, 2)) + field(2, b"") + field(3, b"")),
    "vocab.txt": ("text", b"classify\nsentiment\nthe\n[UNK]\n"),
    "card.txt.gz": ("gzip", gzip.compress(b"A model of cats.")),
}  # fmt: skip


@pytest.mark.parametrize("path", FILES)
def test_an_ordinary_file_passes(path: str, tmp_path: Path) -> None:
    expected, data = FILES[path]
    (tmp_path / path).write_bytes(data)
    assert_passes(tmp_path / path, expected)


def test_a_zip_written_by_the_standard_library_passes(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "model.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.mkdir("weights")
        archive.writestr("weights/model.safetensors", safetensors(HEADER, b"\0" * 16))
        with archive.open("notes.md", "w", force_zip64=True) as member:
            member.write(b"# Notes\n" * 1000)
    assert_passes(tmp_path / "model.zip", "zip")
