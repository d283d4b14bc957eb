"""The verb that imports an OSV archive. Reading records lives in `archive` and `osv`, what is to be matched again after
an import in `touched`, and what imports cover in `coverage`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path

from django.db import connection
from django.utils import timezone

from audit import log
from audit.events import Event
from governance.advisories import archive, groups
from governance.advisories.ecosystems import ECOSYSTEMS, find_ecosystem
from governance.advisories.osv import Record, read_record
from governance.models.advisories import Advisory, AdvisoryImport, AffectedPackage, TouchedPackage
from portal.errors import Fault, Invalid, show
from portal.jobs import Job, ring
from registry.models import User

BATCH = 1_000
BATCH_BYTES = 16 * 1024**2
# A record from further ahead would never be replaced by a true one.
MAX_AHEAD = timedelta(days=1)
FAULTS_KEPT = 100
COPY_PACKAGES = """
COPY governance_affectedpackage (advisory_id, ecosystem, purl_type, purl_name, versions, ranges) FROM STDIN
"""
# Any number will do, as long as no other verb takes the same advisory lock.
IMPORT_LOCK = 0x05_1A_D0
# The name of the line among an import's faults that counts the records which no package can be compared with.
NOT_COVERED = "not covered"
Package = tuple[str, str]


@dataclass
class _Tally:
    """What an import has seen so far."""

    read: int = 0
    changed: int = 0
    withdrawn: int = 0
    faults: list[dict[str, str]] = field(default_factory=list)
    rejected: int = 0
    not_covered: int = 0
    newest: datetime | None = None
    ecosystems: set[str] = field(default_factory=set)
    groups: set[str] = field(default_factory=set)
    touched: set[Package] = field(default_factory=set)

    def reject(self, name: str, says: str) -> None:
        """Count a record that could not be read, and keep the first of them by name."""
        self.rejected += 1
        if len(self.faults) < FAULTS_KEPT:
            self.faults.append({"name": show(name), "says": says[:300]})


def import_zip(path: Path, *, ecosystem: str, actor: User) -> AdvisoryImport:
    """Take over what an OSV archive says that is newer than what is known, in one transaction with one ledger entry.

    A record that cannot be read is counted and named, and the rest goes on. Raises Invalid for an unknown ecosystem,
    for what is no zip of bounded size, and for an archive that says nothing about the ecosystem: such an import would
    only look like news. Raises PermissionDenied for whoever may not import.
    """
    actor.require("advisories.import")
    if find_ecosystem(ecosystem) is None or len(ecosystem) > 60:
        raise Invalid(Fault("ecosystem", show(ecosystem), f"one of {', '.join(sorted(ECOSYSTEMS))}"))
    with archive.opened(path) as opened, log.record(Event.ADVISORIES_IMPORTED, actor=actor) as entry:
        _lock()
        imported = AdvisoryImport.objects.create(
            ecosystem=ecosystem,
            filename="".join(each for each in path.name if each.isprintable())[-200:],
            sha256=opened.sha256,
            imported_by=actor,
            imported_at=timezone.now(),
        )
        tally = _Tally()
        for batch in _batch(opened.members()):
            _take(batch, imported, tally)
        _expect_news(tally, ecosystem)
        _write_touched(imported, tally)
        _write_tally(imported, tally)
        ring(Job.RUN_CHECKS)
        entry.about(imported)
        entry.note(
            count=tally.changed,
            read=tally.read,
            withdrawn=tally.withdrawn,
            rejected=tally.rejected,
            not_covered=tally.not_covered,
            packages=len(tally.touched),
        )
    return imported


def _lock() -> None:
    """Let one import run at a time: two would each judge "newer" by what the other has not committed."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [IMPORT_LOCK])


def _batch(members: Iterable[archive.Member]) -> Iterator[list[archive.Member]]:
    """Yield members in batches that stay small in number and in bytes."""
    batch: list[archive.Member] = []
    size = 0
    for member in members:
        batch.append(member)
        size += len(member.raw)
        if len(batch) == BATCH or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    yield batch


def _take(members: Iterable[archive.Member], imported: AdvisoryImport, tally: _Tally) -> None:
    """Read a batch of records and write those that are new or newer than what is known."""
    newest: dict[str, Record] = {}
    for record in _read(members, tally):
        if record.id not in newest or newest[record.id].modified < record.modified:
            newest[record.id] = record
    known = Advisory.objects.filter(pk__in=newest).values_list("pk", "modified", "group")
    before = {identifier: (modified, group) for identifier, modified, group in known}
    fresh = [each for each in newest.values() if each.id not in before or before[each.id][0] < each.modified]
    tally.changed += len(fresh)
    tally.withdrawn += sum(each.withdrawn is not None for each in fresh)
    tally.groups.update(before[each.id][1] for each in fresh if each.id in before)
    _write(fresh, imported, tally)


def _read(members: Iterable[archive.Member], tally: _Tally) -> Iterator[Record]:
    """Yield the records of a batch; what cannot be read is counted and named."""
    for member in members:
        tally.read += 1
        if member.fault:
            tally.reject(member.name, member.fault)
            continue
        try:
            record = read_record(member.raw)
        except Invalid as refusal:
            tally.reject(member.name, str(refusal))
            continue
        if record.modified > timezone.now() + MAX_AHEAD:
            tally.reject(member.name, f"modified: saw {record.modified:%Y-%m-%d}, expected a day that has come.")
            continue
        tally.ecosystems |= record.ecosystems
        tally.not_covered += record.withdrawn is None and not record.affected
        tally.newest = max(record.modified, tally.newest or record.modified)
        yield record


def _write(fresh: list[Record], imported: AdvisoryImport, tally: _Tally) -> None:
    """Replace the rows of some records."""
    replaced = AffectedPackage.objects.filter(advisory__in=[each.id for each in fresh])
    tally.touched.update(replaced.values_list("purl_type", "purl_name"))
    tally.touched.update((each.purl_type, each.purl_name) for record in fresh for each in record.affected)
    replaced.delete()
    rows = [_advisory(each, imported) for each in fresh]
    fields = [each.name for each in Advisory._meta.concrete_fields if each.name != "id"]
    Advisory.objects.bulk_create(rows, update_conflicts=True, unique_fields=["id"], update_fields=fields)
    _copy_packages(fresh)


def _copy_packages(fresh: list[Record]) -> None:
    """Insert the packages of some records by COPY: their lists of versions are most of an import."""
    with connection.cursor() as cursor, cursor.copy(COPY_PACKAGES) as copy:
        for record in fresh:
            for each in record.affected:
                versions, ranges = json.dumps(each.versions), json.dumps(each.ranges)
                copy.write_row((record.id, each.ecosystem, each.purl_type, each.purl_name, versions, ranges))


def _advisory(record: Record, imported: AdvisoryImport) -> Advisory:
    """Return the row of a record. Its group is named by the record alone here, and by all records at the end."""
    return Advisory(
        id=record.id,
        group=groups.name_group([record.id, *record.aliases]),
        aliases=record.aliases,
        summary=record.summary,
        severity=record.rating.severity,
        score=record.rating.score,
        vectors=list(record.rating.vectors),
        published=record.published,
        modified=record.modified,
        withdrawn=record.withdrawn,
        source=imported,
    )


def _expect_news(tally: _Tally, ecosystem: str) -> None:
    """Raise Invalid when the archive holds no record at all, or none about the ecosystem that it is imported as."""
    if tally.read == tally.rejected:
        first = f", the first of them {tally.faults[0]['name']}: {tally.faults[0]['says']}" if tally.faults else ""
        raise Invalid(Fault("archive", f"{tally.read} files and no OSV record{first}", "a zip archive of OSV records"))
    if ecosystem.partition(":")[0] not in tally.ecosystems:
        about = ", ".join(sorted(tally.ecosystems)[:5]) or "no package at all"
        raise Invalid(Fault("ecosystem", show(ecosystem), f"what the archive is about: {about}"))


def _write_touched(imported: AdvisoryImport, tally: _Tally) -> None:
    """Write the packages of everything that belongs, or belonged, to a vulnerability that changed."""
    tally.groups |= groups.regroup()
    present = imported.advisories.values("group")
    siblings = AffectedPackage.objects.filter(advisory__group__in=present).exclude(advisory__source=imported)
    tally.touched.update(siblings.values_list("purl_type", "purl_name").distinct())
    former = iter(tally.groups.difference(imported.advisories.values_list("group", flat=True)))
    while batch := list(islice(former, BATCH)):
        left = AffectedPackage.objects.filter(advisory__group__in=batch)
        tally.touched.update(left.values_list("purl_type", "purl_name").distinct())
    TouchedPackage.objects.bulk_create(
        [TouchedPackage(source=imported, purl_type=kind, purl_name=name) for kind, name in sorted(tally.touched)],
        batch_size=BATCH,
    )


def _write_tally(imported: AdvisoryImport, tally: _Tally) -> None:
    """Write what the import saw."""
    imported.read = tally.read
    imported.changed = tally.changed
    imported.withdrawn = tally.withdrawn
    imported.rejected = tally.rejected
    imported.faults = [*tally.faults, *_describe_not_covered(tally)]
    imported.newest_modified = tally.newest
    imported.save()


def _describe_not_covered(tally: _Tally) -> list[dict[str, str]]:
    """Return the line that says how many records name nothing that an SBOM's package could be compared with."""
    if not tally.not_covered:
        return []
    says = f"{tally.not_covered:,} records name only git commits, CPEs, or packages of a kind without package URLs."
    return [{"name": NOT_COVERED, "says": says}]
