"""Reads the body of a serving report: JSON lines or CSV, perhaps gzip. What a window may say is `audit.serving`'s."""

from __future__ import annotations

import csv
import io
import json
import re
import zlib
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

from django.http import HttpRequest

from portal.errors import Fault, Invalid, show
from portal.http import MAX_BODY
from registry.readers import documents

JSON_LINES = ("application/x-ndjson", "application/jsonl", "application/json-lines")
CSV = "text/csv"
GZIP = 31
GZIP_MAGIC = b"\x1f\x8b"
WHOLE = re.compile(r"[0-9]{1,15}")
COUNTS = ("requests", "errors", "sequence")
# What a sheet leaves blank where nothing is to be said.
OPTIONAL = frozenset({"end", "errors", "sequence", "completeness"})


def read(request: HttpRequest) -> Iterator[Mapping[str, Any]]:
    """Return the windows of a report's body, at most 32 MB before and after decompression.

    Raises Invalid for another media type or coding, and for a body that cannot be read to its end.
    """
    coding = request.headers.get("Content-Encoding", "identity")
    # A file that was zipped before it was sent begins with two bytes that neither JSON nor CSV begins with.
    zipped = coding == "identity" and request.body.startswith(GZIP_MAGIC)
    body = decompressed(request.body, "gzip" if zipped else coding)
    if not body:
        # A body without an announced length arrives empty: the server reads no more than was announced.
        raise Invalid(Fault("body", "nothing", "at least one window, in a body with a Content-Length"))
    if request.content_type == CSV:
        return read_csv(body)
    if request.content_type in JSON_LINES:
        return iter(read_json_lines(body))
    raise Invalid(Fault("Content-Type", show(request.content_type), f"{JSON_LINES[0]} or {CSV}"))


def decompressed(body: bytes, coding: str) -> bytes:
    """Return the body as it was before its content coding, stopping at 32 MB."""
    if coding == "identity":
        return body
    if coding != "gzip":
        raise Invalid(Fault("Content-Encoding", show(coding), "gzip, or nothing"))
    stream = zlib.decompressobj(GZIP)
    try:
        plain = stream.decompress(body, MAX_BODY + 1)
    except zlib.error as error:
        raise Invalid(Fault("body", f"bytes that are not gzip ({error})", "one gzip stream")) from error
    if len(plain) > MAX_BODY:
        raise Invalid(Fault("body", f"more than {MAX_BODY:,} bytes once decompressed", f"at most {MAX_BODY:,} bytes"))
    if not stream.eof or stream.unused_data:
        raise Invalid(Fault("body", "a gzip stream that is cut off or followed by more", "one whole gzip stream"))
    return plain


def read_json_lines(body: bytes) -> list[Any]:
    """Return one value for each line.

    All lines are parsed as one array, which is several times faster; a line break cannot stand inside of a JSON text,
    so a fault names its line, and the count of values shows a line that holds more than one. Flat objects of texts and
    whole numbers are all that windows are made of, and are read without a look at each; anything else is read again by
    the reader that is strict about everything, to find out what is wrong with it.
    """
    lines = body.count(b"\n") + (not body.endswith(b"\n"))
    document = b"[%b]" % body.removesuffix(b"\n").replace(b"\n", b",\n")
    values = read_flat(document)
    if values is None:
        values = documents.parse(document, max_bytes=2 * MAX_BODY)
    if len(values) != lines:
        raise Invalid(Fault("body", f"{len(values):,} values in {lines:,} lines", "one JSON object a line"))
    return values


def read_flat(document: bytes) -> list[Any] | None:
    """Return an array of flat objects of texts and whole numbers without a key twice, or None for anything else."""
    try:
        pairs = json.loads(document, object_pairs_hook=tuple)
    except (ValueError, RecursionError):
        return None
    if set(map(type, pairs)) != {tuple}:
        return None
    rows = list(map(dict, pairs))
    scalars = set(map(type, chain.from_iterable(map(dict.values, rows)))) <= {str, int}
    return rows if scalars and list(map(len, rows)) == list(map(len, pairs)) else None


def read_csv(body: bytes) -> Iterator[dict[str, Any]]:
    """Yield one mapping for each row after the header."""
    text = io.StringIO(documents.decode(body, max_bytes=MAX_BODY), newline="")
    rows = csv.reader(text, strict=True)
    number = 0
    try:
        header = next(rows, [])
        if len(set(header)) != len(header):
            raise Invalid(Fault("header", show(header), "every column once"))
        for number, cells in enumerate(rows, 1):
            if len(cells) != len(header):
                raise Invalid(Fault(f"line {number}", f"{len(cells)} cells", f"{len(header)} cells, as in the header"))
            row: dict[str, Any] = dict(zip(header, cells, strict=True))
            for name in OPTIONAL & row.keys():
                if not row[name]:
                    del row[name]
            for name in COUNTS:
                if WHOLE.fullmatch(row.get(name, "")):
                    row[name] = int(row[name])
            yield row
    except csv.Error as error:
        raise Invalid(Fault(f"line {number + 1}", str(error), "a row of CSV (RFC 4180)")) from error
