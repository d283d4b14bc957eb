"""How exports look on pages: what was asked for, how far it is, and what came of it. Nothing is decided here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from django.conf import settings
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.urls import reverse

from audit import log
from audit.events import Event
from audit.exports.requests import BUNDLE, PERIOD
from audit.models import Entry, Export, ExportState
from audit.reports import BY_SLUG
from audit.reports.names import names_of
from audit.web.present import PAGE_SIZE, crumbs, exactly
from portal.templatetags.portal import stamp

LABELS = {"since": "From", "until": "Until"}


def exports(rows: QuerySet[Export], page_number: Any) -> dict[str, Any]:
    """Return one page of exports, newest first, with the names of those who asked."""
    page = Paginator(rows, PAGE_SIZE).get_page(page_number)
    cancelled = cancellations(page)
    names = names_of([*(each.requested_by for each in page), *(entry.actor for entry in cancelled.values())])
    shown = [
        {
            "export": each,
            "title": title_of(each),
            "by": names[each.requested_by],
            "cancelled": cancelled_by(cancelled.get(str(each.pk)), names),
        }
        for each in page
    ]
    return {"page": page, "exports": shown, "crumbs": crumbs(), "keep_days": settings.EXPORT_DAYS}


def export(found: Export) -> dict[str, Any]:
    """Return one export as work in progress, and what was asked for."""
    url, ended = reverse("audit:export", args=[found.pk]), cancellations([found]).get(str(found.pk))
    cancelled = cancelled_by(ended, names_of([ended.actor]) if ended else {})
    state = "cancelled" if cancelled else found.state
    work = {
        "id": found.pk,
        "label": title_of(found),
        "says": cancelled or says_of(found),
        "finished": found.state in (ExportState.DONE, ExportState.FAILED),
        "state": "ready" if found.state == ExportState.DONE else state,
        "url": url,
        "page_url": url,
        "done": found.progress,
        "total": 100 if found.progress else None,
    }
    is_removed = found.state == ExportState.DONE and not found.file
    way = crumbs(("Exports", reverse("audit:exports")))
    told = {"title": title_of(found), "is_removed": is_removed, "cancelled": cancelled}
    return {"export": found, "work": work, "facts": facts_of(found), "crumbs": way, **told}


def cancellations(found: Iterable[Export]) -> dict[str, Entry]:
    """Return the entries by which exports were cancelled, by the exports' identifiers, in one query."""
    entries = log.entries(kind=Event.EXPORT_CANCELLED).filter(subject_kind="export")
    return {entry.subject_id: entry for entry in entries.filter(subject_id__in=[str(each.pk) for each in found])}


def cancelled_by(entry: Entry | None, names: Mapping[str, str]) -> str:
    """Return who cancelled an export and when, in words; an empty text when nobody did."""
    return f"Cancelled by {names[entry.actor]} at {stamp(entry.occurred_at)}" if entry else ""


def title_of(found: Export) -> str:
    """Return what an export is, in words."""
    asked = found.parameters
    if found.kind == BUNDLE:
        return f"Evidence bundle of {asked['version']}"
    if found.kind == PERIOD:
        return f"Evidence bundle from {read(asked, 'since')} until {read(asked, 'until')}"
    title = f"{BY_SLUG[asked['report']].title} as {asked['format'].upper()}"
    return f"{title}, a sample of {asked['sample']['size']}" if "sample" in asked else title


def says_of(found: Export) -> str:
    """Return how far an export is, in words."""
    rows = found.parameters.get("rows")
    if found.state == ExportState.RUNNING:
        return f"{found.progress} %" + (f", about {rows * found.progress // 100:,} of {rows:,} rows" if rows else "")
    if found.state == ExportState.DONE and not found.file:
        return "Its file was removed when its time was over."
    return {ExportState.DONE: "It can be downloaded.", ExportState.FAILED: "There is no file."}.get(
        ExportState(found.state), "It waits for a worker."
    )


def facts_of(found: Export) -> list[dict[str, Any]]:
    """Return what was asked for, by whom, and what came of it."""
    by, drawn = names_of([found.requested_by])[found.requested_by], found.parameters.get("sample")
    facts: list[dict[str, Any]] = [
        {"label": "As of", "value": exactly(datetime.fromisoformat(found.parameters["as_of"]))},
        *(
            {"label": LABELS.get(name, name.capitalize()), "value": read(asked, name)}
            for asked in (period_of(found), found.parameters.get("filters", {}))
            for name in asked
        ),
        {"label": "Sample", "value": "{size} rows, seed {seed}".format(**drawn) if drawn else ""},
        {"label": "Requested by", "value": by},
        {"label": "Requested", "value": found.requested_at, "kind": "when"},
        {"label": "Finished", "value": found.finished_at, "kind": "when"},
        {"label": "File", "value": found.file, "kind": "mono"},
        {"label": "Size", "value": found.size, "kind": "bytes"},
        {"label": "sha256", "value": found.sha256, "kind": "digest"},
    ]
    return [fact for fact in facts if fact["value"] not in ("", None)]


def read(asked: dict[str, str], name: str) -> str:
    """Return a filter in words: an instant as pages print it, anything else as it is."""
    return stamp(datetime.fromisoformat(asked[name])) if name in LABELS else asked[name]


def period_of(found: Export) -> dict[str, str]:
    """Return the period of a bundle of one."""
    return {name: found.parameters[name] for name in ("since", "until") if name in found.parameters}
