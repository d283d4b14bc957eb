"""Addresses of the pages about what exists."""

from __future__ import annotations

from django.urls import path

from registry.web import as_of, assets, documents, downloads, pages, register, reports, shares

app_name = "registry"
urlpatterns = [
    path("catalogue/", pages.catalogue, name="catalogue"),
    path("assets/<str:slug>/", pages.asset, name="asset"),
    path("assets/<str:slug>/edit/", assets.change, name="asset-edit"),
    path("assets/<str:slug>/sharing/", shares.shares, name="sharing"),
    path("register/", register.start, name="register"),
    path("register/asset/", assets.register, name="asset-register"),
    path("versions/<str:slug>/<str:number>/", pages.version, name="version"),
    path("versions/<str:slug>/<str:number>/edit/", register.edit, name="version-edit"),
    path("versions/<str:slug>/<str:number>/edit/<slug:section>/", register.save, name="version-save"),
    path("versions/<str:slug>/<str:number>/components/", register.components, name="components"),
    path("versions/<str:slug>/<str:number>/datasets/", register.datasets, name="datasets"),
    path("versions/<str:slug>/<str:number>/evidence/attach/", register.attach, name="attach"),
    path("versions/<str:slug>/<str:number>/evidence/<uuid:public_id>/", documents.document, name="document"),
    path("versions/<str:slug>/<str:number>/as-of/", as_of.as_of, name="version-as-of"),
    path("versions/<str:slug>/<str:number>/prefill/", register.prefill, name="prefill"),
    path("versions/<str:slug>/<str:number>/composition.json", downloads.composition_manifest, name="composition"),
    path("versions/<str:slug>/<str:number>/<slug:tab>/", pages.version, name="version-tab"),
    path("evidence/<uuid:public_id>/", downloads.document, name="evidence"),
    path("evidence/<uuid:public_id>/sign/", reports.sign, name="report-sign"),
    path("schemas/evaluation-package-v1.json", downloads.evaluation_schema, name="evaluation-schema"),
]
