"""Model formats other than pickle: ordinary files pass, each attack is found for the right reason, broken ones fail."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from governance.scanning import Limits, Report, Verdict, engines, scan, scan_in_child
from governance.scanning.isolation import ROOT
from governance.scanning.vocabulary import read_vocabulary
from tests.governance.scanning import corpus_graphs, corpus_keras, corpus_texts
from tests.governance.scanning.assemble import zip_file, zip_member
from tests.governance.scanning.corpus_graphs import NOT_PASSED, REJECTED
from tests.governance.scanning.corpus_keras import BROKEN, LAMBDA, WRITERS, archive
from tests.governance.scanning.model_files import (
    hdf5,
    keras_h5,
    layer,
    node,
    plain_saved_model,
    sequential,
    tflite,
)
from tests.governance.scanning.ordinary_models import ordinary

ORDINARY = ordinary()
ATTACKS = [*corpus_keras.in_keras(), *corpus_graphs.in_graphs(), *corpus_texts.in_texts()]
LIMITS = Limits(wall_seconds=20, opcodes=200_000, memory_bytes=8 << 20, expanded_bytes=32 << 20)
FUZZ = settings(
    max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
# What still means the same after its end is gone: messages, texts and pictures without a length of their own.
WITHOUT_LENGTH = {"frozen-graph", "meta-graph", "fingerprint", "keras-metadata", "coreml", "sentencepiece", "onnx"}
WITHOUT_LENGTH |= {"text", "json", "numbers", "tar", "saved-model"}


def judge(folder: Path, path: str, data: bytes, limits: Limits | None = None) -> Report:
    """Scan bytes under a name, which may have folders in front."""
    whole = folder / path
    whole.parent.mkdir(parents=True, exist_ok=True)
    whole.write_bytes(data)
    return scan(whole, limits=limits)


def codes(report: Report) -> set[str]:
    """Return the codes of a report's reasons."""
    return {reason.code for reason in report.reasons}


@pytest.mark.parametrize("path", ORDINARY)
def test_an_ordinary_file_passes(path: str, tmp_path: Path) -> None:
    expected, data = ORDINARY[path]
    report = judge(tmp_path, path, data)
    assert (report.verdict, report.format) == (Verdict.PASS, expected), report.reasons


def test_what_can_only_be_an_attack_is_rejected(tmp_path: Path) -> None:
    attacks = [(path, data) for kind, path, data in ATTACKS if kind.startswith("rejected")]
    assert len(attacks) > 200
    found = {path: judge(tmp_path, path, data).verdict for path, data in attacks}
    assert {path for path, verdict in found.items() if verdict is not Verdict.REJECTED} == set()


def test_the_corpus_of_model_formats_is_large_and_its_files_differ() -> None:
    assert len(ATTACKS) > 600
    assert len({data for _, _, data in ATTACKS}) > 550
    assert len(ORDINARY) > 75


HDF5 = {
    "link": "hdf5-external",
    "soft-link": "hdf5-link",
    "storage": "hdf5-external",
    "virtual": "hdf5-external",
    "shape": "expansion-bomb",
    "filter": "hdf5-filter",
    "tables": "dangerous-global",
    "old-tables": "dangerous-global",
    "objects": "hdf5-pickles",
    "nested": "keras-code",
    "on-dataset": "keras-code",
    "as-array": "keras-code",
    "training": "keras-code",
    "broken-config": "not-json",
}
BROKEN_HDF5 = {
    "behind": "trailing-bytes",
    "cut": "truncated",
    "block-in-front": "unknown-content",
    "pickle": "disguised",
}


@pytest.mark.parametrize("label", HDF5)
def test_an_attack_in_hdf5_is_found_for_the_right_reason(label: str, tmp_path: Path) -> None:
    found = codes(judge(tmp_path, "m.h5", hdf5(WRITERS[label])))
    assert HDF5[label] in found or (HDF5[label] == "keras-code" and "keras-module" in found)


@pytest.mark.parametrize("label", BROKEN_HDF5)
def test_broken_hdf5_is_found_for_the_right_reason(label: str, tmp_path: Path) -> None:
    assert BROKEN_HDF5[label] in codes(judge(tmp_path, "m.h5", BROKEN[label]))


def test_hdf5_is_read_within_the_limits_of_the_child(tmp_path: Path) -> None:
    (tmp_path / "good.h5").write_bytes(keras_h5(sequential(layer("Dense"))))
    (tmp_path / "bad.keras").write_bytes(archive(sequential(LAMBDA)))
    good, bad = scan_in_child(tmp_path / "good.h5"), scan_in_child(tmp_path / "bad.keras")
    assert (good.verdict, good.format, bad.verdict) == (Verdict.PASS, "hdf5", Verdict.REJECTED)
    assert {"memory", "no-running", "no-writing"} <= set(good.isolation)


def test_only_hdf5_pays_for_its_library(tmp_path: Path) -> None:
    (tmp_path / "m.tflite").write_bytes(tflite((9, None)))
    code = "import sys; from pathlib import Path; from governance.scanning import scan; scan(Path(sys.argv[1])); "
    asked = [sys.executable, "-c", f"{code}print([n for n in ('h5py', 'numpy') if n in sys.modules])"]
    done = subprocess.run([*asked, str(tmp_path / "m.tflite")], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_link_is_not_followed_and_no_plugin_is_loaded(tmp_path: Path) -> None:
    secret = tmp_path / "secret.h5"
    secret.write_bytes(keras_h5(sequential(LAMBDA)))
    report = judge(
        tmp_path, "m.h5", hdf5(lambda file: file.__setitem__("x", __import__("h5py").ExternalLink(secret, "/")))
    )
    assert codes(report) == {"hdf5-external"}
    assert os.environ["HDF5_PLUGIN_PRELOAD"] == "::"


GRAPHS = {
    "const-save": "tensorflow-path",
    "const-call": "tensorflow-path",
    "const-call-twice": "tensorflow-path",
    "const-variable": "tensorflow-path",
    "print-file": "tensorflow-path",
    "proto-file": "tensorflow-path",
    "asset-outside": "tensorflow-path",
    "keras-lambda": "keras-code",
    "two-operators": "tensorflow-operator",
    "in-attribute": "tensorflow-operator",
    "own-name": "tensorflow-operator",
    "second-graph": "tensorflow-operator",
}
HELD_GRAPHS = {
    "request-save": "tensorflow-path",
    "computed": "tensorflow-path",
    "proto-own": "tensorflow-proto",
    "own-saver": "tensorflow-saver",
}


@pytest.mark.parametrize("label", GRAPHS)
def test_an_attack_in_a_saved_model_is_found_for_the_right_reason(label: str, tmp_path: Path) -> None:
    assert GRAPHS[label] in codes(judge(tmp_path, "saved_model.pb", REJECTED[label]))


@pytest.mark.parametrize("label", HELD_GRAPHS)
def test_what_a_saved_model_leaves_open_is_held(label: str, tmp_path: Path) -> None:
    report = judge(tmp_path, "saved_model.pb", NOT_PASSED[label])
    assert (report.verdict, codes(report)) == (Verdict.HELD, {HELD_GRAPHS[label]})


def test_an_operator_that_nobody_lists_is_held_by_its_name(tmp_path: Path) -> None:
    report = judge(tmp_path, "saved_model.pb", plain_saved_model(node("a", "MyCustomOp")))
    assert report.verdict is Verdict.HELD
    assert "MyCustomOp" in report.reasons[0].says


def test_a_custom_layer_is_held_in_keras_and_revived_from_its_graph_in_a_saved_model(tmp_path: Path) -> None:
    custom = sequential(layer("Mine", None))
    assert judge(tmp_path, "m.keras", archive(custom)).verdict is Verdict.HELD
    assert judge(tmp_path, "m.h5", keras_h5(custom)).verdict is Verdict.HELD
    assert ORDINARY["subclassed/saved_model.pb"]


def test_torchscript_is_held_with_a_reason_and_its_pickles_are_judged(tmp_path: Path) -> None:
    scripts = {path: data for kind, path, data in ATTACKS if kind == "torchscript"}
    plain = judge(tmp_path, "a.pt", scripts["script-plain.pt"])
    assert (plain.verdict, codes(plain)) == (Verdict.HELD, {"torchscript"})
    for path in ("script-constants.pt", "script-debug.pt", "script-mobile.ptl"):
        report = judge(tmp_path, path, scripts[path])
        assert "dangerous-global" in codes(report)
        assert report.verdict is Verdict.REJECTED


def test_a_skops_file_is_judged_by_the_types_it_names(tmp_path: Path) -> None:
    schemas = {path: data for kind, path, data in ATTACKS if kind == "skops"}
    unknown = judge(tmp_path, "unknown.skops", schemas["unknown.skops"])
    assert (unknown.verdict, unknown.format) == (Verdict.HELD, "skops")
    assert [str(found) for found in unknown.held_globals] == ["my_package.Model"]
    assert judge(tmp_path, "function-lie.skops", schemas["function-lie.skops"]).verdict is Verdict.REJECTED


def test_labels_behind_a_tflite_model_are_read_and_nothing_else_may_stand_there(tmp_path: Path) -> None:
    model = tflite((9, None))
    program = zip_file([zip_member("labels.txt", b"#!/bin/sh")], prefix=model, shift=len(model))
    nested = zip_file([zip_member("a.tflite", model)], prefix=model, shift=len(model))
    assert judge(tmp_path, "a.tflite", program).verdict is Verdict.REJECTED
    assert "polyglot" in codes(judge(tmp_path, "b.tflite", nested))


def test_the_vocabulary_is_exact_and_part_of_the_engines() -> None:
    names = read_vocabulary()
    groups = names.tensorflow
    assert not groups["allowed"] & (groups["dangerous"] | groups["files"])
    assert not names.keras["classes"] & names.keras["dangerous"]
    assert not names.keras["functions"] & names.keras["dangerous"]
    assert engines()["countersign-vocabulary"] == f"{names.version}+{names.digest[:12]}"


@FUZZ
@given(path=st.sampled_from(sorted(ORDINARY)), place=st.floats(0, 0.999))
def test_a_model_that_is_cut_off_never_passes(path: str, place: float, tmp_path: Path) -> None:
    found, data = ORDINARY[path]
    report = judge(tmp_path, path, data[: int(place * len(data))], LIMITS)
    assert "scanner-failed" not in codes(report)
    assert report.verdict is not Verdict.PASS or found in WITHOUT_LENGTH


@FUZZ
@given(
    path=st.sampled_from(sorted(ORDINARY)),
    changes=st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), min_size=1, max_size=8),
)
def test_a_changed_model_gets_an_answer(path: str, changes: list[tuple[float, int]], tmp_path: Path) -> None:
    data = bytearray(ORDINARY[path][1])
    for place, value in changes:
        data[int(place * len(data))] = value
    report = judge(tmp_path, path, bytes(data), LIMITS)
    assert "scanner-failed" not in codes(report), report.reasons
    assert report.seconds < 20


@FUZZ
@given(data=st.binary(min_size=1, max_size=200), place=st.floats(0, 0.999))
def test_a_changed_index_of_a_checkpoint_never_passes(data: bytes, place: float, tmp_path: Path) -> None:
    whole = ORDINARY["ckpt-1.index"][1]
    at = int(place * len(whole))
    mixed = whole[:at] + data + whole[at + len(data) :]
    assert mixed == whole or judge(tmp_path, "a.index", mixed, LIMITS).verdict is not Verdict.PASS


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.sampled_from(["Lambda", "keras.layers", "os"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["class_name", "module", "config", "registered_name", "function", "a"]), inner
        )
    ),
    max_leaves=12,
)


@FUZZ
@given(config=JSON)
def test_any_configuration_of_keras_gets_an_answer(config: object, tmp_path: Path) -> None:
    data = json.dumps({"class_name": "Sequential", "config": config, "module": "keras"}).encode()
    report = judge(tmp_path, "m.json", data, LIMITS)
    assert "scanner-failed" not in codes(report), report.reasons
