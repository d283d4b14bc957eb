"""The evidence bundle of a period: everything that was decided, checked, tolerated, moved and served in it, as one zip.

It holds the whole stretch of the ledger from the first to the last entry of the period, so whoever has it sees that
nothing between them was left out. Its layout is that of the bundle of a version, in `package`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from django.conf import settings
from django.db.models import Max, Min, Q

from audit import seal, sealer
from audit.exports import keys, package, proofs, tables, verify
from audit.exports.archive import Archive
from audit.models import Leaf, ServingBatch, ServingConflict
from audit.reports import REPORTS, Filters, Report
from audit.reports.asking import Question
from audit.rows import stored
from governance.models import (
    Challenge,
    ChallengeEnd,
    CheckRun,
    ConsumerGrant,
    Decision,
    Delegation,
    Handover,
    Obligation,
    ObligationEnd,
    Policy,
    Promotion,
    Reliance,
    Review,
    ReviewWithdrawal,
    Signature,
    Submission,
    Transition,
    TriageAnswer,
    Waiver,
)
from portal.errors import Refused
from registry.models import Evidence, Membership, Seat, Team

# What is in the bundle row by row. Accounts, tokens and drafts stay out: their entries name them by hash alone.
MODELS: tuple[Any, ...] = (
    Evidence,
    CheckRun,
    Review,
    ReviewWithdrawal,
    Obligation,
    ObligationEnd,
    Decision,
    Signature,
    Reliance,
    Transition,
    Promotion,
    ConsumerGrant,
    Challenge,
    ChallengeEnd,
    TriageAnswer,
    Handover,
    Policy,
    ServingBatch,
    ServingConflict,
    Waiver.history.model,
    Submission.history.model,
    Delegation.history.model,
    Seat.history.model,
    Membership.history.model,
    Team.history.model,
)
MOST_ENTRIES = 100_000
TOGETHER = 2_000
NAMES = {slug: name for name, slug in package.TABLES.items()}
README = Path(__file__).with_name("readme_period.txt")

Tick = Callable[[float], None]


class Stretch(NamedTuple):
    """The leaves `first` <= index < `end`."""

    first: int
    end: int


def write(archive: Archive, since: datetime, until: datetime, as_of: datetime, tick: Tick) -> dict[str, Any]:
    """Write the bundle of [since, until) as of an instant, and return what the ledger says about it.

    Raises Refused with code `too-long` when the period has more than 100,000 entries.
    """
    sealed = proofs.sealed()
    stretch = stretch_of(since, until, sealed.checkpoint.size)
    write_entries(archive, stretch, sealed, tick)
    archive.add("ledger/checkpoint", sealed.checkpoint.note)
    package.write_policies(archive, judged_in(since, until))
    made = Decision.objects.filter(made_at__gte=since, made_at__lt=until)
    package.write_decisions(archive, made, as_of)
    keys.write(archive)
    told = [report for report in REPORTS if {"since", "until"} <= set(report.filters)]
    for number, report in enumerate(told):
        write_table(archive, report, Filters(since=since, until=until), as_of)
        tick(0.6 + 0.4 * number / len(told))
    archive.add("verify.py", Path(verify.__file__).read_bytes())
    archive.add("README.txt", readme(since, until, as_of))
    facts = {"since": seal.instant(since), "until": seal.instant(until), "as_of": seal.instant(as_of)}
    entries = {"first": stretch.first, "end": stretch.end}
    about = {"portal": settings.PORTAL_URL, "ledger": settings.LEDGER_ORIGIN}
    manifest = archive.close(kind="period", **facts, entries=entries, **about)
    period = {"since": facts["since"], "until": facts["until"]}
    return {**period, "manifest": manifest, "entries": stretch.end - stretch.first}


def stretch_of(since: datetime, until: datetime, size: int) -> Stretch:
    """Return the leaves from the first to the last sealed entry that occurred in a period.

    Entries are sealed in nearly the order in which they occurred, so a few of them may have occurred just outside.
    """
    inside = Leaf.objects.filter(entry__occurred_at__gte=since, entry__occurred_at__lt=until, leaf_index__lt=size)
    found = inside.aggregate(first=Min("leaf_index"), last=Max("leaf_index"))
    if found["first"] is None:
        return Stretch(0, 0)
    stretch = Stretch(found["first"], found["last"] + 1)
    if stretch.end - stretch.first > MOST_ENTRIES:
        raise Refused(
            "too-long",
            f"This period has {stretch.end - stretch.first:,} entries, and a bundle holds {MOST_ENTRIES:,} at most. "
            "Ask for shorter periods one after the other; together they leave no gap.",
        )
    return stretch


def write_entries(archive: Archive, stretch: Stretch, sealed: proofs.Sealed, tick: Tick) -> None:
    """Write every entry of a stretch with its proof, and the rows of the record that were written under them."""
    leaves = Leaf.objects.filter(leaf_index__gte=stretch.first, leaf_index__lt=stretch.end)
    found = leaves.select_related("entry").order_by("leaf_index").iterator(chunk_size=TOGETHER)
    while part := [leaf.entry for leaf in islice(found, TOGETHER)]:
        for entry in part:
            proofs.write_entry(archive, entry, sealed)
        write_rows(archive, [entry.event_id for entry in part])
        tick(0.6 * (part[-1].leaf.leaf_index + 1 - stretch.first) / (stretch.end - stretch.first))


def write_rows(archive: Archive, events: list[Any]) -> None:
    """Write the canonical form of the rows that were written under some events."""
    for model in MODELS:
        for key, body in stored(model, recorded_in__in=events):
            archive.add(f"ledger/rows/{model._meta.db_table}/{key}.json", body)


def judged_in(since: datetime, until: datetime) -> Q:
    """Return which policies the decisions, verdicts and checks of a period were made under."""
    decided = Decision.objects.filter(made_at__gte=since, made_at__lt=until).values("submission")
    reviewed = Review.objects.filter(given_at__gte=since, given_at__lt=until).values("submission")
    checked = CheckRun.objects.filter(ended_at__gte=since, ended_at__lt=until).values("policy")
    return Q(submissions__in=decided) | Q(submissions__in=reviewed) | Q(pk__in=checked)


def write_table(archive: Archive, report: Report, filters: Filters, as_of: datetime) -> None:
    """Write a report about the period alone."""
    question = Question(report, filters, as_of)
    with archive.open(NAMES.get(report.slug, f"{report.slug}.csv")) as stream:
        tables.write_csv(stream, question.columns, question.rows())


def readme(since: datetime, until: datetime, as_of: datetime) -> str:
    """Return the page that explains the bundle."""
    return README.read_text(encoding="utf-8").format(
        since=seal.instant(since),
        until=seal.instant(until),
        as_of=seal.instant(as_of),
        portal=settings.PORTAL_URL,
        fingerprint=seal.decision_key().fingerprint,
        vkeys="\n".join(f"  {key.vkey}" for key in sealer.ledger_keys()),
    )
