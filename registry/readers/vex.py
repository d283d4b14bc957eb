"""What the readers of VEX documents share: bounds, the words of OpenVEX, and the Reading that claims add up to.

VEX says whether a product is affected by a vulnerability. Whether anybody believes it is decided in governance.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from registry.readers import fields
from registry.readers.documents import fail, picture
from registry.readers.purls import read_purl
from registry.readers.reading import Claim, Product, Reading

MAX_BYTES = 5 * 1024 * 1024
MAX_DEPTH = 40
MAX_STATEMENTS = 5_000
MAX_PRODUCTS = 50_000
MAX_NAMES = 20_000
MAX_ALIASES = 100
MAX_NAME = 100
MAX_REASON = 4_000
MAX_DIGESTS = 100
MAX_WARNINGS = 20
# https://github.com/openvex/spec, Status Justifications; CSAF 2.0 §3.2.3.5 has the same five.
JUSTIFICATIONS = (
    "component_not_present",
    "vulnerable_code_not_present",
    "vulnerable_code_not_in_execute_path",
    "vulnerable_code_cannot_be_controlled_by_adversary",
    "inline_mitigations_already_exist",
)
_DIGEST_VERSION = re.compile(r"sha256:([0-9a-f]{64})")


@dataclass
class Notebook:
    """What is learned while a document is read: claims, warnings, and how many products were named so far."""

    claims: list[Claim] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    ignored: int = 0
    products: int = 0

    def ignore(self, at: str, why: str) -> None:
        """Leave a claim out, and say so."""
        self.ignored += 1
        self.warnings.append(f"{at} is ignored: {why}")

    def count(self, at: str, products: Sequence[Any]) -> None:
        """Raise Invalid when a document names more products than are read."""
        self.products += len(products)
        if self.products > MAX_PRODUCTS:
            fail(at, f"more than {MAX_PRODUCTS:,} products", f"at most {MAX_PRODUCTS:,} in one document")

    def claim(self, at: str, claim: Claim) -> None:
        """Take a claim, unless it clears a vulnerability without a reason that a machine can read."""
        if claim.status == "not_affected" and claim.justification not in JUSTIFICATIONS:
            says = f"it says not affected without a justification. Add one of {', '.join(JUSTIFICATIONS)}."
            self.ignore(at, says)
        elif not claim.vulnerabilities:
            self.ignore(at, "it does not name the vulnerability.")
        elif not claim.products:
            self.ignore(at, "it names no product that can be recognised by a purl with a version or a sha256.")
        else:
            self.claims.append(claim)


def names(found: Iterable[str], at: str) -> tuple[str, ...]:
    """Return the names of a vulnerability, each once. Raises Invalid for too many; what is too long for one is left."""
    unique = tuple(dict.fromkeys(name for name in map(str.strip, found) if 0 < len(name) <= MAX_NAME))
    if len(unique) > MAX_ALIASES:
        fail(at, f"{len(unique):,} names", f"at most {MAX_ALIASES} names of one vulnerability")
    return unique


def product(name: str, purls: Iterable[str], digests: Iterable[str], parts: tuple[str, ...] | None = None) -> Product:
    """Return a product from what was written: purls that name a version, sha256 digests, and both out of OCI purls."""
    found, hashed = [], [digest.lower() for digest in digests if fields.is_sha256(digest)]
    for purl in filter(None, purls):
        package = read_purl(purl)
        if package is not None and package.version:
            found.append(package.purl)
            hashed += _DIGEST_VERSION.findall(package.version)[:1]
    return Product(name[:300], tuple(dict.fromkeys(found)), tuple(dict.fromkeys(hashed)), parts)


def chosen(value: str, allowed: Iterable[str], at: str) -> str:
    """Return a word of a vocabulary. Raises Invalid naming the words there are."""
    if value not in (words := list(allowed)):
        fail(at, picture(value), f"one of {', '.join(words)}")
    return value


def reading(reader: str, media_type: str, told: dict[str, Any], notebook: Notebook, *, author: str) -> Reading:
    """Return the Reading of a document: its claims, and a summary that names every vulnerability they are about.

    The summary's `vulnerabilities` let the portal find out, without the document, whether a finding is named in it.
    """
    named = sorted({name for claim in notebook.claims for name in claim.vulnerabilities})
    if len(named) > MAX_NAMES:
        fail("document", f"{len(named):,} names of vulnerabilities", f"at most {MAX_NAMES:,}")
    digests = dict.fromkeys(
        digest for claim in notebook.claims for product in claim.products for digest in product.digests
    )
    if not notebook.claims:
        notebook.warnings.insert(0, "Nothing in this document can be used.")
    return Reading(
        kind="vex",
        reader=reader,
        media_type=media_type,
        summary={
            **told,
            "claims": dict(sorted(Counter(claim.status for claim in notebook.claims).items())),
            "ignored": notebook.ignored,
            "vulnerabilities": named,
        },
        warnings=tuple(bounded(notebook.warnings)),
        claims=tuple(notebook.claims),
        subject_digests=tuple(digests)[:MAX_DIGESTS],
        author=author.strip()[:200],
    )


def bounded(warnings: list[str]) -> list[str]:
    """Return at most twenty warnings and a line that counts the rest."""
    more = len(warnings) - MAX_WARNINGS
    return warnings[:MAX_WARNINGS] + ([f"And {more:,} more warnings of this kind."] if more > 0 else [])
