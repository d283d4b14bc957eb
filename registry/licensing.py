"""The licence a version has now: what it was registered with, or what was recorded since. What was registered stays."""

from __future__ import annotations

from collections.abc import Iterable

from registry.models import Relicensing, Version


def newest(versions: Iterable[Version | int]) -> dict[int, Relicensing]:
    """Return the newest record of another licence of each version that has one, by the versions' ids, in one query."""
    ids = [row.pk if isinstance(row, Version) else row for row in versions]
    rows = (
        Relicensing.objects.filter(version__in=ids)
        .select_related("version__asset")
        .order_by("version_id", "-recorded_at", "-pk")
        .distinct("version_id")
    )
    return {row.version_id: row for row in rows}


def effective(version: Version) -> str:
    """Return the licence that a version has now."""
    found = newest([version]).get(version.pk)
    return version.licence if found is None else found.licence
