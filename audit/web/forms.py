"""What auditors ask with: every question is a GET form, so an address is a question that can be kept and sent on."""

from __future__ import annotations

from typing import Any

from django import forms

from audit.events import Event
from audit.reports import Filters, Report
from governance.models import Policy
from portal.fields import AsOfForm, instant


def line(label: str, *, most: int, help_text: str = "", required: bool = False) -> forms.CharField:
    """Return a field for a short text."""
    return forms.CharField(label=label, max_length=most, required=required, help_text=help_text)


class ReportForm(AsOfForm):
    """The filters of one report."""

    customer = line("Customer", most=120, help_text="The whole name, as deployments report it.")
    asset = line("Asset or version", most=130, help_text="fraud-scorer, or fraud-scorer@2.1.0.")
    environment = forms.ChoiceField(label="Environment", required=False)
    since = instant("From (UTC)")
    until = instant("Until (UTC)", help_text="Not included.")
    field_order = ("customer", "asset", "environment", "since", "until", "as_of")

    def __init__(self, report: Report, data: Any = None) -> None:
        super().__init__(data)
        for name in Filters.__dataclass_fields__:
            if name not in report.filters:
                del self.fields[name]
        if "environment" in self.fields:
            self.fields["environment"].choices = [("", "All"), *((name, name) for name in environments())]  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        """Refuse a period that ends before it begins."""
        cleaned: dict[str, Any] = super().clean() or {}
        since, until = cleaned.get("since"), cleaned.get("until")
        if since and until and since >= until:
            self.add_error("until", "The period ends before it begins.")
        return cleaned

    @property
    def is_narrowed(self) -> bool:
        """Return whether the form says more than the instant, or says something wrong."""
        return bool(self.errors) or self.filters() != Filters()

    def filters(self) -> Filters:
        """Return what was asked for."""
        asked = {name: self.cleaned_data.get(name) for name in Filters.__dataclass_fields__}
        return Filters(**{name: value for name, value in asked.items() if value})


def environments() -> list[str]:
    """Return every environment that a policy has known, and `baseline`, which waivers may name."""
    known = {name for policy in Policy.objects.only("content") for name in policy.environments}
    return [*sorted(known), "baseline"]


class ServedForm(forms.Form):
    """Who served a customer at one instant."""

    customer = line("Customer", most=120, required=True, help_text="The whole name, as deployments report it.")
    at = instant("At (UTC)", required=True)
    deployment = line("Deployment", most=120, help_text="Empty means all.")


def event_choices() -> list[tuple[str, Any]]:
    """Return all kinds of entries, by the thing they are about, each family also as a whole."""
    families: dict[str, list[tuple[str, str]]] = {}
    for event in Event:
        family = event.value.partition(".")[0]
        families.setdefault(family, [(f"{family}.", f"{family}: all")]).append((event.value, event.value))
    return [("", "All"), *families.items()]


class LedgerForm(forms.Form):
    """Which entries of the ledger."""

    kind = forms.ChoiceField(label="Event", required=False, choices=event_choices)
    subject = line("About", most=300, help_text="A part of its name, such as fraud-scorer@2.1.0.")
    actor = line("By", most=120, help_text="A name, or person:<id>.")
    since = instant("From (UTC)")
    until = instant("Until (UTC)", help_text="Not included.")

    @property
    def is_narrowed(self) -> bool:
        """Return whether the form asks for a part of the ledger, or asks wrongly."""
        return bool(self.errors) or any(self.cleaned_data.values())
