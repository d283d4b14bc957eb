"""The web kit that doors may use: refusals become answers here, once. No rule and no model stands here."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any, TypeVar

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Page, Paginator
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse, QueryDict
from django.shortcuts import render
from ninja.errors import AuthenticationError, HttpError
from ninja.errors import ValidationError as NinjaValidationError
from ninja.security import HttpBearer

from portal.errors import Fault, Invalid, Reason, Refused, show

Row = TypeVar("Row", bound=Model)
PAGE_SIZE = 50
MAX_BODY = 32 * 1024 * 1024


class Bearer(HttpBearer):
    """Authenticates an API call by a bearer token of one scope; the app below says whose token it is."""

    def __init__(self, authenticate: Callable[[str, str], Any], scope: str) -> None:
        super().__init__()
        self.find = authenticate
        self.scope = scope

    def authenticate(self, request: HttpRequest, token: str) -> Any:
        """Return the account behind the token, or None."""
        account = self.find(token, self.scope)
        if account is not None:
            request.user = account
        return account


def refusal(error: Refused) -> dict[str, Any]:
    """Return a refusal as the JSON that every door of the API prints."""
    return {
        "error": error.code,
        "says": error.says,
        "reasons": [reason.as_dict() for reason in error.reasons],
        **({"details": error.details} if error.details else {}),
    }


def complaint(error: Invalid) -> dict[str, Any]:
    """Return an invalid input as JSON: field, value seen, expectation."""
    return {"error": "invalid", "says": str(error), "faults": [fault.as_dict() for fault in error.faults]}


def faults_of(errors: list[Any]) -> Invalid:
    """Return pydantic's errors as faults of our own shape."""
    found = []
    for each in errors[:20]:
        path = [str(step) for step in each.get("loc", ()) if step not in {"body", "data", "query"}]
        seen = show(each["input"]) if "input" in each else "nothing"
        found.append(Fault(".".join(path) or "body", seen, each.get("msg", "something else")))
    return Invalid(*found)


def install_refusals(api: Any) -> None:
    """Map every kind of no to one JSON answer: 401, 403, 409 or 422."""

    def answer(status: int, body: dict[str, Any]) -> JsonResponse:
        return JsonResponse(body, status=status)

    api.exception_handler(Refused)(lambda request, error: answer(409, refusal(error)))
    api.exception_handler(Invalid)(lambda request, error: answer(422, complaint(error)))
    api.exception_handler(PermissionDenied)(
        lambda request, error: answer(403, {"error": "forbidden", "says": str(error), "reasons": []})
    )
    api.exception_handler(NinjaValidationError)(lambda request, error: answer(422, complaint(faults_of(error.errors))))
    api.exception_handler(AuthenticationError)(
        lambda request, error: answer(
            401, {"error": "unauthenticated", "says": "Send a valid token: Authorization: Bearer csn_….", "reasons": []}
        )
    )
    api.exception_handler(HttpError)(
        lambda request, error: answer(error.status_code, {"error": "http", "says": str(error), "reasons": []})
    )


class RefusalMiddleware:
    """Turns a refusal that a page's verb raised into a message on the page it came from, or a page of its own."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer a request, bounding its body first."""
        request.id = uuid.uuid4().hex  # type: ignore[attr-defined]
        if "\x00" in request.path_info:
            raise Http404("No address holds a NUL character, which the database could not look up.")
        length = request.META.get("CONTENT_LENGTH") or "0"
        if length.isdigit() and int(length) > MAX_BODY:
            fault = Fault("body", f"{int(length):,} bytes", f"at most {MAX_BODY:,} bytes")
            if not request.path.startswith("/api/"):
                return render_fault(request, Invalid(fault))
            return JsonResponse(complaint(Invalid(fault)), status=422)
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        """Answer a refusal or an invalid input that a page did not handle itself."""
        if not isinstance(error, Refused | Invalid):
            return None
        if isinstance(error, Refused):
            context = {"says": error.says, "code": error.code, "reasons": error.reasons}
            return render(request, "409.html", context, status=409)
        return render_fault(request, error)


def render_fault(request: HttpRequest, error: Invalid) -> HttpResponse:
    """Return a page that says which input could not be understood."""
    reasons = [Reason(fault.field, str(fault)) for fault in error.faults]
    context = {"title": "Please look again", "says": "That cannot be understood.", "reasons": reasons}
    return render(request, "409.html", context, status=422)


def tell(request: HttpRequest, sentence: str, to: str) -> HttpResponse:
    """Send the browser to a page with a message that something was done."""
    messages.success(request, sentence)
    return HttpResponseRedirect(to)


def tell_fault(request: HttpRequest, error: Invalid, to: str) -> HttpResponse:
    """Send the browser back to the page of a short form with what was wrong with it; nothing was done."""
    messages.error(request, f"Nothing was changed. {error}")
    return HttpResponseRedirect(to)


def paginate(request: HttpRequest, rows: QuerySet[Row] | list[Any], size: int = PAGE_SIZE) -> Page[Any]:
    """Return one page of rows, by the `page` of the address; a page that is not there becomes the nearest."""
    return Paginator(rows, size).get_page(request.GET.get("page"))


def posted(request: HttpRequest) -> QueryDict | None:
    """Return what a form sent, None when the page is only looked at; a form sent empty is judged too."""
    return request.POST if request.method == "POST" else None


def show_errors(form: Any, error: Refused | Invalid) -> None:
    """Put a verb's no on the form it came from: faults at their fields, a refusal on top with all its sentences."""
    form.is_refused = isinstance(error, Refused)
    if isinstance(error, Refused):
        form.add_error(None, error.says)
        for reason in error.reasons:
            form.add_error(None, str(reason))
        return
    for fault in error.faults:
        name = fault.field.rpartition(".")[2]
        text = f"Saw {fault.seen}; expected {fault.expected}."
        form.add_error(name if name in form.fields else None, text if name in form.fields else str(fault))


def status_of(form: Any) -> int:
    """Return the status of a page with a form: 200, 422 for something wrong in it, 409 for a refusal by the rules."""
    if not form.errors:
        return 200
    return 409 if getattr(form, "is_refused", False) else 422
