"""Where bytes are: evidence under its sha256 in the default storage, artifacts behind their storage URIs.

Evidence is written by this module only and never changed. Artifacts are only ever read, as bytes. What the bytes mean
is known by registry.readers and by the checks.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import stat
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NoReturn, cast
from urllib.parse import SplitResult, unquote, urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from django.conf import settings
from django.core.files import File
from django.core.files.storage import FileSystemStorage, default_storage

from portal.errors import Fault, Invalid, show

SCHEMES = ("file", "s3", "gs", "hf", "oci", "https", "mlflow")
CHUNK = 1024 * 1024
MAX_EVIDENCE_BYTES = 64 * 1024 * 1024
MAX_DOWNLOAD_BYTES = 20 * 1024**3
MAX_URI = 1000

_SHA256 = re.compile(r"[0-9a-f]{64}")
_UNPRINTABLE = re.compile("[\x00-\x20\x7f-\xa0\ud800-\udfff]")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_NOT_FOUND = frozenset({"404", "NoSuchKey", "NoSuchBucket"})
_S3_TIMES = Config(connect_timeout=5, read_timeout=60, retries={"max_attempts": 3, "mode": "standard"})


@dataclass(frozen=True)
class Stored:
    """What was stored: the sha256 in lower-case hex, and the size in bytes."""

    sha256: str
    size: int


class Unreadable(Exception):
    """Bytes that cannot be had: the URI that was asked for, and why."""

    def __init__(self, uri: str, why: str) -> None:
        """Keep both, and say them as one sentence."""
        super().__init__(f"{uri}: {why}")
        self.uri = uri
        self.why = why


def put(body: bytes | BinaryIO, *, max_bytes: int = MAX_EVIDENCE_BYTES) -> Stored:
    """Store bytes under their sha256 and return it with the size; the same bytes again change nothing.

    Streams in constant memory, appears whole or not at all, and is read back before this returns.
    Raises Invalid for more than max_bytes, Unreadable when the storage does not give back what it took.
    """
    stream = io.BytesIO(body) if isinstance(body, bytes) else body
    with tempfile.NamedTemporaryFile(dir=_incoming_folder(), prefix="incoming-", delete=False) as spool:
        try:
            stored = _copy(stream, cast(BinaryIO, spool), max_bytes)
            spool.flush()
            os.fsync(spool.fileno())
            if not _is_stored(stored):
                _publish(Path(spool.name), stored)
        finally:
            Path(spool.name).unlink(missing_ok=True)
    if not _is_stored(stored):
        raise Unreadable(f"sha256:{stored.sha256}", "the storage did not give back the bytes that it was given.")
    return stored


def open(sha256: str, *, size: int | None = None) -> BinaryIO:  # noqa: A001  read as storage.open, like a storage's own
    """Open stored bytes for reading; the caller closes. The size is compared when given, the digest is not.

    Raises Unreadable when nothing is stored under the digest, or something of another size.
    """
    name, uri = _name(sha256), f"sha256:{sha256}"
    try:
        seen = default_storage.size(name)
        if size is not None and seen != size:
            raise Unreadable(uri, f"{seen:,} bytes are stored, {size:,} were recorded.")
        return cast(BinaryIO, default_storage.open(name, "rb"))
    except FileNotFoundError as error:
        raise Unreadable(uri, "nothing is stored under this digest.") from error
    except (OSError, BotoCoreError, ClientError) as error:
        raise Unreadable(uri, _why(error)) from error


def read(sha256: str, max_bytes: int = MAX_EVIDENCE_BYTES) -> bytes:
    """Return stored bytes after checking that they still hash to their name.

    Raises Unreadable when they are missing, altered, or more than max_bytes.
    """
    with closing(open(sha256)) as stream:
        body = stream.read(max_bytes + 1)
    if len(body) > max_bytes:
        raise Unreadable(f"sha256:{sha256}", f"more than {max_bytes:,} bytes are stored.")
    if hashlib.sha256(body).hexdigest() != sha256:
        raise Unreadable(f"sha256:{sha256}", "the stored bytes were altered: they hash to something else.")
    return body


def validate_uri(uri: str) -> None:
    """Raise Invalid unless a storage URI has a known scheme and a shape that can be followed. Touches no storage.

    Refuses `..`, control characters, credentials, and `file:` paths outside the configured artifact folders.
    """
    _split(uri)


@contextmanager
def open_artifact(uri: str) -> Iterator[BinaryIO]:
    """Open an artifact as a stream of bytes. Raises Invalid for a malformed URI, Unreadable for one not to be had."""
    parts = _split(uri)
    if parts.scheme == "file":
        with _open_file(uri, parts) as stream:
            yield stream
    elif parts.scheme == "s3":
        with _open_object(uri, parts) as stream:
            yield stream
    else:
        _refuse_scheme(uri, parts)


@contextmanager
def artifact_path(uri: str, *, max_bytes: int = MAX_DOWNLOAD_BYTES) -> Iterator[Path]:
    """Give an artifact as a file on this disk: itself for `file:`, a temporary copy, deleted afterwards, for `s3:`.

    Raises Invalid for a malformed URI, Unreadable for one not to be had or larger than max_bytes.
    """
    parts = _split(uri)
    if parts.scheme == "file":
        with _open_file(uri, parts) as stream:
            if (size := os.fstat(stream.fileno()).st_size) > max_bytes:
                raise Unreadable(uri, f"{size:,} bytes are more than the {max_bytes:,} that are read.")
        yield _real_path(uri, parts)[1]
        return
    if parts.scheme != "s3":
        _refuse_scheme(uri, parts)
    with tempfile.TemporaryDirectory(prefix="artifact-") as folder:
        # The name keeps its ending, because scanners compare it with the content.
        path = Path(folder, Path(unquote(parts.path)).name or "artifact")
        with _open_object(uri, parts) as stream, path.open("wb") as copy:
            try:
                _copy(stream, copy, max_bytes)
            except Invalid as error:
                raise Unreadable(uri, f"it has more than the {max_bytes:,} bytes that are read.") from error
        yield path


def _copy(source: BinaryIO, target: BinaryIO, max_bytes: int) -> Stored:
    """Copy a stream and return its sha256 and size. Raises Invalid as soon as it is longer than max_bytes."""
    digest, size = hashlib.sha256(), 0
    while chunk := source.read(CHUNK):
        size += len(chunk)
        if size > max_bytes:
            raise Invalid(Fault("document", f"more than {max_bytes:,} bytes", f"at most {max_bytes:,} bytes"))
        digest.update(chunk)
        target.write(chunk)
    return Stored(digest.hexdigest(), size)


def _name(sha256: str) -> str:
    """Return the name in the storage. Anything but a digest is Invalid, so that no name can leave the storage."""
    if not _SHA256.fullmatch(sha256):
        raise Invalid(Fault("sha256", show(sha256), "64 lower-case hex digits"))
    return f"sha256/{sha256[:2]}/{sha256[2:4]}/{sha256}"


def _incoming_folder() -> str | None:
    """Return a folder on the storage's own disk, where a rename is atomic, or None for a remote storage."""
    if not isinstance(default_storage, FileSystemStorage):
        return None
    folder = Path(default_storage.location, "incoming")
    folder.mkdir(parents=True, exist_ok=True)
    return str(folder)


def _publish(spool: Path, stored: Stored) -> None:
    """Make a complete file appear under its digest in one step."""
    name = _name(stored.sha256)
    if isinstance(default_storage, FileSystemStorage):
        target = Path(default_storage.path(name))
        target.parent.mkdir(parents=True, exist_ok=True)
        spool.chmod(0o444)
        spool.replace(target)
        folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        return
    with spool.open("rb") as stream:
        saved = default_storage.save(name, File(stream))
        if saved == name:
            return
        # The name was taken, so the storage gave ours a second one: by the same bytes stored at the same moment, or
        # by damaged ones, which make way. Nothing is deleted that hashes to its name.
        default_storage.delete(saved)
        if not _is_stored(stored):
            default_storage.delete(name)
            default_storage.save(name, File(stream))


def _is_stored(wanted: Stored) -> bool:
    """Say whether the storage holds exactly these bytes, by reading them."""
    digest = hashlib.sha256()
    with suppress(Unreadable), closing(open(wanted.sha256, size=wanted.size)) as stream:
        while chunk := stream.read(CHUNK):
            digest.update(chunk)
        return digest.hexdigest() == wanted.sha256
    return False


def _split(uri: str) -> SplitResult:
    """Return the parts of a storage URI. Raises Invalid."""
    if not uri or len(uri) > MAX_URI or _UNPRINTABLE.search(uri):
        _refuse(uri, f"a URI of 1 to {MAX_URI:,} printable characters, others percent-encoded")
    try:
        parts = urlsplit(uri)
    except ValueError:
        _refuse(uri, "a well-formed URI (RFC 3986)")
    if parts.scheme not in SCHEMES:
        _refuse(uri, f"one of the schemes {', '.join(SCHEMES)}")
    path = unquote(parts.path)
    if "@" in parts.netloc:
        _refuse("…@…", "a URI without credentials: who reads it has its own")
    if "\x00" in path or ".." in re.split(r"[/\\]", f"{unquote(parts.netloc)}/{path}"):
        _refuse(uri, "a path without .. and without NUL")
    if not (parts.netloc + path).strip("/"):
        _refuse(uri, "a URI that names an artifact")
    _expect_shape(uri, parts)
    return parts


def _expect_shape(uri: str, parts: SplitResult) -> None:
    """Raise Invalid unless a URI has the parts that its scheme needs."""
    if parts.scheme in {"file", "s3"} and (parts.query or parts.fragment):
        _refuse(uri, "a URI without query and fragment")
    if parts.scheme == "file":
        _expect_file(uri, parts)
    elif parts.scheme == "s3" and not (_BUCKET.fullmatch(parts.netloc) and parts.path.strip("/")):
        _refuse(uri, "s3://bucket/key")
    elif parts.scheme in {"gs", "oci", "https"} and not parts.netloc:
        _refuse(uri, f"{parts.scheme}:// and a host or bucket")


def _expect_file(uri: str, parts: SplitResult) -> None:
    """Raise Invalid unless a file: URI (RFC 8089) is absolute, on this machine and below an artifact folder."""
    path = Path(unquote(parts.path))
    if parts.netloc not in {"", "localhost"} or not path.is_absolute():
        _refuse(uri, "file:///absolute/path on this machine")
    if not any(path.is_relative_to(root) for root in (*settings.ARTIFACT_ROOTS, *_roots())):
        _refuse(uri, "a path below one of the folders that the portal may read artifacts from (ARTIFACT_ROOTS)")


def _refuse(uri: str, expected: str) -> NoReturn:
    """Raise Invalid about a storage URI."""
    raise Invalid(Fault("storage_uri", show(uri), expected))


def _refuse_scheme(uri: str, parts: SplitResult) -> NoReturn:
    """Raise Unreadable for a scheme that can be registered and not be read from here."""
    raise Unreadable(uri, f"the portal does not read {parts.scheme}: URIs, only file: and s3:.")


def _roots() -> list[Path]:
    """Return the artifact folders with their own symbolic links resolved."""
    return [Path(root).resolve() for root in settings.ARTIFACT_ROOTS]


def _real_path(uri: str, parts: SplitResult) -> tuple[Path, Path]:
    """Return (root, real path) of a file: URI, every symbolic link followed. Raises Unreadable outside the roots."""
    try:
        real = Path(unquote(parts.path)).resolve(strict=True)
    except (OSError, RuntimeError) as error:
        raise Unreadable(uri, "there is no such file.") from error
    for root in _roots():
        if real.is_relative_to(root):
            return root, real
    raise Unreadable(uri, "a symbolic link leads out of the artifact folders.")


def _open_file(uri: str, parts: SplitResult) -> BinaryIO:
    """Open a regular file below the roots. Raises Unreadable.

    Each step from the root is opened without following links, so a link put there after the path was resolved, by
    somebody who may write artifacts, does not lead anywhere else.
    """
    root, real = _real_path(uri, parts)
    try:
        handle = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
        for step in real.relative_to(root).parts:
            # Without O_NONBLOCK, opening a named pipe would wait for ever for somebody to write.
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
            folder = handle
            try:
                handle = os.open(step, flags, dir_fd=folder)
            finally:
                os.close(folder)
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            os.close(handle)
            raise Unreadable(uri, "it is not a regular file.")
    except OSError as error:
        raise Unreadable(uri, _why(error)) from error
    return os.fdopen(handle, "rb")


@contextmanager
def _open_object(uri: str, parts: SplitResult) -> Iterator[BinaryIO]:
    """Open an object in S3 as a stream. Who may read it is decided by the credentials of the portal's environment."""
    try:
        client = boto3.session.Session().client("s3", config=_S3_TIMES)
        answer = client.get_object(Bucket=parts.netloc, Key=unquote(parts.path).lstrip("/"))
        with closing(answer["Body"]) as body:
            yield cast(BinaryIO, body)
    except (BotoCoreError, ClientError) as error:
        raise Unreadable(uri, _why(error)) from error


def _why(error: Exception) -> str:
    """Return one sentence about a failure, without the paths and endpoints that its message may hold."""
    if isinstance(error, ClientError):
        code = error.response.get("Error", {}).get("Code", "an error")
        return f"nothing is stored there (S3 answered {code})." if code in _NOT_FOUND else f"S3 answered {code}."
    if isinstance(error, OSError):
        return f"{error.strerror or type(error).__name__}."
    return f"{type(error).__name__} from S3."
