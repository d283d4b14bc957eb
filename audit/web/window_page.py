"""Doors to one serving window: what was reported, what corrected it, and the proof that it was reported just so."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.views.decorators.http import require_safe

from audit import serving
from audit.models import ServingBatch, ServingWindow
from audit.serving.intake import KEY
from audit.web import present
from audit.web.downloads import attachment
from audit.web.pages import auditor
from portal.errors import Refused


def find(batch: UUID, line: int) -> ServingWindow:
    """Return the window on a line of a batch, or 404."""
    window = serving.rows_of(get_object_or_404(ServingBatch, pk=batch)).filter(line=line).first()
    if window is None:
        raise Http404("No window of this batch stands on this line.")
    return window


@require_safe
def window(request: HttpRequest, batch: UUID, line: int) -> HttpResponse:
    """Show one window, judged, with its corrections and its proof."""
    auditor(request, "report.read")
    found = find(batch, line)
    same = {name: getattr(found, name) for name in KEY if name != "sequence"}
    others = ServingWindow.objects.filter(**same).exclude(sequence=found.sequence).select_related("batch")
    context = {
        "window": found,
        "shown": present.windows([found])[0],
        "facts": facts(found),
        "others": others.order_by("sequence"),
        "is_superseded": others.filter(sequence__gt=found.sequence).exists(),
        "crumbs": present.crumbs(("Who served a customer", reverse("audit:served"))),
        **proven(found),
    }
    return render(request, "audit/window.html", context)


def proven(found: ServingWindow) -> dict[str, Any]:
    """Return the proof of a window, or why there is none yet."""
    try:
        return {"proof": serving.prove(found)}
    except Refused as error:
        return {"unproven": str(error)}


def facts(found: ServingWindow) -> list[dict[str, Any]]:
    """Return what was reported, as labels and values."""
    rows: list[dict[str, Any]] = [
        {"label": "Customer", "value": found.customer},
        {"label": "Deployment", "value": found.deployment},
        {"label": "Environment", "value": found.environment},
        {"label": "Consumer", "value": found.consumer},
        {"label": "Identity digest", "value": found.digest, "kind": "digest"},
        {"label": "Configuration", "value": found.config_digest, "kind": "digest"},
        {"label": "Requests", "value": f"{found.requests:,}"},
        {"label": "Errors", "value": f"{found.errors:,}"},
        {"label": "Counted", "value": found.get_completeness_display()},
        {"label": "Sequence", "value": str(found.sequence)},
        {"label": "Batch", "value": f"{found.batch}, line {found.line}"},
        {"label": "Reported", "value": found.batch.received_at, "kind": "when"},
    ]
    return [row for row in rows if row["value"] != ""]


@require_safe
def proof(request: HttpRequest, batch: UUID, line: int) -> HttpResponse:
    """Hand out the proof of one window."""
    auditor(request, "report.read")
    body = json.dumps(serving.prove(find(batch, line)).as_dict(), indent=1, ensure_ascii=False)
    return attachment(body, f"window-{batch}-{line}.json", "application/json")
