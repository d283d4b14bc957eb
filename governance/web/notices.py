"""Doors to notices: what one was told, how it was delivered, and the choice of when to be told."""

from __future__ import annotations

from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from governance import notices
from governance.models import Notice, NoticePreference
from governance.models.notices import Pace
from governance.notices import Kind
from portal.errors import Invalid
from portal.http import paginate, posted, show_errors, status_of, tell
from registry.models import User

HOURS = [(str(hour), f"{hour:02}:00 UTC") for hour in range(24)]
WORDS = {str(kind): kind.words for kind in Kind}


class ChoiceForm(forms.Form):
    """When mail comes."""

    pace = forms.ChoiceField(label="Mail", choices=Pace.choices, widget=forms.RadioSelect)
    hour = forms.TypedChoiceField(
        label="Hour of the daily mail", choices=HOURS, coerce=int, help_text="Counts for mail once a day alone."
    )


def my_notices(request: HttpRequest) -> HttpResponse:
    """Show what a person was told and how, or take their choice of when to be told."""
    user: Any = request.user
    user.require("notices.choose")
    form = choice_form(request, user)
    if form.is_valid():
        try:
            chosen = notices.choose(actor=user, **form.cleaned_data)
            return tell(request, f"Your choice is kept: {chosen.get_pace_display()}.", request.path)
        except Invalid as error:
            show_errors(form, error)
    page = paginate(request, Notice.objects.filter(person=user))
    context = {"form": form, "page": page, "rows": [row_of(notice) for notice in page], "address": user.email}
    return render(request, "governance/notices.html", context, status=status_of(form))


def choice_form(request: HttpRequest, user: User) -> ChoiceForm:
    """Return the form, filled with what the person chose last."""
    chosen = NoticePreference.objects.filter(user=user).first() or NoticePreference(user=user)
    return ChoiceForm(posted(request), initial={"pace": chosen.pace, "hour": str(chosen.hour)})


def row_of(notice: Notice) -> dict[str, Any]:
    """Return what the page prints about one notice."""
    return {"notice": notice, "words": WORDS.get(notice.kind, notice.kind), "state": notices.state_of(notice)}
