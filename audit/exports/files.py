"""The bytes of built exports: in the storage under names of their own, so that removing one never touches evidence."""

from __future__ import annotations

import hashlib
from typing import Any, BinaryIO, cast

from botocore.exceptions import BotoCoreError, ClientError
from django.core.files import File
from django.core.files.storage import default_storage

from audit.models import Export
from portal.errors import Refused
from registry.storage import Stored, Unreadable

MAX_BYTES = 50 * 1024**3
BROKEN = (OSError, BotoCoreError, ClientError)


def name_of(export: Export) -> str:
    """Return the name of an export's bytes in the storage; every attempt to build it has its own."""
    return f"exports/{export.pk}-{export.attempts}"


def put(spool: BinaryIO, export: Export) -> Stored:
    """Store what was spooled, read from its beginning in constant memory; return its sha256 and size in bytes.

    Raises Refused for more than 50 GiB, Unreadable when the storage does not hold what it was given.
    """
    spool.seek(0)
    digest = hashlib.file_digest(cast(Any, spool), "sha256").hexdigest()
    size = spool.tell()
    if size > MAX_BYTES:
        raise Refused("too-large", f"The file has {size:,} bytes, and {MAX_BYTES:,} are kept. Narrow the question.")
    spool.seek(0)
    name = name_of(export)
    try:
        default_storage.delete(name)
        default_storage.save(name, File(spool))
        seen = default_storage.size(name)
    except BROKEN as error:
        raise Unreadable(name, str(error)) from error
    if seen != size:
        raise Unreadable(name, f"{seen:,} bytes are stored, {size:,} were given.")
    return Stored(digest, size)


def open_file(export: Export) -> BinaryIO:
    """Open the bytes of a built export; the caller closes. Raises Unreadable when they are not there."""
    try:
        return cast(BinaryIO, default_storage.open(name_of(export), "rb"))
    except BROKEN as error:
        raise Unreadable(name_of(export), "the storage does not have it.") from error


def remove(export: Export) -> None:
    """Remove the bytes of an export; there being none is as good. Raises Unreadable when the storage refuses."""
    try:
        default_storage.delete(name_of(export))
    except BROKEN as error:
        raise Unreadable(name_of(export), str(error)) from error
