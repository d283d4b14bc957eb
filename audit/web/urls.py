"""Addresses of the pages of audit."""

from __future__ import annotations

from django.urls import path

from audit.web import downloads, pages

app_name = "audit"
urlpatterns = [
    path("", pages.front, name="front"),
    path("reports/<slug:slug>/", pages.report, name="report"),
    path("reports/<slug:slug>/export/", pages.export_report, name="export-report"),
    path("served/", pages.served, name="served"),
    path("ledger/", pages.ledger, name="ledger"),
    path("ledger/checkpoint/", downloads.checkpoint, name="checkpoint"),
    path("ledger/<uuid:event_id>/", pages.entry, name="entry"),
    path("ledger/<uuid:event_id>/body/", downloads.body, name="entry-body"),
    path("ledger/<uuid:event_id>/proof/", downloads.proof, name="proof"),
    path("exports/", pages.exports, name="exports"),
    path("exports/<uuid:pk>/", pages.export, name="export"),
    path("exports/<uuid:pk>/file/", downloads.export, name="download"),
    path("bundle/", pages.find_bundle, name="find-bundle"),
    path("bundle/<str:slug>/<str:number>/", pages.bundle, name="bundle"),
]
