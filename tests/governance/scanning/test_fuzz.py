"""Whatever the bytes are, the scanner answers; and what it passes is what an independent look calls harmless."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import pickletools
import zlib
from pathlib import Path

import joblib
import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.tree import DecisionTreeClassifier

from governance.scanning import Limits, Report, Verdict, scan
from tests.governance.scanning.assemble import (
    attack,
    gguf,
    onnx,
    safetensors,
    tar,
    tensor,
    torch_file,
    torch_legacy,
    zip_file,
    zip_member,
)
from tests.governance.scanning.assemble import pickle as make_pickle
from tests.governance.scanning.corpus_models import DOORS, LAYERS, ONE, keras_file

SUFFIXES = (
    ".pkl",
    ".joblib",
    ".pt",
    ".bin",
    ".npy",
    ".npz",
    ".zip",
    ".safetensors",
    ".onnx",
    ".gguf",
    ".keras",
    ".tar",
    "",
)
FUZZ = settings(
    max_examples=200, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
LIMITS = Limits(wall_seconds=20, opcodes=200_000, memory_bytes=8 << 20, expanded_bytes=32 << 20)


def joblib_bytes(value: object, compress: int = 0) -> bytes:
    """Return what joblib writes for a value."""
    out = io.BytesIO()
    joblib.dump(value, out, compress=compress)
    return out.getvalue()


TREE = DecisionTreeClassifier().fit(np.eye(4), [0, 1, 0, 1])
BENIGN: dict[str, tuple[str, bytes]] = {
    "pickle": (".pkl", pickle.dumps(TREE, 5)),
    "old-pickle": (".pkl", pickle.dumps({"a": [1, 2.5, "x"]}, 0)),
    "joblib": (".joblib", joblib_bytes([TREE, np.array(["a", None], object), np.arange(9.0)])),
    "zlib": (".joblib", joblib_bytes(TREE, 3)),
    "gzip": (".pkl.gz", gzip.compress(pickle.dumps(TREE))),
    "torch": (".pt", torch_file(make_pickle(tensor(), 2))),
    "legacy": (".pth", torch_legacy(tensor(), {"0": b"\0" * 16})),
    "safetensors": (".safetensors", safetensors({"__metadata__": {"a": "b"}, "w": ONE}, b"\0" * 4)),
    "onnx": (".onnx", onnx(location="weights.bin")),
    "gguf": (".gguf", gguf("{{ messages[0].content }}", tensors=(("w", 8, 0),), data=b"\0" * 32)),
    "keras": (".keras", keras_file({"module": "keras.layers", "class_name": "Dense", "config": {}})),
    "zip": (".zip", zip_file([zip_member("a.json", b"{}", deflate=True), zip_member("b.txt", b"hello")])),
    "tar": (".tar", tar("a.txt", b"hello")),
    "json": (".json", json.dumps({"chat_template": DOORS[0], "layers": LAYERS["path"]}).encode()),
}


def scan_as(folder: Path, suffix: str, data: bytes) -> Report:
    """Scan bytes under a name and make sure that the scanner itself did not fail."""
    path = folder / f"fuzz{suffix}"
    path.write_bytes(data)
    report = scan(path, limits=LIMITS)
    assert "scanner-failed" not in {reason.code for reason in report.reasons}, report.reasons
    assert report.seconds < 20
    return report


def names_nothing(data: bytes) -> bool:
    """Return whether the standard library reads one pickle up to the last byte, and it names no global."""
    stream = io.BytesIO(data)
    opcodes = [opcode.name for opcode, _, _ in pickletools.genops(stream)]
    return stream.tell() == len(data) and not set(opcodes) & {"GLOBAL", "STACK_GLOBAL", "INST", "REDUCE", "BUILD"}


@FUZZ
@given(
    data=st.binary(min_size=1, max_size=300), suffix=st.sampled_from(SUFFIXES), head=st.sampled_from([b"", b"\x80\x04"])
)
def test_random_bytes_pass_only_when_they_are_plainly_harmless(
    data: bytes, suffix: str, head: bytes, tmp_path: Path
) -> None:
    report = scan_as(tmp_path, suffix, head + data)
    if report.verdict is Verdict.PASS and report.format == "pickle":
        assert names_nothing(head + data)
    elif report.verdict is Verdict.PASS:
        assert report.format == "text"
        assert suffix == ""
        (head + data).decode("utf-8")


@FUZZ
@given(data=st.binary(min_size=1, max_size=300), suffix=st.sampled_from(SUFFIXES[:-1]))
def test_random_bytes_behind_a_zero_never_pass(data: bytes, suffix: str, tmp_path: Path) -> None:
    assert scan_as(tmp_path, suffix, b"\0\xff" + data).verdict is not Verdict.PASS


MAGIC = [
    b"PK\3\4",
    b"\x93NUMPY\1\0",
    b"GGUF\3\0\0\0",
    b"\x1f\x8b\x08",
    b"BZh9",
    b"\xfd7zXZ\0",
    b"x\x9c",
    b"\x08\x07",
    b"\x89HDF",
]


@FUZZ
@given(head=st.sampled_from(MAGIC), data=st.binary(max_size=300), suffix=st.sampled_from(SUFFIXES))
def test_random_bytes_behind_a_mark_never_pass(head: bytes, data: bytes, suffix: str, tmp_path: Path) -> None:
    report = scan_as(tmp_path, suffix, head + data)
    assert report.verdict is not Verdict.PASS or (report.format == "text" and not suffix)


@FUZZ
@given(
    label=st.sampled_from(sorted(BENIGN)),
    place=st.floats(0, 1),
    cut=st.integers(0, 12),
    patch=st.binary(max_size=12),
)
def test_a_mutated_file_gets_an_answer(label: str, place: float, cut: int, patch: bytes, tmp_path: Path) -> None:
    suffix, data = BENIGN[label]
    at = int(place * len(data))
    report = scan_as(tmp_path, suffix, data[:at] + patch + data[at + cut :])
    assert report.verdict in Verdict


@FUZZ
@given(label=st.sampled_from(["pickle", "joblib", "legacy", "zlib", "torch"]), place=st.floats(0, 1))
def test_an_attack_spliced_in_anywhere_never_passes(label: str, place: float, tmp_path: Path) -> None:
    suffix, data = BENIGN[label]
    body = attack()[2:-1]
    if label == "zlib":
        plain = zlib.decompress(data)
        at = int(place * (len(plain) - 1))
        mixed = zlib.compress(plain[:at] + body + plain[at:])
    elif label == "torch":
        plain = make_pickle(tensor(), 2)
        at = int(place * (len(plain) - 1))
        mixed = torch_file(plain[:at] + body + plain[at:])
    else:
        at = int(place * (len(data) - 1))
        mixed = data[:at] + body + data[at:]
    assert scan_as(tmp_path, suffix, mixed).verdict is not Verdict.PASS


@FUZZ
@given(label=st.sampled_from(sorted(set(BENIGN) - {"old-pickle"})), place=st.floats(0, 0.999))
def test_a_file_that_is_cut_off_never_passes(label: str, place: float, tmp_path: Path) -> None:
    suffix, data = BENIGN[label]
    kept = data[: int(place * len(data))]
    # A tar may lose the zeros behind its last member without harm.
    if label == "tar" and len(kept) >= 1024:
        return
    assert scan_as(tmp_path, suffix, kept).verdict is not Verdict.PASS


@FUZZ
@given(template=st.text(alphabet="{}%#'\"\\ _.abc[]()|~-+self\n", max_size=200))
def test_any_template_gets_an_answer(template: str, tmp_path: Path) -> None:
    scan_as(tmp_path, ".jinja", template.encode())
