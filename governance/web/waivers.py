"""Doors to exceptions: what is being tolerated today, a request, and the second person's answer."""

from __future__ import annotations

from datetime import UTC
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils import timezone

from governance import policy, queries, waivers
from governance.checks import runner
from governance.models import Policy, Waiver
from governance.models.waivers import WaiverState
from governance.permissions import seats_of, visible
from governance.web import panels, sheets
from governance.web.forms import AnswerForm, WaiverForm
from governance.web.moves import find
from portal.errors import Invalid, Refused
from portal.http import paginate, posted, show_errors, status_of, tell
from registry.models import User


def living(user: User) -> list[Waiver]:
    """Return the waivers whose time is not over, among those a person may see; those that end first on top."""
    rows = visible(user, Waiver.objects.filter(expires_at__gt=timezone.now()), asset="version__asset")
    found = rows.select_related("version__asset", "requested_by", "decided_by", "policy")
    return list(found.order_by("expires_at", "pk")[: queries.MAX_ROWS])


def in_force(rows: list[Waiver]) -> list[Waiver]:
    """Return the waivers that cover their rule now."""
    now = timezone.now()
    return [row for row in rows if row.is_in_force(now)]


def waiting(rows: list[Waiver], user: User) -> list[Waiver]:
    """Return the requested waivers that a person may answer as the second person."""
    seats = {seat.role for seat in seats_of(user)}
    return [
        row
        for row in rows
        if row.state == WaiverState.REQUESTED
        and row.requested_by_id != user.pk
        and seats & set(row.policy.content["waivers"]["roles"])
    ]


def waiver_list(request: HttpRequest) -> HttpResponse:
    """Show what is being tolerated today, what waits for an answer, and everything that ever was."""
    user: Any = request.user
    rows = living(user)
    every = visible(user, Waiver.objects.all(), asset="version__asset").select_related("version__asset", "requested_by")
    context = {"tolerated": in_force(rows), "waiting": waiting(rows, user), "page": paginate(request, every)}
    return render(request, "governance/waivers.html", context)


def request_waiver(request: HttpRequest, slug: str, number: str) -> HttpResponse:
    """Show the form to ask for an exception, or ask."""
    user, version = find(request, slug, number)
    user.require("waiver.request", version)
    rules = policy.governing(version)
    form = waiver_form(request, rules)
    if form.is_valid():
        typed = {**form.cleaned_data, "expires_at": form.cleaned_data["expires_at"].astimezone(UTC)}
        try:
            made = waivers.request(version, actor=user, **typed)
            return tell(request, f"The waiver of {made} is requested.", f"/waivers/{made.public_id}/")
        except (Refused, Invalid) as error:
            show_errors(form, error)
    context = {
        "version": version,
        "form": form,
        "policy": rules,
        "critical": [slug for slug in runner.slugs_of(rules) if rules.is_critical(slug)],
        "title": f"Request a waiver for {version.label}",
        "crumbs": panels.crumbs(version),
    }
    return render(request, "governance/waiver_request.html", context, status=status_of(form))


def waiver_form(request: HttpRequest, rules: Policy) -> WaiverForm:
    """Return the form with the rules that can be waived at all."""
    waivable = [slug for slug in runner.slugs_of(rules) if not rules.is_critical(slug)]
    names = ["baseline", *rules.environments]
    start = {name: request.GET.get(name) for name in ("rule", "environment")}
    return WaiverForm(posted(request), rules=waivable, environments=names, initial=start)


def waiver(request: HttpRequest, public_id: str) -> HttpResponse:
    """Show one waiver, or record the second person's answer."""
    user: Any = request.user
    rows = visible(user, Waiver.objects.all(), asset="version__asset").select_related(
        "version__asset__team", "policy", "requested_by", "decided_by"
    )
    found = get_object_or_404(rows, public_id=public_id)
    form = AnswerForm(posted(request))
    if form.is_valid():
        try:
            answer(found, user, form.cleaned_data)
            return tell(request, f"Your answer about {found} is recorded.", request.path)
        except (Refused, Invalid) as error:
            show_errors(form, error)
    crumbs = [{"label": "Waivers", "url": reverse("governance:waivers")}]
    context = {"waiver": found, "form": form, "crumbs": crumbs, **sheets.waiver(found, user)}
    return render(request, "governance/waiver.html", context, status=status_of(form))


def answer(found: Waiver, user: Any, typed: dict[str, Any]) -> None:
    """Call the verb that the pressed button names."""
    if typed["answer"] == "grant":
        waivers.grant(found, actor=user, note=typed["note"])
    elif typed["answer"] == "refuse":
        waivers.refuse(found, actor=user, note=typed["note"])
    else:
        waivers.revoke(found, actor=user, reason=typed["note"])
