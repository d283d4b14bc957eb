"""Compares an OpenSSF model signature with the registered artifact: the same files, no more and no fewer.

Its subject is a digest over digests and never the artifact's own, so the signed resources are compared one by one:
with the artifact itself, or with the members of a zip or tar. Who signed is asked in `attestations`.

Source: https://github.com/sigstore/model-transparency, predicate https://model_signing/signature/v1.0.
"""

from __future__ import annotations

import hashlib
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Literal
from urllib.parse import unquote, urlsplit

from portal.errors import Invalid, show
from registry import storage
from registry.models import Version
from registry.readers.reading import Statement

CHUNK = 1024 * 1024
MAX_MEMBERS = 10_000
MAX_EXPANDED = storage.MAX_DOWNLOAD_BYTES
MAX_DIRECTORY = 64 * 1024 * 1024
MAX_TAR_HEADER = 1024 * 1024
WHOLE = "."  # how the tool names the file when the model is that one file
NAMED_BY_PATH = ("file", "s3", "gs", "https")

# What Python's readers of archives raise for bytes that are none, or that they cannot decrypt or decompress.
BROKEN = (
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, struct.error, OSError, EOFError),
    *(ValueError, TypeError, LookupError, ArithmeticError, RuntimeError),
)

Difference = tuple[str, str]


class NotCompared(Exception):
    """The artifact's files cannot be listed; the message is a sentence that says why."""


class BriefHeader(tarfile.TarInfo):
    """A tar header whose long names and extended attributes stay within bounds: they are read into memory."""

    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        kinds = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE)
        if self.type in (*kinds, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK) and self.size > MAX_TAR_HEADER:
            raise tarfile.ReadError("a header is too large")
        found: tarfile.TarInfo = super()._proc_member(archive)  # type: ignore[misc]  # not in the type stubs
        return found


def compare(statement: Statement, version: Version) -> Difference | None:
    """Return (code, sentence) for the first way in which the signed files are not the registered ones, or None.

    Reads the artifact only when more than the artifact itself was signed; the caller has verified the signature.
    """
    how = statement.predicate.get("serialization", {})
    if how.get("allow_symlinks"):
        return "unsupported", "It follows symbolic links, so what was signed may lie outside of the model."
    signed = dict(statement.resources)
    if list(signed.values()) == [version.artifact_sha256]:
        return expect_file(next(iter(signed)), version) or expect_shown(signed, how)
    if not version.artifact_sha256 or len(signed) == 1:
        expected = (version.artifact_sha256 or version.identity_digest)[:12]
        return "subject_mismatch", f"It signs {name_some(signed)}, not {expected}…."
    try:
        held = list_members(version)
    except (NotCompared, storage.Unreadable, Invalid) as error:
        return "subject_mismatch", f"It signs {len(signed)} files, which cannot be compared: {error}"
    return expect_same(signed, held) or expect_shown(held, how)


def expect_file(name: str, version: Version) -> Difference | None:
    """Return a difference unless the one signed file has the name under which the artifact is registered."""
    parts = urlsplit(version.storage_uri)
    registered = Path(unquote(parts.path)).name
    if parts.scheme not in NAMED_BY_PATH or name in {WHOLE, registered}:
        return None
    return "subject_mismatch", f"It signs these bytes as {show(name)}, and {registered} is registered."


def expect_same(signed: Mapping[str, str], held: Mapping[str, str]) -> Difference | None:
    """Return the first file that was not signed, is not there, or is another one."""
    for name in sorted(held.keys() - signed.keys()):
        return "subject_mismatch", f"The artifact holds {show(name)}, which is not signed."
    for name in sorted(signed.keys() - held.keys()):
        return "subject_mismatch", f"It signs {show(name)}, which the artifact does not hold."
    for name in sorted(signed):
        if signed[name] != held[name]:
            return "subject_mismatch", f"The artifact holds another {show(name)} than the signed one."
    return None


def expect_shown(held: Mapping[str, str], how: Mapping[str, object]) -> Difference | None:
    """Return a difference when the signature tells its verifiers to ignore a registered file."""
    paths = how.get("ignore_paths")
    told = [each for each in paths if isinstance(each, str)] if isinstance(paths, list) else []
    ignored = [each.removeprefix("./").rstrip("/") for each in told]
    for name in held:
        if any(path and (name == path or name.startswith(f"{path}/")) for path in ignored):
            return "subject_mismatch", f"It tells its verifiers to ignore {show(name)}, which is registered."
    return None


def name_some(signed: Mapping[str, str]) -> str:
    """Return the first signed files with their digests, for a sentence."""
    named = [f"{show(name)} ({digest[:12]}…)" for name, digest in list(signed.items())[:3]]
    return ", ".join(named) + (f" and {len(signed) - 3} more" if len(signed) > 3 else "")


def list_members(version: Version) -> dict[str, str]:
    """Return the sha256 of each file in a zip or tar artifact by its name, read as a stream.

    Raises NotCompared when the artifact is neither, or is too large, damaged, encrypted or ambiguous, and
    storage.Unreadable when it is not to be had.
    """
    with storage.artifact_path(version.storage_uri) as path:
        with path.open("rb") as stream:
            seen = hashlib.file_digest(stream, "sha256").hexdigest()
        if seen != version.artifact_sha256:
            raise NotCompared("the bytes at the storage URI are not the registered ones.")
        listing = zip_members if zipfile.is_zipfile(path) else tar_members
        try:
            return collect(listing(path))
        except BROKEN as error:
            raise NotCompared("the artifact is no plain zip or tar that can be read whole.") from error


def collect(members: Iterator[tuple[str, int, IO[bytes]]]) -> dict[str, str]:
    """Return the sha256 of each member by its name. Raises NotCompared beyond the bounds and for a name twice."""
    found: dict[str, str] = {}
    left = MAX_EXPANDED
    for name, size, stream in members:
        bare = name.removeprefix("./")
        left -= size
        if left < 0 or len(found) >= MAX_MEMBERS:
            raise NotCompared(f"the archive holds more than {MAX_MEMBERS:,} files or {MAX_EXPANDED:,} bytes.")
        if bare in found:
            raise NotCompared(f"the archive holds {show(bare)} twice.")
        digest, rest = hashlib.sha256(), size
        while chunk := stream.read(CHUNK):
            rest -= len(chunk)
            if rest < 0:
                raise NotCompared(f"{show(bare)} is larger than the archive says.")
            digest.update(chunk)
        found[bare] = digest.hexdigest()
    return found


def zip_members(path: Path) -> Iterator[tuple[str, int, IO[bytes]]]:
    """Yield (name, size, stream) of each file in a zip; its checksum is compared when the stream ends."""
    with path.open("rb") as stream:
        if directory_size(stream) > MAX_DIRECTORY:
            raise NotCompared("the directory of the zip is too large.")
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            kind = stat.S_IFMT(member.external_attr >> 16)
            if kind not in {0, stat.S_IFREG, stat.S_IFDIR}:
                raise NotCompared(f"{show(member.filename)} is a link or a device, not a file.")
            if member.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
                raise NotCompared(f"{show(member.filename)} is compressed in a way that is not read.")
            if not member.is_dir():
                with archive.open(member) as content:
                    yield member.filename, member.file_size, content


def directory_size(stream: IO[bytes]) -> int:
    """Return how many bytes the directory of a zip says it has, before anything reads it into memory.

    Source: PKWARE APPNOTE 6.3.10, §4.3.14 to §4.3.16.
    """
    stream.seek(max(0, stream.seek(0, 2) - 22 - 0xFFFF))
    tail = stream.read()
    at = tail.rfind(b"PK\5\6")
    if at < 0 or at + 22 > len(tail):
        raise NotCompared("the zip has no end.")
    size = int(struct.unpack_from("<L", tail, at + 12)[0])
    if at >= 20 and tail[at - 20 : at - 16] == b"PK\6\7":
        stream.seek(struct.unpack_from("<Q", tail, at - 12)[0])
        record = stream.read(56)
        wide = struct.unpack_from("<Q", record, 40)[0] if len(record) == 56 else MAX_DIRECTORY + 1
        return max(int(wide), 0 if size == 0xFFFFFFFF else size)
    return size


def tar_members(path: Path) -> Iterator[tuple[str, int, IO[bytes]]]:
    """Yield (name, size, stream) of each file in a tar, plain or gzip, in the order in which they stand there."""
    with path.open("rb") as stream:
        mode: Literal["r|gz", "r|"] = "r|gz" if stream.read(2) == b"\x1f\x8b" else "r|"
    with tarfile.open(path, mode=mode, tarinfo=BriefHeader) as archive:
        for member in archive:
            if member.isdir():
                continue
            content = archive.extractfile(member) if member.isreg() and not member.issparse() else None
            if content is None:
                raise NotCompared(f"{show(member.name)} is a link, a device or sparse, not a plain file.")
            yield member.name, member.size, content
