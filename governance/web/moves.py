"""Doors that move a version: nominate, submit, promote, roll back, deprecate, retire."""

from __future__ import annotations

from datetime import UTC
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_POST

from governance import blast, lifecycle, policy, promotions, submissions
from governance.blast import Radius
from governance.models.challenges import Cause
from governance.permissions import visible
from governance.web import blast_panel, panels
from governance.web.forms import DeprecateForm, ReasonForm, RetireForm, SubmitForm
from portal.errors import Invalid, Refused
from portal.http import posted, show_errors, status_of, tell
from registry.models import State, Version


def find(request: HttpRequest, slug: str, number: str) -> tuple[Any, Version]:
    """Return who asks and the version they may see, or 404."""
    user: Any = request.user
    rows = visible(user, Version.objects.select_related("asset__team", "asset__owner", "asset__backup_owner"))
    return user, get_object_or_404(rows, asset__slug=slug, number=number)


@require_POST
def nominate(request: HttpRequest, slug: str, number: str) -> HttpResponse:
    """Nominate a draft."""
    user, version = find(request, slug, number)
    version = submissions.nominate(version, actor=user)
    says = f"{version.label} is nominated: its content is frozen and the baseline checks are being asked."
    return tell(request, says, version.get_absolute_url() + "checks/")


def submit(request: HttpRequest, slug: str, number: str) -> HttpResponse:
    """Show the form to submit a version, or submit it."""
    user, version = find(request, slug, number)
    user.require("submission.open", version)
    rules = policy.governing(version)
    form = SubmitForm(posted(request), environments=rules.environments)
    if form.is_valid():
        try:
            made = submissions.submit(version, actor=user, **form.cleaned_data)
            return tell(request, f"{made} is submitted.", made.get_absolute_url())
        except (Refused, Invalid) as error:
            show_errors(form, error)
    context = {"version": version, "form": form, "policy": rules, **panels.submitting(version, rules)}
    return render(request, "governance/submit.html", context, status=status_of(form))


@require_POST
def promote(request: HttpRequest, slug: str, number: str) -> HttpResponse:
    """Point an environment at a version."""
    user, version = find(request, slug, number)
    environment = request.POST.get("environment", "")
    promotions.promote(version, environment, actor=user, reason=request.POST.get("reason", "")[:4000])
    return tell(request, f"{environment.capitalize()} now points at {version.label}.", version.get_absolute_url())


def roll_back(request: HttpRequest, slug: str, number: str) -> HttpResponse:
    """Show the form to point an environment back at what it served before, or do it."""
    user, version = find(request, slug, number)
    user.require("version.promote", version)
    environment = request.POST.get("environment") or request.GET.get("environment", "")
    form = ReasonForm(posted(request))
    if form.is_valid():
        try:
            moved = promotions.roll_back(version.asset, environment, actor=user, reason=form.cleaned_data["reason"])
            says = f"{environment.capitalize()} points at {moved.version.label} again."
            return tell(request, says, moved.version.get_absolute_url())
        except (Refused, Invalid) as error:
            show_errors(form, error)
    context = {
        "version": version,
        "form": form,
        "environment": environment,
        **panels.rolling_back(version, environment),
    }
    return render(request, "governance/roll_back.html", context, status=status_of(form))


def make(request: HttpRequest, slug: str, number: str, move: str) -> HttpResponse:
    """Show the form of a move by hand, or make it."""
    user, version = find(request, slug, number)
    step = lifecycle.MOVES.get(move)
    if step is None or not step.by_hand:
        raise Http404(f"There is no move {move} that people make by hand.")
    user.require(step.rule, version)
    found = blast.radius(version, Cause.BASE_RETIRED) if move == "retire" else None
    form = move_form(request, version, move, found)
    if form.is_valid():
        try:
            MAKERS[move](version, user, form.cleaned_data)
            return tell(request, f"{version.label} is {step.target}.", version.get_absolute_url())
        except (Refused, Invalid) as error:
            show_errors(form, error)
    shown = moving(request, version, step, found) | {"form": form}
    return render(request, "governance/move.html", shown, status=status_of(form))


def moving(request: HttpRequest, version: Version, step: lifecycle.Move, found: Radius | None) -> dict[str, Any]:
    """Return what the page of a move prints beside its form; of a base, what hangs on it."""
    shown = {
        "version": version,
        "move": step,
        "title": f"{step.title} {version.label}",
        "is_final": step.target == State.RETIRED,
        "crumbs": panels.crumbs(version),
    }
    return shown | (blast_panel.panel(request, found) if found is not None and found.descendants else {})


def move_form(request: HttpRequest, version: Version, move: str, found: Radius | None) -> ReasonForm:
    """Return the form that a move asks for; retiring a base asks for the number of versions made from it."""
    if found is not None and found.descendants:
        return RetireForm(posted(request), count=len(found.descendants), says=found.says)
    if move == "deprecate":
        others = Version.objects.filter(asset=version.asset).exclude(pk=version.pk).exclude(state="retired")
        return DeprecateForm(posted(request), successors=others)
    return ReasonForm(posted(request))


def deprecate(version: Version, user: Any, typed: dict[str, Any]) -> None:
    """Deprecate with what was typed; times are typed in UTC."""
    lifecycle.deprecate(
        version,
        actor=user,
        successor=typed["successor"],
        sunset_at=typed["sunset_at"].astimezone(UTC),
        reason=typed["reason"],
    )


def retire(version: Version, user: Any, typed: dict[str, Any]) -> None:
    """Retire with what was typed."""
    submissions.retire(version, actor=user, reason=typed["reason"])


MAKERS = {"deprecate": deprecate, "retire": retire}
