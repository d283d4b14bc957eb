"""Doors to violations: what served without being allowed to, the answer to it, and reports that contradict others."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django import forms
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse

from audit.models import ServingConflict
from governance import violations
from governance.models import Violation
from governance.models.violations import ViolationState
from governance.permissions import may, visible
from governance.web.sheets import Item
from portal.errors import Invalid, Reason, Refused
from portal.http import paginate, posted, show_errors, status_of, tell
from portal.templatetags.portal import times
from registry.models import User

MOST_CUSTOMERS, MOST_WAITING = 50, 100
# What two reports of one window count.
COMPARED = ("requests", "errors")


class ViolationForm(forms.Form):
    """What is done about a violation."""

    answer = forms.CharField(
        label="What happened, and what is done now",
        max_length=4000,
        widget=forms.Textarea(attrs={"rows": 5}),
        help_text="It is kept, and is for everything that was served until now.",
    )


def seen_by(user: User) -> QuerySet[Violation]:
    """Return the violations that a person may see, with how many customers each concerned, the latest on top."""
    seen = visible(user, Violation.objects.all(), asset="version__asset")
    rows = Violation.objects.filter(Q(pk__in=seen.values("pk")) | violations.concerning(user))
    counted = rows.annotate(customer_count=Count("customers"))
    return counted.select_related("version__asset", "answered_by").order_by("-last_window", "-pk")


def violation_list(request: HttpRequest) -> HttpResponse:
    """Show what waits for my answer, and every violation that I may see."""
    user: Any = request.user
    state = request.GET.get("state", "")
    rows = seen_by(user)
    rows = rows.filter(state=state) if state in ViolationState.values else rows
    waiting = violations.answerable(user).annotate(customer_count=Count("customers"))
    context = {
        "waiting": waiting[:MOST_WAITING],
        "page": paginate(request, rows),
        "states": [("", "All"), *ViolationState.choices],
        "state": state,
        "reads_conflicts": may(user, "conflicts.read"),
    }
    return render(request, "governance/violations.html", context)


def violation(request: HttpRequest, public_id: str) -> HttpResponse:
    """Show one violation, or record the answer to it."""
    user: Any = request.user
    found = get_object_or_404(seen_by(user), public_id=public_id)
    form = ViolationForm(posted(request))
    if form.is_valid():
        try:
            violations.answer(found, actor=user, text=form.cleaned_data["answer"])
            return tell(request, "Your answer is recorded.", found.get_absolute_url())
        except (Refused, Invalid) as error:
            show_errors(form, error)
    context = {"form": form, **sheet(found, user)}
    return render(request, "governance/violation.html", context, status=status_of(form))


def sheet(found: Any, user: User) -> dict[str, Any]:
    """Return what the page of a violation prints."""
    names = list(found.customers.values_list("customer", flat=True)[: MOST_CUSTOMERS + 1])
    return {
        "violation": found,
        "facts": facts(found),
        "reasons": [
            Reason(found.rule, found.says, found.fix, found.version.get_absolute_url() if found.version else "")
        ],
        "customers": names[:MOST_CUSTOMERS],
        "more_customers": found.customer_count - MOST_CUSTOMERS if len(names) > MOST_CUSTOMERS else 0,
        "can_answer": violations.answerable(user).filter(pk=found.pk).exists(),
        "crumbs": [{"label": "Violations", "url": reverse("governance:violations")}],
    }


def address_of(found: Violation) -> str:
    """Return the address of the version that was served, or an empty text."""
    return found.version.get_absolute_url() if found.version is not None else ""


def facts(found: Violation) -> list[Item]:
    """Return what was served, as labels and values."""
    items: list[Item] = [
        {"label": "What", "value": found.label, "url": address_of(found)},
        {"label": "Identity digest", "value": found.digest, "kind": "digest"},
        {"label": "Deployment", "value": found.deployment or "many"},
        {"label": "Environment", "value": found.environment or "many"},
        {"label": "First window", "value": found.first_window, "kind": "when"},
        {"label": "Last window", "value": found.last_window, "kind": "when"},
        {"label": "Windows", "value": f"{found.windows:,}"},
        {"label": "Requests", "value": f"{found.requests:,}"},
        {"label": "Reported by", "value": found.source},
        {"label": "Found", "value": found.opened_at, "kind": "when"},
    ]
    if found.state == ViolationState.ANSWERED:
        items += [
            {"label": "Answered by", "value": found.answered_by},
            {"label": "Answered", "value": found.answered_at, "kind": "when"},
        ]
    return [item for item in items if item["value"] != ""]


def conflicts(request: HttpRequest) -> HttpResponse:
    """Show the reports that contradict earlier ones, the newest on top."""
    user: Any = request.user
    user.require("conflicts.read")
    page = paginate(request, ServingConflict.objects.select_related("batch").order_by("-received_at", "-pk"))
    rows = [{"conflict": each, "lines": list(map(line_of, each.differences))} for each in page]
    crumbs = [{"label": "Violations", "url": reverse("governance:violations")}]
    return render(request, "governance/serving_conflicts.html", {"page": page, "rows": rows, "crumbs": crumbs})


def line_of(difference: dict[str, Any]) -> dict[str, Any]:
    """Return one contradicting line: the window, what was said first, and what is said now."""
    first, second = difference["first"], difference["second"]
    window = second or first or {}
    return {
        "line": difference["line"],
        "customer": window.get("customer", ""),
        "deployment": window.get("deployment", ""),
        "start": datetime.fromisoformat(window["start"]) if "start" in window else None,
        "first": worded(first),
        "second": worded(second),
        "batch": (first or {}).get("batch", ""),
    }


def worded(window: dict[str, Any] | None) -> str:
    """Return what a report said about a window, in words."""
    if window is None:
        return "no such line"
    counts = [times(window[name], name.removesuffix("s")) for name in COMPARED if name in window]
    said = [*counts, window.get("completeness", ""), f"digest {window.get('digest', '')[:12]}…"]
    return ", ".join(filter(None, said))
