"""What administrators see of governance, read-only, and the trusted keys, which they trust and revoke.

Judging is nobody's right by being an administrator: there is no way here to approve, waive, sign or promote.
"""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin

from governance import keys
from governance.models import (
    Advisory,
    AdvisoryImport,
    CheckRequest,
    CheckRun,
    ConsumerGrant,
    Decision,
    Finding,
    Policy,
    Promotion,
    Review,
    Signature,
    Submission,
    Transition,
    TrustedKey,
    Waiver,
)
from portal.administration import Deed, HistoryAdmin, RowsInline, show, site
from registry.models import User


class KeyForm(forms.Form):
    """Asks for a builder's public key, who answers for it, and for how long it counts."""

    name = forms.CharField(max_length=120)
    public_pem = forms.CharField(
        label="Public key (PEM)",
        max_length=8000,
        widget=forms.Textarea(attrs={"rows": 8, "cols": 70}),
        help_text="Ed25519, ECDSA on P-256 or P-384, or RSA of at least 3072 bits.",
    )
    owner = forms.ModelChoiceField(User.objects.filter(kind="person", is_active=True))
    builders = forms.CharField(
        widget=forms.Textarea(attrs={"rows": 3, "cols": 70}),
        help_text="The builder ids that this key may speak for, one a line.",
    )
    valid_from = forms.DateTimeField(widget=forms.DateTimeInput(attrs={"type": "datetime-local"}), help_text="UTC")
    valid_until = forms.DateTimeField(widget=forms.DateTimeInput(attrs={"type": "datetime-local"}), help_text="UTC")

    def clean_builders(self) -> list[str]:
        """Return the builder ids as a list."""
        return [line.strip() for line in self.cleaned_data["builders"].splitlines() if line.strip()]


class ReasonForm(forms.Form):
    """Asks why."""

    reason = forms.CharField(max_length=500, widget=forms.Textarea(attrs={"rows": 3, "cols": 70}))


def trust(row: None, *, actor: User, name: str, public_pem: str, **facts: Any) -> TrustedKey:
    """Trust a key as the form describes it."""
    return keys.trust(name, public_pem, actor=actor, **facts)


@admin.register(TrustedKey, site=site)
class TrustedKeyAdmin(HistoryAdmin):
    """Shows trusted keys; trusts new ones and stops trusting others."""

    list_display = ("name", "owner", "builders", "valid_from", "valid_until", "revoked_at")
    list_select_related = ("owner",)
    opening = Deed("trust", "Trust key", "The key {row} is trusted.", trust, KeyForm)
    deeds = (
        Deed(
            "revoke",
            "Stop trusting",
            "The key {row} is no longer trusted.",
            lambda row, *, actor, reason: keys.revoke(row, actor=actor, reason=reason),
            ReasonForm,
            lambda row: row.revoked_at is None,
        ),
    )


class ReviewsInline(RowsInline):
    """Shows the verdicts on a submission."""

    model = Review
    fields = readonly_fields = ("role", "reviewer", "verdict", "note", "given_at")


show(Policy, "name", "number", "digest", "published_by", "published_at", search=("name", "digest"))
show(CheckRequest, "version", "check_slug", "requested_at", "attempts", filters=("check_slug",))
show(CheckRun, "version", "check_slug", "outcome", "ended_at", filters=("check_slug", "outcome"))
show(
    Submission,
    *("version", "environment", "state", "submitted_by", "due_at"),
    filters=("environment", "state"),
    inlines=(ReviewsInline,),
)
show(Review, "submission", "role", "reviewer", "verdict", "given_at", filters=("role", "verdict"))
show(Waiver, "version", "rule", "environment", "state", "expires_at", filters=("state", "rule", "environment"))
show(Decision, "version", "environment", "verdict", "made_by", "made_at", filters=("environment", "verdict"))
show(Signature, "decision", "keyid", "signed_at")
show(Promotion, "asset", "environment", "version", "promoted_by", "promoted_at", filters=("environment",))
show(Transition, "version", "move", "from_state", "to_state", "actor", "at", filters=("move",))
show(ConsumerGrant, "consumer", "version", "environment", "granted_at", filters=("environment",))
show(Finding, "vulnerability", "version", "severity", "triage", "found_at", filters=("severity", "triage"))
show(AdvisoryImport, "ecosystem", "filename", "read", "changed", "rejected", "imported_at")
show(Advisory, "id", "group", "severity", "modified", "withdrawn", search=("id", "group"), filters=("severity",))
