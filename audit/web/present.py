"""How the audit looks on pages: rows as cells, entries as sentences, exports as work. Nothing is decided here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, cast

from django.core.paginator import Page, Paginator
from django.db.models import QuerySet
from django.http import QueryDict
from django.urls import reverse

from audit import copies, log, seal, sealer, verifications
from audit.exports.requests import DIRECT_ROWS
from audit.models import Checkpoint, Entry, ServingWindow, Verification
from audit.reports import BY_SLUG, REPORTS, Filters, Report, Row
from audit.reports.asking import Question
from audit.reports.base import Found, count
from audit.reports.entries import tell
from audit.reports.judging import judge
from audit.reports.names import accounts_in
from audit.web.forms import ReportForm
from portal.errors import Invalid

PAGE_SIZE = 50
RECIPE = """import csv, hashlib
rows = csv.DictReader(open("all-rows.csv", encoding="utf-8", newline=""))
rank = lambda row: hashlib.sha256(({seed!r} + row["Row"]).encode()).digest()
print(*sorted(rows, key=rank)[:{size}], sep="\\n")"""
PREVIEW = 3
# The words of reports, each with the word of the design system whose tone and icon it has.
LIKE = {
    "governed": "yes",
    "counted": "yes",
    "in force": "yes",
    "partly governed": "unknown",
    "unsigned": "unknown",
    "ungoverned": "no",
    "retired": "no",
    "unknown": "no",
    "gap": "unknown",
    "sound": "passed",
    "contradicted": "failed",
    "built": "ready",
    "unfinished": "unknown",
}


class BoundedPaginator(Paginator):
    """Pages of the first 10,000 rows of an answer; the exports have all of them."""

    @cached_property
    def count(self) -> int:
        """Return how many rows there are, 10,000 at most, so that counting stays cheap."""
        return count(cast(Found, self.object_list), DIRECT_ROWS)

    @property
    def is_cut(self) -> bool:
        """Return whether there may be more rows than pages."""
        return self.count == DIRECT_ROWS


@dataclass(frozen=True)
class ShownCell:
    """One cell of a page: `kind` as in Column, `like` the word whose looks it has, `title` the report's own word."""

    label: str
    kind: str
    value: Any
    url: str = ""
    like: str = ""
    note: str = ""
    title: str = ""


def shown_rows(report: Report, rows: Sequence[Row]) -> list[list[ShownCell]]:
    """Return rows as cells, with the names behind all their accounts looked up at once."""
    names = accounts_in(report.columns, rows)
    return [cells(report, row, names) for row in rows]


def cells(report: Report, row: Row, names: Mapping[str, str]) -> list[ShownCell]:
    """Return the brief cells of a row, each with the note that follows it; the note of a name is its account."""
    shown: list[ShownCell] = []
    for column, value in zip(report.columns, row, strict=True):
        if column.brief and column.kind == "note":
            shown[-1] = replace(shown[-1], note=str(value or ""))
        elif column.brief:
            like = LIKE.get(str(value), str(value))
            url, title = address_of(column.kind, value), report.titles.get(str(value), "")
            name = names.get(str(value), value) if column.kind == "account" else value
            note = str(value) if name != value else ""
            shown.append(ShownCell(column.title, column.kind, name, url, like, note, title))
    return shown


def address_of(kind: str, value: Any) -> str:
    """Return the page that a cell leads to, if it leads anywhere."""
    if value and kind == "version":
        return reverse("registry:version", args=str(value).split("@", 1))
    if value and kind == "asset":
        return reverse("registry:asset", args=[value])
    if value and kind == "link":
        return str(value)
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
    question = form.question()
    filters, as_of = question.filters, question.as_of
    asked = question.as_parameters()
    context |= {"as_of": as_of, "asked": asked, "same_url": f"?{query(asked)}"}
    context["picture"] = report.picture(filters, as_of)
    if question.sample is not None:
        return {**context, **sampled(question, page_number)}
    page: Page[Any] = BoundedPaginator(question.selected(), PAGE_SIZE).get_page(page_number)
    return {**context, "page": page, "rows": shown_rows(report, list(report.tell(list(page.object_list), as_of)))}


def sampled(question: Question, page_number: Any) -> dict[str, Any]:
    """Return one page of a sample, and what it takes to draw it again without the portal."""
    sample = question.sample
    assert sample is not None  # noqa: S101 -- the caller has looked
    page: Page[Any] = Paginator(list(question.told()), PAGE_SIZE).get_page(page_number)
    drawn = {
        "size": page.paginator.count,
        "population": count(question.population()),
        "seed": sample.seed,
        "recipe": RECIPE.format(seed=f"{sample.seed}:", size=sample.size),
    }
    return {"page": page, "rows": shown_rows(question.report, [row for _, row in page.object_list]), "sample": drawn}


def crumbs(*more: tuple[str, str]) -> list[dict[str, str]]:
    """Return the way to a page of the audit."""
    way = [("Audit", reverse("audit:front")), *more]
    return [{"label": label, "url": url} for label, url in way]


def preview(report: Report, as_of: datetime) -> dict[str, Any]:
    """Return the newest lines of an answer."""
    question = Question(report, Filters(), as_of)
    found = list(question.selected()[: PREVIEW + 1])
    lines = [{"at": at, "says": says} for at, says in report.sentences(found[:PREVIEW], as_of)]
    url = f"{reverse('audit:report', args=[report.slug])}?{query(question.as_parameters())}"
    return {"report": report, "lines": lines, "more": len(found) > PREVIEW, "url": url}


def query(parameters: dict[str, str]) -> str:
    """Return parameters as a query string."""
    made = QueryDict(mutable=True)
    made.update(parameters)
    return made.urlencode()


def front(as_of: datetime) -> dict[str, Any]:
    """Return the answers in short as of an instant, and the newest checkpoint."""
    previews = {slug: preview(BY_SLUG[slug], as_of) for slug in ("approvals", "checks", "waivers")}
    return {
        **previews,
        "as_of": as_of,
        "asked": {"as_of": seal.instant(as_of)},
        "checkpoint": Checkpoint.objects.first(),
        "last_check": Verification.objects.first(),
        "check_overdue": verifications.overdue(),
        **outside(),
    }


def outside() -> dict[str, Any]:
    """Return how the places outside are, or why the settings about them cannot be read."""
    try:
        return {"copies": copies.standings()}
    except Invalid as error:
        return {"copies": [], "copies_fault": str(error)}


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
        {"label": "Happened", "value": exactly(found.occurred_at)},
        {"label": "Recorded", "value": exactly(found.recorded_at)},
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


def exactly(at: datetime) -> str:
    """Return an instant as "24 Nov 2026, 00:18:34.346695 UTC", because proofs are about the exact one."""
    utc = at.astimezone(UTC)
    return f"{utc.day} {utc:%b %Y, %H:%M:%S.%f} UTC"


def windows(found: Sequence[ServingWindow]) -> list[dict[str, Any]]:
    """Return serving windows with the judgement on each."""
    return [
        {"window": window, "judged": judged, "like": LIKE[judged.verdict], "url": address_of("version", judged.version)}
        for window, judged in zip(found, judge(found), strict=True)
    ]


def keys() -> list[str]:
    """Return the ledger's verifier keys."""
    return [key.vkey for key in sealer.ledger_keys()]
