"""Doors to read what exists: the catalogue, an asset, a version with its tabs."""

from __future__ import annotations

from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render

from governance.permissions import may, visible
from portal.http import paginate
from registry import catalog
from registry.models import Asset, Version
from registry.web import version_page, ways
from registry.web.register import find


def catalogue(request: HttpRequest) -> HttpResponse:
    """Show the catalogue with search and facets; the address is the search, so a link saves it."""
    user: Any = request.user
    text = request.GET.get("q", "").strip()[:200]
    chosen = {name: request.GET.getlist(name)[:20] for name in catalog.FACETS if request.GET.getlist(name)}
    rows = visible(user, Version.objects.all())
    page = paginate(request, catalog.search(rows, text, chosen))
    context = {"page": page, "facets": catalog.facets(rows, text, chosen), "q": text, "total": page.paginator.count}
    return render(request, "registry/catalogue.html", context)


def asset(request: HttpRequest, slug: str) -> HttpResponse:
    """Show an asset, its people and its versions with their standing."""
    user: Any = request.user
    found = visible(user, Asset.objects.select_related("team", "owner", "backup_owner"), asset="")
    one = get_object_or_404(found, slug=slug)
    page = paginate(request, catalog.versions_of(one))
    names = ways.environments(one)
    context = {
        "asset": one,
        "page": page,
        "rows": version_page.with_standing(list(page.object_list), names),
        "pointers": ways.serving_now(one, names, user),
        "people": version_page.people(one),
        "may_change": may(user, "asset.change", one),
        "may_register": may(user, "version.register", one),
        "environments": names,
    }
    return render(request, "registry/asset.html", context)


def version(request: HttpRequest, slug: str, number: str, tab: str = "overview") -> HttpResponse:
    """Show a version: its verdict strip, and one of its tabs."""
    if tab not in version_page.TABS:
        raise Http404(f"A version has no tab {tab}.")
    user, one = find(request, slug, number)
    return render(request, "registry/version.html", version_page.page(one, user, tab))
