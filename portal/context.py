"""What every page of the shell shows: the main navigation and whether the clock is silent. Computed when printed."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.urls import reverse
from django.utils.functional import SimpleLazyObject

from governance.permissions import may
from governance.web import queues
from portal import health

# label, name of the page, icon, and the beginnings of the addresses that belong to it
ITEMS = (
    ("Home", "governance:home", "home", ()),
    ("Catalogue", "registry:catalogue", "catalogue", ("/catalogue/", "/assets/", "/versions/")),
    ("Queue", "governance:queue", "queue", ("/queue/", "/submissions/", "/decisions/")),
    ("Register", "registry:register", "register", ("/register/",)),
    ("Findings", "governance:findings", "findings", ("/findings/",)),
    ("Waivers", "governance:waivers", "waiver", ("/waivers/",)),
    ("Policies", "governance:policies", "policy", ("/policies/",)),
)
AUDIT = {"label": "Audit", "url": "/audit/", "icon": "audit"}
ADMIN = {"label": "Admin", "url": "/admin/", "icon": "people"}


def shell(request: HttpRequest) -> dict[str, Any]:
    """Return `nav` and `clock_silent` for the shell; neither costs anything on a page that does not print it."""
    return {
        "nav": SimpleLazyObject(lambda: navigation(request)),
        "clock_silent": SimpleLazyObject(health.clock_fault),
    }


def navigation(request: HttpRequest) -> list[dict[str, Any]]:
    """Return the links of the main navigation that are of use to whoever asks."""
    user: Any = request.user
    if not user.is_authenticated:
        return []
    found = [
        {
            "label": label,
            "url": reverse(name),
            "icon": icon,
            "current": request.path == reverse(name) or request.path.startswith(beginnings),
            "count": queues.count_my_turn(user) if name == "governance:queue" else None,
        }
        for label, name, icon, beginnings in ITEMS
    ]
    more = [AUDIT] * may(user, "report.read") + [ADMIN] * user.is_staff
    return found + [{**item, "current": request.path.startswith(item["url"])} for item in more]
