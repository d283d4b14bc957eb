"""Reads the analyses of CycloneDX 1.4 to 1.7 documents: `vulnerabilities[].analysis`, as VEX or inside a whole BOM.

`affects` leads to components of the document itself, or by a BOM-Link into an SBOM that stands elsewhere. The five
states and nine justifications become those of OpenVEX. A vulnerability without an analysis says nothing here.

Source: https://cyclonedx.org/capabilities/vex/, https://cyclonedx.org/capabilities/bomlink/
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import unquote

from packageurl import PackageURL
from univers.version_range import VersionRange

from registry.readers import fields, vex
from registry.readers.documents import fail, parse, picture
from registry.readers.purls import read_purl
from registry.readers.reading import Claim, Product, Reading

VERSIONS = ("1.4", "1.5", "1.6", "1.7")
MAX_COMPONENTS = 50_000
MAX_VERSIONS = 200
MAX_RANGE = 500
STATES = {
    "resolved": "fixed",
    "resolved_with_pedigree": "fixed",
    "exploitable": "open",
    "in_triage": "open",
    "false_positive": "not_affected",
    "not_affected": "not_affected",
}
JUSTIFICATIONS = {
    "code_not_present": "vulnerable_code_not_present",
    "code_not_reachable": "vulnerable_code_not_in_execute_path",
    "requires_configuration": "vulnerable_code_cannot_be_controlled_by_adversary",
    "requires_dependency": "component_not_present",
    "requires_environment": "vulnerable_code_cannot_be_controlled_by_adversary",
    "protected_by_compiler": "inline_mitigations_already_exist",
    "protected_at_runtime": "inline_mitigations_already_exist",
    "protected_at_perimeter": "inline_mitigations_already_exist",
    "protected_by_mitigating_control": "inline_mitigations_already_exist",
}
LINK = re.compile(r"urn:cdx:([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})/([1-9][0-9]{0,8})#(.{1,2000})", re.DOTALL)
# What univers raises on text that is no range or no version; it documents none of it.
_UNREADABLE = (ValueError, TypeError, AttributeError, IndexError, KeyError, NotImplementedError)
# `vers:semver` was an early name; npm's versions are semantic versions. Of `generic` nobody knows the order.
_SCHEMES = {"semver": "npm"}
_UNORDERED = frozenset({"generic", "all", "none", "lexicographic"})

# One thing that `affects` names, with the status that the document gives it.
Affected = tuple[Product, str]


class CycloneDXVex:
    """The reader of CycloneDX analyses."""

    slug = "cyclonedx-vex"
    title = "CycloneDX JSON 1.4 to 1.7 with analyses of vulnerabilities"
    kind = "vex"
    max_bytes = vex.MAX_BYTES

    def recognises(self, body: bytes) -> bool:
        """Say whether the body names the CycloneDX format."""
        return b'"bomFormat"' in body and b'"CycloneDX"' in body

    def read(self, body: bytes) -> Reading:
        """Return the claims. Raises Invalid."""
        bom = fields.as_mapping(parse(body, max_bytes=self.max_bytes, max_depth=vex.MAX_DEPTH), "")
        if bom.get("bomFormat") != "CycloneDX":
            fail("bomFormat", picture(bom.get("bomFormat")), "CycloneDX")
        if bom.get("specVersion") not in VERSIONS:
            fail("specVersion", picture(bom.get("specVersion")), f"one of {', '.join(VERSIONS)}")
        entries = fields.mappings(bom, "vulnerabilities", required=True)
        if len(entries) > vex.MAX_STATEMENTS:
            fail("vulnerabilities", f"{len(entries):,} entries", f"at most {vex.MAX_STATEMENTS:,}")
        metadata = fields.mapping(bom, "metadata")
        known, notebook, silent = references(bom), vex.Notebook(), 0
        for at, entry in entries:
            if fields.mapping(entry, "analysis", at).get("state") is None:
                silent += 1
                continue
            for claim in _claims(at, entry, metadata, known, notebook):
                notebook.claim(at, claim)
        if silent:
            notebook.warnings.append(f"Nothing is said about {silent:,} of its vulnerabilities: they have no analysis.")
        told = {
            "format": f"CycloneDX VEX {bom['specVersion']}",
            "id": fields.text(bom, "serialNumber", limit=200),
            "author": (author := _author(metadata)),
            "issued": fields.text(metadata, "timestamp", "metadata", limit=60),
            "statements": len(entries),
        }
        return vex.reading(self.slug, "application/vnd.cyclonedx+json", told, notebook, author=author)


def references(bom: dict[str, Any]) -> dict[str, Product]:
    """Return the components of a BOM by their `bom-ref`, nested ones too. Raises Invalid."""
    found: dict[str, Product] = {}
    described = fields.mapping(fields.mapping(bom, "metadata"), "component", "metadata")
    waiting = [*fields.mappings(bom, "components"), *([("metadata.component", described)] if described else [])]
    count = 0
    while waiting:
        at, component = waiting.pop()
        count += 1
        if count > MAX_COMPONENTS:
            fail("components", f"more than {MAX_COMPONENTS:,} components", f"at most {MAX_COMPONENTS:,}")
        waiting.extend(fields.mappings(component, "components", at))
        reference = fields.text(component, "bom-ref", at, limit=2000)
        if reference:
            purl = fields.text(component, "purl", at, limit=2000)
            digests = [
                fields.text(each, "content", place, limit=256)
                for place, each in fields.mappings(component, "hashes", at)
                if each.get("alg") == "SHA-256"
            ]
            known = vex.product(reference, (purl,), digests)
            # Without a version it is no product yet; `affects` may give one.
            found[reference] = known if known.purls or known.digests else Product(purl[:600])
    return found


def follow(body: bytes, links: Iterable[str]) -> dict[str, Product]:
    """Return what BOM-Links lead to in one SBOM: nothing for a link into another one. Raises Invalid.

    A reference that is itself a purl is taken at its word, as many tools write no components into the linked BOM.
    """
    bom = fields.as_mapping(parse(body, max_bytes=len(body)), "")
    name = (fields.text(bom, "serialNumber", limit=200), str(bom.get("version", 1)))
    known = references(bom)
    found: dict[str, Product] = {}
    for link in links:
        parts = LINK.fullmatch(link)
        if parts is not None and (f"urn:uuid:{parts[1]}", parts[2]) == name:
            reference = unquote(parts[3])
            product = known.get(parts[3]) or known.get(reference) or vex.product(reference, (reference,), ())
            if product.purls or product.digests:
                found[link] = product
    return found


def _claims(
    at: str, entry: dict[str, Any], metadata: dict[str, Any], known: dict[str, Product], notebook: vex.Notebook
) -> Iterator[Claim]:
    """Yield what one analysis says, one claim for each status that it gives to some of its products."""
    analysis, place = fields.mapping(entry, "analysis", at), fields.below(at, "analysis")
    state = vex.chosen(fields.text(analysis, "state", place), STATES, fields.below(place, "state"))
    justification = fields.text(analysis, "justification", place)
    if justification:
        vex.chosen(justification, JUSTIFICATIONS, fields.below(place, "justification"))
    groups: defaultdict[str, list[Product]] = defaultdict(list)
    for product, status in _affected(at, entry, STATES[state], known, notebook):
        groups[status].append(product)
    named = vex.names(_names(at, entry), fields.below(at, "references"))
    stated = [fields.moment(analysis, key, place) for key in ("firstIssued", "lastUpdated")]
    issued = fields.moment(metadata, "timestamp", "metadata")
    for status, products in (groups or {STATES[state]: []}).items():
        yield Claim(
            vulnerabilities=named,
            products=tuple(products),
            status=status,
            justification=JUSTIFICATIONS.get(justification, "") if status == "not_affected" else "",
            reason=_reason(analysis, place),
            stated_at=max((each for each in stated if each), default=issued),
        )


def _names(at: str, entry: dict[str, Any]) -> Iterator[str]:
    """Yield every name of a vulnerability: its id, and its ids elsewhere."""
    yield fields.text(entry, "id", at, limit=300)
    for place, reference in fields.mappings(entry, "references", at):
        yield fields.text(reference, "id", place, limit=300)


def _reason(analysis: dict[str, Any], at: str) -> str:
    """Return why, in the document's words, and what is going to be done."""
    detail = fields.text(analysis, "detail", at, limit=100_000)
    response = analysis.get("response")
    done = [response] if isinstance(response, str) else response if isinstance(response, list) else []
    words = ", ".join(each.replace("_", " ") for each in done[:10] if isinstance(each, str))
    return f"{detail[: vex.MAX_REASON - 500].strip()}{f' Response: {words}.' if words else ''}".strip()[
        : vex.MAX_REASON
    ]


def _affected(
    at: str, entry: dict[str, Any], status: str, known: dict[str, Product], notebook: vex.Notebook
) -> Iterator[Affected]:
    """Yield everything that `affects` names, with its status."""
    entries = fields.mappings(entry, "affects", at)
    notebook.count(at, entries)
    for place, each in entries:
        reference = fields.text(each, "ref", place, limit=2000, required=True)
        product = _referred(reference, known)
        if product is None:
            notebook.warnings.append(
                f"{place}.ref: {picture(reference)} is no component of this document and no BOM-Link."
            )
            continue
        versions = fields.mappings(each, "versions", place)
        if len(versions) > MAX_VERSIONS:
            fail(f"{place}.versions", f"{len(versions):,} entries", f"at most {MAX_VERSIONS}")
        if versions:
            found = list(_of_versions(place, product, versions, status, notebook))
            if not found:
                notebook.warnings.append(f"{place} names other versions only, or a range that cannot be compared.")
            yield from found
        elif product.purls or product.digests or product.link:
            yield product, status


def _referred(reference: str, known: dict[str, Product]) -> Product | None:
    """Return what a reference leads to: a component of the document, one of another BOM, or a purl by itself."""
    if reference in known:
        return known[reference]
    if LINK.fullmatch(reference):
        return Product(reference[:300], link=reference)
    named = vex.product(reference, (reference,), ())
    return named if named.purls else None


def _of_versions(
    at: str, product: Product, versions: list[tuple[str, dict[str, Any]]], status: str, notebook: vex.Notebook
) -> Iterator[Affected]:
    """Yield a product in the versions that are named for it.

    A product that has a version is meant only where its own version is named. One that has none is meant in every
    exact version of the list; its ranges are left out, because they would match by name alone.
    """
    purl = product.purls[0] if product.purls else unquote(product.link.partition("#")[2]) or product.name
    package = read_purl(purl)
    for place, item in versions:
        exact = fields.text(item, "version", place, limit=1024)
        span = fields.text(item, "range", place, limit=4096)
        said = _status(place, item, status, notebook)
        if said is None or package is None:
            continue
        if package.version:
            if exact == package.version or (span and within(span, package.version)):
                yield product, said
                return
        elif exact and not product.link:
            made = vex.product(product.name, (_versioned(package.purl, exact),), ())
            if made.purls:
                yield made, said


def _status(at: str, item: dict[str, Any], status: str, notebook: vex.Notebook) -> str | None:
    """Return the status of one version; where list and analysis contradict each other, the stricter one counts."""
    given = fields.text(item, "status", at)
    if given:
        vex.chosen(given, ("affected", "unaffected", "unknown"), fields.below(at, "status"))
    if given == "unaffected" and status == "open":
        notebook.warnings.append(f"{at} is called unaffected by an analysis that says it is affected.")
        return None
    if given in {"affected", "unknown"} and status != "open":
        notebook.warnings.append(f"{at} is called {given} by an analysis that clears it; it counts as open.")
        return "open"
    return status


def _versioned(purl: str, version: str) -> str:
    """Return a purl with a version, empty when that makes none."""
    try:
        return PackageURL.from_string(purl)._replace(version=version).to_string()
    except ValueError:
        return ""


def within(span: str, version: str) -> bool:
    """Return whether a version lies in a range written as a vers (`vers:pypi/>=2.0|<2.6`); doubt is no."""
    scheme, slash, rest = span.removeprefix("vers:").partition("/")
    if not slash or len(span) > MAX_RANGE or len(version) > 200 or scheme in _UNORDERED:
        return False
    try:
        written = f"vers:{_SCHEMES.get(scheme, scheme)}/{rest}"
        found = VersionRange.from_string(written)  # type: ignore[no-untyped-call]
        return found.version_class(version) in found
    except _UNREADABLE:
        return False


def _author(metadata: dict[str, Any]) -> str:
    """Return the first author of the document, by address or else by name."""
    for at, author in fields.mappings(metadata, "authors", "metadata"):
        return fields.text(author, "email", at, limit=500) or fields.text(author, "name", at, limit=500)
    return ""
