"""What pages read about findings: one task for each vulnerability, in a fixed number of queries whatever the number.

A person sees the findings of versions they may see, and what challenges these versions from a version below.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db.models import Case, Count, IntegerField, Max, Min, Prefetch, Q, QuerySet, Value, When
from django.utils import timezone

from governance import challenges, doubts, standing
from governance.doubts import OpenChallenge
from governance.models import Challenge, Finding, TriageStatement
from governance.models.advisories import Severity
from governance.models.challenges import Cause
from governance.models.findings import Triage
from governance.permissions import visible
from governance.triage.statements import waiting
from registry.models import Asset, SbomComponent, State, User, Version

FOREVER = datetime.max.replace(tzinfo=timezone.get_default_timezone())
# Unknown stands below high, as the shipped policy counts it, and above what is known to be milder.
RANKS = {Severity.CRITICAL: 5, Severity.HIGH: 4, Severity.UNKNOWN: 3, Severity.MEDIUM: 2, Severity.LOW: 1}
SEVERITIES = {rank: severity for severity, rank in RANKS.items()}
STATES = {"open": "Open", "waiting": "Waits for an answer", "challenged": "Challenges versions", "answered": "Answered"}
MOST_PACKAGES = 50
MOST_DOUBTS = 20

Chosen = Mapping[str, Sequence[str]]


@dataclass
class Task:
    """One vulnerability as one person sees it, over all versions."""

    vulnerability: str
    severity: str
    versions: int
    in_force: int
    open: int
    due_at: datetime | None
    summary: str = ""
    packages: list[str] = field(default_factory=list)
    fixed_in: list[str] = field(default_factory=list)
    waiting: int = 0


def rank_of(name: str = "severity") -> Case:
    """Return the expression by which severities are ordered."""
    cases = [When(**{name: severity}, then=Value(rank)) for severity, rank in RANKS.items()]
    return Case(*cases, default=Value(0), output_field=IntegerField())


def is_open(at: datetime) -> Q:
    """Return the condition that somebody still has to do something about a finding; an acceptance ends by itself."""
    return Q(closed_at=None) & (Q(triage=Triage.OPEN) | Q(triage=Triage.ACCEPTED, accepted_until__lte=at))


def living(at: datetime) -> QuerySet[Any]:
    """Return the ids of the versions for which a decision is in force."""
    return standing.expiring(FOREVER, at=at).order_by().values("version_id")


def tasks(user: User, chosen: Chosen, text: str = "") -> list[Task]:
    """Return one task for each vulnerability that concerns a person, in three queries.

    Open ones come first, then the worst and most urgent. `chosen` are the filters by name: severity, state, team,
    asset. The text is searched in vulnerabilities, summaries, packages and names of assets.
    """
    # PostgreSQL takes no NUL, which an address may hold.
    words = text.replace("\x00", " ").split()[:8]
    found = {row["vulnerability"]: as_task(row) for row in grouped(user, chosen, words)}
    for row in challenging(user, chosen):
        name = row["finding__vulnerability"]
        if name in found:
            found[name].due_at = row["due"]
        elif all(word.casefold() in f"{name} {row['about']}".casefold() for word in words):
            severity = SEVERITIES.get(row["rank"], Severity.UNKNOWN)
            found[name] = Task(name, severity, versions=0, in_force=0, open=1, due_at=row["due"], summary=row["about"])
    waits = visible(user, waiting(), asset="finding__version__asset").order_by().values_list("finding__vulnerability")
    for name, count in waits.annotate(number=Count("pk")):
        if name in found:
            found[name].waiting = count
    return sorted((task for task in found.values() if is_wanted(task, chosen)), key=urgency)


def grouped(user: User, chosen: Chosen, words: Iterable[str]) -> QuerySet[Any]:
    """Return one row for each vulnerability that is found in versions a person may see, retired ones left out."""
    now = timezone.now()
    rows: QuerySet[Any] = Finding.objects.filter(closed_at=None).exclude(version__state=State.RETIRED)
    rows = in_places(visible(user, rows, asset="version__asset"), chosen)
    for word in words:
        rows = rows.filter(
            Q(vulnerability__icontains=word)
            | Q(summary__icontains=word)
            | Q(purl__icontains=word)
            | Q(advisory_ids__icontains=word)
            | Q(version__asset__slug__icontains=word)
        )
    return (
        rows.order_by()
        .values("vulnerability")
        .annotate(
            rank=Max(rank_of()),
            versions=Count("version", distinct=True),
            in_force=Count("version", distinct=True, filter=Q(version__in=living(now))),
            open=Count("pk", filter=is_open(now)),
        )
    )


def challenging(user: User, chosen: Chosen) -> QuerySet[Any]:
    """Return one row for each vulnerability that challenges a version a person may see, wherever it was found."""
    rows = visible(user, challenges.opened(timezone.now()), asset="version__asset").order_by()
    found = in_places(rows.filter(cause=Cause.FINDING), chosen).values("finding__vulnerability")
    return found.annotate(due=Min("due_at"), rank=Max(rank_of()), about=Max("finding__summary"))


def in_places(rows: QuerySet[Any], chosen: Chosen) -> QuerySet[Any]:
    """Return the rows about versions of the chosen teams and assets."""
    for name, path in {"team": "version__asset__team__slug", "asset": "version__asset__slug"}.items():
        if chosen.get(name):
            rows = rows.filter(**{f"{path}__in": [value for value in chosen[name] if "\x00" not in value]})
    return rows


def as_task(row: Mapping[str, Any]) -> Task:
    """Return a task with what is counted."""
    severity = SEVERITIES.get(row["rank"], Severity.UNKNOWN)
    return Task(row["vulnerability"], severity, row["versions"], row["in_force"], row["open"], due_at=None)


def is_wanted(task: Task, chosen: Chosen) -> bool:
    """Return whether a whole task matches the filters; several values of one filter widen it."""
    stands = {"open": task.open, "answered": not task.open, "challenged": task.due_at, "waiting": task.waiting}
    states = [value for value in chosen.get("state", ()) if value in stands]
    severities = [value for value in chosen.get("severity", ()) if value in Severity.values]
    return (not severities or task.severity in severities) and (not states or any(stands[value] for value in states))


def urgency(task: Task) -> tuple[Any, ...]:
    """Return the key that puts the most urgent task first."""
    severity = RANKS[Severity(task.severity)]
    return (not task.open, -severity, task.due_at or FOREVER, -task.in_force, -task.versions, task.vulnerability)


def describe(user: User, found: Iterable[Task]) -> list[Task]:
    """Fill in what some tasks are about, in one query for all: summary, packages, and the versions that fix them."""
    rows = {task.vulnerability: task for task in found}
    about: QuerySet[Any] = Finding.objects.filter(closed_at=None, vulnerability__in=rows).exclude(
        version__state=State.RETIRED
    )
    about = visible(user, about, asset="version__asset").order_by("vulnerability", "purl", "-pk")
    columns = ("vulnerability", "purl", "summary", "fixed_in")
    for name, purl, summary, fixed_in in about.distinct("vulnerability", "purl").values_list(*columns):
        task = rows[name]
        task.summary = task.summary or summary
        task.packages += [purl] if len(task.packages) < MOST_PACKAGES else []
        task.fixed_in += [each for each in fixed_in if each not in task.fixed_in]
    return list(rows.values())


def touched(user: User, vulnerability: str) -> QuerySet[Finding]:
    """Return the findings of one vulnerability in versions that a person may see, those in force first."""
    now = timezone.now()
    statements = TriageStatement.objects.select_related("stated_by", "evidence", "answer__answered_by")
    is_over = Q(version__state=State.RETIRED) | Q(closed_at__isnull=False)
    return (
        visible(user, Finding.objects.filter(vulnerability=vulnerability), asset="version__asset")
        .select_related("version__asset__team")
        .prefetch_related(Prefetch("statements", statements))
        .annotate(
            is_over=Case(When(is_over, then=Value(1)), default=Value(0)),
            lives=Case(When(version__in=living(now), then=Value(1)), default=Value(0)),
        )
        .order_by("is_over", "-lives", "version__asset__slug", "-version", "purl")
    )


def challenged(user: User, vulnerability: str) -> list[Challenge]:
    """Return the open challenges that one vulnerability brings about in versions a person may see, due first on top."""
    rows = challenges.opened(timezone.now()).filter(finding__vulnerability=vulnerability)
    seen = visible(user, rows, asset="version__asset")
    return list(seen.select_related("version__asset__team", "root__asset", "finding__version__asset"))


def places(found: Iterable[Finding]) -> dict[int, list[str]]:
    """Return where the newest SBOM names the component of each finding, by the finding's id, in one query."""
    rows = list(found)
    parts = SbomComponent.objects.filter(
        evidence__kind="sbom",
        evidence__version__in={row.version_id for row in rows},
        purl__in={row.purl for row in rows},
    )
    parts = parts.order_by("evidence__version", "purl", "-evidence__attached_at", "-evidence")
    newest = parts.distinct("evidence__version", "purl").values_list("evidence__version", "purl", "paths")
    paths = {(version, purl): list(paths) for version, purl, paths in newest}
    return {row.pk: paths.get((row.version_id, row.purl), []) for row in rows}


def standings(versions: Iterable[Version]) -> dict[int, list[standing.Standing]]:
    """Return how versions stand wherever they were ever approved, by their ids, one query an environment."""
    ids = {version.pk for version in versions}
    asked = Version.objects.filter(pk__in=ids)
    names = asked.filter(decisions__verdict="approved").order_by().values_list("decisions__environment", flat=True)
    found: defaultdict[int, list[standing.Standing]] = defaultdict(list)
    for (pk, _), answer in standing.of_all(ids, sorted(set(names))).items():
        if answer.allow or answer.decision_id:
            found[pk].append(answer)
    return found


def challenges_of(teams: Iterable[int]) -> list[dict[str, Any]]:
    """Return the vulnerabilities that challenge the versions of some teams, due first on top, in one query."""
    rows = challenges.opened(timezone.now()).filter(version__asset__team__in=list(teams)).order_by()
    rows = rows.filter(cause=Cause.FINDING)
    counted = rows.values("finding__vulnerability").annotate(
        due=Min("due_at"), versions=Count("version", distinct=True), rank=Max(rank_of("severity"))
    )
    return [
        {
            "vulnerability": row["finding__vulnerability"],
            "severity": SEVERITIES.get(row["rank"], Severity.UNKNOWN),
            "versions": row["versions"],
            "due": row["due"],
        }
        for row in counted.order_by("due", "-rank")
    ]


def doubts_of(teams: Iterable[int]) -> list[OpenChallenge]:
    """Return what became of bases and licences that challenges the versions of some teams, the first that are due."""
    rows = challenges.opened(timezone.now()).filter(version__asset__team__in=list(teams))
    rows = challenges.worded(rows.exclude(cause=Cause.FINDING)).select_related("version__asset", "root__asset")
    found = [doubts.of(row) for row in rows[:MOST_DOUBTS]]
    return list({(each.version, each.name): each for each in reversed(found)}.values())[::-1]


def teams_seen(user: User) -> list[tuple[str, str]]:
    """Return (slug, name) of the teams that own an asset which a person may see."""
    rows = visible(user, Asset.objects.all(), asset="").order_by("team__slug")
    return list(rows.values_list("team__slug", "team__name").distinct())


def tab(version: Version) -> list[Finding]:
    """Return all findings of a version with what was stated about them: still found, open and severe ones first."""
    now = timezone.now()
    statements = TriageStatement.objects.select_related("stated_by", "evidence", "answer__answered_by")
    rows = version.findings.prefetch_related(Prefetch("statements", statements))
    return sorted(
        rows,
        key=lambda row: (
            row.closed_at is not None,
            not row.is_open_at(now),
            -RANKS[Severity(row.severity)],
            row.vulnerability,
            row.purl,
        ),
    )
