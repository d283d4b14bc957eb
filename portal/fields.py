"""Form fields that doors of all apps share: asking for an instant in UTC, and for the instant a page is about."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.dateparse import parse_datetime


class InstantInput(forms.DateTimeInput):
    """The browser's own date and time input, in UTC, to the second."""

    input_type = "datetime-local"

    def __init__(self) -> None:
        super().__init__(attrs={"step": "1"})

    def format_value(self, value: Any) -> str | None:
        """Return the one form that browsers show, whatever form the address had."""
        try:
            at = parse_datetime(value) if isinstance(value, str) else value
        except ValueError:
            return str(value)
        return at.strftime("%Y-%m-%dT%H:%M:%S") if isinstance(at, datetime) else value


def instant(label: str, *, help_text: str = "", required: bool = False) -> forms.DateTimeField:
    """Return a field for an instant in UTC."""
    return forms.DateTimeField(label=label, required=required, widget=InstantInput(), help_text=help_text)


class AsOfForm(forms.Form):
    """The instant whose answer is wanted: nothing means now."""

    as_of = instant("As of (UTC)", help_text="Empty means now.")

    def clean_as_of(self) -> datetime:
        """Return the instant, which must have passed."""
        at: datetime | None = self.cleaned_data["as_of"]
        if at is not None and at > timezone.now():
            raise ValidationError("Nobody knows yet; choose an instant that has passed.")
        return at or timezone.now()

    @property
    def at(self) -> datetime:
        """Return the instant that was asked for, now while the form is wrong."""
        found: datetime = self.cleaned_data.get("as_of") or timezone.now() if self.is_valid() else timezone.now()
        return found
