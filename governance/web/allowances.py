"""Doors to allowances: what a scan held in a version, what is allowed for its asset, and taking that back."""

from __future__ import annotations

from datetime import UTC
from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_POST

from governance import allowances, policy, scanning
from governance.checks import artifact_scan, runner
from governance.models import AllowedGlobal
from governance.permissions import may
from governance.web import panels
from governance.web.forms import WHEN, ReasonForm
from governance.web.moves import find
from portal.errors import Invalid, Reason, Refused
from portal.http import posted, show_errors, status_of, tell
from registry.models import User, Version

MAX_ENDED = 50
WORDS = dict(allowances.uses())


class AllowForm(forms.Form):
    """Which of the held globals, why, and until when."""

    held = forms.ChoiceField(label="Global", widget=forms.RadioSelect)
    reason = forms.CharField(
        max_length=4000,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="What you read, and why its code does no harm when the file is loaded.",
    )
    expires_at = forms.DateTimeField(label="Until (UTC)", widget=WHEN)

    def __init__(self, *args: Any, choices: list[tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["held"].choices = choices  # type: ignore[attr-defined]


def allow_global(request: HttpRequest, slug: str, number: str) -> HttpResponse:
    """Show what was held and what is allowed for the asset, or allow one global."""
    user, version = find(request, slug, number)
    held = held_globals(version)
    if request.method == "POST":
        user.require("global.allow", version.asset)
    form = AllowForm(posted(request), choices=choices_of(held), initial={"held": first_of(held)})
    if form.is_valid():
        wanted = next(each for each in held if value_of(each) == form.cleaned_data["held"])
        try:
            made = allow(version, wanted, user, form.cleaned_data)
            says = f"{made} is allowed until {made.expires_at:%Y-%m-%d}; what was held for it is scanned again."
            return tell(request, says, request.path)
        except (Refused, Invalid) as error:
            show_errors(form, error)
    context = {"form": form, **sheet(version, held, user)}
    return render(request, "governance/allow_global.html", context, status=status_of(form))


def allow(version: Version, wanted: scanning.NamedGlobal, user: Any, typed: dict[str, Any]) -> AllowedGlobal:
    """Call the verb with what was chosen and typed; times are typed in UTC."""
    return allowances.allow(
        version.asset,
        wanted.module,
        wanted.name,
        actor=user,
        use=wanted.use,
        reason=typed["reason"],
        expires_at=typed["expires_at"].astimezone(UTC),
    )


@require_POST
def revoke_global(request: HttpRequest, slug: str, number: str, public_id: str) -> HttpResponse:
    """Take an allowance back."""
    user, version = find(request, slug, number)
    found = get_object_or_404(AllowedGlobal, asset=version.asset, public_id=public_id)
    form = ReasonForm(request.POST)
    reason = form.cleaned_data["reason"] if form.is_valid() else ""
    allowances.revoke(found, actor=user, reason=reason)
    back = reverse("governance:allow-global", args=[slug, number])
    return tell(request, f"{found} is not allowed any more; what counted on it is scanned again.", back)


def held_globals(version: Version) -> list[scanning.NamedGlobal]:
    """Return the globals that the newest scan under today's policy held, and that nothing has allowed since."""
    try:
        rules = policy.governing(version)
    except Refused:
        return []
    run = runner.newest_runs(version, rules).get(artifact_scan.ArtifactScan.slug)
    told = scanning.read_globals(run.facts.get("held_globals", [])) if run is not None else ()
    allowed = {artifact_scan.named(row) for row in allowances.in_force(version.asset, timezone.now())}
    return [each for each in told if each not in allowed]


def value_of(held: scanning.NamedGlobal) -> str:
    """Return the value of a held global in the form."""
    return f"{held.module} {held.name} {held.use}"


def choices_of(held: list[scanning.NamedGlobal]) -> list[tuple[str, str]]:
    """Return the globals that somebody may allow, each with what the file does with it."""
    listed = scanning.read_allowlist()
    return [
        (value_of(each), f"{each} — {WORDS[each.use].lower()}")
        for each in held
        if listed.explain_refusal(each.module, each.name) is None
    ]


def first_of(held: list[scanning.NamedGlobal]) -> str:
    """Return the choice that the form begins with."""
    return next((value for value, _ in choices_of(held)), "")


def sheet(version: Version, held: list[scanning.NamedGlobal], user: User) -> dict[str, Any]:
    """Return what the page prints around the form."""
    listed, now = scanning.read_allowlist(), timezone.now()
    refusals = [(each, listed.explain_refusal(each.module, each.name)) for each in held]
    rows = list(AllowedGlobal.objects.filter(asset=version.asset).select_related("allowed_by", "revoked_by"))
    return {
        "version": version,
        "title": f"Held globals of {version.label}",
        "crumbs": panels.crumbs(version),
        "held": [{"global": each, "use": WORDS[each.use], "cannot": says} for each, says in refusals],
        "offers": bool(choices_of(held)),
        "allowed": [row for row in rows if row.is_in_force(now)],
        "ended": [row for row in rows if not row.is_in_force(now)][:MAX_ENDED],
        "may_allow": may(user, "global.allow", version.asset),
        "cannot": why_not(version, user),
    }


def why_not(version: Version, user: User) -> list[Reason]:
    """Return why this person cannot allow anything here; empty when they can try."""
    if not may(user, "global.allow", version.asset):
        return [Reason("seat", "A person who sits in the role security for this asset decides.", "")]
    found = allowances.involvement(version.asset, user)
    return [Reason("independence", each, "Somebody else from security has to.") for each in found[:5]]
