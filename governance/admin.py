"""What administrators see of governance, read-only; the trusted keys and the webhooks, which they add and end.

Judging is nobody's right by being an administrator: there is no way here to approve, waive, sign or promote.
"""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.html import format_html

from governance import delegations, keys, notices
from governance.models import (
    Advisory,
    AdvisoryImport,
    AllowedGlobal,
    Challenge,
    ChallengeEnd,
    CheckRequest,
    CheckRun,
    ConsumerGrant,
    Decision,
    Delegation,
    DeliveryAttempt,
    Finding,
    Handover,
    Notice,
    NoticePreference,
    Obligation,
    ObligationEnd,
    Policy,
    PolicyProposal,
    Promotion,
    Reliance,
    Review,
    ReviewWithdrawal,
    RevocationList,
    Signature,
    Submission,
    Transition,
    TriageAnswer,
    TriageStatement,
    TrustedKey,
    TrustedRoot,
    Violation,
    Waiver,
    Webhook,
)
from governance.models.keys import Purpose
from governance.models.notices import WebhookForm
from governance.notices import hooks
from portal.administration import Deed, HistoryAdmin, RecordAdmin, RowsInline, show, site
from registry.models import Team, User


class Lines(forms.CharField):
    """Asks for texts, one a line, and gives them as a list."""

    def __init__(self, help_text: str, *, required: bool = True, rows: int = 3) -> None:
        widget = forms.Textarea(attrs={"rows": rows, "cols": 70})
        super().__init__(max_length=100_000, required=required, widget=widget, help_text=help_text)

    def clean(self, value: Any) -> Any:
        """Return the lines that say something."""
        return [line.strip() for line in super().clean(value).splitlines() if line.strip()]


class Instant(forms.DateTimeField):
    """Asks for a date and a time in UTC."""

    def __init__(self) -> None:
        super().__init__(widget=forms.DateTimeInput(attrs={"type": "datetime-local"}), help_text="UTC")


class ScopeForm(forms.Form):
    """Asks for what a signer is trusted, who answers for it, and for how long it counts."""

    purposes = forms.MultipleChoiceField(
        choices=Purpose.choices, widget=forms.CheckboxSelectMultiple, help_text="What it may sign."
    )
    builders = Lines("The builder ids it may speak for, one a line; needed for build provenance.", required=False)
    assets = Lines("The names of the assets it may speak about, one a line; none means all.", required=False)
    owner = forms.ModelChoiceField(
        User.objects.filter(kind="person", is_active=True), help_text="The person who answers for it."
    )
    valid_from = Instant()
    valid_until = Instant()


class KeyForm(ScopeForm):
    """Asks for a public key and its scope."""

    field_order = ("name", "public_pem")
    name = forms.CharField(max_length=120)
    public_pem = forms.CharField(
        label="Public key (PEM)",
        max_length=8000,
        widget=forms.Textarea(attrs={"rows": 8, "cols": 70}),
        help_text="Ed25519, ECDSA on P-256 or P-384, or RSA of at least 3072 bits.",
    )


class RootForm(ScopeForm):
    """Asks for the trust root of a Sigstore instance, the identities that count under it, and their scope."""

    field_order = ("name", "text", "identities")
    name = forms.CharField(max_length=120)
    text = forms.CharField(
        label="Trust root (trusted_root.json)",
        max_length=256 * 1024,
        widget=forms.Textarea(attrs={"rows": 12, "cols": 70}),
        help_text="The file of your own or the public Sigstore instance, as you verified it. It is never fetched.",
    )
    identities = Lines(
        "Who may sign, one a line: the issuer, a space, and the exact identity in the certificate. No patterns."
    )

    def clean_identities(self) -> list[dict[str, str]]:
        """Return the lines as pairs."""
        pairs = [line.split() for line in self.cleaned_data["identities"]]
        if wrong := [" ".join(pair) for pair in pairs if len(pair) != 2]:
            raise forms.ValidationError(f"Saw {wrong[0][:200]!r}, expected an issuer, one space and an identity.")
        return [{"issuer": issuer, "identity": identity} for issuer, identity in pairs]


class TargetForm(forms.Form):
    """Asks where a webhook posts to, in which form, and which notices it gets."""

    url = forms.CharField(
        label="Address",
        max_length=500,
        required=False,
        widget=forms.TextInput(attrs={"class": "vLargeTextField", "autocomplete": "off"}),
        help_text="https to a public address, or a host that the operator listed. It is not shown again: addresses of "
        "Slack and its likes are secrets. Empty: it stays as it is.",
    )
    form = forms.ChoiceField(choices=WebhookForm.choices)
    kinds = forms.MultipleChoiceField(
        choices=[(str(kind), kind.words) for kind in hooks.WANTED],
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text="None means all.",
    )
    team = forms.ModelChoiceField(Team.objects.all(), required=False, help_text="None means the assets of every team.")


class WebhookAddForm(TargetForm):
    """Asks for the name of a new webhook, too."""

    field_order = ("name", "url")
    name = forms.CharField(max_length=120)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["url"].required = True


class ReasonForm(forms.Form):
    """Asks why."""

    reason = forms.CharField(max_length=500, widget=forms.Textarea(attrs={"rows": 3, "cols": 70}))


def trust(row: None, *, actor: User, name: str, public_pem: str, **facts: Any) -> TrustedKey:
    """Trust a key as the form describes it."""
    return keys.trust(name, public_pem, actor=actor, **facts)


def trust_root(row: None, *, actor: User, name: str, text: str, **facts: Any) -> TrustedRoot:
    """Trust a root as the form describes it."""
    return keys.trust_root(name, text, actor=actor, **facts)


def revoke(row: TrustedKey | TrustedRoot, *, actor: User, reason: str) -> TrustedKey | TrustedRoot:
    """Stop trusting a key or a root."""
    if isinstance(row, TrustedKey):
        return keys.revoke(row, actor=actor, reason=reason)
    return keys.revoke_root(row, actor=actor, reason=reason)


def stop_trusting(what: str) -> Deed:
    """Return the deed that ends trust in a key or a root."""
    says = f"The {what} {{row}} is no longer trusted; what rests on it is asked again."
    return Deed("revoke", "Stop trusting", says, revoke, ReasonForm, lambda row: row.revoked_at is None)


@admin.register(TrustedKey, site=site)
class TrustedKeyAdmin(HistoryAdmin):
    """Shows trusted keys; trusts new ones and stops trusting others."""

    list_display = ("name", "owner", "purposes", "builders", "assets", "valid_from", "valid_until", "revoked_at")
    list_select_related = ("owner",)
    search_fields = ("name", "fingerprint")
    opening = Deed("trust", "Trust key", "The key {row} is trusted.", trust, KeyForm)
    deeds = (stop_trusting("key"),)


@admin.register(TrustedRoot, site=site)
class TrustedRootAdmin(HistoryAdmin):
    """Shows the trusted roots of Sigstore instances; trusts new ones and stops trusting others."""

    list_display = ("name", "owner", "purposes", "builders", "assets", "valid_from", "valid_until", "revoked_at")
    list_select_related = ("owner",)
    search_fields = ("name", "sha256")
    opening = Deed("trust", "Trust root", "The root {row} is trusted.", trust_root, RootForm)
    deeds = (stop_trusting("root"),)


def add_webhook(row: None, *, actor: User, name: str, url: str, **facts: Any) -> tuple[Webhook, str]:
    """Add a webhook as the form describes it."""
    return hooks.add(name, url, actor=actor, **facts)


def as_it_is(row: Webhook) -> dict[str, Any]:
    """Return what the form to change a webhook begins with: never its address."""
    return {"form": row.form, "kinds": row.kinds, "team": row.team_id}


def is_active(row: Webhook) -> bool:
    """Return whether a webhook was not stopped."""
    return row.is_active


@admin.register(Webhook, site=site)
class WebhookAdmin(HistoryAdmin):
    """Shows webhooks without their addresses; adds, changes, tries and stops them. A secret is shown once."""

    list_display = ("name", "host", "form", "team", "is_active", "made_by", "made_at")
    list_filter = ("is_active", "form")
    list_select_related = ("team", "made_by")
    search_fields = ("name",)
    hidden = frozenset({"url"})
    opening = Deed("add", "Add webhook", "The webhook {row} is added.", add_webhook, WebhookAddForm)
    deeds = (
        Deed("change", "Change", "The webhook {row} is changed.", hooks.change, TargetForm, is_active, start=as_it_is),
        Deed("rotate", "New secret", "The webhook {row} has a new secret.", hooks.rotate, is_open=is_active),
        Deed("test", "Send a test", "A test is on its way; see the notices.", hooks.test, is_open=is_active),
        Deed("stop", "Stop for good", "Nothing is posted to {row} any more.", hooks.stop, is_open=is_active),
    )

    @admin.display(description="Host")
    def host(self, row: Webhook) -> str:
        """Return the host that is posted to."""
        return hooks.host_of(row)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Return the fields that may be shown, and the host in place of the address."""
        return [*super().get_fields(request, obj), "host"]

    def answer(self, request: HttpRequest, deed: Deed, row: Any, done: Any) -> HttpResponse:
        """Show a new secret, this once: it is on no other page, in no table and in no log."""
        if not isinstance(done, tuple):
            return super().answer(request, deed, row, done)
        webhook, secret = done
        context = {**self.admin_site.each_context(request), "opts": self.model._meta, "title": "Secret of the webhook"}
        return TemplateResponse(request, "admin/webhook_secret.html", {**context, "webhook": webhook, "secret": secret})


class TriesInline(RowsInline):
    """Shows the attempts to deliver a notice."""

    model = DeliveryAttempt
    fields = readonly_fields = ("at", "worked", "answer")
    show_change_link = False


@admin.register(Notice, site=site)
class NoticeAdmin(RecordAdmin):
    """Shows the delivery log: every notice, whom it was for, and how each attempt went."""

    list_display = ("subject", "kind", "whom", "made_at", "attempts", "state")
    list_filter = ("kind", "sent_at", "given_up_at", "webhook")
    list_select_related = ("person", "webhook")
    search_fields = ("subject", "cause")
    inlines = (TriesInline,)

    @admin.display(description="For")
    def whom(self, row: Notice) -> str:
        """Return whom a notice is for."""
        return str(row.person or row.webhook or row.address)

    @admin.display(description="How far")
    def state(self, row: Notice) -> str:
        """Return how far a notice has come; what could not be delivered stands out."""
        word = notices.state_of(row)
        return format_html('<strong class="lost">{}</strong>', "not delivered") if word == "undelivered" else word


class ReviewsInline(RowsInline):
    """Shows the verdicts on a submission."""

    model = Review
    fields = readonly_fields = ("role", "reviewer", "verdict", "note", "given_at")


@admin.register(Delegation, site=site)
class DelegationAdmin(HistoryAdmin):
    """Shows who stands in for whom; ends a delegation, and never makes one: people do so themselves."""

    list_display = ("role", "giver", "deputy", "starts_at", "ends_at", "ended_at")
    list_filter = ("role",)
    list_select_related = ("giver", "deputy")
    deeds = (
        Deed(
            "end",
            "End",
            "{row}: ended. What was answered until then stays valid.",
            lambda row, *, actor: delegations.end(row, actor=actor),
            is_open=lambda row: row.ended_at is None,
        ),
    )


show(Policy, "name", "number", "digest", "published_by", "published_at", search=("name", "digest"))
show(PolicyProposal, "name", "state", "proposed_by", "proposed_at", "decided_by", "decided_at", filters=("state",))
show(CheckRequest, "version", "check_slug", "requested_at", "attempts", filters=("check_slug",))
show(CheckRun, "version", "check_slug", "outcome", "ended_at", filters=("check_slug", "outcome"))
show(
    Submission,
    *("version", "environment", "state", "submitted_by", "due_at"),
    filters=("environment", "state"),
    inlines=(ReviewsInline,),
)
show(ReviewWithdrawal, "review", "withdrawn_by", "withdrawn_at")
show(Obligation, "review", "says", "due_at", search=("says",))
show(ObligationEnd, "obligation", "ended_by", "ended_at")
show(Handover, "submission", "role", "giver", "receiver", "handed_at", filters=("role",))
show(Review, "submission", "role", "reviewer", "on_behalf_of", "verdict", "given_at", filters=("role", "verdict"))
show(Waiver, "version", "rule", "environment", "state", "expires_at", filters=("state", "rule", "environment"))
show(Decision, "version", "environment", "verdict", "made_by", "made_at", filters=("environment", "verdict"))
show(Reliance, "decision", "waiver")
show(RevocationList, "number", "issued_at", "next_update")
show(Signature, "decision", "keyid", "signed_at")
show(Promotion, "asset", "environment", "version", "promoted_by", "promoted_at", filters=("environment",))
show(Transition, "version", "move", "from_state", "to_state", "actor", "at", filters=("move",))
show(Violation, "kind", "digest", "environment", "deployment", "state", "last_window", filters=("kind", "state"))
show(ConsumerGrant, "consumer", "version", "environment", "granted_at", filters=("environment",))
show(Finding, "vulnerability", "version", "severity", "triage", "found_at", filters=("severity", "triage"))
show(TriageStatement, "finding", "status", "until", "stated_by", "stated_at", filters=("status",))
show(TriageAnswer, "statement", "agreed", "answered_by", "answered_at", filters=("agreed",))
show(Challenge, "version", "cause", "root", "vulnerability", "opened_at", "due_at", filters=("cause", "severity"))
show(ChallengeEnd, "challenge", "ended_by", "ended_at")
show(AllowedGlobal, "asset", "module", "name", "allowed_by", "expires_at", "revoked_at", search=("module", "name"))
show(AdvisoryImport, "ecosystem", "filename", "read", "changed", "rejected", "imported_at")
show(Advisory, "id", "group", "severity", "modified", "withdrawn", search=("id", "group"), filters=("severity",))
show(NoticePreference, "user", "pace", "hour", filters=("pace",))
show(DeliveryAttempt, "notice", "at", "worked", "answer", filters=("worked",))
