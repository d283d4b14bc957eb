"""The site's table of contents."""

from __future__ import annotations

from django.urls import include, path

from portal import administration, cli, health
from portal.api import api

urlpatterns = [
    path("", include("governance.web.urls")),
    path("", include("registry.web.urls")),
    path("audit/", include("audit.web.urls")),
    path("api/v1/", api.urls),
    path("account/", include("allauth.account.urls")),
    path("account/mfa/", include("allauth.mfa.urls")),
    path("admin/", administration.site.urls),
    path("cli/countersign", cli.countersign, name="cli"),
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
]
handler403 = "django.views.defaults.permission_denied"
