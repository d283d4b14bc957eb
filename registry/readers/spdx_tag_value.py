"""Reads SPDX 2.2 and 2.3 in tag-value lines into the members of SPDX JSON. What they mean is said in `spdx`.

Source: https://spdx.github.io/spdx-spec/v2.3/conformance/ (tag-value format), with a file belonging to the package that
stands above it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from registry.readers.documents import decode, fail, picture
from registry.readers.parts import MAX_BYTES
from registry.readers.reading import Reading
from registry.readers.spdx import understand

MAX_LINES = 2_000_000

_NAMED = re.compile(rb"^SPDXVersion:", re.MULTILINE)
_LINE = re.compile(r"([A-Za-z][A-Za-z0-9]{0,60}):[ \t]*(.*)")
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_CHECKSUM = re.compile(r"([A-Za-z0-9-]{1,40}):\s*(\S{1,256})")
_REFERENCE = re.compile(r"(\S{1,200})\s+(\S{1,1000})\s+(\S.*)")
_RELATION = re.compile(r"(\S{1,1000})\s+(\S{1,100})\s+(\S{1,1000})")

# What begins a new thing: the list of JSON that it stands in, and the member that the value becomes.
_BEGINS = {
    "PackageName": ("packages", "name"),
    "FileName": ("files", "fileName"),
    "SnippetSPDXID": ("snippets", "SPDXID"),
    "LicenseID": ("hasExtractedLicensingInfos", "licenseId"),
}
# Single texts by the thing they belong to; "" is the document itself.
_TEXTS: dict[str, dict[str, str]] = {
    "": {
        "SPDXVersion": "spdxVersion",
        "DataLicense": "dataLicense",
        "SPDXID": "SPDXID",
        "DocumentName": "name",
        "DocumentNamespace": "documentNamespace",
    },
    "packages": {
        "SPDXID": "SPDXID",
        "PackageVersion": "versionInfo",
        "PackageDownloadLocation": "downloadLocation",
        "PackageOriginator": "originator",
        "PackageVerificationCode": "packageVerificationCode",
        "PackageLicenseConcluded": "licenseConcluded",
        "PackageLicenseDeclared": "licenseDeclared",
        "PackageSummary": "summary",
        "PackageDescription": "description",
        "PrimaryPackagePurpose": "primaryPackagePurpose",
    },
    "files": {"SPDXID": "SPDXID"},
    "snippets": {},
    "hasExtractedLicensingInfos": {"LicenseName": "name"},
}


class SpdxTagValue:
    """The reader of SPDX 2 in tag-value lines."""

    slug = "spdx-tag-value"
    title = "SPDX tag-value 2.2 or 2.3"
    kind = "sbom"
    max_bytes = MAX_BYTES

    def recognises(self, body: bytes) -> bool:
        """Say whether a line of the body names the SPDX version."""
        return _NAMED.search(body.removeprefix(b"\xef\xbb\xbf")) is not None

    def read(self, body: bytes) -> Reading:
        """Return the parts, the digests the SBOM is about, and suggestions. Raises Invalid."""
        text = decode(body, max_bytes=self.max_bytes)
        if found := _UNSTORABLE.search(text):
            fail("document", picture(found[0]), "text without NUL characters and lone surrogates")
        document, places = _Writer().write(text)
        media_type = "text/spdx; charset=utf-8"
        return understand(document, reader=self.slug, media_type=media_type, encoding="tag-value", places=places)


class _Writer:
    """Writes a document in the shape of SPDX JSON while the lines go by."""

    def __init__(self) -> None:
        self.document: dict[str, Any] = {"creationInfo": {}, "relationships": []}
        self.places: dict[str, str] = {}
        self.kind, self.thing = "", self.document
        self.package: dict[str, Any] | None = None

    def write(self, text: str) -> tuple[dict[str, Any], dict[str, str]]:
        """Return the document, and the line of each package and file by its path in JSON. Raises Invalid."""
        for number, tag, value in _lines(text):
            place = f"line {number}, {tag}"
            if tag in _BEGINS:
                self.begin(tag, value, number)
            elif tag in _MORE:
                _MORE[tag](self, value, place)
            elif member := _TEXTS[self.kind].get(tag):
                self.set(member, value, place)
        return self.document, self.places

    def begin(self, tag: str, value: str, number: int) -> None:
        """Begin a package, file, snippet or licence."""
        self.kind, member = _BEGINS[tag]
        self.thing = {member: value}
        rows = self.document.setdefault(self.kind, [])
        self.places[f"{self.kind}[{len(rows)}]"] = f"line {number}, {tag}"
        rows.append(self.thing)
        if self.kind == "packages":
            self.package = self.thing

    def set(self, member: str, value: str, place: str) -> None:
        """Set a single text of the thing at hand. Raises Invalid when it is there already."""
        if member in self.thing:
            fail(place, picture(value), "this tag once")
        self.thing[member] = value
        if self.kind == "files" and member == "SPDXID" and self.package is not None:
            self.package.setdefault("hasFiles", []).append(value)

    def add_checksum(self, value: str, place: str) -> None:
        """Add a checksum to the package or file at hand."""
        algorithm, digits = _split(_CHECKSUM, value, place, "an algorithm and its digits, such as SHA256: 9f86…")
        self.thing.setdefault("checksums", []).append({"algorithm": algorithm, "checksumValue": digits})

    def add_reference(self, value: str, place: str) -> None:
        """Add an external reference to the package at hand."""
        _, kind, locator = _split(_REFERENCE, value, place, "category, type and locator with blanks between them")
        rows = self.thing.setdefault("externalRefs", [])
        rows.append({"referenceType": kind, "referenceLocator": locator.strip()})

    def add_relation(self, value: str, place: str) -> None:
        """Add a relationship between two elements."""
        left, kind, right = _split(_RELATION, value, place, "an id, a relationship and an id with blanks between them")
        row = {"spdxElementId": left, "relationshipType": kind, "relatedSpdxElement": right}
        self.document["relationships"].append(row)

    def add_creator(self, value: str, place: str) -> None:
        """Add who or what made the document."""
        self.document["creationInfo"].setdefault("creators", []).append(value)

    def set_created(self, value: str, place: str) -> None:
        """Set when the document was made."""
        self.document["creationInfo"]["created"] = value


_MORE: dict[str, Callable[[_Writer, str, str], None]] = {
    "PackageChecksum": _Writer.add_checksum,
    "FileChecksum": _Writer.add_checksum,
    "ExternalRef": _Writer.add_reference,
    "Relationship": _Writer.add_relation,
    "Creator": _Writer.add_creator,
    "Created": _Writer.set_created,
}


def _lines(text: str) -> Iterator[tuple[int, str, str]]:
    """Yield (line number, tag, value) with texts over several lines joined, comments and blank lines left out."""
    rows = text.split("\n")
    if len(rows) > MAX_LINES:
        fail("document", f"{len(rows):,} lines", f"at most {MAX_LINES:,} lines")
    number = 0
    while number < len(rows):
        row, number = rows[number].rstrip("\r"), number + 1
        if not row.strip() or row.lstrip().startswith("#"):
            continue
        match = _LINE.fullmatch(row.strip())
        if match is None:
            fail(f"line {number}", picture(row), "a tag, a colon and a value")
        tag, value, first = match[1], match[2].strip(), number
        if value.startswith("<text>"):
            gathered = [value.removeprefix("<text>")]
            while "</text>" not in gathered[-1]:
                if number == len(rows):
                    fail(f"line {first}, {tag}", "a <text> that does not end", "a </text> after it")
                gathered.append(rows[number].rstrip("\r"))
                number += 1
            value = "\n".join(gathered).partition("</text>")[0].strip()
        yield first, tag, value


def _split(pattern: re.Pattern[str], value: str, place: str, expected: str) -> tuple[str, ...]:
    """Return the parts of a value. Raises Invalid when it has other ones."""
    match = pattern.fullmatch(value)
    if match is None:
        fail(place, picture(value), expected)
    return match.groups()
