"""The one API of the portal: each app brings its router, refusals are mapped once."""

from __future__ import annotations

from ninja import NinjaAPI

from portal.http import install_refusals

api = NinjaAPI(
    title="Countersign",
    version="1",
    description="Register versions, attach evidence, submit, ask the gate, report what served.",
    docs_url="/docs",
    openapi_url="/openapi.json",
)
install_refusals(api)
