"""Doors to exceptions: what is being tolerated today, a request, and the second person's answer."""

from __future__ import annotations

from datetime import UTC
from typing import Any
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils import timezone

from governance import policy, queries, waivers
from governance.models import Policy, Waiver
from governance.models.waivers import WaiverState
from governance.permissions import seats_of, visible
from governance.web import waiver_page
from governance.web.forms import AnswerForm, ToleratedForm, WaiverForm
from governance.web.moves import find
from portal.errors import Invalid, Refused
from portal.http import paginate, posted, show_errors, status_of, tell
from registry.models import User, Version

SHOWN = ("version__asset__team", "policy", "requested_by", "decided_by", "finding", "extends__decided_by")


def living(user: User) -> list[Waiver]:
    """Return the waivers whose time is not over, among those a person may see; those that end first on top."""
    rows = visible(user, Waiver.objects.filter(expires_at__gt=timezone.now()), asset="version__asset")
    found = rows.select_related("version__asset", "requested_by", "decided_by", "policy", "finding")
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
    """Show what is or was tolerated at an instant, what waits for an answer, and everything that ever was."""
    user: Any = request.user
    form = ToleratedForm(request.GET)
    every = visible(user, Waiver.objects.all(), asset="version__asset").select_related(
        "version__asset", "requested_by", "finding"
    )
    context = {
        **waiver_page.tolerated(user, form),
        "waiting": waiting(living(user), user),
        "page": paginate(request, every),
    }
    return render(request, "governance/waivers.html", context, status=status_of(form))


def request_waiver(request: HttpRequest, slug: str, number: str) -> HttpResponse:
    """Show the form to ask for an exception, or ask."""
    user, version = find(request, slug, number)
    user.require("waiver.request", version)
    rules, extended = policy.governing(version), extended_by(request, version)
    form = waiver_form(request, version, rules, extended)
    if form.is_valid():
        typed = {**form.cleaned_data, "expires_at": form.cleaned_data["expires_at"].astimezone(UTC)}
        try:
            made = waivers.request(version, actor=user, **typed)
            return tell(request, f"The waiver of {waivers.name(made)} is requested.", waivers.where(made))
        except (Refused, Invalid) as error:
            show_errors(form, error)
    context = waiver_page.request(version, rules, form, extended)
    return render(request, "governance/waiver_request.html", context, status=status_of(form))


def extended_by(request: HttpRequest, version: Version) -> Waiver | None:
    """Return the waiver of this version that the address asks to extend, or 404."""
    wanted = request.GET.get("extends", "")
    if not wanted:
        return None
    try:
        public_id = UUID(wanted)
    except ValueError as error:
        raise Http404("There is no such waiver.") from error
    rows = version.waivers.select_related("version__asset", "finding", "decided_by")
    return get_object_or_404(rows, public_id=public_id)


def waiver_form(request: HttpRequest, version: Version, rules: Policy, extended: Waiver | None) -> WaiverForm:
    """Return the form with the rules that can be waived at all, and the version's open findings."""
    names = waivers.environments_of(rules)
    slugs = dict.fromkeys(slug for name in names for slug in waivers.rules_of(rules, name))
    return WaiverForm(
        posted(request),
        version=version,
        rules=[slug for slug in slugs if not rules.is_critical(slug)],
        environments=names,
        initial=waiver_page.start(rules, request.GET, extended),
    )


def waiver(request: HttpRequest, public_id: str) -> HttpResponse:
    """Show one waiver, or record the second person's answer."""
    user: Any = request.user
    rows = visible(user, Waiver.objects.all(), asset="version__asset").select_related(*SHOWN)
    found = get_object_or_404(rows, public_id=public_id)
    form = AnswerForm(posted(request))
    if form.is_valid():
        try:
            answer(found, user, form.cleaned_data)
            return tell(request, f"Your answer about {waivers.name(found)} is recorded.", request.path)
        except (Refused, Invalid) as error:
            show_errors(form, error)
    context = {**waiver_page.waiver(found, user), "form": form}
    return render(request, "governance/waiver.html", context, status=status_of(form))


def answer(found: Waiver, user: Any, typed: dict[str, Any]) -> None:
    """Call the verb that the pressed button names."""
    if typed["answer"] == "grant":
        waivers.grant(found, actor=user, note=typed["note"])
    elif typed["answer"] == "refuse":
        waivers.refuse(found, actor=user, note=typed["note"])
    else:
        waivers.revoke(found, actor=user, reason=typed["note"])
