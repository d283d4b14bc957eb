"""Reads SPDX 2.2 and 2.3 in JSON, and says what a document of these versions means, whatever it was written in.

Structure must be right (Invalid otherwise): ids, names, checksums, lists, sizes. What else the specification asks of
the parts that are read here is a warning. `packageVerificationCode` is no digest of an artifact and proves nothing.

Source: https://spdx.github.io/spdx-spec/v2.3/
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from registry.readers import fields
from registry.readers.documents import fail, parse, picture
from registry.readers.licences import spdx_expression
from registry.readers.parts import MAX_BYTES, MAX_EXPRESSION, Parts, add_hash, bounded, identify, nest, subjects
from registry.readers.reading import Part, Reading

VERSIONS = ("SPDX-2.2", "SPDX-2.3")
MAX_SHOWN = 20
UNSAID = frozenset({"", "NOASSERTION", "NONE"})
PURPOSES = frozenset(
    {"APPLICATION", "FRAMEWORK", "LIBRARY", "CONTAINER", "OPERATING-SYSTEM", "DEVICE"}
    | {"FIRMWARE", "SOURCE", "ARCHIVE", "FILE", "INSTALL", "OTHER"}
)
# Relations that say what is inside or below a package, read downwards and upwards.
BELOW = frozenset({"CONTAINS", "DEPENDS_ON", "HAS_PREREQUISITE", "DYNAMIC_LINK", "STATIC_LINK"})
ABOVE = frozenset(
    {"CONTAINED_BY", "DEPENDENCY_OF", "PACKAGE_OF", "PREREQUISITE_FOR", "OPTIONAL_COMPONENT_OF"}
    | {f"{kind}_DEPENDENCY_OF" for kind in ("BUILD", "DEV", "OPTIONAL", "PROVIDED", "TEST", "RUNTIME")}
)
INSIDE = frozenset({"CONTAINS", "CONTAINED_BY"})

_RDF = re.compile(rb"\s*<.{0,4000}?https?://spdx\.org/rdf/terms", re.DOTALL)
_YAML = re.compile(rb"\s*(?:---\s)?[\"']?(?:SPDXID|spdxVersion|dataLicense)[\"']?:")
_GIT = re.compile(r"git\+(https://[^@#\s]{1,480}?)(?:\.git)?@([0-9a-f]{40})(?:#.*)?")
_PERSON = re.compile(r"Person: [^()]*\(([^()@\s]+@[^()\s]+)\)")

# One element as JSON with its path in the document.
Found = tuple[str, dict[str, Any]]


class Spdx:
    """The reader of SPDX 2 in JSON."""

    slug = "spdx"
    title = "SPDX JSON 2.2 or 2.3"
    kind = "sbom"
    max_bytes = MAX_BYTES

    def recognises(self, body: bytes) -> bool:
        """Say whether the body names an SPDX version in JSON; RDF and YAML are recognised to be refused by name."""
        return b'"spdxVersion"' in body or is_elsewhere(body)

    def read(self, body: bytes) -> Reading:
        """Return the parts, the digests the SBOM is about, and suggestions. Raises Invalid."""
        if is_elsewhere(body):
            fail("document", "SPDX in RDF or YAML", "SPDX 2 in JSON or tag-value, or SPDX 3.0.1 in JSON-LD")
        document = fields.as_mapping(parse(body, max_bytes=self.max_bytes), "")
        # GitHub's interface for dependency graphs hands the document out inside an object of its own.
        if set(document) == {"sbom"}:
            document = fields.mapping(document, "sbom", required=True)
        return understand(document, reader=self.slug, media_type="application/spdx+json", encoding="JSON")


def is_elsewhere(body: bytes) -> bool:
    """Say whether the body is SPDX 2 in an encoding that is not read, by its beginning."""
    start = body.removeprefix(b"\xef\xbb\xbf")[:8000]
    return bool(_RDF.match(start) or _YAML.match(start))


@dataclass
class Graph:
    """The elements of one document by their ids, and how they hang together."""

    packages: dict[str, Found]
    files: dict[str, Found]
    described: list[str] = field(default_factory=list)
    below: dict[str, list[str]] = field(default_factory=dict)
    inside: dict[str, list[str]] = field(default_factory=dict)
    dangling: set[str] = field(default_factory=set)

    def knows(self, key: str) -> bool:
        """Say whether an id is an element of the document; one that is not is counted."""
        known = key in self.packages or key in self.files
        # Elements of other documents and the two words for nothing are named on purpose.
        if not known and not key.startswith("DocumentRef-") and key not in UNSAID:
            self.dangling.add(key)
        return known

    def hang(self, above: str, below: str, *, contained: bool) -> None:
        """Put a package below another, or a file into a package."""
        if self.knows(above) and self.knows(below):
            if below in self.packages:
                self.below.setdefault(above, []).append(below)
            elif contained:
                self.inside.setdefault(above, []).append(below)


def understand(
    document: dict[str, Any], *, reader: str, media_type: str, encoding: str, places: Mapping[str, str] | None = None
) -> Reading:
    """Return what an SPDX 2 document says; `places` gives elements other paths than those of JSON. Raises Invalid."""
    version = document.get("spdxVersion")
    if version not in VERSIONS:
        fail("spdxVersion", picture(version), f"one of {', '.join(VERSIONS)}")
    parts = Parts()
    graph = _graph(document, places or {})
    digests = subjects(_subject_digests(graph, parts.warnings), parts.warnings, _missing(graph))
    _fill(parts, graph, _extracted(document))
    named = parts.all()
    creation = fields.mapping(document, "creationInfo")
    described = [graph.packages[key][1] for key in graph.described if key in graph.packages]
    summary = {
        "format": f"SPDX {version.removeprefix('SPDX-')}",
        "spec_version": version.removeprefix("SPDX-"),
        "encoding": encoding,
        "document_id": fields.text(document, "documentNamespace", limit=1000),
        "created": fields.text(creation, "created", "creationInfo", limit=60),
        "tools": [name.removeprefix("Tool:").strip() for name in _creators(creation) if name.startswith("Tool:")],
        "describes": [_label(package) for package in described[:MAX_SHOWN]],
        **parts.counts(),
        "model_cards": [],
    }
    return Reading(
        kind="sbom",
        reader=reader,
        media_type=media_type,
        summary=summary,
        warnings=(*bounded(parts.warnings), *bounded(_faults(document, graph))),
        parts=named,
        suggestions=_suggestions(described, digests),
        subject_digests=digests,
    )


def _graph(document: dict[str, Any], places: Mapping[str, str]) -> Graph:
    """Return the packages and files of a document with their relations. Raises Invalid where they contradict."""
    seen: set[str] = set()
    graph = Graph(_by_id(document, "packages", places, seen), _by_id(document, "files", places, seen))
    if not seen:
        fail("packages", "no package and no file", "at least one")
    root = fields.text(document, "SPDXID", limit=1000) or "SPDXRef-DOCUMENT"
    described = _ids(document, "documentDescribes", "")
    for place, relation in fields.mappings(document, "relationships"):
        kind = fields.text(relation, "relationshipType", place, limit=100, required=True)
        left = fields.text(relation, "spdxElementId", place, required=True)
        right = fields.text(relation, "relatedSpdxElement", place, required=True)
        if kind in ("DESCRIBES", "DESCRIBED_BY"):
            left, right = (left, right) if kind == "DESCRIBES" else (right, left)
            described += [right] * (left == root)
        elif kind in BELOW:
            graph.hang(left, right, contained=kind in INSIDE)
        elif kind in ABOVE:
            graph.hang(right, left, contained=kind in INSIDE)
    for key, (place, package) in graph.packages.items():
        for name in _ids(package, "hasFiles", place):
            graph.hang(key, name, contained=True)
    graph.described = [key for key in dict.fromkeys(described) if graph.knows(key)]
    if not described and len(graph.packages) == 1:
        # A document with one package need not say that it describes it (SPDX 2.3, §11.1).
        graph.described = list(graph.packages)
    return graph


def _by_id(document: dict[str, Any], key: str, places: Mapping[str, str], seen: set[str]) -> dict[str, Found]:
    """Return the elements of one list by their ids. Raises Invalid for an id that came before."""
    found: dict[str, Found] = {}
    for path, element in fields.mappings(document, key):
        place = places.get(path, path)
        name = fields.text(element, "SPDXID", place, required=True)
        if name in seen:
            fail(f"{place}.SPDXID", picture(name), "an id that no other element has")
        seen.add(name)
        found[name] = (place, element)
    return found


def _ids(holder: dict[str, Any], key: str, at: str) -> list[str]:
    """Return a list of ids."""
    names = fields.array(holder, key, at)
    for index, name in enumerate(names):
        if not isinstance(name, str):
            fail(fields.below(fields.below(at, key), index), picture(name), "an SPDXID")
    return names


def _subject_digests(graph: Graph, warnings: list[str]) -> list[str]:
    """Return the sha256 of what the document describes; of a package without one, those of its files."""
    digests: list[str] = []
    for key in graph.described:
        if key in graph.files:
            digests.append(_checksums(*graph.files[key]).get("SHA-256", ""))
            continue
        place, package = graph.packages[key]
        own = _checksums(place, package).get("SHA-256", "")
        files = () if own else graph.inside.get(key, ())
        digests += [own, *(_checksums(*graph.files[name]).get("SHA-256", "") for name in files)]
        if not own and package.get("packageVerificationCode"):
            warnings.append(f"{place}.packageVerificationCode is no digest of an artifact and is ignored.")
    return digests


def _missing(graph: Graph) -> str:
    """Return why a document names no artifact."""
    if not graph.described:
        return "it has no DESCRIBES relationship and no documentDescribes."
    return "what it DESCRIBES has no SHA256 checksum, and its files have none either."


def _checksums(place: str, element: dict[str, Any]) -> dict[str, str]:
    """Return the checksums of a package or file by algorithm. Two values for one algorithm are Invalid."""
    hashes: dict[str, str] = {}
    for at, entry in fields.mappings(element, "checksums", place):
        algorithm = fields.text(entry, "algorithm", at, limit=40, required=True)
        add_hash(
            hashes,
            algorithm.removeprefix("checksumAlgorithm_").upper(),
            fields.text(entry, "checksumValue", at, limit=256, required=True),
            f"{at}.checksumValue",
        )
    return hashes


def _fill(parts: Parts, graph: Graph, extracted: Mapping[str, str]) -> None:
    """Take in every package but the described one.

    Of several described packages those that a purl identifies are parts as well: then it is a list, and no artifact.
    """
    names = {key: str(package.get("name", ""))[:100] for key, (_, package) in graph.packages.items()}
    paths = nest(graph.described, graph.below, names)
    for key, (place, package) in graph.packages.items():
        purls, has_cpe = _references(place, package)
        part = Part(
            type=fields.text(package, "primaryPackagePurpose", place, limit=40).lower() or "package",
            name=fields.text(package, "name", place, limit=300, required=True),
            licences=_licences(place, package, extracted),
            hashes=_checksums(place, package),
            paths=(paths.get(key, key),),
            **identify(place, purls, fields.text(package, "versionInfo", place, limit=200), parts.warnings),
        )
        if key not in graph.described or (part.purl and len(graph.described) > 1):
            parts.add(key, part, has_cpe=has_cpe)


def _references(place: str, package: dict[str, Any]) -> tuple[list[str], bool]:
    """Return (purls, whether there is a CPE) of a package's external references."""
    purls, has_cpe = [], False
    for at, reference in fields.mappings(package, "externalRefs", place):
        kind = fields.text(reference, "referenceType", at, required=True).rpartition("/")[2]
        locator = fields.text(reference, "referenceLocator", at, limit=2000, required=True)
        has_cpe = has_cpe or kind in ("cpe22Type", "cpe23Type")
        if kind == "purl":
            purls.append(locator)
    return purls, has_cpe


def _licences(place: str, package: dict[str, Any], extracted: Mapping[str, str]) -> tuple[str, ...]:
    """Return what was concluded and what was declared; an id that only this document knows by the name it gives."""
    written = [
        fields.text(package, key, place, limit=MAX_EXPRESSION).strip()
        for key in ("licenseConcluded", "licenseDeclared")
    ]
    return tuple(dict.fromkeys(extracted.get(licence, licence) for licence in written if licence not in UNSAID))


def _extracted(document: dict[str, Any]) -> dict[str, str]:
    """Return the names of the licences whose texts stand in the document, by their ids."""
    named = {}
    for place, licence in fields.mappings(document, "hasExtractedLicensingInfos"):
        name = fields.text(licence, "name", place, limit=MAX_EXPRESSION).strip()[:300]
        if name not in UNSAID:
            named[fields.text(licence, "licenseId", place)] = name
    return named


def _creators(creation: dict[str, Any]) -> list[str]:
    """Return who and what made the document."""
    creators = fields.array(creation, "creators", "creationInfo")
    return [name[:200] for name in creators if isinstance(name, str)][:MAX_SHOWN]


def _label(package: dict[str, Any]) -> dict[str, str]:
    """Return name, version and type of a package for the summary."""
    return {
        "name": fields.text(package, "name", limit=300),
        "version": fields.text(package, "versionInfo", limit=200),
        "type": fields.text(package, "primaryPackagePurpose", limit=40).lower(),
    }


def _suggestions(described: list[dict[str, Any]], digests: tuple[str, ...]) -> dict[str, str | list[str]]:
    """Return what the one described package offers to the registration form."""
    if len(described) != 1:
        return {}
    (package,) = described
    texts = {key: value for key, value in package.items() if isinstance(value, str)}
    licences = [texts.get(key, "") for key in ("licenseConcluded", "licenseDeclared")]
    source = _GIT.fullmatch(texts.get("downloadLocation", ""))
    person = _PERSON.fullmatch(texts.get("originator", ""))
    offered: dict[str, str | list[str]] = {
        "artifact_sha256": digests[0] if len(digests) == 1 else "",
        "description": (texts.get("description") or texts.get("summary", ""))[:4000],
        "licence": spdx_expression(next((each for each in licences if each not in UNSAID), "")),
        "source_repository": source[1] if source else "",
        "source_commit": source[2] if source else "",
        "authors": [person[1]] if person else [],
    }
    return {key: value for key, value in offered.items() if value}


def _faults(document: dict[str, Any], graph: Graph) -> list[str]:
    """Return what the specification asks for and the document does not keep, for the parts that are read."""
    creation = fields.mapping(document, "creationInfo")
    told = {
        f"dataLicense: {picture(document.get('dataLicense'))} is not CC0-1.0.": document.get("dataLicense")
        != "CC0-1.0",
        "documentNamespace is missing.": not document.get("documentNamespace"),
        "name, the document's own, is missing.": not document.get("name"),
        "creationInfo.created is missing.": not creation.get("created"),
        "creationInfo.creators is empty.": not creation.get("creators"),
        f"{len(graph.dangling):,} relationships name elements that are not in the document, {_first(graph.dangling)} "
        "for one.": bool(graph.dangling),
    }
    return [f"Schema: {sentence}" for sentence, is_so in told.items() if is_so] + list(_package_faults(graph))


def _package_faults(graph: Graph) -> Iterable[str]:
    """Yield what is wrong with single packages."""
    for key, (place, package) in graph.packages.items():
        if not key.startswith("SPDXRef-"):
            yield f"Schema: {place}.SPDXID: {picture(key)} does not begin with SPDXRef-."
        if not package.get("downloadLocation"):
            yield f"Schema: {place}.downloadLocation is missing."
        purpose = package.get("primaryPackagePurpose")
        if purpose is not None and purpose not in PURPOSES:
            yield f"Schema: {place}.primaryPackagePurpose: {picture(purpose)} is none of {', '.join(sorted(PURPOSES))}."


def _first(names: set[str]) -> str:
    """Return one of some ids, always the same one."""
    return picture(min(names, default=""))
