"""What every SBOM reader shares: its bounds, one part for each package, what can be looked up, and nested paths.

Knows no format. A component that no package URL identifies stays a part of its own, because a name alone says nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from registry.readers.documents import fail, picture
from registry.readers.purls import read_purl
from registry.readers.reading import Part

MAX_BYTES = 20 * 1024 * 1024
MAX_COMPONENTS = 50_000
MAX_PATHS = 100
MAX_PATH = 300
MAX_LICENCES = 100
MAX_EXPRESSION = 5000
MAX_HASHES = 30
MAX_SUBJECTS = 1000
MAX_WARNINGS = 20
ML_MODEL = "machine-learning-model"

# Digests in hex digits, by the names that CycloneDX uses; SPDX leaves the dash out.
HASH_LENGTHS = {"MD5": 32, "SHA-1": 40, "SHA-224": 56, "SHA-256": 64, "SHA-384": 96, "SHA-512": 128}
_ALGORITHMS = {name.replace("-", ""): name for name in HASH_LENGTHS}
_HEX = frozenset("0123456789abcdef")


class Parts:
    """The parts of one SBOM while it is read, with the warnings that come up on the way."""

    def __init__(self) -> None:
        self.warnings: list[str] = []
        self._parts: dict[tuple[str, str], Part] = {}
        self._with_cpe: set[tuple[str, str]] = set()
        self._count = 0

    def add(self, key: str, part: Part, *, has_cpe: bool = False) -> None:
        """Take a component in; `key` tells it from others when it has no purl. Raises Invalid beyond the bounds."""
        self._count += 1
        if self._count > MAX_COMPONENTS:
            fail("components", f"more than {MAX_COMPONENTS:,} components", f"at most {MAX_COMPONENTS:,}")
        # A purl without a version leaves it to the component, and two versions are two packages.
        where = (part.purl, part.version) if part.purl else ("", key)
        known = self._parts.get(where)
        merged = part if known is None else _merge(known, part)
        if len(merged.licences) > MAX_LICENCES or len(merged.hashes) > MAX_HASHES:
            seen = f"{len(merged.licences)} licences and {len(merged.hashes)} hashes"
            fail(part.paths[0], seen, f"at most {MAX_LICENCES} and {MAX_HASHES} for one package")
        self._parts[where] = merged
        if has_cpe:
            self._with_cpe.add(where)

    def all(self) -> tuple[Part, ...]:
        """Return the parts in the order in which they were named first; none at all is worth a warning."""
        if not self._parts:
            self.warnings.append("The SBOM names no components.")
        return tuple(self._parts.values())

    def counts(self) -> dict[str, Any]:
        """Return for the summary how many components there are and how many advisories can be matched with."""
        identified = sum(1 for part in self._parts.values() if part.purl and part.version)
        return {
            "components": len(self._parts),
            "identified": identified,
            # A CPE names a product and not a package: matching by it finds the wrong things, so it identifies nothing.
            "cpe_only": sum(1 for purl, key in self._with_cpe if not purl),
            "coverage": f"{identified} of {len(self._parts)} identifiable",
        }


def _merge(known: Part, part: Part) -> Part:
    """Return a package named once more: its licences, hashes and paths together, what came first first."""
    if len(known.paths) >= MAX_PATHS and set(part.licences) <= set(known.licences) and not part.hashes:
        return known
    return replace(
        known,
        licences=tuple(dict.fromkeys((*known.licences, *part.licences))),
        hashes={**part.hashes, **known.hashes},
        paths=tuple(dict.fromkeys((*known.paths, *part.paths)))[:MAX_PATHS],
    )


def identify(place: str, purls: list[str], version: str, warnings: list[str]) -> dict[str, str]:
    """Return what the first of some purls says as fields of a Part.

    Its version counts, and not the component's own: it is what advisories are matched with.
    """
    if len(set(purls)) > 1:
        warnings.append(f"{place}: there are {len(set(purls))} package URLs, and {picture(purls[0])} counts.")
    written = purls[0] if purls else ""
    package = read_purl(written)
    if package is None:
        if written:
            warnings.append(f"{place}: {picture(written)} is not a package URL.")
        return {"version": version}
    if version and package.version and package.version != version:
        warnings.append(f"{place}: the purl says version {picture(package.version)}, the component {picture(version)}.")
    return {
        "version": package.version or version,
        "purl": package.purl,
        "purl_type": package.type,
        "purl_name": package.name,
    }


def add_hash(hashes: dict[str, str], algorithm: str, digits: str, place: str) -> None:
    """Put a hash under its algorithm's name, in lower-case hex. Raises Invalid for a wrong one, and for a second one.

    `SHA256` and `SHA-256` are one algorithm; of an algorithm that is not known any hex digits are taken.
    """
    name = _ALGORITHMS.get(algorithm.upper().replace("-", ""), algorithm)
    content = digits.lower()
    length = HASH_LENGTHS.get(name, len(content))
    if len(content) != length or not _HEX.issuperset(content):
        fail(place, picture(digits), f"{length} hex digits of {name}")
    if hashes.setdefault(name, content) != content:
        fail(place, picture(digits), f"one value for {name}, and {hashes[name]} came before")


def subjects(digests: Iterable[str], warnings: list[str], missing: str) -> tuple[str, ...]:
    """Return the sha256 that an SBOM says it is about, each once; `missing` is the warning when there is none."""
    found = tuple(dict.fromkeys(filter(None, digests)))
    if not found:
        warnings.append(f"The SBOM does not say which artifact it describes: {missing}")
    if len(found) > MAX_SUBJECTS:
        warnings.append(f"The SBOM describes {len(found):,} files; the first {MAX_SUBJECTS:,} count.")
    return found[:MAX_SUBJECTS]


def bounded(warnings: list[str]) -> list[str]:
    """Return at most twenty warnings and a line that counts the rest."""
    more = len(warnings) - MAX_WARNINGS
    return warnings[:MAX_WARNINGS] + ([f"And {more:,} more warnings of this kind."] if more > 0 else [])


def shorten(path: str) -> str:
    """Return a path of at most 300 characters: a longer one loses its beginning."""
    return path if len(path) <= MAX_PATH else f"…{path[1 - MAX_PATH :]}"


def nest(roots: Iterable[str], below: Mapping[str, Iterable[str]], names: Mapping[str, str]) -> dict[str, str]:
    """Return the shortest path from a root to everything below it, as names one after the other.

    Each thing is visited once, so loops end.
    """
    paths: dict[str, str] = {}
    waiting = deque((root, "") for root in roots)
    while waiting:
        key, above = waiting.popleft()
        if key in paths:
            continue
        name = names.get(key, key)
        paths[key] = shorten(f"{above} › {name}" if above else name)
        waiting.extend((child, paths[key]) for child in below.get(key, ()) if child not in paths)
    return paths
