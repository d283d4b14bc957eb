"""The places and witnesses of the settings CHECKPOINT_PLACES and WITNESSES, read anew at each use."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import validate_email

from audit.copies.bucket import Bucket
from audit.copies.folder import Folder
from audit.copies.hook import Hook
from audit.copies.letters import Mailbox
from audit.copies.place import Place
from audit.copies.witnesses import Witness
from audit.cosignatures import parse_witness_key
from portal.errors import Fault, Invalid, show

MAX_NAME = 200
BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
LOCKS = {"compliance": "COMPLIANCE", "governance": "GOVERNANCE", "none": ""}
TEN_YEARS = 3650
WITNESS = re.compile(r"(.+)\+(https?://\S+)", re.DOTALL)


def places() -> list[Place]:
    """Return every place and witness that is configured. Raises Invalid, which repeats no secret."""
    found = [read_place(address) for address in settings.CHECKPOINT_PLACES]
    found += [read_witness(text) for text in settings.WITNESSES]
    names = [each.name for each in found]
    for name in names:
        if names.count(name) > 1 or len(name) > MAX_NAME:
            raise Invalid(Fault("CHECKPOINT_PLACES", show(name), f"each place once, of at most {MAX_NAME} characters"))
    return found


def read_place(address: str) -> Place:
    """Return the place of an address: file:///folder, s3://bucket/prefix, https://… or mailto:…. Raises Invalid."""
    parts = urlsplit(address)
    readers: dict[str, Callable[[SplitResult], Place]] = {
        "file": _folder,
        "s3": _bucket,
        "https": lambda _: Hook(address),
        "mailto": _mailbox,
    }
    if parts.scheme not in readers:
        raise _unfit(f"the scheme {parts.scheme[:20]!r}", "file:///folder, s3://bucket/prefix, https://… or mailto:…")
    return readers[parts.scheme](parts)


def read_witness(text: str) -> Witness:
    """Return the witness written as vkey+url. Raises Invalid."""
    found = WITNESS.fullmatch(text)
    if found is None:
        raise Invalid(Fault("WITNESSES", show(text), "verifier key, a plus sign, and the http(s) address"))
    return Witness(parse_witness_key(found[1]), found[2])


def _folder(parts: SplitResult) -> Place:
    """Return the folder of a file: address."""
    path = Path(unquote(parts.path))
    if parts.netloc not in {"", "localhost"} or not path.is_absolute() or ".." in path.parts or parts.query:
        raise _unfit("a file: address of another form", "file:///absolute/folder on this machine")
    return Folder(path)


def _bucket(parts: SplitResult) -> Place:
    """Return the bucket of an s3: address; `?lock=compliance&days=3650` is what goes without saying."""
    asked = dict(parse_qsl(parts.query))
    lock, days = asked.pop("lock", "compliance"), asked.pop("days", str(TEN_YEARS))
    right = lock in LOCKS and days.isascii() and days.isdigit() and 1 <= int(days[:6]) <= 36_500 and not asked
    if not right or not BUCKET.fullmatch(parts.netloc) or ".." in parts.path or parts.fragment:
        raise _unfit(
            "an s3: address of another form", "s3://bucket/prefix?lock=compliance|governance|none&days=1…36500"
        )
    return Bucket(parts.netloc, unquote(parts.path).strip("/"), LOCKS[lock], int(days))


def _mailbox(parts: SplitResult) -> Place:
    """Return the mailbox of a mailto: address."""
    address = unquote(parts.path)
    try:
        validate_email(address)
    except ValidationError as error:
        raise _unfit("a mailto: address of another form", "mailto:auditors@example.com") from error
    return Mailbox(address)


def _unfit(seen: str, expected: str) -> Invalid:
    """Return the fault of an address, which it does not repeat."""
    return Invalid(Fault("CHECKPOINT_PLACES", seen, expected))
