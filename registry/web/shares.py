"""Doors to grants on one asset: who has them, share, and take away."""

from __future__ import annotations

from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render

from governance.permissions import may, visible
from portal.errors import Invalid, Refused
from portal.http import posted, show_errors, status_of, tell
from registry import sharing
from registry.models import Asset, User

TITLES = {"contribute_asset": "contributes as the team does", "review_asset": "reviews it in their role"}


class ShareForm(forms.Form):
    """Whom, and for what."""

    user = forms.ModelChoiceField(User.objects.filter(is_active=True).exclude(kind="system"), to_field_name="username")
    right = forms.ChoiceField(label="What they may do")

    def __init__(self, *args: Any, rights: list[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["right"].choices = [(right, TITLES[right].capitalize()) for right in rights]  # type: ignore[attr-defined]


def shares(request: HttpRequest, slug: str) -> HttpResponse:
    """Show the grants of an asset, give one, or take one away."""
    user: Any = request.user
    asset = get_object_or_404(visible(user, Asset.objects.all(), asset=""), slug=slug)
    mine = [right for right, rule in sharing.RIGHTS.items() if may(user, rule, asset)]
    form = ShareForm(posted(request), rights=mine)
    if form.is_valid():
        verb = sharing.unshare if request.POST.get("take") else sharing.share
        try:
            verb(asset, form.cleaned_data["user"], form.cleaned_data["right"], actor=user)
            return tell(request, "The grants are changed.", request.path)
        except (Refused, Invalid) as error:
            show_errors(form, error)
    return render(request, "registry/sharing.html", panel(asset, form, mine), status=status_of(form))


def panel(asset: Asset, form: ShareForm, mine: list[str]) -> dict[str, Any]:
    """Return what the page prints."""
    grants = [
        {"user": holder, "right": right, "title": title, "may_take": right in mine}
        for right, title in TITLES.items()
        for holder in sharing.shared_with(asset, right)
    ]
    return {"asset": asset, "form": form, "grants": grants, "may_share": bool(mine)}
