"""Which packages of an SBOM the imported advisories can say anything about, and how old what they say is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Case, CharField, Count, F, Func, Value, When
from django.db.models.functions import Lower

from governance.advisories.ecosystems import DISTRIBUTION_TYPES, ECOSYSTEMS, Ecosystem, find_ecosystem, letters
from governance.models.advisories import AdvisoryImport
from registry.models import Evidence

# OSV gives these to things that are no packages of one kind: without an import nobody is expected to have one.
UNEXPECTED = frozenset({"generic", "github"})


@dataclass(frozen=True)
class Coverage:
    """What can be said about an SBOM's components.

    `missing` are the kinds of package that OSV publishes advisories for and nobody has imported; `unknown` counts the
    components of kinds for which there are none at all; `imports` are the newest ones of each ecosystem in use.
    """

    components: int
    identified: int
    purl_types: frozenset[str]
    missing: tuple[str, ...]
    unknown: Mapping[str, int]
    imports: tuple[AdvisoryImport, ...]
    as_of: datetime | None

    @property
    def not_covered(self) -> int:
        """Return how many components nothing can be said about: without a package URL, or of an unknown kind."""
        return self.components - self.identified + sum(self.unknown.values())


def survey(sbom: Evidence) -> Coverage:
    """Return what the imported advisories cover of an SBOM, in two queries.

    `as_of` is the oldest of the newest imports in use: what is said about the SBOM is at least as fresh.
    """
    kinds = _count_kinds(sbom)
    newest = AdvisoryImport.objects.order_by("ecosystem", "-imported_at", "-pk").distinct("ecosystem")
    known = [(each, found) for each in newest if (found := find_ecosystem(each.ecosystem)) is not None]
    missing, unknown, used, ages = [], {}, {}, []
    for kind, count in sorted(kinds.items()):
        covering = [each for each, ecosystem in known if _covers(ecosystem, kind)]
        used.update({each.pk: each for each in covering})
        if covering:
            ages.append(max(each.imported_at for each in covering))
        elif kind.partition("/")[0] not in UNEXPECTED and any(_covers(each, kind) for each in ECOSYSTEMS.values()):
            missing.append(kind)
        elif kind:
            unknown[kind] = count
    return Coverage(
        components=sum(kinds.values()),
        identified=sum(kinds.values()) - kinds.get("", 0),
        purl_types=frozenset(kind.partition("/")[0] for kind in kinds),
        missing=tuple(missing),
        unknown=unknown,
        imports=tuple(used[key] for key in sorted(used)),
        as_of=min(ages, default=None),
    )


def _count_kinds(sbom: Evidence) -> dict[str, int]:
    """Return how many components an SBOM has of each kind: a purl type, with the distribution where it is one's.

    Those without a package URL are of the kind "".
    """
    namespace = Func(F("purl"), Value("/"), Value(2), function="split_part", output_field=CharField())
    place = Case(
        When(purl_type__in=DISTRIBUTION_TYPES, purl__regex=r"^pkg:[^/]+/[^/@?#]+/", then=Lower(namespace)),
        default=Value(""),
    )
    rows = sbom.sbom_components.order_by().annotate(place=place).values_list("purl_type", "place")
    kinds: dict[str, int] = {}
    for purl_type, found, count in rows.annotate(count=Count("pk")):
        kind = f"{purl_type}/{letters(found)}" if found else purl_type
        kinds[kind] = kinds.get(kind, 0) + count
    return kinds


def _covers(ecosystem: Ecosystem, kind: str) -> bool:
    """Return whether an ecosystem's advisories are about packages of a kind; of an unnamed distribution, perhaps."""
    purl_type, _, namespace = kind.partition("/")
    if ecosystem.purl_type != purl_type:
        return False
    return not namespace or namespace in ecosystem.namespaces
