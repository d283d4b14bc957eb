"""What a VEX claim covers: which finding of which version. Pure: no query, no clock, never by a name alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache

from packageurl import PackageURL

from registry.readers import Claim, Product

BEGINNING = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Scope:
    """What one version goes by: its digests, its own purl, and what BOM-Links into its SBOMs lead to."""

    digests: frozenset[str]
    purl: str
    linked: Mapping[str, Product] = field(default_factory=dict)


def claim_about(names: frozenset[str], purl: str, claims: Iterable[Claim], scope: Scope) -> Claim | None:
    """Return what a document says about a finding: the claim stated last, of two at the same time the later one.

    `names` are the vulnerability's name and aliases, `purl` is the finding's package.
    """
    last: Claim | None = None
    for claim in claims:
        if names.isdisjoint(claim.vulnerabilities):
            continue
        if last is not None and (claim.stated_at or BEGINNING) < (last.stated_at or BEGINNING):
            continue
        if any(covers(product, purl, scope) for product in claim.products):
            last = claim
    return last


def covers(product: Product, purl: str, scope: Scope) -> bool:
    """Return whether a product is the package of a finding, or the version it is in as far as that package."""
    if product.link:
        linked = scope.linked.get(product.link)
        return linked is not None and covers(linked, purl, scope)
    is_version = is_about(product, scope)
    if product.parts is not None:
        return is_version and any(is_same(part, purl) for part in product.parts)
    return is_version or any(is_same(named, purl) for named in product.purls)


def is_about(product: Product, scope: Scope) -> bool:
    """Return whether a product is the version itself, by digest or by its own purl."""
    return not scope.digests.isdisjoint(product.digests) or any(is_same(named, scope.purl) for named in product.purls)


def is_same(claimed: str, found: str) -> bool:
    """Return whether two purls name one package in one version; a qualifier that is claimed has to be there, too."""
    wanted, seen = identify(claimed), identify(found)
    if wanted is None or seen is None or not wanted[0][3]:
        return False
    return wanted[0] == seen[0] and wanted[1] <= seen[1]


@lru_cache(maxsize=16_384)
def identify(purl: str) -> tuple[tuple[str, str, str, str], frozenset[tuple[str, str]]] | None:
    """Return (type, namespace, name, version) of a purl and its qualifiers, or None when it is none."""
    try:
        parsed = PackageURL.from_string(purl)
    except ValueError:
        return None
    place = (parsed.type, parsed.namespace or "", parsed.name, parsed.version or "")
    qualifiers = parsed.qualifiers if isinstance(parsed.qualifiers, dict) else {}
    return place, frozenset(qualifiers.items())
