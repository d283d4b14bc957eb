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
    try:
        parsed = PackageURL.from_string(purl)
        canonical = parsed.to_string()
    except ValueError:
        return None
    name = normalise_name(parsed.type, parsed.name, parsed.namespace or "")
    version = parsed.version or ""
    if len(canonical) > MAX_PURL or len(name) > 300 or len(version) > 200 or len(parsed.type) > 40:
        return None
    # Percent-encoding can carry what PostgreSQL and a page cannot.
    if _CONTROL.search(name) or _CONTROL.search(version):
        return None
    return Package(canonical, parsed.type, name, version)


def normalise_name(purl_type: str, name: str, namespace: str = "") -> str:
    """Return a package's name as advisories write it (OSV schema, `affected[].package.name`).

    PyPI names follow PEP 503, Maven joins group and artifact with a colon, others join namespace and name with a slash.
    """
    if purl_type == "pypi":
        return canonicalize_name(name)
    if not namespace or purl_type in _DISTRIBUTION_TYPES:
        return name
    return f"{namespace}:{name}" if purl_type == "maven" else f"{namespace}/{name}"
