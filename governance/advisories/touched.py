"""What waits to be matched again: the rows of `TouchedPackage` are the queue, and a row goes when its work is done.

Matching itself is `governance.findings`. Whoever dies in the middle leaves the rows, and the next one begins again.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.db import connection
from django.db.models import Exists, Max, OuterRef, Q, QuerySet

from governance.advisories.ecosystems import SOURCE_TYPES
from governance.models.advisories import AdvisoryImport, TouchedPackage
from registry.models import Evidence, SbomComponent, State, Version
from registry.models.evidence import EvidenceKind

BATCH = 500
# Any number will do, as long as no other verb takes the same advisory lock.
REMATCH_LOCK = 0x05_1A_D1
Package = tuple[str, str]


@dataclass(frozen=True)
class Batch:
    """Some waiting packages of one purl type. No names: all packages of the type, whatever they are called.

    A distribution's advisories name source packages, which an SBOM's component has only inside its purl, so that there
    the whole type is matched again.
    """

    purl_type: str
    names: frozenset[str]
    rows: QuerySet[TouchedPackage]

    def among(self, components: QuerySet[SbomComponent]) -> QuerySet[SbomComponent]:
        """Return the components that are to be matched again."""
        found = components.filter(purl_type=self.purl_type)
        return found.filter(purl_name__in=self.names) if self.names else found

    def versions(self) -> list[int]:
        """Return the ids of the versions of which an SBOM names one of the packages, in ascending order.

        A retired version is matched only while something else is made from it.
        """
        found = versions_naming(self.among(SbomComponent.objects.all()))
        found = found.exclude(state=State.RETIRED, used_in=None)
        return sorted(found.values_list("pk", flat=True).order_by().distinct())

    def done(self) -> None:
        """Take the packages out of the queue."""
        self.rows.delete()


def next_batch() -> Batch | None:
    """Return some packages that wait, or None when none does. What no SBOM names is taken out of the queue at once."""
    _drop_unnamed()
    first = TouchedPackage.objects.order_by("pk").first()
    if first is None:
        return None
    same = TouchedPackage.objects.filter(purl_type=first.purl_type)
    if first.purl_type in SOURCE_TYPES:
        # All rows of an import appear at the same moment, so that none of them can be deleted unseen.
        imports = list(same.values_list("source", flat=True).distinct())
        return Batch(first.purl_type, frozenset(), same.filter(source__in=imports))
    rows = dict(same.order_by("pk").values_list("pk", "purl_name")[:BATCH])
    return Batch(first.purl_type, frozenset(rows.values()), TouchedPackage.objects.filter(pk__in=list(rows)))


def claim() -> bool:
    """Return whether this transaction may match again; until it ends no other one may.

    Two at once would come to the same end, but the second would only repeat the work of the first.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [REMATCH_LOCK])
        return bool(cursor.fetchone()[0])


def newest_waiting(sbom: Evidence, purl_types: frozenset[str]) -> int | None:
    """Return the newest import that touched a package of an SBOM and still waits to be matched, by its id."""
    named = SbomComponent.objects.filter(
        evidence=sbom, purl_type=OuterRef("purl_type"), purl_name=OuterRef("purl_name")
    )
    waits: Q | Exists = Exists(named)
    if sources := SOURCE_TYPES & purl_types:
        waits = waits | Q(purl_type__in=sources)
    newest: int | None = TouchedPackage.objects.filter(waits).aggregate(newest=Max("source"))["newest"]
    return newest


def affected_since(imported: AdvisoryImport) -> set[Package]:
    """Return the packages, as (purl type, purl name), about which an import said something new, until they are matched.

    Also those whose advisory was withdrawn or narrowed, and those whose vulnerability got another severity by an alias.
    """
    return set(imported.touched.values_list("purl_type", "purl_name"))


def versions_touched(imported: AdvisoryImport) -> QuerySet[Version]:
    """Return the versions of which an SBOM names a package that an import touched and that still waits."""
    touched = TouchedPackage.objects.filter(
        source=imported, purl_type=OuterRef("purl_type"), purl_name=OuterRef("purl_name")
    )
    components = SbomComponent.objects.filter(Exists(touched))
    if sources := SOURCE_TYPES & set(imported.touched.values_list("purl_type", flat=True).distinct()):
        components |= SbomComponent.objects.filter(purl_type__in=sources, purl__contains="upstream=")
    return versions_naming(components)


def versions_naming(components: QuerySet[SbomComponent]) -> QuerySet[Version]:
    """Return the versions of which an SBOM, newest or not, has one of some components; matching chooses among them."""
    sboms = Evidence.objects.filter(kind=EvidenceKind.SBOM, pk__in=components.values("evidence"))
    return Version.objects.filter(pk__in=sboms.values("version"))


def _drop_unnamed() -> None:
    """Take the packages out of the queue that no SBOM names; a first import touches very many."""
    alike = SbomComponent.objects.filter(purl_type=OuterRef("purl_type"))
    named = alike.filter(purl_name=OuterRef("purl_name"))
    waiting = TouchedPackage.objects.order_by()
    waiting.exclude(purl_type__in=SOURCE_TYPES).filter(~Exists(named)).delete()
    waiting.filter(purl_type__in=SOURCE_TYPES).filter(~Exists(alike)).delete()
