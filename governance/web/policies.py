"""Doors to the published policies: read them as rules and as text, with their test cases, and compare two of them."""

from __future__ import annotations

from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse

from governance import policy
from governance.models import Policy, PolicyProposal
from governance.models.policies import ProposalState
from governance.permissions import may
from governance.web import sheets
from portal.http import paginate

CRUMBS = [{"label": "Policies", "url": "/policies/"}]


def policy_list(request: HttpRequest) -> HttpResponse:
    """Show every published policy version, what is proposed, and whether the release ships another text."""
    user: Any = request.user
    user.require("policy.read")
    proposed = PolicyProposal.objects.select_related("proposed_by", "decided_by")
    context = {
        "page": paginate(request, Policy.objects.select_related("published_by")),
        "opened": proposed.filter(state=ProposalState.OPEN),
        "answered": proposed.exclude(state=ProposalState.OPEN)[:20],
        "may_propose": may(user, "policy.propose"),
        "ships_another": ships_another(),
    }
    return render(request, "governance/policies.html", context)


def ships_another() -> bool:
    """Return whether the text that comes with the release was never published."""
    return not Policy.objects.filter(digest=policy.shipped_digest()).exists()


def read_policy(request: HttpRequest, name: str, number: int) -> HttpResponse:
    """Show one policy version: what it asks for in each environment, text, test cases, and its other versions."""
    user: Any = request.user
    user.require("policy.read")
    versions = list(Policy.objects.filter(name=name).select_related("published_by", "proposal__proposed_by"))
    found = next((each for each in versions if each.number == number), None)
    if found is None:
        raise Http404(f"No policy {name} v{number} is published.")
    others = [each for each in versions if each != found]
    context = {"crumbs": CRUMBS, "newest": versions[0], "others": others, **sheets.policy(found)}
    return render(request, "governance/policy.html", {**context, "may_propose": may(user, "policy.propose")})


def compare(request: HttpRequest, name: str, number: int, other: int) -> HttpResponse:
    """Show how the texts of two versions of a policy differ, the older one first."""
    user: Any = request.user
    user.require("policy.read")
    older, newer = sorted((number, other))
    rows = Policy.objects.filter(name=name).select_related("published_by")
    context = {
        "older": get_object_or_404(rows, number=older),
        "newer": get_object_or_404(rows, number=newer),
        "crumbs": [*CRUMBS, {"label": f"{name} v{newer}", "url": reverse("governance:policy", args=[name, newer])}],
    }
    return render(request, "governance/policy_compare.html", context)
