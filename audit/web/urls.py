"""Addresses of the pages of audit."""

from __future__ import annotations

from django.urls import path

from audit.web import controls_page, downloads, keys_page, pages, tokens_page, verifications, window_page

app_name = "audit"
urlpatterns = [
    path("", pages.front, name="front"),
    path("reports/<slug:slug>/", pages.report, name="report"),
    path("reports/<slug:slug>/export/", pages.export_report, name="export-report"),
    path("served/", pages.served, name="served"),
    path("controls/", controls_page.controls, name="controls"),
    path("windows/<uuid:batch>/<int:line>/", window_page.window, name="window"),
    path("windows/<uuid:batch>/<int:line>/proof/", window_page.proof, name="window-proof"),
    path("ledger/", pages.ledger, name="ledger"),
    path("ledger/checkpoint/", downloads.checkpoint, name="checkpoint"),
    path("ledger/<uuid:event_id>/", pages.entry, name="entry"),
    path("ledger/<uuid:event_id>/body/", downloads.body, name="entry-body"),
    path("ledger/<uuid:event_id>/proof/", downloads.proof, name="proof"),
    path("tokens/", tokens_page.ledger_tokens, name="tokens"),
    path("keys/", keys_page.keys, name="keys"),
    path("verifications/", verifications.listed, name="verifications"),
    path("verifications/ask/", verifications.ask, name="ask-verification"),
    path("verifications/<int:pk>/", verifications.shown, name="verification"),
    path("exports/", pages.exports, name="exports"),
    path("exports/<uuid:pk>/", pages.export, name="export"),
    path("exports/<uuid:pk>/cancel/", pages.cancel_export, name="cancel-export"),
    path("exports/<uuid:pk>/again/", pages.repeat_export, name="repeat-export"),
    path("exports/<uuid:pk>/file/", downloads.export, name="download"),
    path("period/", pages.period, name="period"),
    path("bundle/", pages.find_bundle, name="find-bundle"),
    path("bundle/<str:slug>/<str:number>/", pages.bundle, name="bundle"),
]
