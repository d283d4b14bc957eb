"""Doors to findings: the list of vulnerabilities, and one of them as a task over all versions it is in."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from governance.triage import tasks
from governance.web import finding_page, finding_panels
from portal.errors import Invalid, Refused
from portal.http import paginate, show_errors, status_of, tell


def findings(request: HttpRequest) -> HttpResponse:
    """Show one row for each vulnerability, the worst and most urgent on top; the address is the search."""
    user: Any = request.user
    text = request.GET.get("q", "").strip()[:200]
    chosen = {name: request.GET.getlist(name)[:20] for name in finding_panels.FACETS if request.GET.getlist(name)}
    page = paginate(request, tasks.tasks(user, chosen, text))
    context = {
        "page": page,
        "rows": [finding_panels.row(task) for task in tasks.describe(user, page.object_list)],
        "facets": finding_panels.facets(chosen, tasks.teams_seen(user)),
        "q": text,
        "total": page.paginator.count,
    }
    return render(request, "governance/findings.html", context)


def finding(request: HttpRequest, vulnerability: str) -> HttpResponse:
    """Show one vulnerability as a task, or record what was said about it in some versions."""
    page = finding_page.read(request, vulnerability)
    form = page.typed
    if form is not None and form.is_valid():
        try:
            return tell(request, form.act(request.user), request.path)
        except (Refused, Invalid) as error:
            show_errors(form, error)
    status = 200 if form is None else status_of(form)
    return render(request, "governance/finding.html", finding_page.context(page), status=status)
