"""Doors to what waits: the home page with "my turn" first, and the queue of each role."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone

from governance import queries, standing, waivers
from governance.permissions import seats_of, visible
from governance.web import panels
from registry.models import Version

SOON = timedelta(days=30)


def home(request: HttpRequest) -> HttpResponse:
    """Show what waits for me, my drafts, what ends soon, and the posture."""
    user: Any = request.user
    rows = queries.queue(user)
    mine = [row for row in rows if row.is_my_turn]
    versions = visible(user, Version.objects.all())
    ending = visible(user, standing.expiring(timezone.now() + SOON), asset="version__asset")
    context = {
        "my_turn": [panels.queue_row(row) for row in mine],
        "overdue": sum(row.is_overdue for row in mine),
        "others": len(rows) - len(mine),
        "waivers_waiting": queries.waiting_waivers(user),
        "drafts": queries.my_drafts(user),
        "ending": ending[:10],
        "tolerated": len(waivers.tolerated()),
        **panels.posture(versions),
    }
    return render(request, "governance/home.html", context)


def queue(request: HttpRequest) -> HttpResponse:
    """Show every open submission that I may see, those that wait for me on top."""
    user: Any = request.user
    chosen = {name: request.GET.get(name, "")[:40] for name in ("role", "environment", "risk")}
    rows = queries.queue(user, **chosen)
    context = {
        "rows": [panels.queue_row(row) for row in rows],
        "mine": sum(row.is_my_turn for row in rows),
        "facets": panels.queue_facets(rows, chosen),
        "my_roles": [seat.role for seat in seats_of(user)],
    }
    return render(request, "governance/queue.html", context)
