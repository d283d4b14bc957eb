"""What the pickle machine understands: opcodes as the standard library, and each trick for the right reason."""

from __future__ import annotations

import io
import pickle
import pickletools
from pathlib import Path

import joblib
import numpy as np
import pytest

from governance.scanning import Limits, Report, Verdict, read_allowlist, scan
from governance.scanning.allowlist import Kind
from governance.scanning.limits import Budget
from governance.scanning.opcodes import Blob, Malformed, read_opcodes
from governance.scanning.reading import in_memory
from tests.governance.scanning.assemble import (
    attack,
    blob,
    call,
    name,
    stack_name,
    tensor,
    text,
    torch_file,
    torch_legacy,
)
from tests.governance.scanning.assemble import pickle as make_pickle
from tests.governance.scanning.corpus_containers import FILES
from tests.governance.scanning.corpus_pickles import ARRAYS, BODIES, STREAMS


def scan_pickle(folder: Path, data: bytes, suffix: str = ".joblib", limits: Limits | None = None) -> Report:
    """Scan bytes as a file with a suffix."""
    path = folder / f"model{suffix}"
    path.write_bytes(data)
    return scan(path, limits=limits)


def codes(report: Report) -> set[str]:
    """Return the codes of a report's reasons."""
    return {reason.code for reason in report.reasons}


SAMPLES = {
    "none": None,
    "small": 1,
    "negative": -1,
    "long": 2**40,
    "very long": 2**3000,
    "float": 1.5,
    "text": "é" * 300,
    "bytes": b"x" * 300,
    "bytearray": bytearray(b"y"),
    "containers": {"a": [1, (2, {3})]},
    "array": np.arange(3),
}


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("label", SAMPLES)
def test_opcodes_are_read_as_the_standard_library_reads_them(label: str, protocol: int) -> None:
    data = pickle.dumps(SAMPLES[label], protocol)
    expected = [(opcode.name, argument) for opcode, argument, _ in pickletools.genops(data)]
    stream = in_memory(data, Budget(Limits())).stream()
    found = list(read_opcodes(stream, lambda count: None))
    assert [opcode for opcode, _ in found] == [opcode for opcode, _ in expected]
    assert stream.tell() == len(data)
    for (_, ours), (opcode, theirs) in zip(found, expected, strict=True):
        if isinstance(ours, Blob):
            assert data[ours.start : ours.start + ours.size] == bytes(theirs or b"")
        elif opcode in {"GLOBAL", "INST"}:
            assert " ".join(ours) == theirs  # type: ignore[arg-type]
        elif opcode != "BINFLOAT":
            assert ours == theirs


@pytest.mark.parametrize(
    "data", [b"I1_x\n.", b"S'a\"\n.", b"S'\\x'\n.", b"F1..\n.", b"p-\n.", b"X\xff\xff\xff\xffa.", b"\xff."]
)
def test_what_the_unpickler_would_stop_at_stops_us(data: bytes) -> None:
    stream = in_memory(data, Budget(Limits())).stream()
    with pytest.raises(Malformed):
        list(read_opcodes(stream, lambda count: None))


REASONS = {
    "computed-rot13": "computed-name",
    "computed-latin1": "computed-name",
    "memo-shadow": "dangerous-global",
    "memo-memoize": "dangerous-global",
    "memo-overwrite": "dangerous-global",
    "ext4": "extension",
    "dotted-allowed": "dotted-name",
    "empty-name": "odd-name",
    "append-to-global": "global-changed",
    "setitem-on-global": "global-changed",
    "build-on-class": "global-changed",
    "computed-call": "computed-call",
    "hidden-state": "hidden-state",
    "handed-function": "function-handed",
    "random-door": "function-handed",
    "load-nested": "dangerous-global",
    "late-protocol": "late-protocol",
    "state-is-run": "state-is-run",
    "object-flags": "dtype-lie",
    "hidden-objects": "dtype-lie",
}


@pytest.mark.parametrize("label", REASONS)
def test_a_trick_is_found_for_the_right_reason(label: str, tmp_path: Path) -> None:
    assert REASONS[label] in codes(scan_pickle(tmp_path, make_pickle(BODIES[label])))


BROKEN = {
    "no-stop": "no-stop",
    "nullifai": "dangerous-global",
    "second-pickle": "dangerous-global",
    "junk-behind": "trailing-bytes",
    "frame-in-frame": "overlapping-frames",
    "left-on-stack": "stack-left",
    "newest-protocol": "unknown-protocol",
}
AROUND = {
    "objects": "dangerous-global",
    "after-array": "dangerous-global",
    "shape-lie": "array-shape",
    "too-long": "truncated",
    "dtype-lie": "dtype-lie",
    "hidden-in-array": "dangerous-global",
    "array-in-frame": "array-in-frame",
}


@pytest.mark.parametrize("label", BROKEN)
def test_a_broken_stream_is_found_for_the_right_reason(label: str, tmp_path: Path) -> None:
    assert BROKEN[label] in codes(scan_pickle(tmp_path, STREAMS[label]))


@pytest.mark.parametrize("label", AROUND)
def test_an_attack_around_an_array_is_found_for_the_right_reason(label: str, tmp_path: Path) -> None:
    assert AROUND[label] in codes(scan_pickle(tmp_path, ARRAYS[label]))


def test_an_attack_inside_array_bytes_is_only_seen_by_the_plain_reading(tmp_path: Path) -> None:
    report = scan_pickle(tmp_path, ARRAYS["hidden-in-array"])
    assert report.format == "joblib"
    assert codes(report) <= {"dangerous-global", "second-engine-dangerous"}


def test_array_bytes_that_look_like_opcodes_do_not_hold_an_honest_file(tmp_path: Path) -> None:
    values = np.frombuffer((b"R0N.cab\x93" * 64), np.float64)
    joblib.dump({"a": values, "b": values.reshape(8, 8)}, tmp_path / "a.joblib")
    assert scan(tmp_path / "a.joblib").verdict is Verdict.PASS


def test_a_tensor_inside_a_plain_pickle_is_followed(tmp_path: Path) -> None:
    nested = call(name("torch.storage", "_load_from_bytes"), blob(torch_legacy(tensor(), {"0": b"\0" * 16})))
    assert scan_pickle(tmp_path, make_pickle(nested)).verdict is Verdict.PASS


def test_several_pickles_laid_end_to_end_are_all_judged(tmp_path: Path) -> None:
    honest = pickle.dumps({"a": [1]}) + pickle.dumps(np.arange(3), 2) + pickle.dumps("b", 0)
    assert scan_pickle(tmp_path, honest, ".pkl").reasons == ()
    assert "dangerous-global" in codes(scan_pickle(tmp_path, honest + attack(), ".pkl"))
    assert "trailing-bytes" in codes(scan_pickle(tmp_path, honest + b"\0", ".pkl"))
    many = scan_pickle(tmp_path, b"\x80\x04N." * 20_000, ".pkl")
    assert (many.verdict, codes(many)) == (Verdict.ERROR, {"too-many-members"})


def test_a_python_2_name_is_judged_by_what_it_became(tmp_path: Path) -> None:
    assert scan_pickle(tmp_path, make_pickle(name("__builtin__", "set") + b"(]tR", 2)).verdict is Verdict.PASS
    assert scan_pickle(tmp_path, make_pickle(name("__builtin__", "set") + b"(]tR", 4)).verdict is Verdict.HELD
    assert scan_pickle(tmp_path, make_pickle(name("commands", "getoutput"), 2)).verdict is Verdict.REJECTED


def test_an_unknown_name_says_which_one_and_where(tmp_path: Path) -> None:
    report = scan_pickle(tmp_path, torch_file(attack("ultralytics.nn.tasks", "DetectionModel")), ".pt")
    assert report.verdict is Verdict.HELD
    assert [reason.member for reason in report.reasons] == ["archive/data.pkl"]
    assert "ultralytics.nn.tasks.DetectionModel" in report.reasons[0].says


def test_a_disguise_is_rejected_whatever_it_holds(tmp_path: Path) -> None:
    assert "disguised" in codes(scan_pickle(tmp_path, FILES["disguised.safetensors"], ".safetensors"))
    assert "disguised" in codes(scan_pickle(tmp_path, make_pickle(b"N"), ".onnx"))


def test_the_second_engine_speaks_for_itself(tmp_path: Path) -> None:
    report = scan_pickle(tmp_path, make_pickle(stack_name("mylib.unknown_things", "Model")), ".pkl")
    assert codes(report) == {"unknown-global", "second-engine-dangerous"}
    assert report.verdict is Verdict.REJECTED


def test_what_is_on_the_list_by_its_exact_name_is_only_quoted(tmp_path: Path) -> None:
    report = scan_pickle(tmp_path, make_pickle(call(stack_name("uuid", "UUID"), text("0" * 32))), ".pkl")
    assert (report.verdict, codes(report)) == (Verdict.PASS, {"second-engine-explained"})
    report = scan_pickle(tmp_path, make_pickle(call(stack_name("uuid", "getnode"))), ".pkl")
    assert {"dangerous-global", "second-engine-dangerous"} == codes(report)


def test_the_allow_list_judges_exactly() -> None:
    allowed = read_allowlist()
    assert allowed.judge("collections", "OrderedDict") is Kind.CALL
    assert allowed.judge("collections", "ordereddict") is Kind.UNKNOWN
    assert allowed.judge("collections.abc", "OrderedDict") is Kind.UNKNOWN
    assert allowed.judge("os.path", "join") is Kind.DANGEROUS
    assert allowed.judge("numpy.os", "system") is Kind.DANGEROUS
    assert allowed.judge("osmium", "read") is Kind.UNKNOWN
    assert len(allowed.digest) == 64


def test_no_listed_name_is_one_that_runs_code() -> None:
    harmful = {"system", "popen", "eval", "exec", "load", "loads", "open", "getattr", "partial", "import_module"}
    allowed = {key for key, kind in read_allowlist().kinds.items() if kind is not Kind.DANGEROUS}
    assert not {attribute for _, attribute in allowed} & harmful


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        (Limits(opcodes=1000), "too-many-steps"),
        (Limits(wall_seconds=0.0), "too-slow"),
        (Limits(file_bytes=10), "too-large"),
    ],
)
def test_what_passes_a_limit_is_an_error(limits: Limits, code: str, tmp_path: Path) -> None:
    report = scan_pickle(tmp_path, make_pickle(b"N0" * 5000 + b"N"), limits=limits)
    assert (report.verdict, codes(report)) == (Verdict.ERROR, {code})


def test_a_report_survives_a_round_trip(tmp_path: Path) -> None:
    report = scan_pickle(tmp_path, attack())
    assert Report.from_dict(report.as_dict()) == report
    assert report.sha256
    assert report.bytes_read >= report.size == io.BytesIO(attack()).seek(0, 2)
