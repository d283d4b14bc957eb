"""How the audit looks on pages: rows as cells, entries as sentences, exports as work. Nothing is decided here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import Any

from django.core.paginator import Page, Paginator
from django.db.models import QuerySet
from django.http import QueryDict
from django.urls import reverse

from audit import log, sealer
from audit.exports.requests import BUNDLE, DIRECT_ROWS
from audit.models import Checkpoint, Entry, Export, ExportState, ServingWindow
from audit.reports import BY_SLUG, REPORTS, Filters, Report, Row
from audit.reports.entries import tell
from audit.reports.judging import judge
from audit.reports.names import names_of
from audit.web.forms import ReportForm

PAGE_SIZE = 50
PREVIEW = 3
# The words of reports, each with the word of the design system whose tone and icon it has.
LIKE = {
    "governed": "yes",
    "counted": "yes",
    "in force": "yes",
    "partly governed": "unknown",
    "unsigned": "unknown",
    "ungoverned": "no",
    "unregistered": "no",
}


class BoundedPaginator(Paginator):
    """Pages of the first 10,000 rows of an answer; the exports have all of them."""

    @cached_property
    def count(self) -> int:
        """Return how many rows there are, 10,000 at most, so that counting stays cheap."""
        rows: Any = self.object_list
        return int(rows.order_by().values("pk")[:DIRECT_ROWS].count())

    @property
    def is_cut(self) -> bool:
        """Return whether there may be more rows than pages."""
        return self.count == DIRECT_ROWS


@dataclass(frozen=True)
class ShownCell:
    """One cell of a page: `kind` as in Column, `like` the word whose looks a word has."""

    label: str
    kind: str
    value: Any
    url: str = ""
    like: str = ""
    note: str = ""


def cells(report: Report, row: Row) -> list[ShownCell]:
    """Return the brief cells of a row, each with the note that follows it."""
    shown: list[ShownCell] = []
    for column, value in zip(report.columns, row, strict=True):
        if column.brief and column.kind == "note":
            shown[-1] = replace(shown[-1], note=str(value or ""))
        elif column.brief:
            like = LIKE.get(str(value), str(value))
            shown.append(ShownCell(column.title, column.kind, value, address_of(column.kind, value), like))
    return shown


def address_of(kind: str, value: Any) -> str:
    """Return the page that a cell leads to, if it leads anywhere."""
    if value and kind == "version":
        return reverse("registry:version", args=str(value).split("@", 1))
    return reverse("audit:entry", args=[value]) if value and kind == "entry" else ""


def tabs_of(current: str) -> list[dict[str, Any]]:
    """Return the reports as tabs."""
    return [
        {"label": report.title, "url": reverse("audit:report", args=[report.slug]), "current": report.slug == current}
        for report in REPORTS
    ]


def answer(report: Report, form: ReportForm, page_number: Any) -> dict[str, Any]:
    """Return one page of an answer, or nothing but the form while the form is wrong."""
    context: dict[str, Any] = {"report": report, "form": form, "tabs": tabs_of(report.slug), "crumbs": crumbs()}
    if not form.is_valid():
        return context
    filters, as_of = form.filters(), form.at
    page: Page[Any] = BoundedPaginator(report.select(filters, as_of), PAGE_SIZE).get_page(page_number)
    shown = [cells(report, row) for row in report.tell(list(page.object_list), as_of)]
    return {**context, "page": page, "rows": shown, "as_of": as_of, "asked": asked(filters, as_of)}


def asked(filters: Filters, as_of: datetime) -> dict[str, str]:
    """Return a question as form fields, so that an export answers exactly what the page shows."""
    return {**filters.as_parameters(), "as_of": as_of.isoformat()}


def crumbs(*more: tuple[str, str]) -> list[dict[str, str]]:
    """Return the way to a page of the audit."""
    way = [("Audit", reverse("audit:front")), *more]
    return [{"label": label, "url": url} for label, url in way]


def preview(report: Report, as_of: datetime) -> dict[str, Any]:
    """Return the newest lines of an answer."""
    found = list(report.select(Filters(), as_of)[: PREVIEW + 1])
    lines = [{"at": row[0], "says": report.say(row)} for row in report.tell(found[:PREVIEW], as_of)]
    url = f"{reverse('audit:report', args=[report.slug])}?{query(asked(Filters(), as_of))}"
    return {"report": report, "lines": lines, "more": len(found) > PREVIEW, "url": url}


def query(parameters: dict[str, str]) -> str:
    """Return parameters as a query string."""
    made = QueryDict(mutable=True)
    made.update(parameters)
    return made.urlencode()


def front(as_of: datetime) -> dict[str, Any]:
    """Return the answers in short as of an instant, and the newest checkpoint."""
    previews = {slug: preview(BY_SLUG[slug], as_of) for slug in ("approvals", "checks", "waivers")}
    return {**previews, "as_of": as_of, "asked": asked(Filters(), as_of), "checkpoint": Checkpoint.objects.first()}


def head() -> dict[str, Any]:
    """Return how the ledger is: its newest checkpoint and what waits to be sealed."""
    return {"checkpoint": Checkpoint.objects.first(), "waiting": log.unsealed()}


def lines(entries: Iterable[Entry]) -> list[dict[str, Any]]:
    """Return entries as sentences with the names of those who acted."""
    return [
        {
            "at": told.entry.occurred_at,
            "says": told.says,
            "kind": told.entry.kind,
            "state": "sealed" if hasattr(told.entry, "leaf") else "pending",
            "url": reverse("audit:entry", args=[told.entry.event_id]),
        }
        for told in tell(entries)
    ]


def ledger_page(found: QuerySet[Entry], parameters: QueryDict) -> dict[str, Any]:
    """Return the entries before or after a place in the ledger, newest first, and the ways on from there.

    Places are the keys of entries, so a page costs the same however far back it is.
    """
    place = {name: int(text) for name in ("before", "after") if (text := parameters.get(name, "")).isdigit()}
    if "after" in place:
        near = list(found.filter(pk__gt=place["after"]).order_by("pk")[: PAGE_SIZE + 1])
        shown, is_newest, is_oldest = near[:PAGE_SIZE][::-1], len(near) <= PAGE_SIZE, False
    else:
        near = list((found.filter(pk__lt=place["before"]) if place else found)[: PAGE_SIZE + 1])
        shown, is_newest, is_oldest = near[:PAGE_SIZE], not place, len(near) <= PAGE_SIZE
    ways = {
        "newer_url": "" if is_newest or not shown else way(parameters, after=shown[0].pk),
        "older_url": "" if is_oldest or not shown else way(parameters, before=shown[-1].pk),
    }
    return {"lines": lines(shown), **ways}


def way(parameters: QueryDict, **place: int) -> str:
    """Return the address of the same question from another place on."""
    kept = {name: str(value) for name, value in parameters.items() if name not in {"before", "after"}}
    return f"?{query({**kept, **{name: str(key) for name, key in place.items()}})}"


def entry(found: Entry) -> dict[str, Any]:
    """Return everything about one entry."""
    _, actor, subject, says = tell([found])[0]
    leaf, document = getattr(found, "leaf", None), found.document
    facts = [
        {"label": "Event", "value": found.kind, "kind": "mono"},
        {"label": "By", "value": f"{actor} ({found.actor})"},
        {"label": "About", "value": f"{subject} ({found.subject_kind} {found.subject_id})"},
        {"label": "Digest", "value": document["subject"]["digest"], "kind": "digest"},
        {"label": "Happened", "value": document["occurredAt"], "kind": "mono"},
        {"label": "Recorded", "value": found.recorded_at.isoformat(), "kind": "mono"},
        {"label": "Event id", "value": str(found.event_id), "kind": "mono"},
        {"label": "Request", "value": document.get("requestId", ""), "kind": "mono"},
        {"label": "Place in the ledger", "value": leaf.leaf_index if leaf else "", "kind": "mono"},
        {"label": "Leaf hash", "value": bytes(found.leaf_hash).hex(), "kind": "digest"},
    ]
    return {
        "entry": found,
        "says": says,
        "facts": [fact for fact in facts if fact["value"] != ""],
        "rows": document["rows"],
        "state": "sealed" if leaf else "pending",
        "size": len(bytes(found.body)),
        "crumbs": crumbs(("Ledger", reverse("audit:ledger"))),
    }


def windows(found: Sequence[ServingWindow]) -> list[dict[str, Any]]:
    """Return serving windows with the judgement on each."""
    return [
        {"window": window, "judged": judged, "like": LIKE[judged.verdict], "url": address_of("version", judged.version)}
        for window, judged in zip(found, judge(found), strict=True)
    ]


def exports(rows: QuerySet[Export], page_number: Any) -> dict[str, Any]:
    """Return one page of exports, newest first, with the names of those who asked."""
    page = Paginator(rows, PAGE_SIZE).get_page(page_number)
    names = names_of(export.requested_by for export in page)
    shown = [{"export": export, "title": title_of(export), "by": names[export.requested_by]} for export in page]
    return {"page": page, "exports": shown, "crumbs": crumbs()}


def export(found: Export) -> dict[str, Any]:
    """Return one export as work in progress, and what was asked for."""
    url = reverse("audit:export", args=[found.pk])
    work = {
        "id": found.pk,
        "label": title_of(found),
        "says": says_of(found),
        "finished": found.state in (ExportState.DONE, ExportState.FAILED),
        "state": "ready" if found.state == ExportState.DONE else found.state,
        "url": url,
        "page_url": url,
        "done": found.progress,
        "total": 100 if found.progress else None,
    }
    way = crumbs(("Exports", reverse("audit:exports")))
    return {"export": found, "work": work, "facts": facts_of(found), "crumbs": way, "title": title_of(found)}


def title_of(found: Export) -> str:
    """Return what an export is, in words."""
    if found.kind == BUNDLE:
        return f"Evidence bundle of {found.parameters['version']}"
    return f"{BY_SLUG[found.parameters['report']].title} as {found.parameters['format'].upper()}"


def says_of(found: Export) -> str:
    """Return how far an export is, in words."""
    if found.state == ExportState.RUNNING:
        return f"{found.progress} %"
    return {ExportState.DONE: "It can be downloaded.", ExportState.FAILED: "It could not be built."}.get(
        ExportState(found.state), "It waits for a worker."
    )


def facts_of(found: Export) -> list[dict[str, Any]]:
    """Return what was asked for, by whom, and what came of it."""
    by = names_of([found.requested_by])[found.requested_by]
    facts = [
        {"label": "As of", "value": found.parameters["as_of"], "kind": "mono"},
        *(
            {"label": name.replace("_", " ").capitalize(), "value": value}
            for name, value in found.parameters.get("filters", {}).items()
        ),
        {"label": "Requested by", "value": by},
        {"label": "Requested", "value": found.requested_at, "kind": "when"},
        {"label": "Finished", "value": found.finished_at, "kind": "when"},
        {"label": "File", "value": found.file, "kind": "mono"},
        {"label": "Size", "value": found.size, "kind": "bytes"},
        {"label": "sha256", "value": found.sha256, "kind": "digest"},
    ]
    return [fact for fact in facts if fact["value"] not in ("", None)]


def keys() -> list[str]:
    """Return the ledger's verifier keys."""
    return [key.vkey for key in sealer.ledger_keys()]
