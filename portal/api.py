"""The one API of the portal: each app brings its router, bodies are read strictly, refusals are mapped once."""

from __future__ import annotations

import re
from typing import Any, get_args

from django.contrib.auth.decorators import login_not_required
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.urls import URLPattern, URLResolver
from ninja import NinjaAPI
from ninja.errors import HttpError, ValidationError, ValidationErrorContext
from ninja.parser import Parser

from audit.web.api import router as audit_router
from audit.web.monitor_api import router as monitor_router
from governance.web.api import Digest, Environment
from governance.web.api import router as governance_router
from governance.web.policy_api import Name
from governance.web.policy_api import router as policy_router
from portal.errors import Fault, Invalid, show
from portal.http import MAX_BODY, complaint, install_refusals
from registry.readers import documents
from registry.registration import Semver, Sha256, Slug
from registry.web.api import router as registry_router

MAX_DEPTH = 64
# What a pattern means, in words that end the sentence "field: saw …, expected …".
MEANINGS = {
    get_args(kind)[1].pattern: words
    for kind, words in {
        Slug: "1 to 64 lower-case letters, digits, dots, dashes or underscores",
        Semver: "a semantic version such as 2.1.0",
        Sha256: "64 lower-case hexadecimal digits",
        Digest: "sha256: and 64 lower-case hexadecimal digits",
        Environment: "the name of an environment, such as production",
        Name: "the name of a policy, such as default",
    }.items()
}
PREAMBLE = re.compile(
    r"^(?:(?:Input|String|List|Dictionary|Data) should (?:be|have|match) |Value error, (?:.*expected )?)"
)


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

    def validation_error_from_error_contexts(self, error_contexts: list[ValidationErrorContext]) -> ValidationError:
        """Return pydantic's errors with what was seen, which ninja leaves out, and what is expected in our words."""
        errors = []
        for context in error_contexts:
            model = context.model
            for error in context.pydantic_validation_error.errors(include_url=False):
                found = model.__ninja_flatten_map_reverse__.get(error["loc"], error["loc"])
                told = {"loc": (model.__ninja_param_source__, *found), "msg": expectation(error)}
                errors.append(told if error["type"] == "missing" else {**told, "input": error["input"]})
        return ValidationError(errors)


def expectation(error: Any) -> str:
    """Return what one of pydantic's errors expected, as the end of a sentence."""
    if error["type"] == "missing":
        return "a value"
    if error["type"] == "extra_forbidden":
        return "no field of this name"
    pattern = error.get("ctx", {}).get("pattern")
    return MEANINGS.get(pattern) or PREAMBLE.sub("", error["msg"])


api = Api(
    title="Countersign",
    version="1",
    description="Register versions, attach evidence, submit, ask the gate, report what served.",
    docs_url="/docs",
    openapi_url="/openapi.json",
    parser=StrictParser(),
)
install_refusals(api)
for router in (registry_router, governance_router, policy_router, audit_router, monitor_router):
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
