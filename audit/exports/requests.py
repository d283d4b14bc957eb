"""Asking for an export: who asks for what, as of when. Every request is an entry of the ledger.

One rule says when it comes. A table of up to 10,000 rows is built while one waits, a PDF of up to 500; longer ones and
evidence bundles are built in the background.
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any

from django.utils import timezone

from audit import log, seal
from audit.events import Event
from audit.exports import pdf
from audit.exports.tables import FORMATS
from audit.models import Export
from audit.reports import BY_SLUG, Filters, Report
from audit.reports.asking import Question, Sample
from portal.errors import Fault, Invalid, show
from portal.jobs import Job, ring
from registry.models import User, Version

DIRECT_ROWS = 10_000
DIRECT = {"csv": DIRECT_ROWS, "xlsx": DIRECT_ROWS, "pdf": 500}
BUNDLE = "bundle"
PERIOD = "period"
BUNDLES = (BUNDLE, PERIOD)


def request_table(
    report: Report,
    form: str,
    *,
    actor: User,
    filters: Filters | None = None,
    as_of: datetime | None = None,
    sample: Sample | None = None,
) -> Export:
    """Ask for a report as a file of a form, as of an instant that has passed, by default now; see `request_answer`."""
    return request_answer(Question(report, filters or Filters(), as_of or timezone.now(), sample), form, actor=actor)


def request_answer(question: Question, form: str, *, actor: User, rings: bool = True) -> Export:
    """Ask for the answer to a question as a file of a form: csv, xlsx or pdf; see `request` about `rings`.

    Raises Invalid for an unknown form, Refused with code `too-long` for a PDF that nobody could read.
    """
    if form not in FORMATS:
        raise Invalid(Fault("format", show(form), f"one of {', '.join(FORMATS)}"))
    if form == "pdf" and question.size(pdf.MOST_ROWS + 1) > pdf.MOST_ROWS:
        raise pdf.too_long()
    told: dict[str, Any] = {
        "report": question.report.slug,
        "format": form,
        "filters": question.filters.as_parameters(),
    }
    if question.sample is not None:
        told |= {"sample": asdict(question.sample)}
    return request(f"{question.report.slug}.{form}", told, actor=actor, as_of=question.as_of, rings=rings)


def request_bundle(version: Version, *, actor: User, as_of: datetime | None = None) -> Export:
    """Ask for the evidence bundle of a version as of an instant that has passed, by default now."""
    return request(BUNDLE, {"version": version.label}, actor=actor, as_of=as_of)


def request_period(since: datetime, until: datetime, *, actor: User, as_of: datetime | None = None) -> Export:
    """Ask for the evidence bundle of [since, until), as of an instant that has passed, by default now.

    Raises Invalid for a period that ends before it begins, or after the instant.
    """
    at = as_of or timezone.now()
    if since >= until:
        raise Invalid(Fault("until", seal.instant(until), f"an instant after {seal.instant(since)}"))
    if until > at:
        raise Invalid(Fault("until", seal.instant(until), f"an instant that has passed by {seal.instant(at)}"))
    return request(PERIOD, {"since": seal.instant(since), "until": seal.instant(until)}, actor=actor, as_of=at)


def request_again(export: Export, *, actor: User) -> Export:
    """Ask for the same as of the same instant once more, after a file was removed or could not be built."""
    told = {name: value for name, value in export.parameters.items() if name not in {"as_of", "rows"}}
    return request(export.kind, told, actor=actor, as_of=as_of(export))


def request(
    kind: str, parameters: dict[str, Any], *, actor: User, as_of: datetime | None, rings: bool = True
) -> Export:
    """Write down that somebody asks for an export, and ring for a worker unless the caller builds it at once.

    The ring only saves time: the clock has workers look for exports that nobody builds, whether or not anybody rang.
    """
    now = timezone.now()
    as_of = as_of or now
    if as_of > now:
        raise Invalid(Fault("as_of", seal.instant(as_of), "an instant that has passed"))
    told = {**parameters, "as_of": seal.instant(as_of)}
    export = Export(kind=kind, parameters=told, requested_by=actor.ledger_name, requested_at=now)
    with log.record(Event.EXPORT_REQUESTED, actor=actor, subject=export, parameters=told):
        actor.require("report.export")
        export.save()
        if rings:
            ring(Job.BUILD_EXPORTS)
    return export


def is_small(question: Question, form: str) -> bool:
    """Return whether the answer to a question is a file that is built while one waits."""
    most = DIRECT.get(form, 0)
    return question.size(most + 1) <= most


def question_of(export: Export) -> Question:
    """Return the question that a table was requested for."""
    asked = export.parameters
    sample = Sample(**asked["sample"]) if "sample" in asked else None
    return Question(BY_SLUG[asked["report"]], Filters.from_parameters(asked["filters"]), as_of(export), sample)


def as_of(export: Export) -> datetime:
    """Return the instant whose answer was requested."""
    return datetime.fromisoformat(export.parameters["as_of"])
