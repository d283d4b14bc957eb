"""What every page of the shell shows: navigation, whether the clock is silent, lost notices. Computed when printed."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.urls import reverse
from django.utils.functional import SimpleLazyObject

from audit import log
from governance import notices
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
    ("Violations", "governance:violations", "serving", ("/violations/",)),
    ("Forecast", "governance:forecast", "clock", ("/forecast/",)),
    ("Policies", "governance:policies", "policy", ("/policies/",)),
)
AUDIT = {"label": "Audit", "url": "/audit/", "icon": "audit"}
KEYS = {"label": "Keys", "url": "/audit/keys/", "icon": "key"}
ADMIN = {"label": "Admin", "url": "/admin/", "icon": "people"}


def shell(request: HttpRequest) -> dict[str, Any]:
    """Return what the shell prints; none of it costs anything on a page that does not print it."""
    return {
        "nav": SimpleLazyObject(lambda: navigation(request)),
        "clock_silent": SimpleLazyObject(health.clock_fault),
        "sealing_stopped": SimpleLazyObject(lambda: sealing_fault(request)),
        "notices_lost": SimpleLazyObject(lambda: lost_notices(request)),
    }


def sealing_fault(request: HttpRequest) -> str:
    """Return the sentence that says that sealing has stopped, for administrators and auditors alone."""
    user: Any = request.user
    return log.sealing_fault() if user.is_authenticated and (user.is_staff or may(user, "ledger.read")) else ""


def lost_notices(request: HttpRequest) -> str:
    """Return the address of the delivery log when notices were given up within a day, for administrators alone."""
    user: Any = request.user
    if not (user.is_authenticated and user.is_staff and notices.count_lost()):
        return ""
    return f"{reverse('admin:governance_notice_changelist')}?given_up_at__isnull=False&attempts__gt=0"


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
    # Auditors find the keys on the page of the ledger, which administrators do not see.
    more = [AUDIT] * may(user, "report.read") or [KEYS] * user.is_staff
    more += [ADMIN] * user.is_staff
    return found + [{**item, "current": request.path.startswith(item["url"])} for item in more]
