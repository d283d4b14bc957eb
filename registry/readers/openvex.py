"""Reads OpenVEX 0.2 documents in JSON: who says what about which vulnerability in which product.

A product goes by its `@id`, `identifiers.purl` and `hashes`; `subcomponents` limit a statement to packages inside it.
A statement without a timestamp has the document's. Nothing in here has been verified, and a signature is not read:
what a document is worth is decided by who attached it.

Source: https://github.com/openvex/spec/blob/main/OPENVEX-SPEC.md
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from registry.readers import fields, vex
from registry.readers.documents import fail, parse, picture
from registry.readers.reading import Claim, Product, Reading

STATUSES = {"not_affected": "not_affected", "affected": "open", "under_investigation": "open", "fixed": "fixed"}
_CONTEXT = re.compile(r"https://openvex\.dev/ns/v0\.2\.\d{1,3}")
_SHA256_NAMES = ("sha-256", "sha256")


class OpenVex:
    """The reader of OpenVEX."""

    slug = "openvex"
    title = "OpenVEX JSON 0.2"
    kind = "vex"
    max_bytes = vex.MAX_BYTES

    def recognises(self, body: bytes) -> bool:
        """Say whether the body names the context of OpenVEX, of whatever version."""
        return b"openvex.dev/ns" in body and b'"@context"' in body

    def read(self, body: bytes) -> Reading:
        """Return the claims. Raises Invalid."""
        document = fields.as_mapping(parse(body, max_bytes=self.max_bytes, max_depth=vex.MAX_DEPTH), "")
        context = document.get("@context")
        if not isinstance(context, str) or not _CONTEXT.fullmatch(context):
            fail("@context", picture(context), "https://openvex.dev/ns/v0.2.0")
        issued = fields.moment(document, "timestamp", required=True)
        statements = fields.mappings(document, "statements", required=True)
        if len(statements) > vex.MAX_STATEMENTS:
            fail("statements", f"{len(statements):,} statements", f"at most {vex.MAX_STATEMENTS:,}")
        author = fields.text(document, "author", limit=500, required=True)
        notebook = vex.Notebook()
        for at, statement in statements:
            notebook.claim(at, _claim(at, statement, issued, notebook))
        told = {
            "format": f"OpenVEX {context.rpartition('/v')[2]}",
            "id": fields.text(document, "@id", limit=2000),
            "author": author,
            "role": fields.text(document, "role", limit=500),
            "issued": issued.isoformat() if issued else "",
            "statements": len(statements),
        }
        return vex.reading(self.slug, "application/vnd.openvex+json", told, notebook, author=_address(author))


def _claim(at: str, statement: dict[str, Any], issued: datetime | None, notebook: vex.Notebook) -> Claim:
    """Return what one statement says."""
    status = STATUSES[
        vex.chosen(fields.text(statement, "status", at, required=True), STATUSES, fields.below(at, "status"))
    ]
    justification = fields.text(statement, "justification", at)
    if justification:
        vex.chosen(justification, vex.JUSTIFICATIONS, fields.below(at, "justification"))
    times = [fields.moment(statement, key, at) for key in ("timestamp", "last_updated")]
    told = ("impact_statement", "action_statement", "status_notes")
    words = [fields.text(statement, key, at, limit=20_000).strip() for key in told]
    return Claim(
        vulnerabilities=vex.names(_names(at, statement), fields.below(at, "vulnerability")),
        products=tuple(_products(at, statement, notebook)),
        status=status,
        justification=justification if status == "not_affected" else "",
        reason=" ".join(filter(None, words))[: vex.MAX_REASON],
        stated_at=max((each for each in times if each), default=issued),
    )


def _names(at: str, statement: dict[str, Any]) -> Iterator[str]:
    """Yield every name of a statement's vulnerability; an `@id` that is an address names it by its end, too."""
    vulnerability = fields.mapping(statement, "vulnerability", at, required=True)
    place = fields.below(at, "vulnerability")
    yield fields.text(vulnerability, "name", place, limit=300)
    for index, alias in enumerate(fields.array(vulnerability, "aliases", place)):
        if not isinstance(alias, str):
            fail(f"{place}.aliases[{index}]", picture(alias), "a text")
        yield alias
    yield fields.text(vulnerability, "@id", place, limit=2000).rstrip("/").rpartition("/")[2]


def _products(at: str, statement: dict[str, Any], notebook: vex.Notebook) -> Iterator[Product]:
    """Yield the products that can be recognised."""
    entries = fields.mappings(statement, "products", at)
    notebook.count(at, entries)
    for place, entry in entries:
        inside = fields.mappings(entry, "subcomponents", place)
        notebook.count(at, inside)
        parts = [purl for where, part in inside for purl in _identified(where, part).purls]
        found = _identified(place, entry, tuple(dict.fromkeys(parts)) if inside else None)
        if found.purls or found.digests:
            yield found


def _identified(at: str, component: dict[str, Any], parts: tuple[str, ...] | None = None) -> Product:
    """Return a component by its purls and its sha256."""
    name = fields.text(component, "@id", at, limit=2000)
    purl = fields.text(
        fields.mapping(component, "identifiers", at), "purl", fields.below(at, "identifiers"), limit=2000
    )
    hashes, place = fields.mapping(component, "hashes", at), fields.below(at, "hashes")
    digests = [fields.text(hashes, key, place, limit=200) for key in _SHA256_NAMES]
    return vex.product(name or purl, (name if name.startswith("pkg:") else "", purl), digests, parts)


def _address(author: str) -> str:
    """Return an author as people are known: `mailto:ada@example.com` is an address."""
    return author.removeprefix("mailto:")
