"""Doors to deputies: who stands in for me, for whom I stand in, name one, end one; and what nobody owns any more."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils import timezone
from django.views.decorators.http import require_POST

from governance import delegations, departures
from governance.models import Delegation
from governance.permissions import READERS, roles_of, seats_of, visible
from governance.web.forms import WHEN
from portal.errors import Invalid, Refused
from portal.http import paginate, posted, show_errors, status_of, tell
from registry.models import Asset, User

MOST = 10
DAYS = delegations.MAX_LENGTH.days


class DeputyForm(forms.Form):
    """Who stands in, in which role, and from when until when."""

    role = forms.ChoiceField()
    deputy = forms.ModelChoiceField(
        User.objects.none(),
        to_field_name="username",
        help_text="Needs no seat, sees meanwhile what the role sees, and has to be as independent as you.",
    )
    starts_at = forms.DateTimeField(label="From (UTC)", required=False, widget=WHEN, help_text="Empty: from now on.")
    ends_at = forms.DateTimeField(label="Until (UTC)", widget=WHEN, help_text=f"At most {DAYS} days after the start.")
    reason = forms.CharField(max_length=4000, required=False, widget=forms.Textarea(attrs={"rows": 2}))

    def __init__(self, *args: Any, user: User, roles: list[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        people = User.objects.filter(is_active=True, kind="person").exclude(pk=user.pk)
        self.fields["role"].choices = [(role, role.capitalize()) for role in roles]  # type: ignore[attr-defined]
        self.fields["deputy"].queryset = people.exclude(seats__role__in=READERS)  # type: ignore[attr-defined]


def deputies(request: HttpRequest) -> HttpResponse:
    """Show the delegations that I gave and received, and name a deputy."""
    user: Any = request.user
    roles = [seat.role for seat in seats_of(user) if seat.role not in READERS]
    form = DeputyForm(posted(request), user=user, roles=roles)
    if form.is_valid():
        try:
            made = delegations.make(actor=user, **form.cleaned_data)
            return tell(request, f"{made.deputy} stands in for you as {made.role}.", request.path)
        except (Refused, Invalid) as error:
            show_errors(form, error)
    elif form.is_bound:
        user.require("delegation.make")
    page = paginate(request, delegations.concerning(user))
    context = {"form": form if roles else None, "page": page, "rows": rows_of(page, user, timezone.now())}
    return render(request, "governance/deputies.html", context, status=status_of(form))


def rows_of(found: Any, user: User, at: datetime) -> list[dict[str, Any]]:
    """Return delegations as the page prints them: in words, with their state, and whether they can still be ended."""
    return [
        {
            "delegation": each,
            "says": f"{each.deputy} for you" if each.giver_id == user.pk else f"you for {each.giver}",
            "badge": badge_of(each, at),
            "can_end": each.ended_at is None and at < each.ends_at,
        }
        for each in found
    ]


def badge_of(delegation: Delegation, at: datetime) -> tuple[str, str]:
    """Return where a delegation stands at an instant: the word that gives a badge its look, and its label."""
    if delegation.is_in_force(at):
        return "granted", "In force"
    if delegation.ended_at is not None:
        return "withdrawn", "Ended"
    return ("lapsed", "Over") if at >= delegation.ends_at else ("waiting", "Not yet")


@require_POST
def end(request: HttpRequest, public_id: str) -> HttpResponse:
    """End a delegation that I gave or received."""
    user: Any = request.user
    found = get_object_or_404(delegations.concerning(user), public_id=public_id)
    delegations.end(found, actor=user)
    return tell(request, "The delegation is ended. What was answered until then stays valid.", "/deputies/")


def unattended(request: HttpRequest) -> HttpResponse:
    """Show the assets whose owner or backup owner has left, those that nobody owns first."""
    user: Any = request.user
    page = paginate(request, visible(user, departures.unattended(), asset=""))
    context = {"page": page, "rows": [asset_row(asset) for asset in page]}
    return render(request, "governance/unattended.html", context)


def asset_row(asset: Asset) -> dict[str, Any]:
    """Return what the page prints about an asset somebody of which is missing."""
    is_owned, has_backup = (departures.is_here(person) for person in (asset.owner, asset.backup_owner))
    lacking = ("missing", "Needs an owner") if has_backup else ("error", "Orphaned")
    return {
        "asset": asset,
        "people": f"owner {named(asset.owner)}, backup owner {named(asset.backup_owner)}",
        "badge": ("stale", "Needs a backup owner") if is_owned else lacking,
        "help": departures.who_helps(asset),
    }


def named(person: User | None) -> str:
    """Return a person as a list of people in charge names them."""
    if person is None:
        return "nobody"
    return str(person) if person.is_active else f"{person}, who has left"


def to_attend(user: User, teams: set[int]) -> list[dict[str, Any]]:
    """Return the assets that a person can help to an owner: of their teams, or all for administrators."""
    if "administrator" in roles_of(user):
        return [asset_row(asset) for asset in departures.unattended()[:MOST]]
    return [asset_row(asset) for asset in departures.unattended().filter(team__in=teams)[:MOST]] if teams else []
