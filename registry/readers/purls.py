"""Package URLs in one canonical form, so that SBOMs, advisories and findings name one package in one way."""

from __future__ import annotations

import re
from dataclasses import dataclass

from packageurl import PackageURL
from packaging.utils import canonicalize_name

MAX_PURL = 600
_CONTROL = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")
# For these the namespace is the distribution, which OSV writes into the ecosystem and not into the package name.
_DISTRIBUTION_TYPES = frozenset({"deb", "rpm", "apk", "alpm"})
# Most purls of an SBOM are canonical but for the order of their qualifiers. packageurl takes up to 80 µs for each, four
# seconds for 50,000 components; what these patterns match is read here, with the same result (a test compares them).
_LOWER = r"[a-z0-9.-]+"
_CASED = r"(?:[A-Za-z0-9._-]|%2B)+"
_PAIR = r"[a-z][a-z0-9._-]*=[A-Za-z0-9._~:/-]+"
_REST = rf"@((?:[A-Za-z0-9._~:+-]|%2B)+)(?:\?({_PAIR}(?:&{_PAIR})*))?"
PLAIN = re.compile(rf"pkg:(apk|composer|npm|pypi)/((?:{_LOWER}/|%40{_LOWER}/)?)({_LOWER}){_REST}")
PLAIN_CASED = re.compile(rf"pkg:(cargo|deb|gem|generic|golang|maven|nuget|rpm)/((?:{_CASED}/)*)({_CASED}){_REST}")


@dataclass(frozen=True)
class Package:
    """One package: canonical purl, purl type, name as OSV writes it, version (empty when the purl has none)."""

    purl: str
    type: str
    name: str
    version: str


def read_purl(purl: str) -> Package | None:
    """Return the package that a purl names, or None when it names none."""
    if not purl or len(purl) > MAX_PURL or _CONTROL.search(purl):
        return None
    plain = PLAIN.fullmatch(purl) or PLAIN_CASED.fullmatch(purl)
    return _bounded(*_read_plain(*plain.groups())) if plain else read_any(purl)


def read_any(purl: str) -> Package | None:
    """Return the package that a purl of at most 600 characters names, as the library reads it, or None."""
    try:
        parsed = PackageURL.from_string(purl)
        canonical = parsed.to_string()
    except ValueError:
        return None
    name = normalise_name(parsed.type, parsed.name, parsed.namespace or "")
    return _bounded(canonical, parsed.type, name, parsed.version or "")


def _bounded(canonical: str, purl_type: str, name: str, version: str) -> Package | None:
    """Return a package whose texts can be stored, or None."""
    if len(canonical) > MAX_PURL or len(name) > 300 or len(version) > 200 or len(purl_type) > 40:
        return None
    # Percent-encoding can carry what PostgreSQL and a page cannot.
    if _CONTROL.search(name) or _CONTROL.search(version):
        return None
    return Package(canonical, purl_type, name, version)


def _read_plain(
    purl_type: str, namespace: str, name: str, version: str, qualifiers: str | None
) -> tuple[str, str, str, str]:
    """Return canonical purl, type, name and version of a purl that a plain pattern matched."""
    canonical = f"pkg:{purl_type}/{namespace}{name}@{version.replace('+', '%2B')}{_qualifiers(qualifiers or '')}"
    decoded = namespace.rstrip("/").replace("%40", "@").replace("%2B", "+")
    named = normalise_name(purl_type, name.replace("%2B", "+"), decoded)
    return canonical, purl_type, named, version.replace("%2B", "+")


def _qualifiers(written: str) -> str:
    """Return plain qualifiers in canonical order with the question mark; of a key that comes twice the last counts."""
    pairs = dict(pair.split("=", 1) for pair in written.split("&")) if written else {}
    return "?" + "&".join(f"{key}={pairs[key]}" for key in sorted(pairs)) if pairs else ""


def normalise_name(purl_type: str, name: str, namespace: str = "") -> str:
    """Return a package's name as advisories write it (OSV schema, `affected[].package.name`).

    PyPI names follow PEP 503, Maven joins group and artifact with a colon, others join namespace and name with a slash.
    """
    if purl_type == "pypi":
        return canonicalize_name(name)
    if not namespace or purl_type in _DISTRIBUTION_TYPES:
        return name
    return f"{namespace}:{name}" if purl_type == "maven" else f"{namespace}/{name}"
