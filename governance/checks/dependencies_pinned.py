"""Does the build name a lockfile digest, and the SBOM exact versions? A range in an SBOM says what might be inside.

Files and data have no version to pin; their hashes stand for them. Which versions are good is the matter of the
vulnerabilities check.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from django.db.models import QuerySet

from governance.checks.base import Answer, Dossier, failed, passed
from registry import evidence
from registry.models import SbomComponent, Version

UNVERSIONED = frozenset({"file", "data", "cryptographic-asset"})
MOVING = frozenset(
    {"latest", "stable", "newest", "current", "nightly", "head", "main", "master", "trunk", "dev", "devel"}
    | {"any", "unknown", "noassertion", "none", "n/a", "tbd", "*", "x"}
)
# Comparisons, carets and brackets begin a range; commas, bars and blanks join two; `.x` and `.*` leave one open.
# A tilde inside is part of Debian's versions, and a snapshot of Maven changes under its name.
RANGE = re.compile(r"^[<>=!^~\[(]|[,|*\s]|(^|\.)x(\.|$)|-snapshot$", re.IGNORECASE)
MOST_NAMED, MOST_LISTED = 5, 200


class DependenciesPinned:
    """Asks whether the same build could be made again from the same parts."""

    slug = "dependencies-pinned"
    title = "Dependencies pinned"
    asks = "Does the build name a lockfile digest, and the SBOM an exact version of every component?"
    sections: tuple[str, ...] = ("source", "evidence")

    def outside(self, version: Version) -> Mapping[str, Any]:
        """Depend on nothing."""
        return {}

    def examine(self, dossier: Dossier, rule: Mapping[str, Any]) -> Answer:
        """Answer by the lockfile digest and by every component of the newest SBOM."""
        version = dossier.version
        row = evidence.newest(version, "sbom")
        parts = row.sbom_components.exclude(type__in=UNVERSIONED) if row else SbomComponent.objects.none()
        loose, total = find_loose(parts), parts.count()
        facts = {
            "lockfile": version.lockfile_sha256,
            "sbom": row.sha256 if row else "",
            "components": total,
            "not_pinned": loose[:MOST_LISTED],
            "not_pinned_count": len(loose),
        }
        wrong = [] if version.lockfile_sha256 else ["the build names no lockfile digest"]
        if row is None:
            wrong.append("no SBOM is attached that could name versions")
        if loose:
            wrong.append(f"{len(loose)} of {total} components have no exact version: {name_some(loose)}")
        if not wrong:
            return passed(f"The lockfile has a digest, and all {total} components an exact version.", facts=facts)
        says = "; ".join(wrong)
        return failed(f"{says[0].upper()}{says[1:]}.", " ".join(fixes(version, has_sbom=row is not None)), facts=facts)


def find_loose(parts: QuerySet[SbomComponent]) -> list[dict[str, str]]:
    """Return the components whose version is missing, moving or a range, each with why."""
    rows = parts.values_list("purl", "name", "version").iterator()
    found = ((purl or name, number, fault_of(number)) for purl, name, number in rows)
    return [{"component": name, "version": number, "why": fault} for name, number, fault in found if fault]


def fault_of(version: str) -> str:
    """Return why a version is not exact, empty when it is."""
    text = version.strip()
    if not text:
        return "no version"
    if text.casefold() in MOVING:
        return "a moving name"
    return "a range" if RANGE.search(text) else ""


def name_some(loose: list[dict[str, str]]) -> str:
    """Return the first components in words."""
    named = ", ".join(f"{row['component']} ({row['why']})" for row in loose[:MOST_NAMED])
    more = len(loose) - MOST_NAMED
    return f"{named} and {more} more" if more > 0 else named


def fixes(version: Version, *, has_sbom: bool) -> list[str]:
    """Return what would pin the dependencies, step by step."""
    steps = []
    if not version.lockfile_sha256:
        steps.append("Register the sha256 of the lockfile (source.lockfile_sha256) with the next version.")
    verb = "Attach an SBOM again that was" if has_sbom else "Attach an SBOM"
    steps.append(f"{verb} written from the installed environment or the lockfile, not from the list of requirements.")
    return steps
