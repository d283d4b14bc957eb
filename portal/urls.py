"""The site's table of contents."""

from __future__ import annotations

from django.urls import include, path

from portal import accounts, administration, cli, health
from portal.api import api

urlpatterns = [
    path("", include("governance.web.urls")),
    path("", include("registry.web.urls")),
    path("audit/", include("audit.web.urls")),
    path("api/v1/", api.urls),
    # These stand before the pages that they close.
    path("account/email/", accounts.keep_address, name="account_email"),
    path("account/confirm-email/", accounts.keep_address, name="account_email_verification_sent"),
    path("account/confirm-email/<str:key>/", accounts.keep_address, name="account_confirm_email"),
    path("account/", include("allauth.account.urls")),
    path("account/mfa/", include("allauth.mfa.urls")),
    path("admin/", administration.site.urls),
    path("cli/countersign", cli.countersign, name="cli"),
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
]
handler403 = "django.views.defaults.permission_denied"
