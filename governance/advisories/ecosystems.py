"""Which OSV ecosystem is which purl type, how its package names are written, and which distribution a purl is from."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from packageurl import PackageURL

from registry.readers.purls import normalise_name

DISTRIBUTION_TYPES = frozenset({"deb", "rpm", "apk", "alpm"})
# Here advisories name the source package; an SBOM's purl names the binary one and has `upstream` for its source.
SOURCE_TYPES = frozenset({"deb", "apk"})
_RELEASE = re.compile(r"\d+(?:\.\d+)*")
_WORD = re.compile(r"[^a-z]")


@dataclass(frozen=True)
class Ecosystem:
    """One OSV ecosystem: its purl type and, for a distribution, the namespaces under which SBOM tools write it."""

    purl_type: str
    namespaces: frozenset[str] = frozenset()


def _distribution(purl_type: str, *namespaces: str) -> Ecosystem:
    return Ecosystem(purl_type, frozenset(namespaces))


# OSV schema, "Defined ecosystems"; purl-spec, "Known purl types". What has no purl type is not here: it cannot match.
ECOSYSTEMS: dict[str, Ecosystem] = {
    "PyPI": Ecosystem("pypi"),
    "npm": Ecosystem("npm"),
    "Maven": Ecosystem("maven"),
    "Go": Ecosystem("golang"),
    "crates.io": Ecosystem("cargo"),
    "Packagist": Ecosystem("composer"),
    "RubyGems": Ecosystem("gem"),
    "NuGet": Ecosystem("nuget"),
    "Hex": Ecosystem("hex"),
    "Pub": Ecosystem("pub"),
    "Hackage": Ecosystem("hackage"),
    "CRAN": Ecosystem("cran"),
    "ConanCenter": Ecosystem("conan"),
    "SwiftURL": Ecosystem("swift"),
    "Julia": Ecosystem("julia"),
    "opam": Ecosystem("opam"),
    "Bitnami": Ecosystem("bitnami"),
    "GitHub Actions": Ecosystem("github"),
    "OSS-Fuzz": Ecosystem("generic"),
    "Debian": _distribution("deb", "debian"),
    "Ubuntu": _distribution("deb", "ubuntu"),
    "Echo": _distribution("deb", "echo"),
    "Alpine": _distribution("apk", "alpine"),
    "Wolfi": _distribution("apk", "wolfi"),
    "Chainguard": _distribution("apk", "chainguard"),
    "MinimOS": _distribution("apk", "minimos"),
    "Alpaquita": _distribution("apk", "alpaquita"),
    "Red Hat": _distribution("rpm", "redhat", "rhel"),
    "Rocky Linux": _distribution("rpm", "rockylinux", "rocky"),
    "AlmaLinux": _distribution("rpm", "almalinux", "alma"),
    "SUSE": _distribution("rpm", "suse", "sles", "sled", "sle"),
    "openSUSE": _distribution("rpm", "opensuse", "opensuseleap", "opensusetumbleweed"),
    "Mageia": _distribution("rpm", "mageia"),
    "openEuler": _distribution("rpm", "openeuler"),
    "Photon OS": _distribution("rpm", "photon", "photonos"),
    "Azure Linux": _distribution("rpm", "azurelinux", "mariner"),
}


def find_ecosystem(name: str) -> Ecosystem | None:
    """Return the ecosystem that `PyPI` or, with a release, `Debian:12` names, or None when it has no purl type."""
    return ECOSYSTEMS.get(name.partition(":")[0])


@lru_cache(maxsize=10_000)
def spell(purl_type: str, name: str) -> tuple[str, ...]:
    """Return every way in which an SBOM's component may write a package that OSV calls `name`.

    One way nearly always. Go modules and NuGet packages also in lower case: the purl specification once asked for it.
    """
    separator = ":" if purl_type == "maven" else "/"
    namespace, _, last = name.rpartition(separator) if purl_type not in DISTRIBUTION_TYPES else ("", "", name)
    try:
        purl = PackageURL(purl_type, namespace.replace(":", "/"), last)
        written = normalise_name(purl_type, purl.name, purl.namespace or "")
    except ValueError:
        written = name
    also = {written.lower()} if purl_type in {"golang", "nuget"} else set()
    return tuple(sorted({written} | also))


@dataclass(frozen=True)
class Origin:
    """Where a distribution's package comes from: the distribution's name and its release, empty when not said."""

    distribution: str = ""
    release: str = ""

    def meets(self, ecosystem: str) -> bool | None:
        """Return whether an advisory for `Debian:12` is about packages from here; None when that cannot be told."""
        known = find_ecosystem(ecosystem)
        if known is None or not known.namespaces:
            return True
        if self.distribution and self.distribution not in known.namespaces:
            return False
        theirs = _RELEASE.search(ecosystem.partition(":")[2])
        if theirs is None:
            # Wolfi and Chainguard have one rolling release; Debian sid and the like name none.
            return True if self.distribution and ":" not in ecosystem else None
        if not self.release or not self.distribution:
            return None
        if f"{self.release}.".startswith(f"{theirs[0]}."):
            return True
        # An SBOM that says 8 is not told apart from an advisory for 8.4.
        return None if f"{theirs[0]}.".startswith(f"{self.release}.") else False


def find_origin(purl: PackageURL) -> Origin:
    """Return the distribution and release that a purl names: `pkg:deb/debian/bash@5?distro=debian-12` is Debian 12."""
    distro = purl.qualifiers.get("distro", "")
    named = purl.namespace or (distro.rpartition("-")[0] if "-" in distro else "")
    release = _RELEASE.search(distro)
    return Origin(letters(named), release[0] if release else "")


def letters(name: str) -> str:
    """Return a distribution's name as it is compared: `rocky-linux` and `RockyLinux` are one."""
    return _WORD.sub("", name.lower())
