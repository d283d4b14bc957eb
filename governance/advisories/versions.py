"""Versions of every purl type as things that can be compared. What cannot be read is None, and never compared.

PyPI goes through `packaging`; semantic versions, Composer, NuGet and dotted numbers are read here, because `univers`
compares their fourth number as text and takes `8.x-1.0` for a version; the other schemes go through `univers`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from packaging.version import Version as PypiVersion
from univers.versions import (
    AlpineLinuxVersion,
    ArchLinuxVersion,
    ConanVersion,
    DebianVersion,
    MavenVersion,
    RpmVersion,
    RubygemsVersion,
)

MAX_LENGTH = 200
# What the libraries raise on text that is no version; univers documents none of it.
UNREADABLE = (ValueError, TypeError, AttributeError, IndexError, KeyError, NotImplementedError)

_SEMVER = re.compile(r"[vV=]?(\d+)(?:\.(\d+))?(?:\.(\d+))?(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.+-]*)?", re.ASCII)
_NUGET = re.compile(r"[vV]?(\d+(?:\.\d+){0,3})(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.+-]*)?", re.ASCII)
_COMPOSER = re.compile(
    r"[vV]?(\d+(?:\.\d+){0,3})(?:[._+-]?(stable|alpha|a|beta|b|rc|patch|pl|p)(?:[.-]?(\d+))?)?(-dev)?(?:\+.*)?",
    re.ASCII | re.IGNORECASE,
)
_DOTTED = re.compile(r"\d+(?:[.-]\d+)*", re.ASCII)
_STABILITY = {"a": 1, "alpha": 1, "b": 2, "beta": 2, "rc": 3, "": 4, "stable": 4, "p": 5, "pl": 5, "patch": 5}


@lru_cache(maxsize=32_768)
def parse(purl_type: str, text: str) -> Any | None:
    """Return a version that compares by `<` and `==` with others of its purl type, or None when it cannot be read."""
    read = SCHEMES.get(purl_type)
    if read is None or not text or len(text) > MAX_LENGTH:
        return None
    try:
        return read(text.strip())
    except UNREADABLE:
        return None


def read_pypi(text: str) -> PypiVersion:
    """Read a PEP 440 version without its local part: 2.1.0+cu118 is a build of 2.1.0, and would sort above it."""
    return PypiVersion(text.partition("+")[0])


def read_semver(text: str) -> tuple[Any, ...]:
    """Read a semantic version (semver.org §11); build metadata does not count, missing numbers are 0."""
    found = _SEMVER.fullmatch(text)
    if found is None:
        raise ValueError(text)
    major, minor, patch, early = found.groups()
    return int(major), int(minor or 0), int(patch or 0), _early(early)


def read_go(text: str) -> tuple[Any, ...]:
    """Read a version of a Go module, or of Go itself: v1.2.3, go1.21.3."""
    return read_semver(text.removeprefix("go"))


def read_nuget(text: str) -> tuple[Any, ...]:
    """Read a NuGet version: up to four numbers, and a pre-release compared without regard to case."""
    found = _NUGET.fullmatch(text)
    if found is None:
        raise ValueError(text)
    return *_four(found[1]), _early(found[2].lower() if found[2] else None)


def read_composer(text: str) -> tuple[Any, ...]:
    """Read a Composer version: up to four numbers, then dev < alpha < beta < RC < stable < patch."""
    found = _COMPOSER.fullmatch(text)
    if found is None:
        raise ValueError(text)
    stability = 0 if found[4] else _STABILITY[(found[2] or "").lower()]
    return *_four(found[1]), stability, int(found[3] or 0)


def read_dotted(text: str) -> tuple[int, ...]:
    """Read numbers with dots or dashes between them, as R and Haskell packages have."""
    if _DOTTED.fullmatch(text) is None:
        raise ValueError(text)
    return tuple(int(part) for part in re.split(r"[.-]", text))


def read_maven(text: str) -> MavenVersion:
    """Read a Maven version; a `RELEASE` or `FINAL` at the end is the plain version, which univers half knows."""
    return MavenVersion(re.sub(r"[.-](?:release|final|ga)\Z", "", text, flags=re.IGNORECASE))


def read_alpine(text: str) -> AlpineLinuxVersion:
    """Read an Alpine version; snapshots (`_git20230717`) come after the plain version, as `_p` does."""
    return AlpineLinuxVersion(re.sub(r"_(?:cvs|svn|git|hg)(?=\d|-r|\Z)", "_p", text))


def _four(numbers: str) -> tuple[int, ...]:
    """Return dotted numbers as four integers."""
    read = [int(number) for number in numbers.split(".")]
    return tuple(read + [0] * (4 - len(read)))


def _early(text: str | None) -> tuple[Any, ...]:
    """Return what orders a pre-release before its release: identifiers, numbers before words."""
    if text is None:
        return (1,)
    return (0, *((0, int(part), "") if part.isdigit() else (1, 0, part) for part in text.split(".")))


SCHEMES: dict[str, Callable[[str], Any]] = {
    "pypi": read_pypi,
    "npm": read_semver,
    "cargo": read_semver,
    "hex": read_semver,
    "pub": read_semver,
    "swift": read_semver,
    "julia": read_semver,
    "github": read_semver,
    "bitnami": read_semver,
    "golang": read_go,
    "nuget": read_nuget,
    "composer": read_composer,
    "hackage": read_dotted,
    "cran": read_dotted,
    "maven": read_maven,
    "gem": RubygemsVersion,
    "conan": ConanVersion,
    "deb": DebianVersion,
    "rpm": RpmVersion,
    "apk": read_alpine,
    "alpm": ArchLinuxVersion,
}
