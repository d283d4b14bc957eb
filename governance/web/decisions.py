"""Doors to signed decisions: read one, hand it out in both envelopes, revoke it."""

from __future__ import annotations

import json
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_POST

from audit.exports import kit as kits
from governance import decisions
from governance.models import Decision
from governance.permissions import visible
from governance.web import sheets
from governance.web.forms import ReasonForm
from portal.errors import Invalid, Refused
from portal.http import show_errors, status_of, tell


def find(request: HttpRequest, public_id: str) -> tuple[Any, Decision]:
    """Return who asks and the decision they may see, or 404."""
    user: Any = request.user
    rows = visible(user, Decision.objects.all(), asset="version__asset").select_related(
        "version__asset__team",
        "submission__policy",
        "submission__version__asset",
        "made_by",
        "signature",
        "revocation__made_by",
        "revokes__version__asset",
    )
    return user, get_object_or_404(rows, public_id=public_id)


def decision(request: HttpRequest, public_id: str) -> HttpResponse:
    """Show a decision: what was decided, by whom, on what, and until when."""
    user, found = find(request, public_id)
    return render(request, "governance/decision.html", sheets.decision(found, user, ReasonForm()))


@require_POST
def revoke(request: HttpRequest, public_id: str) -> HttpResponse:
    """Revoke an approval."""
    user, found = find(request, public_id)
    user.require("decision.revoke", found)
    form = ReasonForm(request.POST)
    if form.is_valid():
        try:
            made = decisions.revoke(found, actor=user, reason=form.cleaned_data["reason"])
            return tell(request, f"The approval of {found.version.label} is revoked.", made.get_absolute_url())
        except (Refused, Invalid) as error:
            show_errors(form, error)
    context = sheets.decision(found, user, form)
    return render(request, "governance/decision.html", context, status=status_of(form))


def sigstore(request: HttpRequest, public_id: str) -> HttpResponse:
    """Hand out the decision as a Sigstore bundle."""
    _, found = find(request, public_id)
    return attach(decisions.bundle(found), f"{public_id}.sigstore.json")


def dsse(request: HttpRequest, public_id: str) -> HttpResponse:
    """Hand out the decision as a bare DSSE envelope."""
    _, found = find(request, public_id)
    return attach(json.dumps(decisions.envelope(found), indent=2).encode(), f"{public_id}.dsse.json")


def kit(request: HttpRequest, public_id: str) -> HttpResponse:
    """Hand out everything that a gate without the portal needs, as one zip."""
    _, found = find(request, public_id)
    return attach(kits.write(found), f"{public_id}.offline-kit.zip", "application/zip")


def attach(body: bytes, name: str, media_type: str = "application/json") -> HttpResponse:
    """Return bytes as a file to save."""
    answer = HttpResponse(body, content_type=media_type)
    answer["Content-Disposition"] = f'attachment; filename="{name}"'
    return answer
