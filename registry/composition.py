"""What a deployer holds: the identity digest of a version and the manifest it is computed from.

Anybody can compute the same digest: take the manifest's exact bytes and hash them (docs/api.md shows how).
"""

from __future__ import annotations

from collections.abc import Iterable

from audit import seal
from registry.models import Component, Version

SCHEMA = "https://countersign.dev/schemas/composition/v1"


def manifest(version: Version) -> bytes | None:
    """Return the canonical composition manifest (RFC 8785), or None when the artifact alone is the identity."""
    parts = [edge for edge in version.components.select_related("part") if edge.role != "base"]
    if not parts:
        return None
    return seal.canonical(
        {
            "schema": SCHEMA,
            "artifact": {"sha256": version.artifact_sha256} if version.artifact_sha256 else None,
            "components": sorted(
                ({"role": edge.role, "sha256": edge.part.identity_digest} for edge in parts),
                key=lambda row: (row["role"], row["sha256"]),
            ),
        }
    )


def identify(version: Version) -> str:
    """Return the identity digest: the artifact's sha256, or the sha256 of the composition manifest."""
    composed = manifest(version)
    return version.artifact_sha256 if composed is None else seal.digest(composed)


def contained(version: Version) -> list[Version]:
    """Return the version itself and everything that its identity rests on, however far below; bases are not in it."""
    edges = [edge for edge in ancestors(version) if edge.role != "base"]
    inside = {version.pk: version}
    while more := {
        edge.part_id: edge.part for edge in edges if edge.version_id in inside and edge.part_id not in inside
    }:
        inside |= more
    return list(inside.values())


def ancestors(version: Version) -> list[Component]:
    """Return every edge below a version, nearest first, each once; one query a level, however many levels there are."""
    return _walk({version.pk}, below=True)


def descendants(version: Version) -> list[Component]:
    """Return every edge above a version (what is made from it), nearest first, each once."""
    return _walk({version.pk}, below=False)


def _walk(start: Iterable[int], *, below: bool) -> list[Component]:
    """Follow edges level by level in one direction; a loop of edges would end too, because nothing is seen twice."""
    level, seen, edges = set(start), set(start), []
    while level:
        column = "version_id__in" if below else "part_id__in"
        found = list(Component.objects.filter(**{column: level}).select_related("version__asset", "part__asset"))
        edges.extend(found)
        level = {edge.part_id if below else edge.version_id for edge in found} - seen
        seen |= level
    return edges


def would_loop(version: Version, part: Version) -> bool:
    """Return whether taking `part` into `version` would make a version contain itself, however far below."""
    return part.pk == version.pk or any(edge.part_id == version.pk for edge in _walk({part.pk}, below=True))
