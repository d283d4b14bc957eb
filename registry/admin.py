"""What administrators see and do about people, teams, seats and tokens; the rest of the registry is shown read-only.

Every change is a verb of `registry.people` or `registry.tokens`; the kit stands in `portal.administration`.
"""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from governance import departures
from governance.permissions import may
from portal.administration import Deed, HistoryAdmin, RecordAdmin, RowsInline, show, site
from registry import people, sharing, tokens
from registry.models import (
    AccessToken,
    Asset,
    AssetGroupGrant,
    AssetUserGrant,
    Component,
    Dataset,
    DatasetUse,
    Evaluation,
    Evidence,
    Membership,
    Relicensing,
    ReportSignature,
    SbomComponent,
    Seat,
    Team,
    User,
    Version,
)
from registry.models.people import Kind

ACCOUNTS = User.objects.filter(is_active=True)
new_password = forms.CharField(
    label="Password",
    strip=False,
    required=False,
    widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    help_text="At least 12 characters. Empty: the account has none, as services do.",
)


class AccountForm(forms.Form):
    """Asks for what a new account needs."""

    username = forms.CharField(max_length=64, help_text="Lower-case letters, digits, dots, dashes or underscores.")
    name = forms.CharField(max_length=120)
    email = forms.EmailField(required=False)
    kind = forms.ChoiceField(choices=[(kind.value, kind.label) for kind in (Kind.PERSON, Kind.SERVICE)])
    password = new_password


class AddressForm(forms.Form):
    """Asks for a person's name and address."""

    name = forms.CharField(max_length=120)
    email = forms.EmailField(help_text="Reviews recognise the authors of a commit or an evaluation by it.")


class PasswordForm(forms.Form):
    """Asks for a new password."""

    password = forms.CharField(strip=False, widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}))


class TeamForm(forms.Form):
    """Asks for what a new team needs."""

    slug = forms.CharField(max_length=64)
    name = forms.CharField(max_length=120)


class MembershipForm(forms.Form):
    """Asks who joins which team."""

    team = forms.ModelChoiceField(Team.objects.all())
    user = forms.ModelChoiceField(ACCOUNTS.exclude(kind=Kind.SYSTEM), label="Account")


class SeatForm(forms.Form):
    """Asks who sits in which role."""

    user = forms.ModelChoiceField(ACCOUNTS.filter(kind=Kind.PERSON), label="Person")
    role = forms.CharField(max_length=40, help_text="A role of the policy, or auditor, or administrator.")
    everywhere = forms.BooleanField(
        required=False, initial=True, help_text="Off: only for assets where it is granted one by one."
    )


class TokenForm(forms.Form):
    """Asks for which service a token is, and what it may be used for."""

    user = forms.ModelChoiceField(ACCOUNTS.filter(kind=Kind.SERVICE), label="Service")
    label = forms.CharField(max_length=80, help_text="What it is used for, for example: build pipeline.")
    scopes = forms.MultipleChoiceField(
        choices=[(scope, scope) for scope in tokens.SCOPES], widget=forms.CheckboxSelectMultiple
    )
    days = forms.IntegerField(min_value=1, max_value=tokens.MAX_DAYS, initial=tokens.MAX_DAYS, label="Days valid")


def offer_scopes(form: forms.Form, user: User) -> None:
    """Offer the scopes that a person may hand out; whoever asks for another one all the same is told why not."""
    field = form.fields["scopes"]
    if not may(user, "token.issue_audit"):
        field.widget.choices = [(scope, scope) for scope in tokens.SCOPES if scope != tokens.AUDIT]
        field.help_text = "An auditor issues tokens that read the ledger: Audit, Ledger, Tokens."


class ReviewerForm(forms.Form):
    """Asks which reviewer, whose seat does not reach everywhere, may review an asset."""

    user = forms.ModelChoiceField(ACCOUNTS.filter(kind=Kind.PERSON), label="Person")


class SeatsInline(RowsInline):
    """Shows the seats of a person."""

    model = Seat


class MembershipsInline(RowsInline):
    """Shows the members of a team, or the teams of a person."""

    model = Membership


def foretell(row: User) -> list[str]:
    """Return in sentences what closing an account will do."""
    return departures.consequences(departures.preview(row))


@admin.register(User, site=site)
class UserAdmin(RecordAdmin):
    """Shows accounts; opens and closes them, and sets passwords. Accounts are never deleted."""

    list_display = ("username", "name", "kind", "is_active", "is_staff", "last_login")
    list_filter = ("kind", "is_active", "is_staff")
    search_fields = ("username", "name", "email")
    hidden = frozenset({"password", "is_superuser"})
    inlines = (SeatsInline, MembershipsInline)
    opening = Deed(
        "open",
        "Open account",
        "The account {row} is open.",
        lambda row, *, actor, username, **facts: people.open_account(username, actor=actor, **facts),
        AccountForm,
    )
    deeds = (
        Deed(
            "address",
            "Change name or address",
            "The account of {row} is changed.",
            lambda row, *, actor, name, email: people.change_account(row, actor=actor, name=name, email=email),
            AddressForm,
            lambda row: row.is_active and row.kind == Kind.PERSON,
        ),
        Deed(
            "password",
            "Set password",
            "{row} has a new password.",
            lambda row, *, actor, password: people.set_password(row, password, actor=actor),
            PasswordForm,
            lambda row: row.is_active and row.kind == Kind.PERSON,
        ),
        Deed(
            "close",
            "Close account",
            "The account {row} is closed.",
            lambda row, *, actor: departures.leave(row, actor=actor),
            is_open=lambda row: row.is_active and row.kind == Kind.SERVICE,
            foretell=foretell,
        ),
        Deed(
            "leave",
            "This person leaves",
            "{row} has left, and the account is closed.",
            lambda row, *, actor: departures.leave(row, actor=actor),
            is_open=lambda row: row.is_active and row.kind == Kind.PERSON,
            foretell=foretell,
        ),
    )


@admin.register(Team, site=site)
class TeamAdmin(HistoryAdmin):
    """Shows teams, and founds them."""

    list_display = ("slug", "name")
    search_fields = ("slug", "name")
    inlines = (MembershipsInline,)
    opening = Deed(
        "found",
        "Found team",
        "The team {row} is founded.",
        lambda row, *, actor, slug, name: people.found_team(slug, actor=actor, name=name),
        TeamForm,
    )


@admin.register(Membership, site=site)
class MembershipAdmin(HistoryAdmin):
    """Shows who is on which team; puts people on teams and takes them off."""

    list_display = ("team", "user")
    list_filter = ("team",)
    list_select_related = ("team", "user")
    opening = Deed(
        "join",
        "Put on team",
        "{row} from now on.",
        lambda row, *, actor, team, user: people.join_team(team, user, actor=actor),
        MembershipForm,
    )
    deeds = (
        Deed(
            "leave",
            "Take off team",
            "Taken off the team.",
            lambda row, *, actor: people.leave_team(row, actor=actor),
        ),
    )


@admin.register(Seat, site=site)
class SeatAdmin(HistoryAdmin):
    """Shows who sits in which role; gives seats and takes them."""

    list_display = ("role", "user", "everywhere")
    list_filter = ("role", "everywhere")
    list_select_related = ("user",)
    opening = Deed(
        "give",
        "Give role",
        "{row} from now on.",
        lambda row, *, actor, user, role, everywhere: people.give_seat(user, role, actor=actor, everywhere=everywhere),
        SeatForm,
    )
    deeds = (
        Deed(
            "take",
            "Take role away",
            "The role is taken away. Verdicts given in it stay.",
            lambda row, *, actor: people.take_seat(row, actor=actor),
        ),
    )


@admin.register(Asset, site=site)
class AssetAdmin(HistoryAdmin):
    """Shows assets; lets reviewers with a limited seat reach one, and takes that away."""

    list_display = ("slug", "kind", "team", "owner", "backup_owner")
    list_filter = ("kind", "team")
    search_fields = ("slug",)
    list_select_related = ("team", "owner", "backup_owner")
    deeds = (
        Deed(
            "let-review",
            "Let somebody review",
            "The seat reaches {row} from now on.",
            lambda row, *, actor, user: sharing.share(row, user, "review_asset", actor=actor),
            ReviewerForm,
        ),
        Deed(
            "stop-review",
            "Let somebody review no more",
            "The seat reaches {row} no more.",
            lambda row, *, actor, user: sharing.unshare(row, user, "review_asset", actor=actor),
            ReviewerForm,
        ),
    )


@admin.register(AccessToken, site=site)
class AccessTokenAdmin(HistoryAdmin):
    """Shows tokens without their secrets; issues them, showing the secret once, and revokes them."""

    list_display = ("prefix", "user", "label", "scopes", "expires_at", "revoked_at")
    list_filter = ("user",)
    list_select_related = ("user",)
    hidden = frozenset({"secret_sha256"})
    opening = Deed(
        "issue",
        "Issue token",
        "The token {row} is issued.",
        lambda row, *, actor, user, **facts: tokens.issue(user, actor=actor, **facts),
        TokenForm,
        fit=offer_scopes,
    )
    deeds = (
        Deed(
            "revoke",
            "Revoke token",
            "The token {row} is revoked.",
            lambda row, *, actor: tokens.revoke(row, actor=actor),
            is_open=lambda row: row.revoked_at is None,
        ),
    )

    def answer(self, request: HttpRequest, deed: Deed, row: Any, done: Any) -> HttpResponse:
        """Show the secret of a new token, this once: it is on no other page and in no log."""
        if deed is not self.opening:
            return super().answer(request, deed, row, done)
        token, secret = done
        context = {**self.admin_site.each_context(request), "opts": self.model._meta, "title": "Token issued"}
        return TemplateResponse(request, "admin/token_issued.html", {**context, "token": token, "secret": secret})


show(Version, "label", "state", "risk", "registered_at", search=("asset__slug", "number"), filters=("state", "risk"))
show(Component, "version", "role", "part", filters=("role",))
show(Dataset, "name", "sha256", "licence", "personal_data", search=("name", "sha256"), filters=("personal_data",))
show(DatasetUse, "version", "dataset", "purpose", "window_from", "window_to", filters=("purpose",))
show(Evidence, "filename", "kind", "version", "attached_by", "attached_at", search=("sha256",), filters=("kind",))
show(Evaluation, "name", "value", "unit", "measured_at", filters=("category",))
show(Relicensing, "version", "before", "licence", "source", "recorded_by", "recorded_at", search=("licence",))
show(ReportSignature, "evidence", "capacity", "signed_by", "signed_at")
show(SbomComponent, "purl", "name", "version", search=("name",), filters=("purl_type",))
show(AssetUserGrant, "content_object", "user", "permission")
show(AssetGroupGrant, "content_object", "group", "permission")
