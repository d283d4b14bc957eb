"""What the rules of hygiene will do to versions until an instant: moves with their reasons, warnings and waivers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Min, QuerySet
from django.urls import reverse
from django.utils.dateparse import parse_datetime

from governance import waivers
from governance.hygiene import dates, ownership
from governance.hygiene.addressees import addressees
from governance.hygiene.dates import STALE, SUNSET, UNOWNED, VULNERABLE
from governance.hygiene.rules import Rules, governing
from governance.models import Notice, Waiver
from registry.models import State, User, Version

# What happens without any move of hygiene, in a few words.
HAPPENS = {
    "decision": "loses a decision",
    "waiver": "loses a waiver",
    "submission": "loses a submission that nobody answers",
    "obligation": "has a condition due",
    "challenge": "may no longer serve",
}
# No move comes sooner after its last warning than this.
PAUSE = timedelta(days=1)


@dataclass(frozen=True)
class WarningDay:
    """One warning before a move: how many days before, when it is due, and when it was written, if it was."""

    days: int
    at: datetime
    written: datetime | None


@dataclass(frozen=True)
class Foreseen:
    """One thing that will happen to a version by itself. `target` is the state it moves to, empty where none changes.

    `due` is the date of the rule and its waivers; `at` is later where the last warning is not a day old by then.
    `sunset_in` is how long a version that is deprecated will still serve.
    """

    version: Version
    what: str
    at: datetime
    why: str
    told: tuple[User | str, ...] = ()
    target: str = ""
    due: datetime | None = None
    warnings: tuple[WarningDay, ...] = ()
    waiver: Waiver | None = None
    sunset_in: timedelta | None = None

    @property
    def words(self) -> str:
        """Return what happens in a few words, as a predicate of the version."""
        return f"is {self.target}" if self.due else HAPPENS[self.what]

    @property
    def postpone_url(self) -> str:
        """Return the page where a waiver is requested that postpones a move, or nothing where none does."""
        address = reverse("governance:waiver-request", args=[self.version.asset.slug, self.version.number])
        return f"{address}?environment={waivers.HYGIENE}&rule={self.what}" if self.due else ""

    @property
    def is_late(self) -> bool:
        """Return whether the move waits for a warning that was not written in time."""
        return self.due is not None and self.at > self.due


def coming(
    rows: QuerySet[Version] | None = None, *, at: datetime, until: datetime, at_most: int | None = None
) -> list[Foreseen]:
    """Return the moves that the clock makes until an instant, the first on top; what is overdue comes with its date.

    `rows` are the versions to look at, by default all. The number of queries does not depend on how many there are.
    `at_most` bounds how many of one rule are read, the first of each.
    """
    versions = (Version.objects.all() if rows is None else rows).select_related(
        "asset__team", "asset__owner", "asset__backup_owner"
    )
    named = [each for rules in governing() for each in name(versions, rules, at, until, at_most)]
    told = addressees(row.asset for _, row, _ in named)
    written = read_warnings(named)
    postponed = waivers.postponements([row for _, row, _ in named], at)
    found = [
        foresee(what, row, rules, at, told[row.asset_id], written, postponed.get((row.pk, what)))
        for what, row, rules in named
    ]
    return sorted((each for each in found if each.at <= until), key=lambda each: (each.at, each.version.pk))


def name(
    rows: QuerySet[Version], rules: Rules, at: datetime, until: datetime, at_most: int | None
) -> Iterator[tuple[str, Any, Rules]]:
    """Yield each rule with a version that it names, annotated with its dates."""
    for what, named in (
        (STALE, dates.stale(rows, rules, until)),
        (VULNERABLE, dates.vulnerable(rows, rules, at, until)),
        (SUNSET, dates.sunset(rows, rules, until)),
    ):
        yield from ((what, row, rules) for row in named[:at_most])
    yield from ((UNOWNED, row, rules) for row in ownership.unowned(rows, rules, at, until)[:at_most])


def foresee(
    what: str,
    row: Any,
    rules: Rules,
    at: datetime,
    told: tuple[User | str, ...],
    written: Mapping[str, datetime],
    waiver: Waiver | None,
) -> Foreseen:
    """Return one move as it is foreseen at an instant."""
    warnings = tuple(
        WarningDay(days, row.moves - timedelta(days=days), written.get(cause(row, what, row.moves, days)))
        for days in rules.warn_days
    )
    is_spared = what == UNOWNED and (row.state == State.APPROVED or row.may_serve)
    return Foreseen(
        version=row,
        what=what,
        at=moves_at(row.moves, at, warnings) if told else row.moves,
        why=SENTENCES[what](row, rules),
        told=told,
        target=State.DEPRECATED if is_spared else State.RETIRED,
        due=row.moves,
        warnings=warnings,
        waiver=waiver,
        sunset_in=rules.notice if is_spared else None,
    )


def moves_at(due: datetime, at: datetime, warnings: Iterable[WarningDay]) -> datetime:
    """Return when a move happens: on its date, and not before the last warning is a day old."""
    last = min(warnings, key=lambda warning: warning.days, default=None)
    if last is None:
        return due
    return max(due, (last.written or max(at, last.at)) + PAUSE)


def cause(version: Version, what: str, due: datetime, days: int | str) -> str:
    """Return the stable text under which a warning is written once for each date that it warns of."""
    return f"hygiene:{version.pk}:{what}:{due:%Y-%m-%dT%H:%M:%S}:{days}"


def read_warnings(named: Iterable[tuple[str, Any, Rules]]) -> dict[str, datetime]:
    """Return when each warning of some moves was written, by its cause, in one query."""
    causes = [cause(row, what, row.moves, days) for what, row, rules in named for days in rules.warn_days]
    rows = Notice.objects.filter(cause__in=causes).order_by().values_list("cause")
    return dict(rows.annotate(written=Min("made_at")))


def say_stale(row: Any, rules: Rules) -> str:
    """Return why a version is stale."""
    return (
        f"Nothing was served, evaluated, asked for or decided since {row.fact:%Y-%m-%d}; {rules.policy} retires "
        f"what is still for {rules.content['stale_days']} days (hygiene.stale_days)."
    )


def say_vulnerable(row: Any, rules: Rules) -> str:
    """Return why a version is not to be kept."""
    due = parse_datetime(row.fact["due"])
    return (
        f"{row.fact['vulnerability']} ({row.fact['severity']}) was due on {due:%Y-%m-%d} and is open; {rules.policy} "
        f"retires {rules.content['vulnerable_grace_days']} days after that (hygiene.vulnerable_grace_days)."
    )


def say_unowned(row: Any, rules: Rules) -> str:
    """Return why a version that nobody answers for is not to be kept."""
    return (
        f"{row.asset.slug} has had no active owner or backup since {row.fact:%Y-%m-%d}; {rules.policy} allows "
        f"{rules.content['unowned_grace_days']} days (hygiene.unowned_grace_days)."
    )


def say_sunset(row: Any, rules: Rules) -> str:
    """Return which sunset was announced."""
    return f"Its sunset was announced for {row.fact:%Y-%m-%d %H:%M} UTC."


SENTENCES = {STALE: say_stale, VULNERABLE: say_vulnerable, UNOWNED: say_unowned, SUNSET: say_sunset}
