"""What a deployer holds: the identity digest of a version and the manifest it is computed from.

Anybody can compute the same digest: take the manifest's exact bytes and hash them (docs/api.md shows how).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from django.db.models.expressions import RawSQL

from audit import seal
from registry.models import Component, Version

SCHEMA = "https://countersign.dev/schemas/composition/v1"
# Everything that edges lead to in one direction. UNION, not UNION ALL: what was reached already is not followed again.
BELOW = """WITH RECURSIVE reached(id) AS (SELECT unnest(%s::bigint[]) UNION SELECT edge.part_id
FROM registry_component edge JOIN reached ON edge.version_id = reached.id) SELECT id FROM reached"""
ABOVE = """WITH RECURSIVE reached(id) AS (SELECT unnest(%s::bigint[]) UNION SELECT edge.version_id
FROM registry_component edge JOIN reached ON edge.part_id = reached.id) SELECT id FROM reached"""


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
    """Return every edge below a version, nearest first, each once, in one query however many levels there are."""
    return _walk({version.pk}, below=True)


def descendants(version: Version) -> list[Component]:
    """Return every edge above a version (what is made from it), nearest first, each once."""
    return _walk({version.pk}, below=False)


def _walk(start: Iterable[int], *, below: bool) -> list[Component]:
    """Follow edges in one direction, nearest first; a loop of edges would end too, because nothing is seen twice."""
    level, column = set(start), "version_id" if below else "part_id"
    reached = RawSQL(BELOW if below else ABOVE, [sorted(level)])  # noqa: S611, the text is ours and takes ids only
    leaving: defaultdict[int, list[Component]] = defaultdict(list)
    for edge in Component.objects.filter(**{f"{column}__in": reached}).select_related("version__asset", "part__asset"):
        leaving[getattr(edge, column)].append(edge)
    seen, edges = set(level), []
    while level:
        found = [edge for pk in sorted(level) for edge in leaving[pk]]
        edges.extend(found)
        level = {edge.part_id if below else edge.version_id for edge in found} - seen
        seen |= level
    return edges


def would_loop(version: Version, part: Version) -> bool:
    """Return whether taking `part` into `version` would make a version contain itself, however far below."""
    return part.pk == version.pk or any(edge.part_id == version.pk for edge in _walk({part.pk}, below=True))
