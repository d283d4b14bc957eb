"""7z, tar and compressions: what honest writers write is read to the last byte, and every lie has its own reason."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import joblib
import lz4.frame
import numpy as np
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from governance.scanning import Limits, Report, Verdict, scan
from tests.governance.scanning.assemble import (
    attack,
    call,
    name,
    number,
    pack,
    pickle,
    safetensors,
    text,
    zip_file,
    zip_member,
)
from tests.governance.scanning.assemble_archives import METHODS, pax, seven, tar_file, tar_member

GOOD = safetensors({})
WORDS = b"hello\n" * 20_000
FILES = [("a/notes.txt", WORDS), ("a/m.safetensors", GOOD)]
EVIL = attack()


def judge(folder: Path, path: str, data: bytes, limits: Limits | None = None) -> Report:
    """Scan bytes as a file with a name."""
    (folder / path).write_bytes(data)
    report = scan(folder / path, limits=limits)
    assert "scanner-failed" not in {reason.code for reason in report.reasons}, report.reasons
    return report


def codes(report: Report) -> set[str]:
    """Return the codes of a report's reasons."""
    return {reason.code for reason in report.reasons}


CHAINS = [("copy",), ("lzma",), ("lzma2",), ("deflate",), ("bzip2",), ("delta", "lzma2"), ("bcj", "lzma")]
CHAINS += [("bcj", "copy")]


@pytest.mark.parametrize("encoded", [False, True], ids=["plain", "encoded"])
@pytest.mark.parametrize("chain", CHAINS, ids="-".join)
def test_a_7z_of_every_ordinary_method_is_read(chain: tuple[str, ...], encoded: bool, tmp_path: Path) -> None:
    more = {"folders": ["d"], "empty": ["d/.gitkeep"], "modes": [0o100644, 0o100644, 0o40755, 0o100644]}
    report = judge(tmp_path, "m.7z", seven(FILES, chain, encoded=encoded, **more))  # type: ignore[arg-type]
    assert (report.verdict, report.format, report.reasons) == (Verdict.PASS, "7z", ())
    report = judge(tmp_path, "m.7z", seven([*FILES, ("b.pkl", EVIL)], chain, encoded=encoded))
    assert {reason.member for reason in report.reasons} == {"b.pkl"}
    assert report.verdict is Verdict.REJECTED


SEVENS: dict[str, tuple[str, bytes]] = {
    "aes": ("encrypted", seven(FILES, ("aes",))),
    "ppmd": ("7z-method", seven(FILES, ("ppmd",))),
    "bcj2": ("7z-method", seven(FILES, ("bcj2",))),
    "unknown": ("7z-method", seven(FILES, ("unknown",))),
    "suffix": ("trailing-bytes", seven(FILES, suffix=EVIL)),
    "gap": ("7z-hidden", seven(FILES, gap=EVIL)),
    "gap-encoded": ("7z-hidden", seven(FILES, gap=EVIL, encoded=True)),
    "too-little": ("7z-broken", seven(FILES, lie=1)),
    "too-much": ("7z-size-lie", seven(FILES, ("deflate",), lie=-1)),
    "stored-lie": ("7z-size-lie", seven(FILES, ("copy",), lie=1)),
    "sum": ("7z-checksum", seven(FILES, wrong_sum=True)),
    "up": ("7z-path", seven([("../a.txt", WORDS)])),
    "absolute": ("7z-path", seven([("/etc/a.txt", WORDS)])),
    "drive": ("7z-path", seven([("C:/a.txt", WORDS)])),
    "backslash": ("7z-path", seven([("..\\a.txt", WORDS)])),
    "control": ("7z-path", seven([("a\n.txt", WORDS)])),
    "nameless": ("7z-path", seven([("", WORDS)])),
    "twice": ("7z-duplicate", seven([("a.txt", WORDS), ("A.txt", WORDS)])),
    "link": ("7z-link", seven([("a", b"/etc/passwd")], modes=[0o120777])),
    "device": ("7z-link", seven([("a", b"")], modes=[0o20644])),
    "too-few-names": ("7z-broken", seven(FILES, names=b"\0a\0\0\0")),
    "names-elsewhere": ("7z-method", seven(FILES, names=b"\1\0")),
    "bomb": ("expansion-bomb", seven([("a.txt", b"\0" * (12 << 20))])),
    "cut": ("truncated", seven(FILES)[:-9]),
    "header-sum": ("7z-broken", seven(FILES)[:-1] + b"\1"),
}


@pytest.mark.parametrize("label", SEVENS)
def test_a_7z_with_a_lie_is_found_for_the_right_reason(label: str, tmp_path: Path) -> None:
    code, data = SEVENS[label]
    report = judge(tmp_path, "m.7z", data)
    assert codes(report) == {code}
    assert report.verdict is not Verdict.PASS


def test_a_7z_is_bounded(tmp_path: Path) -> None:
    many = seven([(f"{index}.txt", b"x") for index in range(50)])
    assert codes(judge(tmp_path, "m.7z", many, Limits(members=20))) == {"too-many-members"}
    large = seven([("a.txt", bytes(range(256)) * 100)])
    assert codes(judge(tmp_path, "m.7z", large, Limits(memory_bytes=9000))) == {"too-large"}
    assert "disguised" in codes(judge(tmp_path, "m.pkl", seven(FILES)))
    deep = EVIL
    for level in range(5):
        deep = seven([(f"{level}.7z" if level else "m.pkl", deep)])
    assert codes(judge(tmp_path, "m.7z", deep)) == {"too-deep"}


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(0, 0.9999), patch=st.binary(min_size=1, max_size=6), cut=st.integers(0, 6), fix=st.booleans())
def test_a_mutated_7z_gets_an_answer(place: float, patch: bytes, cut: int, fix: bool, tmp_path: Path) -> None:
    data = seven([("b.pkl", EVIL), ("a.txt", b"hello")], encoded=False)
    at = 32 + int(place * (len(data) - 32))
    mixed = bytearray(data[:at] + patch + data[at + cut :])
    if fix:
        # With right checksums the mutation reaches the parser.
        offset = int.from_bytes(mixed[12:20], "little")
        header = bytes(mixed[32 + offset :])
        mixed[20:28] = len(header).to_bytes(8, "little")
        mixed[28:32] = zlib.crc32(header).to_bytes(4, "little")
        mixed[8:12] = zlib.crc32(bytes(mixed[12:32])).to_bytes(4, "little")
    assert judge(tmp_path, "m.7z", bytes(mixed)).verdict is not Verdict.PASS


LONG = "d/" * 60 + "a.txt"
TARS: dict[str, tuple[str, bytes]] = {
    "hard link": ("tar-link", tar_file(tar_member("a", kind=b"1", link="b"))),
    "link": ("tar-link", tar_file(tar_member("a", kind=b"2", link="/etc/passwd"))),
    "device": ("tar-link", tar_file(tar_member("a", kind=b"3"))),
    "pipe": ("tar-link", tar_file(tar_member("a", kind=b"6"))),
    "sparse": ("tar-sparse", tar_file(tar_member("a", kind=b"S"))),
    "volume": ("tar-kind", tar_file(tar_member("a", kind=b"V"))),
    "absolute": ("tar-path", tar_file(tar_member("/a.txt", WORDS))),
    "control": ("tar-path", tar_file(tar_member("a\n.txt", WORDS))),
    "twice": ("tar-duplicate", tar_file(tar_member("a.txt", b"x"), tar_member("A.txt", EVIL))),
    "two archives": ("trailing-bytes", tar_file(tar_member("a.txt", b"x")) + tar_file(tar_member("b.pkl", EVIL))),
    "one zero block": ("trailing-bytes", tar_member("a.txt", b"x") + b"\0" * 512 + tar_file(tar_member("b.pkl", EVIL))),
    "folder with content": ("tar-hidden", tar_file(tar_member("a/", EVIL, kind=b"5"))),
    "pax size": ("tar-note", tar_file(pax(("size", "1")), tar_member("a.txt", EVIL))),
    "pax sparse": ("tar-note", tar_file(pax(("GNU.sparse.major", "1")), tar_member("a.txt", EVIL))),
    "pax up": ("tar-path", tar_file(pax(("path", "../a.txt")), tar_member("a.txt", b"x"))),
    "up below pax": ("tar-path", tar_file(pax(("path", "a.txt")), tar_member("../a.txt", b"x"))),
    "pax twice": ("tar-note", tar_file(pax(("path", "a.txt"), ("path", "b.txt")), tar_member("a.txt", b"x"))),
    "pax for all": ("tar-note", tar_file(pax(("path", "b.txt"), kind=b"g"), tar_member("a.txt", b"x"))),
    "pax link": ("tar-kind", tar_file(pax(("linkpath", "/etc")), tar_member("a.txt", b"x"))),
    "pax for nobody": ("tar-broken", tar_file(pax(("path", "b.txt")))),
    "pax broken": ("tar-broken", tar_file(tar_member("x", b"99 path=a\n", kind=b"x"), tar_member("a.txt", b"x"))),
    "long up": ("tar-path", tar_file(tar_member("x", b"../../a\0", kind=b"L"), tar_member("a", b"x"))),
    "size": ("tar-broken", tar_file(tar_member("a.txt", b"x", size=b"-0000000001\0"))),
    "size of everything": ("truncated", tar_file(tar_member("a.txt", b"x", size=b"\x80" + b"\x7f" * 11))),
    "sum": ("tar-broken", tar_member("a.txt", b"x") + tar_member("b.txt", b"x").replace(b"ustar", b"ustaR")),
    "below long name": ("dangerous-global", tar_file(tar_member("x", LONG.encode(), kind=b"L"), tar_member("d", EVIL))),
}


@pytest.mark.parametrize("label", TARS)
def test_a_tar_with_a_trick_is_found_for_the_right_reason(label: str, tmp_path: Path) -> None:
    code, data = TARS[label]
    report = judge(tmp_path, "m.tar", data)
    assert code in codes(report)
    assert report.verdict is not Verdict.PASS


@pytest.mark.parametrize("layout", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_what_the_standard_library_writes_passes(layout: int, tmp_path: Path) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=layout) as archive:
        for path in ("m/notes.txt", f"{'d/' * 40}{'n' * 40}.txt", *([] if layout == tarfile.USTAR_FORMAT else [LONG])):
            member = tarfile.TarInfo(path)
            member.size, member.mtime = len(WORDS), 1.5 if layout == tarfile.PAX_FORMAT else 1
            archive.addfile(member, io.BytesIO(WORDS))
        folder = tarfile.TarInfo("empty")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
    for suffix, data in {".tar": out.getvalue(), ".tar.gz": gzip.compress(out.getvalue())}.items():
        assert judge(tmp_path, f"m{suffix}", data).reasons == ()


def test_a_tar_without_a_mark_is_known_by_its_checksum(tmp_path: Path) -> None:
    old = tar_file(tar_member("m.pkl", EVIL, kind=b"\0", mark=b""))
    report = judge(tmp_path, "m.tar", old)
    assert (report.format, report.verdict) == ("tar", Verdict.REJECTED)
    fine = tar_file(tar_member("m.txt", b"x", kind=b"\0", mark=b""), tar_member("d/", kind=b"\0", mark=b""))
    assert judge(tmp_path, "m.tar", fine).verdict is Verdict.PASS


STORAGE = pickle(pack(text("1"), text("cpu"), name("torch", "FloatStorage")), 2) + b"\2" + b"\0" * 15
STORAGES = pickle(number(1), 2) + STORAGE + pickle(b"]", 2)
TENSOR = pickle(pack(text("2"), text("1"), name("torch", "FloatTensor")), 2) + b"\1" + b"\0" * 7 + b"\2" + b"\0" * 23
OLDEST = {
    "sys_info": pickle(b"}", 2),
    "storages": STORAGES,
    "tensors": pickle(number(1), 2) + TENSOR,
    "pickle": pickle(call(name("collections", "OrderedDict")) + text("w") + text("2") + b"Qs", 2),
}


def oldest(**changes: bytes) -> bytes:
    """Return a PyTorch file of the oldest format, a tar."""
    return tar_file(*(tar_member(path, data) for path, data in {**OLDEST, **changes}.items()))


def test_pytorchs_oldest_format_passes(tmp_path: Path) -> None:
    report = judge(tmp_path, "m.pth", oldest())
    assert (report.verdict, report.format, report.reasons) == (Verdict.PASS, "torch-legacy", ())


@pytest.mark.parametrize("member", OLDEST)
def test_every_part_of_pytorchs_oldest_format_is_judged(member: str, tmp_path: Path) -> None:
    for data in (EVIL, EVIL + OLDEST[member], OLDEST[member] + EVIL, OLDEST[member][:-1]):
        assert judge(tmp_path, "m.pth", oldest(**{member: data})).verdict is not Verdict.PASS


METHODS_OF_ZIPS: dict[int, Callable[[bytes], bytes]] = {
    12: bz2.compress,
    93: zstandard.compress,
    95: lzma.compress,
}


@pytest.mark.parametrize("method", METHODS_OF_ZIPS)
def test_a_zip_with_a_newer_compression_is_read(method: int, tmp_path: Path) -> None:
    def member(path: str, data: bytes, **lies: int) -> dict[str, bytes]:
        made = zip_member(path, METHODS_OF_ZIPS[method](data), method=method, crc=zlib.crc32(data), size=len(data))
        return made if not lies else zip_member(path, METHODS_OF_ZIPS[method](data), method=method, **lies)  # type: ignore[arg-type]

    assert judge(tmp_path, "m.zip", zip_file([member("a.txt", WORDS), member("b.safetensors", GOOD)])).reasons == ()
    assert "dangerous-global" in codes(judge(tmp_path, "m.zip", zip_file([member("a.pkl", EVIL)])))
    lying = zip_file([member("a.txt", WORDS, crc=zlib.crc32(WORDS), size=5)])
    assert codes(judge(tmp_path, "m.zip", lying)) == {"zip-size-lie"}
    assert codes(judge(tmp_path, "m.zip", zip_file([member("a.txt", WORDS, crc=1, size=len(WORDS))]))) == {
        "zip-checksum"
    }
    bomb = zip_file([member("a.txt", b"\0" * (12 << 20))])
    assert codes(judge(tmp_path, "m.zip", bomb)) == {"expansion-bomb"}


@pytest.mark.parametrize("method", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2, zipfile.ZIP_DEFLATED])
def test_a_zip_of_the_standard_librarys_methods_is_read(method: int, tmp_path: Path) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        archive.writestr("a.txt", WORDS)
        archive.writestr("m.pkl", EVIL)
    report = judge(tmp_path, "m.zip", out.getvalue())
    assert {reason.member for reason in report.reasons if reason.code == "dangerous-global"} == {"m.pkl"}
    assert codes(report) == {"dangerous-global", "second-engine-dangerous"}


STREAMS: dict[str, Callable[[bytes], bytes]] = {
    "m.joblib.z": zlib.compress,
    "m.joblib.gz": gzip.compress,
    "m.joblib.bz2": bz2.compress,
    "m.joblib.xz": lzma.compress,
    "m.joblib.lzma": lambda data: lzma.compress(data, lzma.FORMAT_ALONE),
    "m.joblib.lz4": lz4.frame.compress,
    "m.joblib.zst": zstandard.compress,
}


@pytest.mark.parametrize("path", STREAMS)
def test_every_compression_is_read_to_its_end(path: str, tmp_path: Path) -> None:
    squeeze, honest = STREAMS[path], pickle(b"]")
    out = io.BytesIO()
    joblib.dump({"a": np.arange(20_000.0), "b": "x" * 1_500_000}, out)
    assert judge(tmp_path, path, squeeze(out.getvalue())).reasons == ()
    assert "dangerous-global" in codes(judge(tmp_path, path, squeeze(EVIL)))
    assert "dangerous-global" in codes(judge(tmp_path, path, squeeze(honest) + squeeze(EVIL)))
    assert judge(tmp_path, path, squeeze(honest) + EVIL).verdict is Verdict.ERROR
    assert judge(tmp_path, path, squeeze(out.getvalue())[:-9]).verdict is Verdict.ERROR
    assert "expansion-bomb" in codes(judge(tmp_path, path, squeeze(b"\0" * (12 << 20))))
    large = judge(tmp_path, path, squeeze(bytes(range(256)) * 400), Limits(memory_bytes=1000, ratio=10_000))
    assert codes(large) == {"too-large"}


def test_joblibs_own_lz4_passes(tmp_path: Path) -> None:
    joblib.dump([np.arange(9.0), np.array(["a", None], object)], tmp_path / "m.joblib", compress="lz4")
    assert scan(tmp_path / "m.joblib").reasons == ()


def test_zeros_may_end_a_gzip_as_in_pythons_own_reader(tmp_path: Path) -> None:
    assert judge(tmp_path, "a.txt.gz", gzip.compress(b"hello") + b"\0" * 512).reasons == ()
    assert judge(tmp_path, "a.txt.gz", gzip.compress(b"hello") + b"\0" * 9 + b"x").verdict is Verdict.ERROR


def test_rar_is_an_error_and_not_a_guess(tmp_path: Path) -> None:
    for mark in (b"Rar!\x1a\x07\0", b"Rar!\x1a\x07\1\0"):
        assert "unsupported" in codes(judge(tmp_path, "m.rar", mark + EVIL))


def test_the_list_of_methods_is_the_one_that_was_written_for() -> None:
    assert set(METHODS) > {label for chain in CHAINS for label in chain}
