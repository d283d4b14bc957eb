"""Evaluation reports: the door where a person signs for one, and how what was measured looks as JSON."""

from __future__ import annotations

from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils import timezone
from ninja import Schema

from audit import seal
from governance import policy
from governance.checks import evaluations
from governance.permissions import visible
from portal.errors import Invalid, Refused
from portal.http import posted, show_errors, status_of, tell
from registry import signatures
from registry.models import Evidence, Version


class SignForm(forms.Form):
    """A person's word for a report."""

    capacity = forms.CharField(
        label="In what capacity", max_length=200, help_text="For example: head of model validation."
    )
    statement = forms.CharField(
        label="What you say about it",
        max_length=4000,
        widget=forms.Textarea(attrs={"rows": 4}),
        help_text="What was measured, how you know, and what the numbers do not show.",
    )


class SignatureAnswer(Schema):
    """Who stands for a report."""

    by: str
    capacity: str
    statement: str
    signed_at: str


class MeasuredAnswer(Schema):
    """One metric: the value, what it was measured on, how sure that is, and what keeps it from counting, if anything.

    Numbers are texts, so that every reader sees the same. `evidence` is the sha256 of the report; `binding` is proven,
    declared or none.
    """

    metric: str
    required: bool
    min: str
    max: str
    value: str
    unit: str
    direction: str
    n: str
    stderr: str
    dataset: str
    slice: str
    measured_at: str
    evidence: str
    binding: str
    bound_by: str
    fault: str
    signatures: list[SignatureAnswer]


def find_report(request: HttpRequest, public_id: Any) -> Evidence:
    """Return an evaluation report that the person may see, or 404."""
    user: Any = request.user
    rows = visible(user, Evidence.objects.filter(kind="evaluation"), asset="version__asset")
    return get_object_or_404(rows.select_related("version__asset", "attached_by"), public_id=public_id)


def sign(request: HttpRequest, public_id: str) -> HttpResponse:
    """Ask for a person's word for a report, and keep it."""
    user: Any = request.user
    row = find_report(request, public_id)
    version = row.version
    user.require("report.sign", version)
    back = reverse("registry:version-tab", args=[version.asset.slug, version.number, "evaluations"])
    form = SignForm(posted(request))
    if form.is_valid():
        try:
            signatures.sign(row, actor=user, **form.cleaned_data)
            return tell(request, f"You signed {row.filename}.", back)
        except (Refused, Invalid) as error:
            show_errors(form, error)
    crumbs = [{"label": version.label, "url": version.get_absolute_url()}, {"label": "Evaluations", "url": back}]
    context = {"form": form, "report": row, "version": version, "back": back, "crumbs": crumbs}
    return render(request, "registry/report_sign.html", context, status=status_of(form))


def measured(version: Version) -> list[MeasuredAnswer]:
    """Return the metrics that the policy requires, then everything else that was measured; missing ones are empty."""
    rule = policy.governing(version).rule("evaluations")
    return [answer(reading) for reading in evaluations.survey(version, rule, at=timezone.now())]


def answer(reading: evaluations.Reading) -> MeasuredAnswer:
    """Return one metric as JSON."""
    facts = evaluations.facts_of(reading)
    given = [
        SignatureAnswer(
            by=each.signed_by.username,
            capacity=each.capacity,
            statement=each.statement,
            signed_at=seal.instant(each.signed_at),
        )
        for each in (reading.measurement.signatures if reading.measurement else [])
    ]
    told = {name: facts.get(name, "") for name in MeasuredAnswer.model_fields if name not in {"required", "signatures"}}
    value = {"value": facts.get("shown", "")}
    return MeasuredAnswer(**told | value, required=reading.is_required, signatures=given)
