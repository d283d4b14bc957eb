"""What the pages print about a blast radius: the picture, the table, and who may see which names. Formatting only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.http import HttpRequest

from governance.blast import Descendant, Place, Radius
from governance.permissions import visible
from portal.http import paginate
from portal.lineage import Edge, Lineage, Node, lineage
from registry.models import User, Version

MOST_CONSUMERS, MOST_PLACES = 5, 2
ANOTHERS = "of another team"


def panel(request: HttpRequest, found: Radius) -> dict[str, Any]:
    """Return the picture of the nearest versions, one page of the table, and the sentence over both."""
    user: Any = request.user
    page = paginate(request, list(found.descendants))
    seen = seen_by(user, found)
    return {
        "radius": found,
        "lineage": picture(found, seen),
        "page": page,
        "rows": [row(each, seen) for each in page.object_list],
        "has_unseen": any(each.version.pk not in seen for each in found.descendants),
    }


def seen_by(user: User, found: Radius) -> set[int]:
    """Return the ids of those of a radius' versions that a person may see; the root is one."""
    ids = [each.version.pk for each in found.descendants]
    return {found.root.pk, *visible(user, Version.objects.filter(pk__in=ids)).values_list("pk", flat=True)}


def name(version: Version, seen: set[int]) -> str:
    """Return a version's name; of another team's version only its kind is told."""
    return version.label if version.pk in seen else f"{version.asset.get_kind_display()} {ANOTHERS}"


def row(found: Descendant, seen: set[int]) -> dict[str, Any]:
    """Return one row of the table. How things stand is told of every version, whose it is only of those one may see."""
    is_seen = found.version.pk in seen
    return {
        "label": name(found.version, seen),
        "url": found.version.get_absolute_url() if is_seen else "",
        "state": found.version.state,
        "path": [name(each, seen) for each in found.path],
        "places": found.places,
        "consumers": consumers(found.consumers, is_seen=is_seen),
        "owner": found.version.asset.owner if is_seen else None,
        "team": found.version.asset.team if is_seen else None,
        "is_seen": is_seen,
    }


def consumers(names: Sequence[str], *, is_seen: bool) -> str:
    """Return who uses a version, the first five of many; of another team's only how many."""
    if not names or not is_seen:
        return f"{len(names)} of another team's" if names else ""
    more = f" and {len(names) - MOST_CONSUMERS} more" if len(names) > MOST_CONSUMERS else ""
    return ", ".join(names[:MOST_CONSUMERS]) + more


def picture(found: Radius, seen: set[int]) -> Lineage:
    """Return the picture of the root and what is made from it, marked by how each would stand."""
    root = Node(
        found.root.label,
        found.root.label,
        f"{found.root.asset.get_kind_display()}, {found.root.get_state_display().lower()}",
        "info",
        found.root.get_absolute_url(),
    )
    nodes = [root, *(node(each, seen) for each in found.descendants)]
    lines = [Edge(each.part.label, each.version.label, each.get_role_display().lower()) for each in found.edges]
    return lineage(nodes, lines, focus=found.root.label)


def node(found: Descendant, seen: set[int]) -> Node:
    """Return one version of the picture, with where it serves in its second line."""
    url = found.version.get_absolute_url() if found.version.pk in seen else ""
    said = ", ".join(word(place) for place in found.places[:MOST_PLACES]) or found.version.get_state_display().lower()
    return Node(found.version.label, name(found.version, seen), said, tone(found), url)


def word(place: Place) -> str:
    """Return how a version would stand in one environment, in two words."""
    return f"{place.environment} {f'until {place.until:%d %b}' if place.until else 'no'}"


def tone(found: Descendant) -> str:
    """Return the tone of a node: what serves and would be hit, what may serve and would be, what would not, others."""
    if any(place.is_hit and place.serves for place in found.places):
        return "bad"
    if any(place.is_hit for place in found.places):
        return "warn"
    return "ok" if any(place.now.allow for place in found.places) else "neutral"
