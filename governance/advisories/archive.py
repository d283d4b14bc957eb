"""Reads the members of a zip archive within limits. What a member says is read in `osv`."""

from __future__ import annotations

import hashlib
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from portal.errors import Fault, Invalid, show

MAX_FILE = 1024**3
MAX_MEMBERS = 1_000_000
MAX_MEMBER = 32 * 1024**2
MAX_TOTAL = 16 * 1024**3
# OSV records compress 5 to 50 times; small ones are exempt, because a long list of versions is very regular.
MAX_RATIO = 200
RATIO_FROM = 1024**2
_ENTRY_MARK = b"PK\x01\x02"
_CHUNK = 1024**2
# What zipfile raises when an entry lies about itself; the OSError is a seek to a place before the file.
UNREADABLE = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, RuntimeError, ValueError)
_READABLE = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


@dataclass(frozen=True)
class Member:
    """One file of the archive: its bytes, or else why they cannot be read."""

    name: str
    raw: bytes
    fault: str = ""


@dataclass(frozen=True)
class Archive:
    """An opened archive and the sha256 of the whole file."""

    sha256: str
    zip: zipfile.ZipFile

    def members(self) -> Iterator[Member]:
        """Yield every file in the order of the archive, one at a time, at most 32 MiB each."""
        for info in self.zip.infolist():
            if not info.is_dir():
                yield _read_member(self.zip, info)


@contextmanager
def opened(path: Path) -> Iterator[Archive]:
    """Open a zip. Raises Invalid for what is no zip, or declares more files or bytes than the limits allow."""
    with ExitStack() as stack:
        try:
            file = stack.enter_context(path.open("rb"))
            digest = _survey(file)
            archive = stack.enter_context(zipfile.ZipFile(file))
        except OSError as error:
            raise _invalid(f"{show(path.name)} ({error.strerror or error})", "a file that can be read") from error
        except UNREADABLE as error:
            raise _invalid(f"{show(path.name)} ({error})", "a zip archive of OSV records") from error
        _expect_bounded(archive, file.seek(0, 2))
        yield Archive(digest, archive)


def _survey(file: BinaryIO) -> str:
    """Return the sha256, having counted the archive's entries: zipfile would hold every one of them in memory."""
    digest, size, entries, tail = hashlib.sha256(), 0, 0, b""
    while chunk := file.read(_CHUNK):
        digest.update(chunk)
        size += len(chunk)
        entries += (tail + chunk).count(_ENTRY_MARK)
        tail = chunk[-len(_ENTRY_MARK) + 1 :]
        if size > MAX_FILE:
            raise _invalid(f"more than {MAX_FILE:,} bytes", f"at most {MAX_FILE:,} bytes")
        if entries > MAX_MEMBERS:
            raise _invalid(f"more than {MAX_MEMBERS:,} files", f"at most {MAX_MEMBERS:,} files")
    file.seek(0)
    return digest.hexdigest()


def _expect_bounded(archive: zipfile.ZipFile, size: int) -> None:
    """Raise Invalid when the archive would unpack to too much, in all or for its own size."""
    total = sum(info.file_size for info in archive.infolist())
    limit = min(MAX_TOTAL, max(size * MAX_RATIO, RATIO_FROM))
    if total > limit:
        raise _invalid(f"{total:,} bytes unpacked from {size:,}", f"at most {limit:,} bytes unpacked")


def _read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Member:
    """Return a member with its bytes, or with the reason why they are not read."""
    if info.file_size > MAX_MEMBER:
        return Member(info.filename, b"", f"It has {info.file_size:,} bytes; at most {MAX_MEMBER:,} are read.")
    if info.file_size > max(RATIO_FROM, info.compress_size * MAX_RATIO):
        return Member(info.filename, b"", f"It unpacks to more than {MAX_RATIO} times its size.")
    if info.flag_bits & 0x1 or info.compress_type not in _READABLE:
        return Member(info.filename, b"", "It is encrypted or compressed in a way that is not read.")
    try:
        # zipfile hands out no more bytes than the entry declares, and the declared size was bounded above.
        return Member(info.filename, archive.read(info))
    except UNREADABLE as error:
        return Member(info.filename, b"", f"It is damaged: {error}.")


def _invalid(seen: str, expected: str) -> Invalid:
    return Invalid(Fault("archive", seen, expected))
