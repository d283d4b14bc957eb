"""Says in words why a value that was measured on another identity digest says nothing about this version.

The compositions are compared: which artifact, adapter, prompt or base is another one there than here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from registry import composition
from registry.models import Component, Version

MAX_CLAUSES = 3
MAX_EXPLAINED = 20


@dataclass(frozen=True)
class Composition:
    """What an identity digest is computed from: the artifact, and the parts by role and asset.

    A part is (number, identity digest). Bases are not part of an identity and not in here.
    """

    artifact: str
    parts: Mapping[tuple[str, str], tuple[str, str]]


@dataclass
class Explainer:
    """Explains digests to one version, each once."""

    version: Version
    known: dict[str, str] = field(default_factory=dict)

    def says(self, digest: str) -> str:
        """Return what was measured instead, such as "fraud-scorer 1.4.0 (126afc844360…), whose artifact differs"."""
        if digest not in self.known:
            few = len(self.known) < MAX_EXPLAINED
            self.known[digest] = explain(self.version, digest) if few else f"{digest[:12]}…, not on this one"
        return self.known[digest]


def explain(version: Version, digest: str) -> str:
    """Return what a digest is, seen from a version that has another one."""
    short = f"{digest[:12]}…"
    rows = Version.objects.filter(identity_digest=digest).select_related("asset")
    same = rows.filter(asset=version.asset_id).exclude(pk=version.pk).order_by("-registered_at", "-pk").first()
    if same is not None:
        differs = differences(composition_of(same), composition_of(version))
        return f"{version.asset.slug} {same.number} ({short}), {differs}"
    earlier = earlier_composition(version, digest)
    if earlier is not None:
        return f"an earlier composition of this version ({short}), {differences(earlier, composition_of(version))}"
    part = next((each for each in composition.contained(version)[1:] if digest_is(each, digest)), None)
    if part is not None:
        return f"{part.asset.slug} {part.number} ({short}) alone, not on the whole of {version.label}"
    if digest == version.artifact_sha256:
        return f"the artifact alone ({short}), not on the whole of {version.label}"
    # Another team's asset is not named: who may see this version need not see that one.
    what = "a version of another asset" if rows.exists() else "registered nowhere here"
    return f"{short}, which is {what} and not this identity digest"


def digest_is(part: Version, digest: str) -> bool:
    """Return whether a part is known under a digest."""
    return digest in {part.identity_digest, part.artifact_sha256}


def composition_of(version: Version) -> Composition:
    """Return what a version's identity digest is computed from now."""
    edges = version.components.exclude(role="base").select_related("part__asset")
    return Composition(version.artifact_sha256, parts_of((edge.role, edge.part) for edge in edges))


def earlier_composition(version: Version, digest: str) -> Composition | None:
    """Return what a version was made of when it had another identity digest, None when it never had."""
    then = version.history.filter(identity_digest=digest).order_by("-history_date", "-history_id").first()
    if then is None:
        return None
    standing: dict[int, tuple[int, str]] = {}
    changes = Component.history.filter(version_id=version.pk, history_date__lte=then.history_date)
    for change in changes.order_by("history_date", "history_id"):
        standing.pop(change.id, None)
        if change.history_type != "-":
            standing[change.id] = (change.part_id, change.role)
    found = Version.objects.filter(pk__in=[pk for pk, _ in standing.values()]).select_related("asset")
    by_key = {each.pk: each for each in found}
    edges = ((role, by_key[pk]) for pk, role in standing.values() if pk in by_key and role != "base")
    return Composition(then.artifact_sha256, parts_of(edges))


def parts_of(edges: Iterable[tuple[str, Version]]) -> dict[tuple[str, str], tuple[str, str]]:
    """Return (number, identity digest) of parts by (role, asset); several of one asset are named together."""
    found: dict[tuple[str, str], list[Version]] = {}
    for role, part in edges:
        found.setdefault((role, part.asset.slug), []).append(part)
    return {
        key: (
            " and ".join(sorted(part.number for part in parts)),
            " ".join(sorted(part.identity_digest for part in parts)),
        )
        for key, parts in found.items()
    }


def differences(there: Composition, here: Composition) -> str:
    """Return what is different there, in one clause."""
    clauses = ["whose artifact differs"] if there.artifact != here.artifact else []
    for key in sorted(there.parts.keys() | here.parts.keys()):
        old, new = there.parts.get(key), here.parts.get(key)
        role, slug = key
        if old is None and new is not None:
            clauses.append(f"which has no {role} {slug}")
        elif new is None and old is not None:
            clauses.append(f"which has the {role} {slug} {old[0]} besides")
        elif old is not None and new is not None and old[1] != new[1]:
            clauses.append(f"whose {role} {slug} is {old[0]} and not {new[0]}")
    if not clauses:
        return "whose composition differs"
    more = f" and {len(clauses) - MAX_CLAUSES} more" if len(clauses) > MAX_CLAUSES else ""
    return ", ".join(clauses[:MAX_CLAUSES]) + more
