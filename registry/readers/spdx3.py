"""Reads SPDX 3.0.1 in JSON-LD as the specification's own context writes it: a `@graph` of typed elements.

Structure must be right (Invalid otherwise): ids, types, names, hashes, lists, sizes. What else the specification asks
of the parts that are read here is a warning. No context is ever fetched: the names of 3.0.1 are what is understood.

Source: https://spdx.github.io/spdx-spec/v3.0.1/
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from registry.readers import ai_package, fields
from registry.readers.documents import fail, parse, picture
from registry.readers.licences import spdx_expression
from registry.readers.parts import MAX_BYTES, Parts, bounded, identify, nest, subjects
from registry.readers.reading import Part, Reading
from registry.readers.spdx3_graph import FILE, PACKAGES, VERSIONS, Graph, references

MAX_SHOWN = 20
MAX_CARD_CHARACTERS = 100_000

_CONTEXT = re.compile(r"https://spdx\.org/rdf/3\.0\.[01]/spdx-context\.jsonld")


class Spdx3:
    """The reader of SPDX 3 in JSON-LD."""

    slug = "spdx3"
    title = "SPDX 3.0.1 JSON-LD"
    kind = "sbom"
    max_bytes = MAX_BYTES

    def recognises(self, body: bytes) -> bool:
        """Say whether the body names a context of SPDX 3."""
        return b'"@context"' in body and b"spdx.org/rdf/3." in body

    def read(self, body: bytes) -> Reading:
        """Return the parts, the digests the SBOM is about, and suggestions. Raises Invalid."""
        document = fields.as_mapping(parse(body, max_bytes=self.max_bytes), "")
        _expect_context(document)
        graph = Graph(document)
        version = _spec_version(graph)
        if not any(graph.type_of(key) in {*PACKAGES, FILE} for key in graph.elements):
            fail("@graph", "no package and no file", "at least one")
        parts = Parts()
        missing = "no root element has a sha256 in verifiedUsing, and its files have none either."
        digests = subjects(_subject_digests(graph, parts.warnings), parts.warnings, missing)
        _fill(parts, graph)
        named = parts.all()
        summary = {
            "format": f"SPDX {version}",
            "spec_version": version,
            "encoding": "JSON-LD",
            "document_id": _document_id(graph),
            "created": fields.text(graph.creations[0], "created", "CreationInfo", limit=60),
            "tools": graph.names(references(graph.creations[0], "createdUsing", "CreationInfo"))[:MAX_SHOWN],
            "describes": [_label(*graph.elements[key]) for key in graph.roots[:MAX_SHOWN]],
            **parts.counts(),
            "model_cards": _cards(graph, parts.warnings),
        }
        return Reading(
            kind=self.kind,
            reader=self.slug,
            media_type="application/spdx+json",
            summary=summary,
            warnings=(*bounded(parts.warnings), *bounded(list(_faults(graph)))),
            parts=named,
            suggestions=_suggestions(graph, digests),
            subject_digests=digests,
        )


def _expect_context(document: dict[str, Any]) -> None:
    """Raise Invalid unless the document uses the context of SPDX 3.0."""
    context = document.get("@context")
    named = context if isinstance(context, list) else [context]
    if not any(isinstance(each, str) and _CONTEXT.fullmatch(each) for each in named):
        fail("@context", picture(context), "https://spdx.org/rdf/3.0.1/spdx-context.jsonld")


def _spec_version(graph: Graph) -> str:
    """Return the specification version that every creation info names. Raises Invalid for another one, and for none."""
    versions = [each.get("specVersion") for each in graph.creations] or [None]
    for version in versions:
        if version not in VERSIONS:
            fail("CreationInfo.specVersion", picture(version), f"one of {', '.join(VERSIONS)}")
    return str(versions[0])


def _subject_digests(graph: Graph, warnings: list[str]) -> list[str]:
    """Return the sha256 of the root elements; of a package without one, those of its files."""
    digests = []
    for key in graph.roots:
        place, element = graph.elements[key]
        own = graph.hashes(key).get("SHA-256", "")
        files = () if own else graph.inside.get(key, ())
        digests += [own, *(graph.hashes(name).get("SHA-256", "") for name in files)]
        methods = [each.get("type") for _, each in graph.objects(element, "verifiedUsing", place)]
        if not own and "PackageVerificationCode" in methods:
            warnings.append(f"{place}.verifiedUsing: a PackageVerificationCode is no digest and is ignored.")
    return digests


def _fill(parts: Parts, graph: Graph) -> None:
    """Take in every package but the root; of several roots those that a purl identifies are parts as well."""
    names = {key: str(package.get("name", ""))[:100] for key, _, package in graph.packages()}
    paths = nest(graph.roots, graph.below, names)
    roots = set(graph.roots)
    for key, place, package in graph.packages():
        purls, has_cpe = _identifiers(graph, place, package)
        purpose = fields.text(package, "software_primaryPurpose", place, limit=40)
        kind = PACKAGES[package["type"]]
        part = Part(
            type=purpose if kind == "package" and purpose else kind,
            name=fields.text(package, "name", place, limit=300, required=True),
            licences=graph.licences(key),
            hashes=graph.hashes(key),
            paths=(paths.get(key, place),),
            **identify(place, purls, fields.text(package, "software_packageVersion", place, limit=200), parts.warnings),
        )
        if key not in roots or (part.purl and len(roots) > 1):
            parts.add(key, part, has_cpe=has_cpe)


def _identifiers(graph: Graph, place: str, package: dict[str, Any]) -> tuple[list[str], bool]:
    """Return (purls, whether there is a CPE) of a package."""
    purls = [written] if (written := fields.text(package, "software_packageUrl", place, limit=2000)) else []
    has_cpe = False
    for at, identifier in graph.objects(package, "externalIdentifier", place):
        kind = fields.text(identifier, "externalIdentifierType", at, limit=100).rpartition("/")[2]
        has_cpe = has_cpe or kind in ("cpe22", "cpe23")
        if kind == "packageUrl":
            purls.append(fields.text(identifier, "identifier", at, limit=2000, required=True))
    return purls, has_cpe


def _label(place: str, element: dict[str, Any]) -> dict[str, str]:
    """Return name, version and type of an element for the summary."""
    return {
        "name": fields.text(element, "name", place, limit=300),
        "version": fields.text(element, "software_packageVersion", place, limit=200),
        "type": PACKAGES.get(element["type"], "file"),
    }


def _cards(graph: Graph, warnings: list[str]) -> list[dict[str, Any]]:
    """Return what the AI packages say about themselves, the roots first. Self-reported: shown, never gating."""
    keys = [key for key, _, package in graph.packages() if package["type"] == "ai_AIPackage"]
    roots = set(graph.roots)
    cards: list[dict[str, Any]] = []
    size = 0
    for key in sorted(keys, key=lambda each: each not in roots):
        place, package = graph.elements[key]
        shown = ai_package.show(package, _data_sets(graph, key))
        size += len(json.dumps(shown))
        if size > MAX_CARD_CHARACTERS:
            warnings.append(f"{place}: there is more about AI packages than can be shown; it stays in the document.")
            break
        cards.append({"component": fields.text(package, "name", place, limit=300), "path": place, **shown})
    return cards


def _data_sets(graph: Graph, key: str) -> list[str]:
    """Return the names of the data sets that an AI package was trained and tested on."""
    keys = [each for kind in ("trainedOn", "testedOn") for each in graph.relations.get((key, kind), ())]
    return list(dict.fromkeys(graph.names(keys)))[:100]


def _suggestions(graph: Graph, digests: tuple[str, ...]) -> dict[str, str | list[str]]:
    """Return what the one root package offers to the registration form."""
    roots = [key for key in graph.roots if graph.type_of(key) in PACKAGES]
    if len(roots) != 1:
        return {}
    (key,) = roots
    licences = graph.licences(key)
    offered: dict[str, str | list[str]] = {
        "artifact_sha256": digests[0] if len(digests) == 1 else "",
        "licence": spdx_expression(licences[0]) if len(licences) == 1 else "",
        "base_model": graph.names(graph.relations.get((key, "descendantOf"), []))[:20],
        "datasets": _data_sets(graph, key),
        **ai_package.suggest(graph.elements[key][1]),
    }
    return {name: value for name, value in offered.items() if value}


def _document_id(graph: Graph) -> str:
    """Return the id of the document, "" when it has no SpdxDocument."""
    return next((key[:1000] for key in graph.elements if graph.type_of(key) == "SpdxDocument"), "")


def _faults(graph: Graph) -> Iterator[str]:
    """Yield what the specification asks for and the document does not keep, for the parts that are read."""
    if not _document_id(graph):
        yield "Schema: the document has no SpdxDocument."
    if graph.dangling:
        one = picture(min(graph.dangling))
        yield f"Schema: {len(graph.dangling):,} ids name elements that are not in the document, {one} for one."
    if graph.unread_licences:
        one = picture(min(graph.unread_licences))
        yield f"{len(graph.unread_licences):,} licences have neither an expression nor a name, {one} for one."
    for _, place, package in graph.packages():
        if "creationInfo" not in package:
            yield f"Schema: {place}.creationInfo is missing."
