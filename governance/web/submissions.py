"""Doors of the review page: look at everything a verdict rests on, and give it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from allauth.account.authentication import get_authentication_records
from allauth.core.exceptions import ReauthenticationRequired
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_POST

from governance import reviews as verdicts_of
from governance import submissions
from governance.models import Submission
from governance.permissions import visible
from governance.web import review_page
from governance.web.forms import ReviewForm
from portal.errors import Invalid, Refused
from portal.http import show_errors, tell

VERBS = {
    "approve": verdicts_of.approve,
    "request_changes": verdicts_of.request_changes,
    "reject": verdicts_of.reject,
}


def find(request: HttpRequest, public_id: str) -> tuple[Any, Submission]:
    """Return who asks and the submission they may see, or 404."""
    user: Any = request.user
    rows = visible(user, Submission.objects.all(), asset="version__asset").select_related(
        "version__asset__team", "version__asset__owner", "version__asset__backup_owner", "policy", "submitted_by"
    )
    return user, get_object_or_404(rows, public_id=public_id)


def submission(request: HttpRequest, public_id: str) -> HttpResponse:
    """Show the review page."""
    user, found = find(request, public_id)
    return render(request, "governance/submission.html", review_page.page(found, user))


@require_POST
def review(request: HttpRequest, public_id: str) -> HttpResponse:
    """Give a verdict; where a fresh proof of identity is needed, ask for it and go on from there."""
    user, found = find(request, public_id)
    form = ReviewForm(request.POST)
    if form.is_valid():
        typed = form.cleaned_data
        try:
            given = VERBS[typed["verdict"]](
                found,
                actor=user,
                role=typed["role"],
                seen=typed["dossier_digest"],
                note=typed["note"],
                proof=proof_of(request),
            )
            return tell(request, f"Your verdict is recorded: {given}.", found.get_absolute_url())
        except Refused as error:
            if error.code == "reauthenticate":
                raise ReauthenticationRequired from error
            context = review_page.page(found, user, form=form)
            return render(request, "governance/submission.html", {**context, "refused": error}, status=409)
        except Invalid as error:
            show_errors(form, error)
    return render(request, "governance/submission.html", review_page.page(found, user, form=form), status=422)


def proof_of(request: HttpRequest) -> verdicts_of.Proof | None:
    """Return when and how this session last proved who the person is."""
    records = get_authentication_records(request, request.user)
    if not records:
        return None
    newest = max(records, key=lambda record: record["at"])
    return verdicts_of.Proof(datetime.fromtimestamp(newest["at"], UTC), str(newest.get("type") or newest["method"]))


@require_POST
def withdraw(request: HttpRequest, public_id: str) -> HttpResponse:
    """Take a submission back."""
    user, found = find(request, public_id)
    reason = request.POST.get("reason", "")[:4000]
    submissions.withdraw(found, actor=user, reason=reason)
    return tell(request, f"{found} is withdrawn.", found.version.get_absolute_url())
