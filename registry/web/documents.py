"""The door to the page of one evidence document: what was read in it, and its components a page at a time."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render

from portal.http import paginate
from registry.web import attached
from registry.web.register import find


def document(request: HttpRequest, slug: str, number: str, public_id: str) -> HttpResponse:
    """Show one document of a version; the address is the search among its components, so a link saves it."""
    _, version = find(request, slug, number)
    row = get_object_or_404(version.evidence.select_related("attached_by"), public_id=public_id)
    page = paginate(request, attached.narrowed(row, request.GET))
    context = attached.page(row, request.GET) | {
        "page": page,
        "total": page.paginator.count,
        "components": [attached.component(each) for each in page],
    }
    return render(request, "registry/document.html", context)
