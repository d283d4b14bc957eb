"""Doors to the published policies: read them as text."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render

from governance.checks import BY_SLUG
from governance.models import Policy


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
    asked = [{"name": each, **found.environment(each)} for each in found.environments]
    checks = [
        {"check": BY_SLUG[slug], "rule": rule, "critical": found.is_critical(slug)}
        for slug, rule in found.content["rules"].items()
    ]
    return render(request, "governance/policy.html", {"policy": found, "environments": asked, "checks": checks})
