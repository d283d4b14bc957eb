"""Doors to what becomes of everything that is made from a version: the picture before, and recording a licence."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from governance import blast, relicensing
from governance.models.challenges import Cause
from governance.permissions import may
from governance.web import blast_panel, panels
from governance.web.forms import RelicenseForm
from governance.web.moves import find
from portal.errors import Invalid, Refused
from portal.http import posted, show_errors, status_of, tell
from registry import licensing

CAUSES = {"retired": Cause.BASE_RETIRED, "relicensed": Cause.RELICENSED}


def radius(request: HttpRequest, slug: str, number: str) -> HttpResponse:
    """Show what is made from a version, and what retiring it or licensing it otherwise would do to that."""
    user, version = find(request, slug, number)
    chosen = request.GET.get("if", "")
    chosen = chosen if chosen in CAUSES else "retired"
    found = blast.radius(version, CAUSES[chosen])
    context = {
        "version": version,
        "crumbs": panels.crumbs(version),
        "chosen": chosen,
        "may_retire": version.state != "retired" and may(user, "version.retire", version),
        "may_relicense": version.is_frozen and may(user, "version.relicense", version),
        **blast_panel.panel(request, found),
    }
    return render(request, "governance/blast.html", context)


def relicense(request: HttpRequest, slug: str, number: str) -> HttpResponse:
    """Show the form to record that a version is licensed otherwise from now on, or record it."""
    user, version = find(request, slug, number)
    user.require("version.relicense", version)
    form = RelicenseForm(posted(request))
    if form.is_valid():
        try:
            return record(request, version, form.cleaned_data)
        except (Refused, Invalid) as error:
            show_errors(form, error)
    context = {
        "version": version,
        "form": form,
        "crumbs": panels.crumbs(version),
        "licence": licensing.effective(version),
        **blast_panel.panel(request, blast.radius(version, Cause.RELICENSED)),
    }
    return render(request, "governance/relicense.html", context, status=status_of(form))


def record(request: HttpRequest, version: Any, typed: dict[str, Any]) -> HttpResponse:
    """Record what was typed, and say whether that was news."""
    user: Any = request.user
    told = relicensing.record(version, actor=user, **typed)
    says = f"{version.label} is licensed as {typed['licence']} already: nothing was recorded."
    if told is not None:
        says = f"{version.label} is licensed as {told.licence} from now on; the licence checks are being asked again."
    return tell(request, says, version.get_absolute_url())
