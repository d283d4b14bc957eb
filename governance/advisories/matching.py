"""Matches packages against the imported advisories. What a match means for a version lives in `governance.findings`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Protocol

from django.db.models import Q, QuerySet
from packageurl import PackageURL

from governance.advisories.ecosystems import DISTRIBUTION_TYPES, SOURCE_TYPES, Origin, find_origin
from governance.advisories.ranges import Answer, Judgement, judge, order
from governance.advisories.severity import worst
from governance.models.advisories import Advisory, AffectedPackage, Severity
from portal.errors import Fault, Invalid

BATCH = 2_000
MAX_COMPARISONS = 2_000_000
MAX_MATCHES = 200_000
MAX_FIXES = 20
Package = tuple[str, str]


class Component(Protocol):
    """What has to be known about a package to match it. A row of `SbomComponent` is one."""

    @property
    def purl_type(self) -> str:
        """Return the purl type, such as `pypi`; empty when the package is not identified."""

    @property
    def purl_name(self) -> str:
        """Return the name as `registry.readers.purls` writes it."""

    @property
    def version(self) -> str:
        """Return the version, empty when it is not known."""

    @property
    def purl(self) -> str:
        """Return the canonical purl."""


@dataclass(frozen=True)
class Match:
    """One vulnerability in one package. `vulnerability` is the name that all its advisories share.

    The severity is the worst that any of them gives. Not certain: a version could not be compared, or the release of
    the distribution is not known, so somebody must look.
    """

    purl: str
    vulnerability: str
    advisory_ids: tuple[str, ...]
    severity: Severity
    summary: str
    fixed_in: tuple[str, ...]
    certain: bool


@dataclass(frozen=True)
class _Subject:
    """One package to ask about, under one of its names."""

    purl: str
    version: str
    origin: Origin


@dataclass
class _Draft:
    """What is known so far about one vulnerability in one package."""

    purl_type: str
    ids: set[str] = field(default_factory=set)
    fixed_in: set[str] = field(default_factory=set)
    certain: bool = False


Drafts = dict[tuple[str, str], _Draft]


def match(components: Iterable[Component]) -> list[Match]:
    """Return the vulnerabilities of some packages, ordered by purl and vulnerability.

    Asks the database once for every 2,000 packages and once for every 2,000 vulnerabilities found. Raises Invalid when
    the packages need more than 2,000,000 comparisons or have more than 200,000 matches: no honest SBOM does.
    """
    drafts: Drafts = {}
    comparisons = 0
    rows = _read(components)
    while batch := list(islice(rows, BATCH)):
        wanted: defaultdict[Package, set[_Subject]] = defaultdict(set)
        for row in batch:
            for package, subject in _subjects(*row):
                wanted[package].add(subject)
        comparisons = _compare(wanted, drafts, comparisons)
    return _finish(drafts)


def _read(components: Iterable[Component]) -> Iterator[tuple[str, str, str, str]]:
    """Yield (purl type, purl name, version, purl) of identified components; of a query only these columns."""
    if isinstance(components, QuerySet):
        columns = components.order_by().values_list("purl_type", "purl_name", "version", "purl")
        yield from columns.exclude(purl="").distinct().iterator(chunk_size=BATCH)
        return
    for each in components:
        if each.purl:
            yield each.purl_type, each.purl_name, each.version, each.purl


def _subjects(purl_type: str, purl_name: str, version: str, purl: str) -> Iterator[tuple[Package, _Subject]]:
    """Yield what to ask about a component: its package, and in some distributions the source that it was built from."""
    if purl_type not in DISTRIBUTION_TYPES:
        yield (purl_type, purl_name), _Subject(purl, version, Origin())
        return
    parsed = PackageURL.from_string(purl)
    origin = find_origin(parsed)
    epoch = parsed.qualifiers.get("epoch", "")
    dated = f"{epoch}:{version}" if epoch.isdecimal() and version and ":" not in version else version
    yield (purl_type, purl_name), _Subject(purl, dated, origin)
    source, _, source_version = parsed.qualifiers.get("upstream", "").partition("@")
    if source and purl_type in SOURCE_TYPES:
        yield (purl_type, source[:300]), _Subject(purl, source_version or dated, origin)


def _compare(wanted: dict[Package, set[_Subject]], drafts: Drafts, comparisons: int) -> int:
    """Compare packages with every advisory about them, and return how many comparisons were made in all."""
    names: defaultdict[str, list[str]] = defaultdict(list)
    for purl_type, purl_name in wanted:
        names[purl_type].append(purl_name)
    condition = Q(pk__in=())
    for purl_type, some in names.items():
        condition |= Q(purl_type=purl_type, purl_name__in=some)
    rows = AffectedPackage.objects.filter(condition, advisory__withdrawn=None).values_list(
        "purl_type", "purl_name", "ecosystem", "versions", "ranges", "advisory_id", "advisory__group"
    )
    for purl_type, purl_name, ecosystem, versions, ranges, advisory, group in rows.iterator(chunk_size=BATCH):
        subjects = wanted[purl_type, purl_name]
        comparisons += len(subjects)
        _expect_bounded(comparisons, MAX_COMPARISONS, "comparisons with advisories")
        for subject in subjects:
            meets = subject.origin.meets(ecosystem)
            judgement = judge(purl_type, subject.version, versions, ranges) if meets is not False else None
            if judgement is None or judgement.answer is Answer.CLEAR:
                continue
            draft = drafts.setdefault((subject.purl, group), _Draft(purl_type))
            _expect_bounded(len(drafts), MAX_MATCHES, "matches")
            _note(draft, advisory, judgement, told=meets is True)
    return comparisons


def _note(draft: _Draft, advisory: str, judgement: Judgement, *, told: bool) -> None:
    """Add what one advisory says about one package."""
    draft.ids.add(advisory)
    draft.fixed_in |= judgement.fixed_in
    draft.certain = draft.certain or (told and judgement.answer is Answer.AFFECTED)


def _finish(drafts: Drafts) -> list[Match]:
    """Return the matches with what all advisories of a vulnerability say, also those that do not match themselves."""
    severities: defaultdict[str, set[str]] = defaultdict(set)
    summaries: dict[str, str] = {}
    names = iter(sorted({group for _, group in drafts}))
    while batch := list(islice(names, BATCH)):
        said = Advisory.objects.filter(group__in=batch, withdrawn=None).order_by("pk")
        for group, severity, summary in said.values_list("group", "severity", "summary").iterator(chunk_size=BATCH):
            severities[group].add(severity)
            summaries[group] = summaries.get(group) or summary
    return [
        Match(
            purl=purl,
            vulnerability=group,
            advisory_ids=tuple(sorted(draft.ids)),
            severity=worst(severities[group]),
            summary=summaries.get(group, ""),
            fixed_in=tuple(order(draft.purl_type, draft.fixed_in)[:MAX_FIXES]),
            certain=draft.certain,
        )
        for (purl, group), draft in sorted(drafts.items(), key=lambda item: item[0])
    ]


def _expect_bounded(count: int, limit: int, what: str) -> None:
    """Raise Invalid when a hostile SBOM asks for more work than any honest one."""
    if count > limit:
        raise Invalid(Fault("components", f"more than {limit:,} {what}", f"at most {limit:,}"))
