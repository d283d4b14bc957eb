"""What auditors ask with: every question is a GET form, so an address is a question that can be kept and sent on."""

from __future__ import annotations

from typing import Any

from django import forms

from audit.events import Event
from audit.reports import Filters, Report
from audit.reports.asking import MOST_SAMPLED, MOST_SEED, Question, Sample
from governance.models import Policy
from portal.errors import show
from portal.fields import AsOfForm, instant
from portal.templatetags.portal import label_of


def line(label: str, *, most: int, help_text: str = "", required: bool = False) -> forms.CharField:
    """Return a field for a short text."""
    return forms.CharField(label=label, max_length=most, required=required, help_text=help_text)


# What addresses and posts carry beside the question.
BESIDE = frozenset({"page", "format", "csrfmiddlewaretoken"})


class ReportForm(AsOfForm):
    """The filters of one report."""

    customer = line("Customer", most=120, help_text="The whole name, as deployments report it.")
    asset = line("Asset or version", most=130, help_text="fraud-scorer, or fraud-scorer@2.1.0.")
    environment = forms.ChoiceField(label="Environment", required=False)
    deployment = line("Deployment", most=120, help_text="The whole name, as it reports itself.")
    person = line("Person", most=120, help_text="A part of a name, or person:<id>.")
    role = line("Role", most=40, help_text="The whole name of the role, such as security.")
    rule = line("Rule", most=120, help_text="The whole name of the rule, such as vulnerabilities.")
    event = forms.ChoiceField(label="Event", required=False)
    word = forms.ChoiceField(required=False)
    since = instant("From (UTC)")
    until = instant("Until (UTC)", help_text="Not included.")
    sample = forms.IntegerField(
        label="Sample of",
        required=False,
        min_value=1,
        max_value=MOST_SAMPLED,
        help_text=f"How many rows to draw, {MOST_SAMPLED:,} at most. Empty means all rows.",
    )
    seed = line("Seed", most=MOST_SEED, help_text="Any text, such as 2026-Q4: the same seed draws the same rows again.")
    field_order = (*Filters.__dataclass_fields__, "as_of", "sample", "seed")

    def __init__(self, report: Report, data: Any = None) -> None:
        super().__init__(data)
        self.report = report
        for name in Filters.__dataclass_fields__:
            if name not in report.filters:
                del self.fields[name]
        if "environment" in self.fields:
            self.fields["environment"].choices = [("", "All"), *((name, name) for name in environments())]  # type: ignore[attr-defined]
        if "event" in self.fields:
            self.fields["event"].choices = event_choices()  # type: ignore[attr-defined]
        if "word" in self.fields:
            self.fields["word"].label = report.word_label
            titles = ((word, report.titles.get(word) or label_of(word)) for word in report.words)
            self.fields["word"].choices = [("", "All"), *titles]  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        """Refuse a period that ends before it begins, half a sample, and filters that this question does not have."""
        cleaned: dict[str, Any] = super().clean() or {}
        for name in sorted(set(self.data) - set(self.fields) - BESIDE):
            self.add_error(None, f"{show(name)} is no filter of this question. It has {', '.join(self.fields)}.")
        since, until = cleaned.get("since"), cleaned.get("until")
        if since and until and since >= until:
            self.add_error("until", "The period ends before it begins.")
        if cleaned.get("sample") and not cleaned.get("seed") and "seed" not in self.errors:
            self.add_error("seed", "A sample needs a seed: any text, such as 2026-Q4.")
        if cleaned.get("seed") and not cleaned.get("sample") and "sample" not in self.errors:
            self.add_error("sample", "Say how many rows to draw from this seed.")
        return cleaned

    @property
    def is_narrowed(self) -> bool:
        """Return whether the form says more than the instant, or says something wrong."""
        return bool(self.errors) or self.filters() != Filters() or self.drawn() is not None

    def drawn(self) -> Sample | None:
        """Return the sample that was asked for, if one was."""
        size = self.cleaned_data.get("sample")
        return Sample(size, self.cleaned_data["seed"]) if size else None

    def question(self) -> Question:
        """Return the question as it was asked."""
        return Question(self.report, self.filters(), self.at, self.drawn())

    def filters(self) -> Filters:
        """Return what was asked for."""
        asked = {name: self.cleaned_data.get(name) for name in Filters.__dataclass_fields__}
        return Filters(**{name: value for name, value in asked.items() if value})


def environments() -> list[str]:
    """Return every environment that a policy has known, and `baseline`, which waivers may name."""
    known = {name for policy in Policy.objects.only("content") for name in policy.environments}
    return [*sorted(known), "baseline"]


class PeriodForm(AsOfForm):
    """Which period a bundle is about."""

    since = instant("From (UTC)", required=True)
    until = instant("Until (UTC)", required=True, help_text="Not included.")
    field_order = ("since", "until", "as_of")


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
