"""Doors of the review page: look at everything a verdict rests on, and give it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from allauth.account.authentication import get_authentication_records
from allauth.core.exceptions import ReauthenticationRequired
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_POST

from governance import handovers, obligations, submissions
from governance import reviews as verdicts_of
from governance.models import Obligation, Review, Submission
from governance.permissions import visible
from governance.web import review_page
from governance.web.forms import ReviewForm
from portal.errors import Invalid, Refused
from portal.http import show_errors, tell, tell_fault
from registry.models import User

VERBS: dict[str, Callable[..., Review]] = {
    "approve": verdicts_of.approve,
    "approve_with_conditions": verdicts_of.approve,
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
            given = answer(found, user, typed, proof_of(request))
            return tell(request, f"Your verdict is recorded: {words(given)}.", found.get_absolute_url())
        except Refused as error:
            if error.code == "reauthenticate":
                raise ReauthenticationRequired from error
            context = review_page.page(found, user, form=form)
            return render(request, "governance/submission.html", {**context, "refused": error}, status=409)
        except Invalid as error:
            show_errors(form, error)
    return render(request, "governance/submission.html", review_page.page(found, user, form=form), status=422)


def answer(found: Submission, user: User, typed: dict[str, Any], proof: verdicts_of.Proof | None) -> Review:
    """Call the verb of a typed verdict; only an approval has conditions."""
    told = {name: typed[name] for name in ("role", "note", "on_behalf_of")}
    if typed["verdict"] in {"approve", "approve_with_conditions"}:
        told["conditions"] = typed["conditions"]
    return VERBS[typed["verdict"]](found, actor=user, seen=typed["dossier_digest"], proof=proof, **told)


def words(given: Review) -> str:
    """Return a verdict as its giver reads it."""
    return f"{given.get_verdict_display().lower()} for {given.role}"


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
    try:
        submissions.withdraw(found, actor=user, reason=reason)
    except Invalid as error:
        return tell_fault(request, error, found.get_absolute_url())
    return tell(request, f"{found} is withdrawn.", found.version.get_absolute_url())


@require_POST
def withdraw_review(request: HttpRequest, public_id: str) -> HttpResponse:
    """Take one's own verdict back."""
    user: Any = request.user
    rows = visible(user, Review.objects.all(), asset="submission__version__asset").select_related("submission__version")
    found = get_object_or_404(rows, public_id=public_id)
    reason = request.POST.get("reason", "")[:4000]
    try:
        verdicts_of.withdraw(found, actor=user, reason=reason, proof=proof_of(request))
    except Refused as error:
        if error.code == "reauthenticate":
            raise ReauthenticationRequired from error
        raise
    except Invalid as error:
        return tell_fault(request, error, found.submission.get_absolute_url())
    return tell(request, "Your verdict is taken back.", found.submission.get_absolute_url())


@require_POST
def hand_over(request: HttpRequest, public_id: str) -> HttpResponse:
    """Hand a role's answer to a named person, or back to everybody in the role."""
    user, found = find(request, public_id)
    username = request.POST.get("receiver", "")[:64]
    receiver = get_object_or_404(User, username=username, kind="person") if username else None
    role, reason = request.POST.get("role", "")[:40], request.POST.get("reason", "")[:4000]
    try:
        made = handovers.hand_over(found, actor=user, role=role, receiver=receiver, reason=reason)
    except Invalid as error:
        return tell_fault(request, error, found.get_absolute_url())
    return tell(request, f"Handed over: {made}.", found.get_absolute_url())


@require_POST
def meet(request: HttpRequest, public_id: str) -> HttpResponse:
    """Agree that a condition is met."""
    user: Any = request.user
    rows = visible(user, Obligation.objects.all(), asset="review__submission__version__asset")
    found = get_object_or_404(rows.select_related("review__submission__version"), public_id=public_id)
    try:
        obligations.meet(found, actor=user, note=request.POST.get("note", "")[:4000])
    except Invalid as error:
        return tell_fault(request, error, found.review.submission.get_absolute_url())
    return tell(request, "The condition is met.", found.review.submission.get_absolute_url())
