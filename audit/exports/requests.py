"""Asking for an export: who asks for what, as of when. Every request is an entry of the ledger.

One rule says when it comes. A table of up to 10,000 rows is built while one waits; longer tables and evidence bundles
are built in the background.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.utils import timezone

from audit import log, seal
from audit.events import Event
from audit.exports.tables import FORMATS
from audit.models import Export
from audit.reports import BY_SLUG, Filters, Report
from portal.errors import Fault, Invalid, show
from portal.jobs import Job, ring
from registry.models import User, Version

DIRECT_ROWS = 10_000
BUNDLE = "bundle"


def request_table(
    report: Report, form: str, *, actor: User, filters: Filters | None = None, as_of: datetime | None = None
) -> Export:
    """Ask for a report as a file of a form, `csv` or `xlsx`, as of an instant that has passed, by default now."""
    if form not in FORMATS:
        raise Invalid(Fault("format", show(form), f"one of {', '.join(FORMATS)}"))
    told = {"report": report.slug, "format": form, "filters": (filters or Filters()).as_parameters()}
    return request(f"{report.slug}.{form}", told, actor=actor, as_of=as_of)


def request_bundle(version: Version, *, actor: User, as_of: datetime | None = None) -> Export:
    """Ask for the evidence bundle of a version as of an instant that has passed, by default now."""
    return request(BUNDLE, {"version": version.label}, actor=actor, as_of=as_of)


def request(kind: str, parameters: dict[str, Any], *, actor: User, as_of: datetime | None) -> Export:
    """Write down that somebody asks for an export, and ring for a worker."""
    now = timezone.now()
    as_of = as_of or now
    if as_of > now:
        raise Invalid(Fault("as_of", seal.instant(as_of), "an instant that has passed"))
    told = {**parameters, "as_of": seal.instant(as_of)}
    export = Export(kind=kind, parameters=told, requested_by=actor.ledger_name, requested_at=now)
    with log.record(Event.EXPORT_REQUESTED, actor=actor, subject=export, parameters=told):
        actor.require("report.export")
        export.save()
        ring(Job.BUILD_EXPORTS)
    return export


def is_small(export: Export) -> bool:
    """Return whether an export is a table that is built while one waits."""
    if export.kind == BUNDLE:
        return False
    report, filters, as_of = question_of(export)
    found = report.select(filters, as_of).order_by().values("pk")
    return found[: DIRECT_ROWS + 1].count() <= DIRECT_ROWS


def question_of(export: Export) -> tuple[Report, Filters, datetime]:
    """Return the report, the filters and the instant that a table was requested for."""
    asked = export.parameters
    return BY_SLUG[asked["report"]], Filters.from_parameters(asked["filters"]), as_of(export)


def as_of(export: Export) -> datetime:
    """Return the instant whose answer was requested."""
    return datetime.fromisoformat(export.parameters["as_of"])
