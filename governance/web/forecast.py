"""Doors to what will happen by itself: by day, with who is told and how it is postponed, and the same as CSV."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone

from governance import forecast
from governance.hygiene import Foreseen
from governance.permissions import visible
from portal.charts import Columns, columns
from registry.models import Team, User, Version

USUAL, LONGEST, MOST = 30, 365, 500
CHOICES = (7, 30, 90, 365)
# What makes a spreadsheet take text for a formula: OWASP, "CSV Injection".
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
HEADINGS = ("at", "version", "team", "what", "happens", "why", "told", "postponed until")


@dataclass(frozen=True)
class Asked:
    """What the address asks for: how many days, and at most one team and one kind of thing."""

    days: int
    team: str
    what: str

    def link(self, **other: Any) -> str:
        """Return the query string of the same question with something else in it."""
        asked = {"days": self.days, "team": self.team, "what": self.what, **other}
        return "?" + urlencode({key: value for key, value in asked.items() if value})


def read(request: HttpRequest) -> Asked:
    """Return what the address asks for; what it says wrongly is left out."""
    typed = request.GET.get("days", "")
    days = int(typed) if typed.isascii() and typed.isdigit() and len(typed) < 5 else USUAL
    what = request.GET.get("what", "")
    team = request.GET.get("team", "").replace("\x00", "")[:64]
    return Asked(min(max(days, 1), LONGEST), team, what if what in forecast.WORDS else "")


def find(user: User, asked: Asked, now: datetime) -> list[Foreseen]:
    """Return what will happen to the versions that a person may see, the first on top."""
    rows = visible(user, Version.objects.all())
    if asked.team:
        rows = rows.filter(asset__team__slug=asked.team)
    found = forecast.coming(rows, at=now, until=now + timedelta(days=asked.days), at_most=MOST)
    return [each for each in found if asked.what in {"", each.what}]


def page(request: HttpRequest) -> HttpResponse:
    """Show what will happen by itself in the next days."""
    user: Any = request.user
    asked, now = read(request), timezone.now()
    found = find(user, asked, now)
    context = {
        "asked": asked,
        "by_day": [(day, list(rows)) for day, rows in groupby(found[:MOST], key=lambda each: each.at.date())],
        "count": len(found),
        "is_cut": len(found) >= MOST,
        "chart": by_week(found, asked.days, now),
        "filters": filters(user, asked),
        "csv": f"{reverse('governance:forecast-csv')}{asked.link()}",
        "my_teams": set(user.memberships.values_list("team_id", flat=True)),
    }
    return render(request, "governance/forecast.html", context)


def by_week(found: Sequence[Foreseen], days: int, now: datetime) -> Columns:
    """Return how many things happen in each week from now on; what is overdue happens in the first."""
    weeks = Counter(max(0, (each.at - now).days // 7) for each in found)
    starts = (now + timedelta(weeks=week) for week in range(-(-days // 7)))
    return columns([(f"{start:%-d %b %Y}", weeks[week]) for week, start in enumerate(starts)])


def filters(user: User, asked: Asked) -> list[dict[str, Any]]:
    """Return the filters, each value as the link that sets it, or removes it where it is set."""
    slugs = visible(user, Team.objects.all(), asset="assets").order_by("slug").values_list("slug", flat=True).distinct()
    spans = [option(f"{days} days", asked.link(days=days), days == asked.days) for days in CHOICES]
    teams = [option(slug, asked.link(team="" if slug == asked.team else slug), slug == asked.team) for slug in slugs]
    whats = [
        option(label, asked.link(what="" if name == asked.what else name), name == asked.what)
        for name, label in forecast.WORDS.items()
    ]
    return [
        {"label": "Within", "options": spans},
        {"label": "What", "options": whats},
        {"label": "Team", "options": teams},
    ]


def option(label: str, url: str, selected: bool) -> dict[str, Any]:
    """Return one value of a filter."""
    return {"label": label, "url": url, "selected": selected}


def download(request: HttpRequest) -> HttpResponse:
    """Send the same as CSV (RFC 4180), for calendars and tickets."""
    user: Any = request.user
    answer = HttpResponse(content_type="text/csv; charset=utf-8")
    answer["Content-Disposition"] = 'attachment; filename="forecast.csv"'
    out = csv.writer(answer)
    out.writerow(HEADINGS)
    for each in find(user, read(request), timezone.now())[:MOST]:
        out.writerow([defuse(cell) for cell in cells(each)])
    return answer


def cells(each: Foreseen) -> list[str]:
    """Return one line of the table."""
    postponed = each.waiver.expires_at.isoformat() if each.waiver else ""
    told = "; ".join(map(str, each.told))
    version = each.version
    words = f"{version.label} {each.words}"
    return [each.at.isoformat(), version.label, version.asset.team.slug, each.what, words, each.why, told, postponed]


def defuse(text: str) -> str:
    """Return text that no spreadsheet takes for a formula: with an apostrophe before one."""
    return f"'{text}" if text.startswith(FORMULA) else text
