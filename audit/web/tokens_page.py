"""The page on which auditors issue tokens that read the ledger; administrators issue all others, in the admin."""

from __future__ import annotations

from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone

from audit.web.pages import auditor
from audit.web.present import crumbs
from portal.errors import Invalid, Refused
from portal.http import posted, show_errors, status_of
from registry import tokens
from registry.models import AccessToken, User
from registry.models.people import Kind

MOST_LISTED = 200


class LedgerTokenForm(forms.Form):
    """Which service is to follow the ledger, and for how long."""

    user = forms.ModelChoiceField(User.objects.filter(is_active=True, kind=Kind.SERVICE), label="Service")
    label = forms.CharField(max_length=80, label="Label", help_text="What it is used for, for example: monitor.")
    days = forms.IntegerField(min_value=1, max_value=tokens.MAX_DAYS, initial=tokens.MAX_DAYS, label="Days valid")


def ledger_tokens(request: HttpRequest) -> HttpResponse:
    """Show the tokens that read the ledger, or issue one; its secret is on the answer, this once."""
    user = auditor(request, "token.issue_audit")
    form = LedgerTokenForm(posted(request))
    context: dict[str, Any] = {"form": form, "crumbs": crumbs(("Ledger", reverse("audit:ledger")))}
    if form.is_valid():
        told = form.cleaned_data
        try:
            token, secret = tokens.issue(
                told["user"], actor=user, label=told["label"], scopes=[tokens.AUDIT], days=told["days"]
            )
            context |= {"token": token, "secret": secret, "form": LedgerTokenForm()}
        except (Refused, Invalid) as error:
            show_errors(form, error)
    rows = AccessToken.objects.filter(scopes__contains=[tokens.AUDIT], revoked_at=None, expires_at__gt=timezone.now())
    context["tokens"] = rows.select_related("user", "issued_by").order_by("-issued_at")[:MOST_LISTED]
    answer = render(request, "audit/tokens.html", context, status=status_of(form))
    answer["Cache-Control"] = "no-store"
    return answer
