"""The site's table of contents."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path

from portal import health
from portal.api import api

urlpatterns = [
    path("", include("governance.web.urls")),
    path("", include("registry.web.urls")),
    path("audit/", include("audit.web.urls")),
    path("api/v1/", api.urls),
    path("account/", include("allauth.account.urls")),
    path("account/mfa/", include("allauth.mfa.urls")),
    path("admin/", admin.site.urls),
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
]
handler403 = "django.views.defaults.permission_denied"
