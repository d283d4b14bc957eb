"""Doors to the portal's checks of its own record: all of them, one with what it found, and asking for another."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from audit import verifications
from audit.models import Entry, Verification
from audit.reports.entries import tell
from audit.web.outline import outline
from audit.web.pages import auditor
from audit.web.present import PAGE_SIZE, crumbs
from governance.permissions import may
from portal import progress


@require_safe
def listed(request: HttpRequest) -> HttpResponse:
    """Show all checks, newest first; htmx asks whether the one that waits is done."""
    user = auditor(request, "verification.read")
    work = waiting()
    if getattr(request, "htmx", False) and work is not None:
        return render(request, "_progress.html", {"work": work})
    page = Paginator(Verification.objects.all(), PAGE_SIZE).get_page(request.GET.get("page"))
    may_ask = may(user, "record.verify") and verifications.asked() is None
    context = {"page": page, "work": work, "may_ask": may_ask, "crumbs": crumbs()}
    response = render(request, "audit/verifications.html", {**context, "overdue": verifications.overdue()})
    if getattr(request, "htmx", False):
        response["HX-Refresh"] = "true"
    return response


@require_safe
def shown(request: HttpRequest, pk: int) -> HttpResponse:
    """Show one check: what was compared, and every contradiction in a sentence."""
    user = auditor(request, "verification.read")
    found = get_object_or_404(Verification, pk=pk)
    way = crumbs(("Checks of the record", reverse("audit:verifications")))
    # Sentences name customers and people: they are for whoever reads the record, as its reports are.
    may_read = may(user, "report.read")
    context = {
        "check": found,
        "sentences": found.faults if may_read else [],
        "outline": [] if may_read else outline(found.faults),
        "facts": facts_of(found),
        "crumbs": way,
        "further": found.fault_count - len(found.faults),
    }
    return render(request, "audit/verification.html", context)


@require_POST
def ask(request: HttpRequest) -> HttpResponse:
    """Ask for a check now."""
    user = auditor(request, "record.verify")
    if verifications.ask(actor=user):
        messages.success(request, "The check begins as soon as a worker is free.")
    else:
        messages.info(request, "A check is waited for already.")
    return redirect("audit:verifications")


def waiting() -> dict[str, Any] | None:
    """Return the check that somebody waits for, or that runs by itself, as work in progress."""
    asked, running = verifications.asked(), progress.told(verifications.CHECK)
    if asked is None and running is None:
        return None
    says = f"{tell([asked])[0].actor} asked at {asked.occurred_at:%H:%M:%S} UTC." if asked else "The nightly check."
    address = reverse("audit:verifications")
    return {
        "id": "verification",
        "label": "Check of the record",
        "says": f"{says} {how_far(running)}",
        "finished": False,
        "url": address,
        "page_url": address,
        **({"done": running.done, "total": running.total} if running else {}),
    }


def how_far(running: progress.Told | None) -> str:
    """Return how far a check is, in words."""
    if running is None:
        return "It waits for a worker."
    if running.done >= running.total:
        return f"All {running.total:,} sealed entries are checked; governed rows and serving windows follow."
    return f"{running.done:,} of {running.total:,} sealed entries are checked."


def facts_of(found: Verification) -> list[dict[str, Any]]:
    """Return what was compared."""
    entry = Entry.objects.filter(event_id=found.recorded_in).first()
    return [
        {"label": "Began", "value": found.started_at, "kind": "when"},
        {"label": "Took", "value": f"{(found.finished_at - found.started_at).total_seconds():.1f} seconds"},
        {"label": "Entries", "value": f"{found.entries:,}, of which {found.size:,} are sealed"},
        {"label": "Rows", "value": f"{found.rows:,} of the record, each held against the entry that names it"},
        {"label": "Root", "value": found.root, "kind": "digest"},
        {"label": "Copy outside", "value": found.compared_with or "none: nothing outside was held against it"},
        *(
            [{"label": "Entry", "value": str(entry.event_id), "url": reverse("audit:entry", args=[entry.event_id])}]
            if entry
            else []
        ),
    ]
