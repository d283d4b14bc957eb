"""The kit of Django's admin: our own site, and model pages that show everything and change nothing by themselves.

What administrators change, they change by deeds: a button, a small form, and a verb that asks, writes and tells. Which
models are shown and which verbs are offered stands in each app's `admin.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from allauth.account.decorators import secure_admin_login
from django import forms
from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import PermissionDenied
from django.db import models
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.decorators import method_decorator
from django.views.decorators.debug import sensitive_post_parameters
from simple_history.admin import SimpleHistoryAdmin

from portal.errors import Invalid, Refused
from portal.http import show_errors

ORDER = ("registry", "governance", "audit")


class Site(admin.AdminSite):
    """The admin for administrators alone. Who signs in does so on the portal's own page, with all its factors."""

    site_header = site_title = "Countersign administration"
    index_title = "What administrators may do and see"
    index_template = "admin/record_index.html"
    enable_nav_sidebar = False

    def has_permission(self, request: HttpRequest) -> bool:
        """Return whether an administrator asks; the permission table decides who is one."""
        user = request.user
        return bool(user.is_active and user.is_staff and user.has_perm("portal.administer"))

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[Any]:
        """Return what is shown in the order of the story, and what administrators can do first."""
        found = sorted(super().get_app_list(request, app_label), key=lambda app: ORDER.index(app["app_label"]))
        for app in found:
            app["models"].sort(key=lambda model: (model["add_url"] is None, model["name"]))
        return found

    @method_decorator([login_not_required, secure_admin_login])
    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Let administrators in and refuse whoever else is signed in; strangers are sent to the portal's own page."""
        if not self.has_permission(request):
            raise PermissionDenied("The admin is for administrators.")
        return redirect("admin:index")

    def password_change(  # type: ignore[override]  # a redirect is an answer, too
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Lead to the portal's own page."""
        return redirect("account_change_password")


site = Site(name="admin")


@dataclass(frozen=True)
class Deed:
    """One thing an administrator can do: the words on its button, the form it asks for, and the verb behind it.

    `do(row, actor=…, **what the form says)` calls the verb; the row is None for a deed that makes one. `is_open(row)`
    says whether the button is of any use. `says` is told afterwards, with the row's name filled in. `foretell(row)`
    says in sentences what will happen, before anybody presses the button; `start(row)` is what its form is filled with,
    and `fit(form, user)` takes from it what whoever asks may not choose.
    """

    name: str
    title: str
    says: str
    do: Callable[..., Any]
    form: type[forms.Form] = forms.Form
    is_open: Callable[[Any], bool] = lambda row: True
    foretell: Callable[[Any], list[str]] = lambda row: []
    start: Callable[[Any], dict[str, Any]] = lambda row: {}
    fit: Callable[[forms.Form, Any], None] = lambda form, user: None


class RecordAdmin(admin.ModelAdmin):
    """Shows rows and changes none. `hidden` names fields that nobody needs to see, such as secrets."""

    hidden: frozenset[str] = frozenset()
    deeds: tuple[Deed, ...] = ()
    opening: Deed | None = None
    actions = None
    show_full_result_count = False
    change_form_template = "admin/record.html"

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Return whether there is a verb that makes such a row."""
        return self.opening is not None

    def has_change_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        """Return no: rows are changed by deeds."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        """Return no: the record keeps everything."""
        return False

    def get_fields(self, request: HttpRequest, obj: models.Model | None = None) -> Any:
        """Return every field that is not hidden, in the order of the model."""
        return self.fields or [
            field.name
            for field in self.model._meta.concrete_fields
            if field.name not in self.hidden and not isinstance(field, models.BinaryField)
        ]

    def get_readonly_fields(self, request: HttpRequest, obj: models.Model | None = None) -> Any:
        """Return all fields."""
        return self.get_fields(request, obj)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Refuse: a row saved here would have no entry."""
        raise PermissionDenied("Rows of the record are changed by verbs alone.")

    def get_urls(self) -> list[URLPattern]:
        """Return the stock addresses with those of the deeds before them."""
        name = f"{self.model._meta.app_label}_{self.model._meta.model_name}_deed"
        deed = path("<path:object_id>/do/<slug:name>/", self.admin_site.admin_view(self.deed_view), name=name)
        return [deed, *super().get_urls()]

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Make a row by its verb."""
        if self.opening is None:
            raise PermissionDenied(f"{self.model._meta.verbose_name} rows are not made here.")
        return self.perform(request, self.opening)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show a row with the buttons of its deeds."""
        row = self.get_object(request, unquote(object_id))
        opts = self.model._meta
        links = [
            (deed.title, reverse(f"admin:{opts.app_label}_{opts.model_name}_deed", args=(object_id, deed.name)))
            for deed in self.deeds
            if row is not None and deed.is_open(row)
        ]
        context = {"deeds": links, "has_history": hasattr(self, "history_form_view"), **(extra_context or {})}
        return super().change_view(request, object_id, form_url, context)

    @method_decorator(sensitive_post_parameters())
    def deed_view(self, request: HttpRequest, object_id: str, name: str) -> HttpResponse:
        """Do one thing to a row."""
        row = self.get_object(request, unquote(object_id))
        deed = next((deed for deed in self.deeds if deed.name == name), None)
        if row is None or deed is None:
            raise Http404(f"There is no {name} of {object_id}.")
        return self.perform(request, deed, row)

    def perform(self, request: HttpRequest, deed: Deed, row: Any = None) -> HttpResponse:
        """Show a deed's form, or call its verb; a no of the verb comes back on the form."""
        form = deed.form(request.POST if request.method == "POST" else None, initial=deed.start(row))
        deed.fit(form, request.user)
        if form.is_valid():
            try:
                done = deed.do(row, actor=request.user, **form.cleaned_data)
            except (Refused, Invalid) as error:
                show_errors(form, error)
            else:
                return self.answer(request, deed, row, done)
        context = {**self.admin_site.each_context(request), "opts": self.model._meta, "original": row}
        context |= {"title": deed.title, "form": form, "deed": deed, "foretold": deed.foretell(row)}
        return TemplateResponse(request, "admin/deed.html", context, status=422 if form.errors else 200)

    def answer(self, request: HttpRequest, deed: Deed, row: Any, done: Any) -> HttpResponse:
        """Tell that a deed is done, on the page of the row it left behind, or on the list when it left none."""
        left = done if isinstance(done, self.model) else row
        messages.success(request, deed.says.format(row=left))
        base = f"admin:{self.model._meta.app_label}_{self.model._meta.model_name}"
        if left is None or left.pk is None:
            return HttpResponseRedirect(reverse(f"{base}_changelist"))
        return HttpResponseRedirect(reverse(f"{base}_change", args=(left.pk,)))


class HistoryAdmin(RecordAdmin, SimpleHistoryAdmin):
    """Shows rows with every state they had. Nothing is reverted: what was is shown, not brought back."""

    object_history_list_template = "admin/record_history.html"

    def set_history_delta_changes(
        self, request: HttpRequest, historical_records: Any, foreign_keys_are_objs: bool = True
    ) -> None:
        """Say of each state but the first what it changed; nothing is said of hidden fields, not even that."""
        rows = list(historical_records)
        for row, older in pairwise(rows):
            delta = row.diff_against(older, excluded_fields=self.hidden, foreign_keys_are_objs=foreign_keys_are_objs)
            helper = self.get_historical_record_context_helper(request, row)
            row.history_delta_changes = helper.context_for_delta_changes(delta)

    def history_form_view(
        self, request: HttpRequest, object_id: str, version_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show one earlier state of a row."""
        if request.method not in {"GET", "HEAD"}:
            raise PermissionDenied("Earlier states of the record are shown, not brought back.")
        found: HttpResponse = super().history_form_view(request, object_id, version_id, extra_context)
        return found


class RowsInline(admin.TabularInline):
    """Shows the rows that hang on another one, and changes none."""

    extra = 0
    can_delete = False
    show_change_link = True

    def has_add_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        """Return no."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        """Return no."""
        return False


def show(
    model: type[models.Model], *columns: str, search: tuple[str, ...] = (), filters: tuple[str, ...] = (), **more: Any
) -> None:
    """Put a table of the record on the site, read-only, with its history where it has one."""
    base = HistoryAdmin if hasattr(model, "history") else RecordAdmin
    options = {"list_display": columns, "search_fields": search, "list_filter": filters, **more}
    site.register(model, type(f"{model.__name__}Admin", (base,), options))
