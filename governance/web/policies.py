"""Doors to the published policies: read them as text."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse

from governance.models import Policy
from governance.web import sheets


def policy_list(request: HttpRequest) -> HttpResponse:
    """Show every published policy version."""
    user: Any = request.user
    user.require("policy.read")
    return render(request, "governance/policies.html", {"policies": Policy.objects.select_related("published_by")})


def policy(request: HttpRequest, name: str, number: int) -> HttpResponse:
    """Show one policy version: its text, and what it asks for in each environment."""
    user: Any = request.user
    user.require("policy.read")
    found = get_object_or_404(Policy.objects.select_related("published_by"), name=name, number=number)
    context = {
        "policy": found,
        "crumbs": [{"label": "Policies", "url": reverse("governance:policies")}],
        "environments": [
            {"label": each.capitalize(), "items": sheets.environment_items(found, each)} for each in found.environments
        ],
        "checks": sheets.rules(found),
    }
    return render(request, "governance/policy.html", context)
