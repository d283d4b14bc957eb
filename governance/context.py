"""Fills the context that conditions of policies look at (`conditions.CONTEXT`) with what is recorded about versions.

Evidence, findings, measured values and the states of components are told as of an instant; the content of a version is
frozen, and who owns an asset is told as it is now. What is not known is left out, so that asking for it is a failure.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from django.db.models import prefetch_related_objects

from governance import conditions
from governance.models import Finding, Transition
from registry.catalog import spoken_for
from registry.models import Component, DatasetUse, Evaluation, Evidence, Relicensing, State, User, Version

Parts = dict[int, Any]


def of(
    version: Version, *, environment: str, at: datetime, only: Collection[str] = conditions.CONTEXT
) -> dict[str, Any]:
    """Return the context of one version as of an instant."""
    return of_versions([version], environment=environment, at=at, only=only)[version.pk]


def of_versions(
    versions: Iterable[Version], *, environment: str, at: datetime, only: Collection[str] = conditions.CONTEXT
) -> dict[int, dict[str, Any]]:
    """Return the contexts of many versions by their ids, as of an instant, in a fixed number of queries.

    `only` names the parts that are wanted. A part that conditions cannot look at, such as a list of more than 2,000
    items, is left out.
    """
    rows = {version.pk: version for version in versions}
    found: dict[int, dict[str, Any]] = {pk: {"environment": environment} for pk in rows}
    if not rows:
        return found
    for name in (name for name in PARTS if name in only):
        parts = PARTS[name](rows, at)
        for pk in rows:
            try:
                found[pk][name] = conditions.normalise(parts.get(pk, []))
            except ValueError:
                continue
    return found


def draw_versions(rows: Mapping[int, Version], at: datetime) -> Parts:
    """Return what the versions say about themselves."""
    licences = {row.version_id: row.licence for row in read_relicensings(rows) if row.recorded_at <= at}
    return {pk: draw_version(version, licences.get(pk, version.licence)) for pk, version in rows.items()}


def read_relicensings(rows: Mapping[int, Version]) -> list[Relicensing]:
    """Return the records of other licences that versions got after they were registered, the newest last."""
    if is_read(rows, "relicensings"):
        found = [row for version in rows.values() for row in version.relicensings.all()]
    else:
        found = list(Relicensing.objects.filter(version__in=list(rows)))
    return sorted(found, key=lambda row: (row.recorded_at, row.pk))


def is_read(rows: Mapping[int, Version], name: str) -> bool:
    """Return whether the related rows of a name were read already, as lists do that have drawn their dossiers."""
    return all(name in getattr(version, "_prefetched_objects_cache", {}) for version in rows.values())


def draw_version(version: Version, licence: str) -> dict[str, Any]:
    """Return what one version says about itself, in the words of the context, under the licence that it has."""
    told: dict[str, Any] = {
        "label": version.label,
        "number": version.number,
        "kind": version.asset.kind,
        "risk": version.risk,
        "format": version.format,
        "storage": urlsplit(version.storage_uri).scheme,
        "licence": licence,
        "finetune": version.finetune_method,
        "repository": version.source_repository,
        "commit": version.source_commit,
        "lockfile": version.lockfile_sha256,
        "allowed_uses": lines(version.allowed_uses),
        "prohibited_uses": lines(version.prohibited_uses),
        "mitigations": lines(version.mitigations),
        "authors": [str(name) for name in version.authors],
    }
    return told if version.artifact_size is None else {**told, "size": version.artifact_size}


def lines(text: str) -> list[str]:
    """Return the lines of a text that say something, without the marks of a list."""
    return [bare for line in text.splitlines() if (bare := line.strip().strip("-*• ").strip())]


def draw_assets(rows: Mapping[int, Version], at: datetime) -> Parts:
    """Return what the versions' assets are, and whether somebody answers for them."""
    prefetch_related_objects(list(rows.values()), "asset__team", "asset__owner", "asset__backup_owner")
    return {
        pk: {
            "name": version.asset.slug,
            "kind": version.asset.kind,
            "team": version.asset.team.slug,
            "has_owner": is_here(version.asset.owner, at),
            "has_backup_owner": is_here(version.asset.backup_owner, at),
        }
        for pk, version in rows.items()
    }


def is_here(person: User | None, at: datetime) -> bool:
    """Return whether a person can answer for something at an instant."""
    return person is not None and person.is_active and (person.left_at is None or person.left_at > at)


def draw_datasets(rows: Mapping[int, Version], at: datetime) -> Parts:
    """Return the data sets that the versions used."""
    found: defaultdict[int, list[dict[str, Any]]] = defaultdict(list)
    for use in read_uses(rows):
        data = use.dataset
        said = {"name": data.name, "licence": data.licence, "personal_data": data.personal_data, "purpose": use.purpose}
        found[use.version_id].append(said)
    return found


def read_uses(rows: Mapping[int, Version]) -> list[DatasetUse]:
    """Return which data sets versions used."""
    if is_read(rows, "dataset_uses"):
        return [use for version in rows.values() for use in version.dataset_uses.all()]
    return list(DatasetUse.objects.filter(version__in=list(rows)).select_related("dataset"))


def draw_components(rows: Mapping[int, Version], at: datetime) -> Parts:
    """Return what the versions are made from, each part in the state that it was in."""
    edges = list(Component.objects.filter(version__in=list(rows)).select_related("part__asset"))
    moves = Transition.objects.filter(version__in={edge.part_id for edge in edges}, at__lte=at)
    newest = moves.order_by("version_id", "-at", "-pk").distinct("version_id").values_list("version_id", "to_state")
    states = dict(newest) if edges else {}
    found: defaultdict[int, list[dict[str, Any]]] = defaultdict(list)
    for edge in edges:
        part = edge.part
        said = {"role": edge.role, "name": part.asset.slug, "number": part.number, "risk": part.risk}
        found[edge.version_id].append({**said, "state": states.get(part.pk, State.DRAFT.value)})
    return found


def draw_findings(rows: Mapping[int, Version], at: datetime) -> Parts:
    """Return the vulnerabilities that were known of the versions and had not gone away."""
    found: defaultdict[int, list[dict[str, Any]]] = defaultdict(list)
    for finding in Finding.objects.filter(version__in=list(rows), found_at__lte=at):
        if finding.closed_at is None or finding.closed_at > at:
            said = {"id": finding.vulnerability, "severity": finding.severity, "package": finding.purl}
            found[finding.version_id].append({**said, "open": finding.is_open_at(at), "certain": finding.certain})
    return found


def draw_evidence(rows: Mapping[int, Version], at: datetime) -> Parts:
    """Return the documents that were attached to the versions, with their age in whole days."""
    found: defaultdict[int, list[dict[str, Any]]] = defaultdict(list)
    documents = Evidence.objects.filter(version__in=list(rows), attached_at__lte=at).order_by("-attached_at", "-pk")
    for pk, kind, reader, attached in documents.values_list("version", "kind", "reader", "attached_at"):
        found[pk].append({"kind": kind, "reader": reader, "age_days": (at - attached).days})
    return found


def draw_metrics(rows: Mapping[int, Version], at: datetime) -> Parts:
    """Return the newest values that were measured on the versions' identity digests.

    On whose word that is, and whether it is fresh, is asked by the check of evaluations. `category/metric` is the
    overall value; behind it stand `[slice]` and `@dataset` where there are any. Values of one instant on several data
    sets are never chosen between: then the plain name is not there.
    """
    same = ("evidence__version_id", "category", "metric", "dataset", "slice", "subject_digest")
    values = Evaluation.objects.filter(
        evidence__version__in=list(rows), evidence__attached_at__lte=at, measured_at__lte=at
    )
    newest = values.order_by(*same, "-measured_at", "-pk").distinct(*same)
    told = spoken_for(rows.values(), at=at)
    mine: defaultdict[int, list[Evaluation]] = defaultdict(list)
    for row in newest.select_related("evidence").defer("evidence__summary", "evidence__warnings"):
        version = rows[row.evidence.version_id]
        subjects = {row.subject_digest} - {""} or told.get((version.pk, row.evidence.sha256), set())
        if version.identity_digest and version.identity_digest in subjects:
            mine[version.pk].append(row)
    return {pk: name_values(mine[pk]) for pk in rows}


def name_values(values: Iterable[Evaluation]) -> dict[str, float]:
    """Return the newest value under each name that it goes by; a value that is no finite number has no name."""
    found: defaultdict[str, list[Evaluation]] = defaultdict(list)
    for row in values:
        sliced = f"{row.name}[{row.slice}]" if row.slice else row.name
        for name in {sliced, f"{sliced}@{row.dataset}"} if row.dataset else {sliced}:
            found[name].append(row)
    named = {}
    for name, rows in found.items():
        last = max(row.measured_at for row in rows)
        top = [row for row in rows if row.measured_at == last]
        if len({row.dataset for row in top}) == 1 and top[0].value.is_finite():
            named[name] = float(max(top, key=lambda row: row.pk).value)
    return named


# THE parts of the context, each with what fills it for many versions at once.
PARTS: dict[str, Callable[[Mapping[int, Version], datetime], Parts]] = {
    "version": draw_versions,
    "asset": draw_assets,
    "datasets": draw_datasets,
    "components": draw_components,
    "findings": draw_findings,
    "evidence": draw_evidence,
    "metrics": draw_metrics,
}
