"""Doors to register and change assets: parse, call one verb, present."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render

from governance.permissions import visible
from portal.errors import Invalid, Refused
from portal.http import posted, show_errors, status_of, tell
from registry import intake
from registry.models import Asset, Team, User
from registry.web.forms import AssetChangeForm, AssetForm


def account(request: HttpRequest) -> Any:
    """Return who is signed in."""
    return request.user


def register(request: HttpRequest) -> HttpResponse:
    """Show the form for a new asset, or register it."""
    user: User = account(request)
    teams = Team.objects.filter(memberships__user=user)
    form = AssetForm(posted(request), teams=teams)
    if form.is_valid():
        try:
            asset = intake.register_asset(actor=user, **form.cleaned_data)
            return tell(request, f"{asset.slug} is registered.", asset.get_absolute_url())
        except (Refused, Invalid) as error:
            show_errors(form, error)
    context = {"form": form, "title": "Register an asset"}
    return render(request, "registry/asset_form.html", context, status=status_of(form))


def change(request: HttpRequest, slug: str) -> HttpResponse:
    """Show the form to change an asset, or change it."""
    user: User = account(request)
    asset = get_object_or_404(visible(user, Asset.objects.all(), asset=""), slug=slug)
    user.require("asset.change", asset)
    start = {name: getattr(asset, name) for name in intake.ASSET_EDITABLE}
    form = AssetChangeForm(posted(request), teams=None, initial=start)
    if form.is_valid():
        try:
            intake.change_asset(asset, actor=user, **form.cleaned_data)
            return tell(request, f"{asset.slug} is changed.", asset.get_absolute_url())
        except (Refused, Invalid) as error:
            show_errors(form, error)
    context = {"form": form, "title": f"Change {asset.slug}", "asset": asset}
    return render(request, "registry/asset_form.html", context, status=status_of(form))
