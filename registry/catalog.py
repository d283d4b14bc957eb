"""Reading the catalogue: search, facets and lists. Callers pass rows that are filtered to what the person may see."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, Q, QuerySet

from registry.evidence import SPEAKS_FOR
from registry.models import Asset, Evaluation, Evidence, State, Version
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
    """Return each facet with the counts that choosing a value would give; all of them are counted in one query."""
    counted = search(rows, text).order_by().values_list(*FACETS.values()).annotate(number=Count("pk"))
    combinations = [(dict(zip(FACETS, values, strict=True)), number) for *values, number in counted]
    return [facet(name, combinations, chosen) for name in FACETS]


def facet(name: str, combinations: Iterable[tuple[Mapping[str, str], int]], chosen: Chosen) -> Facet:
    """Return one facet; `combinations` say how many versions have which values of all of them."""
    wanted = {key: set(values) for key, values in chosen.items() if key != name and values}
    numbers: Counter[str] = Counter()
    for values, number in combinations:
        if all(values[key] in among for key, among in wanted.items()):
            numbers[values[name]] += number
    labels, selected = LABELS.get(name, {}), chosen.get(name, ())
    choices = (
        Choice(value, labels.get(value, value), number, value in selected)
        for value, number in sorted(numbers.items(), key=lambda each: (-each[1], each[0]))
    )
    return Facet(name, TITLES[name], tuple(choices))


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


@dataclass(frozen=True)
class Point:
    """One version's newest value of a metric. `is_own` says whether it was measured on that version itself."""

    number: str
    row: Evaluation
    is_own: bool


Series = dict[tuple[str, str, str], list[Point]]


def metric_trends(version: Version, *, at_most: int = 12) -> Series:
    """Return each metric's newest value on each of the asset's newest versions that were measured, oldest first.

    The key is (category/metric, data set, slice), because another data set or slice is another metric. A version that
    has no value measured on itself is told by what was measured on something else.
    """
    measured = Version.objects.filter(asset=version.asset_id, evidence__evaluations__isnull=False).distinct()
    newest = list(measured.order_by("-registered_at", "-pk")[:at_most])
    spoken = spoken_for(newest)
    key = ("evidence__version_id", "category", "metric", "dataset", "slice")
    rows = Evaluation.objects.filter(evidence__version__in=newest).select_related("evidence")
    # One row for each subject, so that a version with a thousand nightly reports costs no more than others.
    rows = rows.order_by(*key, "subject_digest", "-measured_at", "-pk").distinct(*key, "subject_digest")
    found: dict[tuple[str, str, str], dict[int, Point]] = {}
    identities = {each.pk: each for each in newest}
    for row in sorted(rows.defer("evidence__summary", "evidence__warnings"), key=lambda row: row.measured_at):
        each = identities[row.evidence.version_id]
        subjects = {row.subject_digest} - {""} or spoken.get((each.pk, row.evidence.sha256), set())
        is_own = bool(each.identity_digest) and each.identity_digest in subjects
        series = found.setdefault((row.name, row.dataset, row.slice), {})
        if each.pk not in series or is_own or not series[each.pk].is_own:
            series[each.pk] = Point(each.number, row, is_own)
    order = [each.pk for each in reversed(newest)]
    return {name: [series[pk] for pk in order if pk in series] for name, series in found.items()}


def spoken_for(versions: Iterable[Version], *, at: datetime | None = None) -> dict[tuple[int, str], set[str]]:
    """Return what other documents say a report was measured on, by version and the sha256 of the report.

    At an instant, only what was attached by then is heard.
    """
    rows = Evidence.objects.filter(version__in=list(versions), summary__has_key=SPEAKS_FOR)
    rows = rows.filter(attached_at__lte=at) if at is not None else rows
    found: dict[tuple[int, str], set[str]] = {}
    for version, subjects, reports in rows.values_list("version", "subject_digests", f"summary__{SPEAKS_FOR}"):
        for sha256 in reports:
            found.setdefault((version, sha256), set()).update(subjects)
    return found
