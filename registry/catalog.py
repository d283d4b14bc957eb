"""Reading the catalogue: search, facets and lists. Callers pass rows that are filtered to what the person may see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Count, Q, QuerySet

from registry.models import Asset, State, Version
from registry.models.assets import AssetKind, Risk

FACETS = {"kind": "asset__kind", "state": "state", "risk": "risk", "team": "asset__team__slug"}
TITLES = {"kind": "Kind", "state": "State", "risk": "Risk", "team": "Team"}
LABELS: dict[str, dict[str, str]] = {
    "kind": dict(AssetKind.choices),
    "state": dict(State.choices),
    "risk": dict(Risk.choices) | {"": "Not rated"},
}

Chosen = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Choice:
    """One value of a facet, with how many versions have it under the other filters."""

    value: str
    label: str
    count: int
    selected: bool


@dataclass(frozen=True)
class Facet:
    """One filter of the catalogue and its values."""

    name: str
    label: str
    options: tuple[Choice, ...]


def search(rows: QuerySet[Version], text: str = "", chosen: Chosen | None = None) -> QuerySet[Version]:
    """Return the versions that match a text and the chosen facets, newest first.

    The text matches asset names, descriptions, version numbers, authors and digests that begin with it.
    """
    for name, values in (chosen or {}).items():
        if name in FACETS and values:
            rows = rows.filter(**{f"{FACETS[name]}__in": [value for value in values if "\x00" not in value]})
    # PostgreSQL takes no NUL, which an address may hold.
    for word in text.replace("\x00", " ").split()[:8]:
        slug, at, number = word.partition("@")
        matches = Q(authors__icontains=word)
        if at:
            matches |= Q(asset__slug__icontains=slug) & Q(number__startswith=number)
        else:
            matches |= (
                Q(asset__slug__icontains=word)
                | Q(asset__description__icontains=word)
                | Q(number__startswith=word)
                | Q(identity_digest__startswith=word.removeprefix("sha256:"))
            )
        rows = rows.filter(matches)
    return rows.select_related("asset__team", "asset__owner").order_by("-registered_at", "-pk")


def facets(rows: QuerySet[Version], text: str, chosen: Chosen) -> list[Facet]:
    """Return each facet with the counts that choosing a value would give, one query a facet."""
    found = []
    for name, path in FACETS.items():
        others = {key: value for key, value in chosen.items() if key != name}
        counted = (
            search(rows, text, others).order_by().values_list(path).annotate(number=Count("pk")).order_by("-number")
        )
        labels = LABELS.get(name, {})
        choices = tuple(
            Choice(value, labels.get(value, value), number, value in chosen.get(name, ())) for value, number in counted
        )
        found.append(Facet(name, TITLES[name], choices))
    return found


def versions_of(asset: Asset) -> QuerySet[Version]:
    """Return an asset's versions, newest first."""
    return asset.versions.select_related("asset__team", "registered_by").order_by("-registered_at", "-pk")


def previous(version: Version) -> Version | None:
    """Return the version of the same asset that was registered before this one."""
    return (
        Version.objects.filter(asset=version.asset_id, registered_at__lt=version.registered_at)
        .select_related("asset")
        .order_by("-registered_at", "-pk")
        .first()
    )


def metric_trends(version: Version, *, at_most: int = 12) -> dict[str, list[tuple[str, Any]]]:
    """Return each metric's newest value on each of the asset's versions, oldest first, on its own identity digest."""
    rows = (
        Version.objects.filter(asset=version.asset_id, evidence__evaluations__isnull=False)
        .order_by("registered_at", "pk", "evidence__evaluations__measured_at", "evidence__evaluations__pk")
        .values_list(
            "number",
            "identity_digest",
            "evidence__evaluations__subject_digest",
            "evidence__evaluations__category",
            "evidence__evaluations__metric",
            "evidence__evaluations__value",
        )
    )
    trends: dict[str, dict[str, Any]] = {}
    for number, identity, subject, category, metric, value in rows:
        if identity == subject:
            trends.setdefault(f"{category}/{metric}", {})[number] = value
    return {name: list(values.items())[-at_most:] for name, values in trends.items()}
