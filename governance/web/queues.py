"""Doors to what waits: the home page with "my turn" first, and the queue of each role."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone

from governance import forecast, queries, standing, violations
from governance.hygiene import Foreseen
from governance.permissions import READERS, lent_to, seats_of, visible
from governance.triage import answering, tasks
from governance.web import delegations, finding_panels, panels, proposals, surroundings, waivers
from registry.models import User, Version

SOON, FOREVER = timedelta(days=30), timedelta(days=36_500)
MOST_ENDING, MOST_OTHERS = 10, 8


def rows_of(user: User) -> list[queries.QueueRow]:
    """Return a person's queue, read once for a page and its navigation."""
    if not hasattr(user, "_queue"):
        user._queue = queries.queue(user)  # type: ignore[attr-defined]
    return user._queue  # type: ignore[attr-defined]


def count_my_turn(user: User) -> int:
    """Return how many submissions wait for a person's verdict; only reviewers cost a query."""
    roles = {seat.role for seat in (*seats_of(user), *lent_to(user))} - READERS
    if hasattr(user, "_queue"):
        return sum(row.is_my_turn for row in rows_of(user))
    return queries.count_waiting(user) if roles else 0


def home(request: HttpRequest) -> HttpResponse:
    """Show what waits for me, my drafts, what ends soon, and the posture."""
    user: Any = request.user
    rows, teams = rows_of(user), set(user.memberships.values_list("team_id", flat=True))
    turn = panels.turns(rows, teams=teams)
    living = waivers.living(user)
    now = timezone.now()
    in_force = visible(user, standing.expiring(now + FOREVER), asset="version__asset")
    found = {
        "my_turn": [panels.queue_row(row) for row in turn],
        "in_review": [panels.queue_row(row) for row in rows if row not in turn][:MOST_OTHERS],
        "waivers_waiting": waivers.waiting(living, user),
        "triage_waiting": [finding_panels.turn(group) for group in answering.turns(user, teams)],
        "violations": list(violations.answerable(user)[:MOST_OTHERS]),
        "unattended": delegations.to_attend(user, teams),
        "challenged": [
            *map(finding_panels.challenge, tasks.challenges_of(teams)),
            *map(finding_panels.doubt, tasks.doubts_of(teams)),
        ],
        **surroundings.waiting_for(user, teams),
        "proposals": proposals.to_answer(user),
        "drafts": panels.draft_rows(queries.my_drafts(user)),
        "ending": list(visible(user, standing.expiring(now + SOON), asset="version__asset")[:MOST_ENDING]),
        "foreseen": foreseen(user),
        "my_teams": teams,
        **panels.posture(visible(user, Version.objects.all()), in_force),
    }
    tiles = panels.tiles(turn, found, waivers.in_force(living))
    return render(request, "governance/home.html", {**found, "tiles": tiles})


def foreseen(user: User) -> list[Foreseen]:
    """Return the moves that the clock will soon make with the versions of the assets that a person owns or backs up."""
    mine = Version.objects.filter(Q(asset__owner=user) | Q(asset__backup_owner=user))
    return forecast.moves_soon(mine, at=timezone.now(), at_most=MOST_ENDING)


def queue(request: HttpRequest) -> HttpResponse:
    """Show every open submission that I may see, those that wait for me on top."""
    user: Any = request.user
    chosen = {name: request.GET.get(name, "")[:40] for name in ("role", "environment", "risk")}
    every = rows_of(user)
    rows = [panels.queue_row(row) for row in panels.choose(every, chosen)]
    context = {
        "turn": [row for row in rows if row["is_my_turn"]],
        "rest": [row for row in rows if not row["is_my_turn"]],
        "mine": sum(row.is_my_turn for row in every),
        "facets": panels.queue_facets(every, chosen),
        "my_roles": panels.seats(user),
    }
    return render(request, "governance/queue.html", context)
