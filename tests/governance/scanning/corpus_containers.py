"""Attacks in and around containers: compressions, zips, tars, PyTorch files, numpy files."""

from __future__ import annotations

import bz2
import gzip
import lzma
import struct
import zlib
from collections.abc import Iterable
from functools import reduce

from tests.governance.scanning.assemble import (
    COMMAND,
    attack,
    call,
    gguf,
    npy,
    pickle,
    safetensors,
    stack_name,
    tar,
    tensor,
    text,
    torch_file,
    torch_legacy,
    zip_file,
    zip_member,
)
from tests.governance.scanning.corpus_pickles import ARRAYS, Entry

EVIL, CLEAN, ROOT = attack(), pickle(tensor(), 2), "archive"
NOTE = zip_member(f"{ROOT}/version", b"3\n")
STORAGE = zip_member(f"{ROOT}/data/0", b"\0" * 16)
GOOD, BAD = zip_member(f"{ROOT}/data.pkl", CLEAN), zip_member(f"{ROOT}/data.pkl", EVIL)
LEVELS: Iterable[str] = ("5.pkl", "4.zip", "3.zip", "2.zip", "1.zip")
DEEP = reduce(lambda inner, path: zip_file([zip_member(path, inner)]), LEVELS, EVIL)
CALLING = "{'descr': __import__('os').system('id'), 'fortran_order': False, 'shape': ()}"


def torch(*members: dict[str, bytes], prefix: bytes = b"", suffix: bytes = b"", shift: int = 0) -> bytes:
    """Return a PyTorch zip of these members, a storage and a note."""
    return zip_file([*members, STORAGE, NOTE], prefix=prefix, suffix=suffix, shift=shift)


FILES: dict[str, bytes] = {
    "plain.pt": torch_file(EVIL),
    "script.pt": torch(GOOD, zip_member(f"{ROOT}/code/x.py", b"def f(): pass")),
    "constants.pt": torch(GOOD, zip_member(f"{ROOT}/constants.pkl", EVIL)),
    "extra.pt": torch(GOOD, zip_member(f"{ROOT}/extra.pkl", EVIL)),
    "nested.zip": zip_file([zip_member("model.pt", torch_file(EVIL))]),
    "deep.zip": DEEP,
    "deflated.pt": torch(zip_member(f"{ROOT}/data.pkl", EVIL, deflate=True)),
    "flag-encrypted.pt": torch(zip_member(f"{ROOT}/data.pkl", EVIL, flags=0x1)),
    "flag-patched.pt": torch(zip_member(f"{ROOT}/data.pkl", EVIL, flags=0x20)),
    "flag-strong.pt": torch(zip_member(f"{ROOT}/data.pkl", EVIL, flags=0x40)),
    "flag-local-only.pt": torch(zip_member(f"{ROOT}/data.pkl", EVIL, local_flags=0x1)),
    "bad-crc.pt": torch(zip_member(f"{ROOT}/data.pkl", EVIL, crc=1)),
    "bad-crc-clean.pt": torch(zip_member(f"{ROOT}/data.pkl", CLEAN, crc=1)),
    "two-names.pt": torch(zip_member(f"{ROOT}/data.pkl", CLEAN, local_path=f"{ROOT}/dat2.pkl")),
    "duplicate.pt": torch(GOOD, BAD),
    "duplicate-case.pt": torch(GOOD, zip_member(f"{ROOT}/DATA.pkl", EVIL)),
    "prefix.pt": torch(GOOD, prefix=EVIL, shift=len(EVIL)),
    "prefix-shifted.pt": torch(GOOD, prefix=EVIL),
    "prefix-zip.pt": torch(GOOD, prefix=BAD["local"], shift=len(BAD["local"])),
    "prefix-zip-shifted.pt": torch(GOOD, prefix=BAD["local"]),
    "suffix.pt": torch(GOOD, suffix=EVIL),
    "hidden-local.zip": zip_file([zip_member("a.txt", b"a")], prefix=BAD["local"], shift=len(BAD["local"])),
    "link.zip": zip_file([zip_member("a", b"/etc/passwd", mode=0o120777)]),
    "up.zip": zip_file([zip_member("../../a.pkl", b"x")]),
    "absolute.zip": zip_file([zip_member("/etc/cron.d/a", b"x")]),
    "backslash.zip": zip_file([zip_member("..\\a.txt", b"x")]),
    "zero-byte.zip": zip_file([zip_member("a.txt\0.pkl", b"x")]),
    "bomb.zip": zip_file([zip_member("a.txt", b"\0" * (16 << 20), deflate=True)]),
    "size-lie.zip": zip_file([zip_member("a.txt", b"abc" * 99, deflate=True, size=3)]),
    "method.zip": zip_file([zip_member("a.pkl", EVIL, method=98)]),
    "source.zip": zip_file([zip_member("setup.py", b"import os")]),
    "polyglot.safetensors": safetensors({}, torch_file(EVIL)),
    "polyglot.gguf": gguf() + torch_file(EVIL),
    "polyglot.txt": b"hello\n" + torch_file(EVIL),
    "disguised.safetensors": torch_file(CLEAN),
    "disguised.onnx": EVIL,
    "disguised.txt": EVIL,
    "disguised.json": EVIL,
    "disguised.npy": EVIL,
    "disguised.npz": torch_file(EVIL),
    "legacy.pt": torch_legacy(call(stack_name("os", "system"), text(COMMAND)), {}),
    "legacy-behind.pt": torch_legacy(tensor(), {"0": b"\0" * 16}) + EVIL,
    "legacy-magic.pt": EVIL + torch_legacy(tensor(), {"0": b"\0" * 16}),
    "legacy-lie.pt": torch_legacy(tensor(), {"0": b"\0" * 16})[:-24] + struct.pack("<q", 1 << 40) + b"\0" * 16,
    "objects.npy": npy("|O", (1,), EVIL),
    "record.npy": npy([("a", "<i4"), ("b", "|O")], (1,), EVIL),
    "behind.npy": npy("<f8", (1,), b"\0" * 8 + EVIL),
    "header-call.npy": npy("", (), b"", raw=CALLING),
    "objects.npz": zip_file([zip_member("a.npy", npy("|O", (1,), EVIL))]),
    "link.tar": tar("a", b"", kind=b"2", link="/etc/passwd"),
    "up.tar": tar("../a.txt", b"x"),
    "pickle.tar": tar("a.pkl", EVIL),
    "behind.tar": tar("a.txt", b"x", suffix=EVIL),
    "program.so": b"\x7fELF" + b"\0" * 200,
    "program.bin": b"\x7fELF" + b"\0" * 200,
}

COMPRESSED: dict[str, bytes] = {
    "deep.pkl.gz": reduce(lambda inner, _: gzip.compress(inner), range(6), EVIL),
    "second-stream.joblib": zlib.compress(pickle(b"N")) + zlib.compress(EVIL),
    "behind.joblib": zlib.compress(pickle(b"N")) + EVIL,
    "cut.joblib": zlib.compress(EVIL)[:-8],
    "lz4.joblib": b"\x04\x22\x4d\x18" + EVIL,
    "zstd.joblib": b"\x28\xb5\x2f\xfd" + EVIL,
    "model.7z": b"7z\xbc\xaf\x27\x1c" + EVIL,
    "bomb.pkl.gz": gzip.compress(b"\0" * (16 << 20)),
}


def in_containers() -> list[Entry]:
    """Return every attack in and around a container."""
    entries = [("container", path, data) for path, data in FILES.items()]
    entries += [("compressed", path, data) for path, data in COMPRESSED.items()]
    for label, data in {"attack": EVIL, **ARRAYS}.items():
        entries.append(("compressed", f"{label}-zlib.joblib", zlib.compress(data)))
        entries.append(("compressed", f"{label}-gzip.joblib", gzip.compress(data)))
        entries.append(("compressed", f"{label}-bz2.joblib", bz2.compress(data)))
        entries.append(("compressed", f"{label}-xz.pkl.xz", lzma.compress(data)))
        entries.append(("compressed", f"{label}-lzma.joblib", lzma.compress(data, lzma.FORMAT_ALONE)))
    return entries
