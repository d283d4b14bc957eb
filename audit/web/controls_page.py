"""The page of the map of controls: points by framework, each with the reports that answer a part of it."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_safe

from audit.reports import BY_SLUG
from audit.reports.controls import Control
from audit.web import present
from audit.web.forms import ReportForm
from audit.web.pages import auditor, status_of


@require_safe
def controls(request: HttpRequest) -> HttpResponse:
    """Show which of our records have to do with which point of which framework."""
    auditor(request, "report.read")
    report = BY_SLUG["controls"]
    form = ReportForm(report, request.GET)
    context: dict[str, Any] = {"report": report, "form": form, "crumbs": present.crumbs()}
    context["tabs"] = present.tabs_of(report.slug)
    if form.is_valid():
        question = form.question()
        found = report.select(question.filters, question.as_of)
        picture = report.picture(question.filters, question.as_of)
        context |= {"groups": grouped(found), "as_of": question.as_of, "asked": question.as_parameters()}
        context |= {"picture": picture, "report_url": reverse("audit:report", args=[report.slug])}
    return render(request, "audit/controls.html", context, status=status_of(form))


def grouped(found: Any) -> list[dict[str, Any]]:
    """Return points by their frameworks, each with links to the reports that answer a part of it."""
    groups: dict[str, dict[str, Any]] = {}
    for control in found:
        group = groups.setdefault(control.framework.slug, {"framework": control.framework, "points": []})
        group["points"].append({"control": control, "reports": links(control)})
    return list(groups.values())


def links(control: Control) -> list[dict[str, str]]:
    """Return the pages of the reports that answer a part of a point."""
    named = ((slug, BY_SLUG[slug].title) for slug in control.reports)
    return [{"label": title, "url": reverse("audit:report", args=[slug])} for slug, title in named]
