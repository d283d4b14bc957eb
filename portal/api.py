"""The one API of the portal: each app brings its router, bodies are read strictly, refusals are mapped once."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.urls import URLPattern, URLResolver
from ninja import NinjaAPI
from ninja.errors import HttpError
from ninja.parser import Parser

from audit.web.api import router as audit_router
from governance.web.api import router as governance_router
from portal.errors import Fault, Invalid, show
from portal.http import MAX_BODY, complaint, install_refusals
from registry.readers import documents
from registry.web.api import router as registry_router

MAX_DEPTH = 64


class StrictParser(Parser):
    """Reads a JSON body with the reader of evidence: no duplicate keys, no NaN, no deep nesting, UTF-8 only."""

    def parse_body(self, request: HttpRequest) -> Any:
        """Return the object in the body. Raises Invalid, which ninja wraps; see `answer_http_error`."""
        value = documents.parse(request.body, max_bytes=MAX_BODY, max_depth=MAX_DEPTH)
        if not isinstance(value, dict):
            raise Invalid(Fault("body", show(value), "a JSON object"))
        return value


class Api(NinjaAPI):
    """ninja's API, whose operations ask for a token themselves, so that no session is asked for before them."""

    @property
    def urls(self) -> tuple[list[URLResolver | URLPattern], str, str]:
        """Return the addresses, each open to whoever has no session."""
        patterns, app, namespace = super().urls
        for pattern in patterns:
            if isinstance(pattern, URLPattern):
                login_not_required(pattern.callback)
        return patterns, app, namespace


api = Api(
    title="Countersign",
    version="1",
    description="Register versions, attach evidence, submit, ask the gate, report what served.",
    docs_url="/docs",
    openapi_url="/openapi.json",
    parser=StrictParser(),
)
install_refusals(api)
for router in (registry_router, governance_router, audit_router):
    api.add_router("", router)


@api.exception_handler(HttpError)
def answer_http_error(request: HttpRequest, error: HttpError) -> HttpResponse:
    """Answer an error that ninja raised itself; a body that cannot be read is invalid input like any other."""
    if isinstance(error.__cause__, Invalid):
        return JsonResponse(complaint(error.__cause__), status=422)
    return JsonResponse({"error": "http", "says": str(error), "reasons": []}, status=error.status_code)


@api.exception_handler(Http404)
def answer_not_found(request: HttpRequest, error: Http404) -> HttpResponse:
    """Answer that nothing is there, or nothing that the token may see."""
    return JsonResponse({"error": "not_found", "says": str(error), "reasons": []}, status=404)
