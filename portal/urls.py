"""The site's table of contents."""

from __future__ import annotations

from django.urls import include, path

from audit.web import published
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
    path("cli/gate.py", cli.gate, name="cli-gate"),
    path("cli/verify.py", cli.verify, name="cli-verify"),
    path("cli/witness.py", cli.witness, name="cli-witness"),
    path(".well-known/countersign/keyset.json", published.keyset, name="keyset"),
    path(".well-known/countersign/keysets/<int:number>.json", published.keyset, name="keyset-number"),
    path(".well-known/countersign/revocations.json", published.revocation_list, name="revocations"),
    path(".well-known/countersign/checkpoint", published.checkpoint, name="public-checkpoint"),
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
]
handler403 = "django.views.defaults.permission_denied"
