"""The zip of a bundle: written as a stream, every file hashed on its way, the manifest written last."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, BinaryIO, Self, cast

MANIFEST = "manifest.json"
MANIFEST_SCHEMA = "https://countersign.dev/schemas/evidence-bundle/v1"
CHUNK = 1024 * 1024


class Archive:
    """A zip in the making, with one folder in which everything lies; names of files are those inside of it.

    Files carry the instant of the bundle, so that the same facts make the same bytes.
    """

    def __init__(self, target: BinaryIO, at: datetime, folder: str) -> None:
        self._zip = zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED)
        self._at = at.astimezone(UTC)
        self._folder = folder
        self.files: dict[str, dict[str, Any]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Let go of the zip, whether or not it is whole; one without a manifest is never stored."""
        self._zip.close()

    @contextmanager
    def open(self, name: str) -> Iterator[BinaryIO]:
        """Give a stream to write one file to. Raises ValueError for a name that is there already."""
        if name in self.files:
            raise ValueError(f"The bundle has a file {name} already.")
        about = zipfile.ZipInfo(f"{self._folder}/{name}", self._at.timetuple()[:6])
        about.compress_type = zipfile.ZIP_DEFLATED
        about.external_attr = 0o644 << 16
        with self._zip.open(about, "w", force_zip64=True) as stream:
            hashing = _Hashing(cast(BinaryIO, stream))
            yield cast(BinaryIO, hashing)
        self.files[name] = {"sha256": hashing.digest.hexdigest(), "size": hashing.size}

    def add(self, name: str, content: bytes | str) -> None:
        """Write one file."""
        with self.open(name) as stream:
            stream.write(content.encode() if isinstance(content, str) else content)

    def add_json(self, name: str, value: object) -> None:
        """Write a value as JSON for people: indented, keys in order."""
        self.add(name, json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n")

    def copy(self, name: str, source: BinaryIO) -> None:
        """Write a stream as one file, in constant memory."""
        with self.open(name) as stream:
            while chunk := source.read(CHUNK):
                stream.write(chunk)

    def close(self, **facts: Any) -> str:
        """Write the manifest, which names every other file with its sha256 and size, and return its own sha256."""
        listed = dict(sorted(self.files.items()))
        self.add_json(MANIFEST, {"schema": MANIFEST_SCHEMA, **facts, "files": listed})
        self._zip.close()
        return str(self.files[MANIFEST]["sha256"])


class _Hashing:
    """A stream to write to that hashes and counts what goes by."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.digest = hashlib.sha256()
        self.size = 0

    closed = False

    def write(self, data: bytes) -> int:
        """Write, hash and count."""
        self.digest.update(data)
        self.size += len(data)
        return self._stream.write(data)

    def writable(self) -> bool:
        """Return yes."""
        return True

    def readable(self) -> bool:
        """Return no."""
        return False

    def seekable(self) -> bool:
        """Return no."""
        return False

    def flush(self) -> None:
        """Do nothing: the zip flushes when it is closed."""
