"""The blast radius of a version: everything that is made from it, how that stands, and how it would stand afterwards.

Reads only, in a fixed number of queries however many versions are made from it. What really happens is written by
`lifecycle.retire` and `relicensing.record`, by the same rules.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils import timezone

from governance import challenges, lifecycle, standing
from governance.models import ConsumerGrant, Decision, Promotion, Waiver
from governance.models.challenges import Cause
from governance.standing import Standing
from registry import composition
from registry.models import Component, Version

WHY = {
    Cause.BASE_RETIRED: "It would be challenged, and serve until then.",
    Cause.RELICENSED: "It would be challenged until its licence check passes, and serve until then.",
}


@dataclass(frozen=True)
class Place:
    """One environment of a version: how it stands there now, and until when it could serve afterwards.

    `until` is None where it may not serve anyway; `why` says what decides. `serves` is whether it is what the
    environment points at.
    """

    environment: str
    now: Standing
    until: datetime | None
    why: str
    serves: bool

    @property
    def is_hit(self) -> bool:
        """Return whether it may serve now and would have less time afterwards."""
        return self.now.allow and self.until != self.now.expires_at


@dataclass(frozen=True)
class Descendant:
    """One version that is made from the root: by which path, the root's neighbour first, and who uses it."""

    version: Version
    path: tuple[Version, ...]
    places: tuple[Place, ...]
    consumers: tuple[str, ...]

    @property
    def serving(self) -> tuple[str, ...]:
        """Return the environments that point at it."""
        return tuple(place.environment for place in self.places if place.serves)


@dataclass(frozen=True)
class Radius:
    """Everything that is made from one version, nearest first, with the edges between."""

    root: Version
    cause: Cause
    at: datetime
    descendants: tuple[Descendant, ...]
    edges: tuple[Component, ...]

    @property
    def says(self) -> str:
        """Return how many versions are made from it and how many of them serve where, as a sentence."""
        count = len(self.descendants)
        if not count:
            return f"No version is made from {self.root.label}."
        counts: defaultdict[str, int] = defaultdict(int)
        for environment in (name for each in self.descendants for name in each.serving):
            counts[environment] += 1
        # Production first: that is what people ask about.
        names = sorted(counts, key=lambda name: (name != lifecycle.PRODUCTION, name))
        serving = ", ".join(f"{counts[name]} {'serves' if counts[name] == 1 else 'serve'} in {name}" for name in names)
        made = "1 version is" if count == 1 else f"{count} versions are"
        return f"{made} made from {self.root.label}; {serving or 'none serves anywhere'}."


def radius(root: Version, cause: Cause, *, at: datetime | None = None) -> Radius:
    """Return what is made from a version, and what its retirement, or another licence of it, would do to that now."""
    at = at or timezone.now()
    edges = composition.descendants(root)
    paths = paths_of(root, edges)
    versions = {edge.version_id: edge.version for edge in edges if edge.version_id in paths}
    ids = list(paths)
    decisions, pointed = list(challenges.in_force(ids, at)), pointers(ids, at)
    names = sorted({decision.environment for decision in decisions} | {name for _, name in pointed})
    rows = Version.objects.filter(pk__in=ids).select_related("asset__owner", "asset__team")
    stands = standing.of_all(ids, names, at=at)
    owned = {version.pk: version for version in rows} if ids else {}
    after = Afterwards.of(ids, decisions, cause, at)
    consumers = consumers_of(ids, at)
    found = []
    for pk, path in paths.items():
        places = tuple(
            after.place(stands[pk, name], pk, serves=(pk, name) in pointed)
            for name in names
            if stands[pk, name].allow or stands[pk, name].decision_id or (pk, name) in pointed
        )
        found.append(Descendant(owned[pk], tuple(versions[step] for step in path), places, consumers.get(pk, ())))
    return Radius(root, cause, at, tuple(found), tuple(edges))


def paths_of(root: Version, edges: Iterable[Component]) -> dict[int, tuple[int, ...]]:
    """Return the shortest way from a root to each version that is made from it, by ids; the edges are nearest first."""
    paths: dict[int, tuple[int, ...]] = {root.pk: ()}
    for edge in edges:
        if edge.version_id not in paths:
            paths[edge.version_id] = (*paths[edge.part_id], edge.version_id)
    del paths[root.pk]
    return paths


def pointers(ids: list[int], at: datetime) -> set[tuple[int, str]]:
    """Return where an environment points at one of some versions now."""
    rows = Promotion.objects.filter(asset__versions__in=ids, promoted_at__lte=at)
    newest = rows.order_by("asset_id", "environment", "-promoted_at", "-pk").distinct("asset_id", "environment")
    mine = set(ids)
    return {(pk, name) for pk, name in newest.values_list("version_id", "environment") if pk in mine}


def consumers_of(ids: list[int], at: datetime) -> dict[int, tuple[str, ...]]:
    """Return the consumers that the gate has let in, by the versions' ids, each once."""
    rows = ConsumerGrant.objects.filter(version__in=ids, granted_at__lte=at).order_by("consumer")
    found: defaultdict[int, dict[str, None]] = defaultdict(dict)
    for pk, name in rows.values_list("version_id", "consumer"):
        found[pk][name] = None
    return {pk: tuple(names) for pk, names in found.items()}


@dataclass(frozen=True)
class Afterwards:
    """What the rules make of a cause: until when each decision would let its version serve, and what waivers cover."""

    cause: Cause
    due: Mapping[tuple[int, str], datetime]
    tolerated: Mapping[tuple[int, str], datetime]

    @classmethod
    def of(cls, ids: list[int], decisions: Iterable[Decision], cause: Cause, at: datetime) -> Afterwards:
        """Read what is needed about some versions and the decisions in force for them."""
        rule = challenges.RULES[cause]
        due: dict[tuple[int, str], datetime] = {}
        critical, baseline = set(), set()
        for each in challenges.asking(decisions, rule, at):
            policy, key = each.submission.policy, (each.version_id, each.environment)
            ends = at + timedelta(days=policy.rule(rule).get("grace_days", challenges.GRACE_DAYS))
            due[key] = min(due.get(key, ends), ends)
            critical |= {key} if policy.is_critical(rule) else set()
            baseline |= {key} if rule in policy.content["baseline"]["rules"] else set()
        waived = {
            (row.version_id, row.environment): row.expires_at
            for row in Waiver.objects.filter(version__in=ids, rule=rule, finding=None).order_by("expires_at")
            if row.is_in_force(at)
        }
        tolerated = {
            key: waived[place]
            for key in due
            if key not in critical and (place := (key[0], "baseline" if key in baseline else key[1])) in waived
        }
        return cls(cause, due, tolerated)

    def place(self, now: Standing, pk: int, *, serves: bool) -> Place:
        """Return how one version would stand in one environment."""
        key, rule = (pk, now.environment), challenges.RULES[self.cause]
        if not now.allow:
            return Place(now.environment, now, None, "It may not serve anyway.", serves)
        if key not in self.due:
            return Place(now.environment, now, now.expires_at, f"Its policy does not ask {rule} there.", serves)
        due, why = self.due[key], WHY[self.cause]
        if key in self.tolerated and self.tolerated[key] > due:
            due, why = self.tolerated[key], f"A waiver of {rule} covers it until then."
        if now.expires_at is not None and now.expires_at <= due:
            return Place(
                now.environment, now, now.expires_at, "Its time ends before the challenge would be due.", serves
            )
        return Place(now.environment, now, due, why, serves)
