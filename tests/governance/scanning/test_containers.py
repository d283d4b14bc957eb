"""Containers, model formats and texts: each attack is found for the right reason, and bounds hold."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import pytest

from governance.scanning import Limits, Report, Verdict, scan
from tests.governance.scanning.assemble import field, gguf, npy, onnx, safetensors, torch_file, zip_file, zip_member
from tests.governance.scanning.corpus_containers import CLEAN, COMPRESSED, FILES
from tests.governance.scanning.corpus_models import DOORS, GGUFS, LAYERS, SAFETENSORS, TEXTS, keras_file

CONTAINERS = {
    "plain.pt": "dangerous-global",
    "constants.pt": "torchscript",
    "extra.pt": "unexpected-member",
    "nested.zip": "dangerous-global",
    "deep.zip": "too-deep",
    "flag-encrypted.pt": "encrypted",
    "flag-local-only.pt": "zip-mismatch",
    "bad-crc-clean.pt": "zip-checksum",
    "two-names.pt": "zip-mismatch",
    "duplicate.pt": "zip-duplicate",
    "duplicate-case.pt": "zip-duplicate",
    "prefix.pt": "polyglot",
    "prefix-shifted.pt": "polyglot",
    "prefix-zip.pt": "zip-hidden",
    "prefix-zip-shifted.pt": "zip-prefix",
    "suffix.pt": "zip-suffix",
    "hidden-local.zip": "zip-hidden",
    "link.zip": "zip-link",
    "up.zip": "zip-path",
    "absolute.zip": "zip-path",
    "backslash.zip": "zip-path",
    "bomb.zip": "expansion-bomb",
    "size-lie.zip": "zip-size-lie",
    "method.zip": "zip-method",
    "source.zip": "source-code",
    "polyglot.safetensors": "polyglot",
    "disguised.onnx": "disguised",
    "legacy-behind.pt": "trailing-bytes",
    "objects.npz": "dangerous-global",
    "record.npy": "dangerous-global",
    "header-call.npy": "npy-header",
    "link.tar": "tar-link",
    "up.tar": "tar-path",
    "behind.tar": "trailing-bytes",
    "program.bin": "executable",
}
SQUEEZED = {
    "deep.pkl.gz": "too-deep",
    "second-stream.joblib": "dangerous-global",
    "behind.joblib": "compressed-broken",
    "cut.joblib": "compressed-broken",
    "lz4.joblib": "compressed-broken",
    "zstd.joblib": "compressed-broken",
    "model.7z": "7z-broken",
    "bomb.pkl.gz": "expansion-bomb",
}
TENSORS = {
    "overlap": "tensor-layout",
    "hole": "tensor-layout",
    "behind": "trailing-bytes",
    "short": "truncated",
    "duplicate": "duplicate-key",
    "huge-header": "too-large",
    "size-lie": "bad-tensor",
    "negative": "bad-tensor",
    "metadata-object": "bad-metadata",
    "deep": "bad-header",
    "is-pickle": "disguised",
}
WORDS = {
    "auto.json": "remote-code",
    "tag.yaml": "yaml-python",
    "long-tag.yaml": "yaml-python",
    "hydra.yaml": "config-calls",
    "jsonpickle.json": "json-python",
    "entity.xml": "xml-entity",
    "model.py": "source-code",
    "invisible.md": "hidden-text",
    "zero.txt": "control-character",
    "latin.txt": "not-utf8",
    "deep.json": "not-json",
    "empty.safetensors": "empty",
    "include.jinja": "template-loads",
    "open.jinja": "template-broken",
}
GRAPHS = {
    "../w": "external-path",
    "/w": "external-path",
    "a/../w": "external-path",
    "file:///w": "external-path",
    "weights.bin": "external-data",
}


def judge(folder: Path, name: str, data: bytes, limits: Limits | None = None) -> Report:
    """Scan bytes as a file with a name."""
    path = folder / name
    path.write_bytes(data)
    return scan(path, limits=limits)


def codes(report: Report) -> set[str]:
    """Return the codes of a report's reasons."""
    return {reason.code for reason in report.reasons}


@pytest.mark.parametrize("name", CONTAINERS)
def test_an_attack_on_a_container_is_found_for_the_right_reason(name: str, tmp_path: Path) -> None:
    assert CONTAINERS[name] in codes(judge(tmp_path, name, FILES[name]))


@pytest.mark.parametrize("name", SQUEEZED)
def test_an_attack_on_a_compression_is_found_for_the_right_reason(name: str, tmp_path: Path) -> None:
    assert SQUEEZED[name] in codes(judge(tmp_path, name, COMPRESSED[name]))


@pytest.mark.parametrize("label", TENSORS)
def test_a_wrong_safetensors_file_is_found_for_the_right_reason(label: str, tmp_path: Path) -> None:
    assert TENSORS[label] in codes(judge(tmp_path, "m.safetensors", SAFETENSORS[label]))


@pytest.mark.parametrize("name", WORDS)
def test_a_harmful_text_is_found_for_the_right_reason(name: str, tmp_path: Path) -> None:
    assert WORDS[name] in codes(judge(tmp_path, name, TEXTS[name]))


@pytest.mark.parametrize("location", GRAPHS)
def test_weights_in_another_file_are_judged_by_where_it_is(location: str, tmp_path: Path) -> None:
    report = judge(tmp_path, "m.onnx", onnx(location=location))
    assert codes(report) == {GRAPHS[location]}
    assert report.verdict is (Verdict.PASS if location == "weights.bin" else Verdict.REJECTED)


def test_an_operator_that_the_model_defines_itself_is_fine(tmp_path: Path) -> None:
    function = field(1, b"Twice") + field(10, b"my.domain") + field(7, field(4, b"Add"))
    assert judge(tmp_path, "own.onnx", onnx("Twice", "my.domain") + field(25, function)).verdict is Verdict.PASS
    assert judge(tmp_path, "other.onnx", onnx("Thrice", "my.domain") + field(25, function)).verdict is Verdict.HELD


@pytest.mark.parametrize("door", DOORS)
def test_a_chat_template_that_leaves_its_box_does_not_pass(door: str, tmp_path: Path) -> None:
    report = judge(tmp_path, "m.gguf", gguf(door))
    assert {code.split("-")[0] for code in codes(report)} == {"template"}


ORDINARY_TEMPLATES = [
    "{{ bos_token }}{% for m in messages | selectattr('role', 'equalto', 'user') %}{{ m.content.strip() }}{% endfor %}",
    "{% set ns = namespace(found=false) %}{{ messages[loop.index0 - 1]['content'].split('</think>')[-1] }}",
    "{{ raise_exception('Roles must alternate!') }}{{ tools | tojson }}{{ messages[(messages | length) - 1] }}",
    "{%- if not add_generation_prompt is defined -%}{%- set add_generation_prompt = false -%}{%- endif -%}",
    "{{ {'a': {'b': 1}}['a'] }}{{ '<|im_start|>' + message['role'] + '\\n' }}{# a comment with __class__ #}",
]


@pytest.mark.parametrize("number", range(len(ORDINARY_TEMPLATES)))
def test_an_ordinary_chat_template_passes(number: int, tmp_path: Path) -> None:
    assert judge(tmp_path, "t.jinja", ORDINARY_TEMPLATES[number].encode()).reasons == ()


@pytest.mark.parametrize("label", LAYERS)
def test_a_keras_layer_with_code_does_not_pass(label: str, tmp_path: Path) -> None:
    report = judge(tmp_path, "m.keras", keras_file(LAYERS[label]))
    assert {code for code in codes(report) if code.startswith("keras-")}
    assert report.verdict is (Verdict.HELD if label in {"custom", "registered"} else Verdict.REJECTED)


def test_gguf_tensors_must_lie_side_by_side(tmp_path: Path) -> None:
    assert codes(judge(tmp_path, "a.gguf", GGUFS["overlap"])) == {"tensor-layout"}
    assert codes(judge(tmp_path, "b.gguf", GGUFS["beyond"])) == {"tensor-layout"}
    assert "trailing-bytes" in codes(judge(tmp_path, "c.gguf", GGUFS["behind"]))


def test_every_member_is_judged_even_when_the_first_is_broken(tmp_path: Path) -> None:
    first, second = zip_member("a.npy", npy("<f8", (9,), b"")), zip_member("b.pt", torch_file(CLEAN))
    members = [first, second, zip_member("c.py", b"1")]
    report = judge(tmp_path, "m.zip", zip_file(members))
    assert [(reason.member, reason.code) for reason in report.reasons] == [
        ("a.npy", "truncated"),
        ("c.py", "source-code"),
    ]


def test_a_pytorch_storage_that_is_missing_is_an_error(tmp_path: Path) -> None:
    report = judge(tmp_path, "m.pt", torch_file(CLEAN, storages={"7": b"\0" * 16}))
    assert (report.verdict, codes(report)) == (Verdict.ERROR, {"storage-missing"})


def test_a_record_dtype_that_hides_objects_does_not_pass(tmp_path: Path) -> None:
    data = npy([("a", [("b", "|O")])], (1,), b"\0" * 8)
    assert judge(tmp_path, "m.npy", data).verdict is not Verdict.PASS


@pytest.mark.parametrize(
    ("limits", "code"),
    [(Limits(members=1), "too-many-members"), (Limits(depth=0), "too-deep"), (Limits(text_bytes=2), "too-large")],
    ids=["members", "depth", "text"],
)
def test_a_zip_past_a_limit_is_an_error(limits: Limits, code: str, tmp_path: Path) -> None:
    data = zip_file([zip_member("a.txt", b"aaa"), zip_member("b.txt", b"bbb")])
    report = judge(tmp_path, "m.zip", data, limits)
    assert (report.verdict, codes(report)) == (Verdict.ERROR, {code})


def test_what_expands_past_memory_is_an_error(tmp_path: Path) -> None:
    limits = Limits(memory_bytes=1000, ratio_floor_bytes=1 << 20)
    assert codes(judge(tmp_path, "a.txt.gz", gzip.compress(b"a" * 5000), limits)) == {"too-large"}
    deflated = zip_file([zip_member("a.txt", b"a" * 5000, deflate=True)])
    assert codes(judge(tmp_path, "a.zip", deflated, limits)) == {"too-large"}


def test_a_header_larger_than_the_limit_is_not_read(tmp_path: Path) -> None:
    data = struct.pack("<Q", 5000) + b"{" + b" " * 4999
    report = judge(tmp_path, "m.safetensors", data, Limits(header_bytes=100))
    assert (report.verdict, codes(report)) == (Verdict.ERROR, {"too-large"})


def test_weights_are_hashed_once_and_not_read_again(tmp_path: Path) -> None:
    count = 40 << 20
    header = {"w": {"dtype": "U8", "shape": [count], "data_offsets": [0, count]}}
    report = judge(tmp_path, "m.safetensors", safetensors(header, b"\0" * count))
    assert report.verdict is Verdict.PASS
    assert report.size <= report.bytes_read < report.size + (1 << 18)


def test_many_findings_are_cut_and_say_so(tmp_path: Path) -> None:
    members = [zip_member(f"{number}.py", b"1") for number in range(20)]
    report = judge(tmp_path, "m.zip", zip_file(members), Limits(findings=5))
    assert len(report.reasons) == 6
    assert report.reasons[-1].code == "more"
