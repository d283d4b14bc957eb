"""Doors to signed decisions: read one, hand it out in both envelopes, revoke it."""

from __future__ import annotations

import json
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_POST

from governance import decisions
from governance.models import Decision
from governance.permissions import visible
from governance.web import panels, sheets
from governance.web.forms import ReasonForm
from portal.http import tell


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
    context = {
        "decision": found,
        "crumbs": panels.crumbs(found.version),
        "facts": sheets.decision(found),
        "reviews": found.submission.reviews.select_related("reviewer").order_by("pk"),
        "form": ReasonForm(),
        **sheets.force(found, user),
    }
    return render(request, "governance/decision.html", context)


@require_POST
def revoke(request: HttpRequest, public_id: str) -> HttpResponse:
    """Revoke an approval."""
    user, found = find(request, public_id)
    made = decisions.revoke(found, actor=user, reason=request.POST.get("reason", "")[:4000])
    return tell(request, f"{found} is revoked.", made.get_absolute_url())


def sigstore(request: HttpRequest, public_id: str) -> HttpResponse:
    """Hand out the decision as a Sigstore bundle."""
    _, found = find(request, public_id)
    return attach(decisions.bundle(found), f"{public_id}.sigstore.json")


def dsse(request: HttpRequest, public_id: str) -> HttpResponse:
    """Hand out the decision as a bare DSSE envelope."""
    _, found = find(request, public_id)
    return attach(json.dumps(decisions.envelope(found), indent=2).encode(), f"{public_id}.dsse.json")


def attach(body: bytes, name: str) -> HttpResponse:
    """Return bytes as a file to save."""
    answer = HttpResponse(body, content_type="application/json")
    answer["Content-Disposition"] = f'attachment; filename="{name}"'
    return answer
