"""OpenSSF model signatures: the signed files are exactly the registered ones, whatever they are packed in."""

from __future__ import annotations

import gzip
import hashlib
import io
import random
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pytest_django import Settings

from governance.checks import model_signing
from portal.errors import Invalid
from registry.models import Asset, Version
from tests.governance.checks.attested import envelope, model, new_key, read, trusted
from tests.governance.checks.conftest import Ask, Attach
from tests.scene import Scene

FILES = {"config.json": b"{}", "weights/model.safetensors": b"weights" * 1000}
DIGESTS = {name: hashlib.sha256(body).hexdigest() for name, body in FILES.items()}
KEY = new_key()


def zipped(files: dict[str, bytes] = FILES, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", method) as archive:
        for name, body in files.items():
            archive.writestr(name, body)
    return target.getvalue()


def tarred(files: dict[str, bytes] = FILES, *odd: tarfile.TarInfo, prefix: str = "") -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        for name, body in files.items():
            member = tarfile.TarInfo(prefix + name)
            member.size = len(body)
            archive.addfile(member, io.BytesIO(body))
        for member in odd:
            archive.addfile(member)
    return target.getvalue()


class Shelf:
    """A folder of artifacts and the versions registered for them, which nobody has to save."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def version(self, body: bytes, name: str = "model.bin") -> Version:
        path = self.folder / name
        path.write_bytes(body)
        return Version(
            asset=Asset(slug="fraud-scorer"),
            artifact_sha256=hashlib.sha256(body).hexdigest(),
            artifact_size=len(body),
            storage_uri=path.as_uri(),
        )


@pytest.fixture
def shelf(tmp_path: Path, settings: Settings) -> Shelf:
    settings.ARTIFACT_ROOTS = [tmp_path]
    return Shelf(tmp_path)


def compare(version: Version, files: dict[str, str], **how: Any) -> str:
    """Return what is wrong, or an empty text."""
    found = model_signing.compare(read(envelope(model(files, **how), KEY)), version)
    assert found is None or found[0] in {"subject_mismatch", "unsupported"}
    return found[1] if found else ""


@pytest.mark.parametrize("name", [".", "model.bin"])
def test_a_signature_over_the_one_file_fits(shelf: Shelf, name: str) -> None:
    version = shelf.version(b"weights")
    assert compare(version, {name: version.artifact_sha256}) == ""


def test_one_file_has_to_be_that_file_under_its_name(shelf: Shelf) -> None:
    version = shelf.version(b"weights")
    assert "It signs '.' (abababababab…), not" in compare(version, {".": "ab" * 32})
    assert "model.bin is registered" in compare(version, {"other.bin": version.artifact_sha256})
    both = {"model.bin": version.artifact_sha256, "extra.json": "cd" * 32}
    assert "no plain zip or tar" in compare(version, both)


PACKED = {
    "deflated zip": zipped(),
    "stored zip": zipped(method=zipfile.ZIP_STORED),
    "tar": tarred(),
    "tar of a folder": tarred(prefix="./"),
    "tar.gz": gzip.compress(tarred()),
}


@pytest.mark.parametrize("packed", PACKED)
def test_the_members_of_an_archive_are_compared(shelf: Shelf, packed: str) -> None:
    version = shelf.version(PACKED[packed])
    assert compare(version, DIGESTS) == ""
    assert compare(version, dict(reversed(DIGESTS.items()))) == ""


@pytest.mark.parametrize("pack", [zipped, tarred])
def test_an_archive_with_other_files_does_not_fit(shelf: Shelf, pack: Callable[..., bytes]) -> None:
    plus = shelf.version(pack({**FILES, "run.py": b"import os"}))
    assert compare(plus, DIGESTS) == "The artifact holds 'run.py', which is not signed."
    minus = shelf.version(pack({"config.json": b"{}"}))
    assert "which the artifact does not hold" in compare(minus, DIGESTS)
    other = shelf.version(pack({**FILES, "config.json": b"{ }"}))
    assert compare(other, DIGESTS) == "The artifact holds another 'config.json' than the signed one."
    moved = shelf.version(pack({f"model/{name}": body for name, body in FILES.items()}))
    assert "is not signed" in compare(moved, DIGESTS)


def test_ignored_paths_hide_nothing(shelf: Shelf) -> None:
    version = shelf.version(zipped())
    assert compare(version, DIGESTS, ignore_paths=[".git", "weights.txt", "weight", "", 7]) == ""
    for path in ("weights", "./weights/", "weights/model.safetensors", "config.json"):
        assert "tells its verifiers to ignore" in compare(version, DIGESTS, ignore_paths=[path])
    plain = shelf.version(b"weights")
    assert "to ignore 'model.bin'" in compare(plain, {"model.bin": plain.artifact_sha256}, ignore_paths=["model.bin"])


def test_links_are_not_followed(shelf: Shelf) -> None:
    version = shelf.version(zipped())
    assert "follows symbolic links" in compare(version, DIGESTS, allow_symlinks=True)
    link, pipe = tarfile.TarInfo("weights/passwd"), tarfile.TarInfo("pipe")
    link.type, link.linkname, pipe.type = tarfile.SYMTYPE, "/etc/passwd", tarfile.FIFOTYPE
    for odd in (link, pipe):
        assert "not a plain file" in compare(shelf.version(tarred(FILES, odd)), DIGESTS)
    entry = zipfile.ZipInfo("weights/passwd")
    entry.external_attr = 0o120777 << 16
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr(entry, "/etc/passwd")
    assert "is a link or a device" in compare(shelf.version(target.getvalue()), DIGESTS)


def test_other_hashes_and_a_root_that_does_not_add_up_are_refused(shelf: Shelf) -> None:
    for how in ({"hash_type": "blake2"}, {"hash_type": "sha256", "method": "shards"}):
        with pytest.raises(Invalid, match="unsupported"):
            read(envelope(model(DIGESTS, **how), KEY))
    wrong = model(DIGESTS)
    wrong["subject"][0]["digest"]["sha256"] = DIGESTS["config.json"]
    with pytest.raises(Invalid, match=r"payload\.subject"):
        read(envelope(wrong, KEY))


def test_what_cannot_be_listed_is_not_believed(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = shelf.version(zipped())
    (shelf.folder / "model.bin").unlink()
    assert "cannot be compared" in compare(gone, DIGESTS)
    swapped = shelf.version(zipped())
    (shelf.folder / "model.bin").write_bytes(zipped({"config.json": b"{}"}))
    assert "are not the registered ones" in compare(swapped, DIGESTS)
    elsewhere = shelf.version(zipped())
    elsewhere.storage_uri = "oci://registry.example/model@sha256:00"
    assert "cannot be compared" in compare(elsewhere, DIGESTS)
    composed = Version(asset=Asset(slug="assistant", kind="bundle"), identity_digest="ee" * 32)
    assert "not eeeeeeeeeeee…" in compare(composed, DIGESTS)
    monkeypatch.setattr(model_signing, "MAX_EXPANDED", 1000)
    assert "more than" in compare(shelf.version(zipped()), DIGESTS)
    monkeypatch.setattr(model_signing, "MAX_EXPANDED", 10**9)
    monkeypatch.setattr(model_signing, "MAX_MEMBERS", 1)
    assert "more than 1 files" in compare(shelf.version(tarred()), DIGESTS)


def twice() -> bytes:
    return zipped({"config.json": b"{}", "konfig.json": b"{ }"}).replace(b"konfig", b"config")


def locked() -> bytes:
    body = bytearray(zipped())
    for at in (6, body.index(b"PK\1\2") + 8):
        body[at] |= 1
    return bytes(body)


def swollen_directory() -> bytes:
    body = bytearray(zipped())
    struct.pack_into("<L", body, len(body) - 22 + 12, 0x7FFFFFFF)
    return bytes(body)


def swollen_name() -> bytes:
    """Return a tar whose first header announces a name of a gigabyte."""
    header = tarfile.TarInfo("././@LongLink")
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, 1 << 30
    return header.tobuf(tarfile.GNU_FORMAT) + b"a" * 10_240


def cut() -> bytes:
    return zipped()[:-30]


@pytest.mark.parametrize("forged", [twice, locked, swollen_directory, swollen_name, cut])
def test_an_ambiguous_archive_is_not_believed(shelf: Shelf, forged: Callable[[], bytes]) -> None:
    assert "cannot be compared" in compare(shelf.version(forged()), DIGESTS)


def test_a_damaged_archive_never_fits(shelf: Shelf) -> None:
    chance = random.Random(11)
    for whole in (zipped(), tarred(), gzip.compress(tarred())):
        for _ in range(60):
            body = bytearray(whole)
            for _ in range(chance.randrange(1, 4)):
                body[chance.randrange(len(body))] = chance.randrange(256)
            version = shelf.version(bytes(body[: chance.choice([len(body), chance.randrange(len(body))])]))
            held = compare(version, {**DIGESTS, "missing.json": "ab" * 32})
            assert held


# --- as the check shows it -------------------------------------------------------------------------------------------


def test_a_model_signature_alone_proves_no_build(ask: Ask, attach: Attach, scene: Scene, bare: Version) -> None:
    trusted(scene.walk, KEY, "Release signer", purposes=["model-signing"], builders=[])
    attach("provenance", envelope(model({".": bare.artifact_sha256}), KEY), bare)
    answer = ask("provenance", bare)
    assert (answer.outcome, answer.facts["code"]) == ("failed", "builder_not_allowed")
    assert "signed by the trusted key Release signer, but that does not say who built them" in answer.says
    [proof] = answer.facts["model_signatures"]
    assert (proof["signed_files"], proof["signers"][0]["name"]) == (1, "Release signer")


def test_a_model_signature_stands_beside_provenance(ask: Ask, attach: Attach, scene: Scene) -> None:
    trusted(scene.walk, KEY, "Release signer", purposes=["model-signing"], builders=[])
    attach("provenance", envelope(model({".": scene.version.artifact_sha256}), KEY))
    answer = ask("provenance")
    assert answer.outcome == "passed"
    assert [each["signers"][0]["name"] for each in answer.facts["model_signatures"]] == ["Release signer"]


def test_a_model_signature_by_a_builder_s_key_does_not_count(
    ask: Ask, attach: Attach, scene: Scene, bare: Version
) -> None:
    attach("provenance", envelope(model({".": bare.artifact_sha256}), scene.walk.builder), bare)
    answer = ask("provenance", bare)
    assert answer.facts["code"] == "untrusted_key"
    assert "not trusted to sign files of models" in answer.says
    assert "model_signatures" not in answer.facts


def test_the_signature_of_another_model_is_a_mismatch(ask: Ask, attach: Attach, scene: Scene, bare: Version) -> None:
    trusted(scene.walk, KEY, "Release signer", purposes=["model-signing"], builders=[])
    attach("provenance", envelope(model({".": scene.version.artifact_sha256}), KEY), bare)
    assert ask("provenance", bare).facts["code"] == "subject_mismatch"
