"""Doors of the audit: parse, ask, present. Only auditors come in; each door asks for that in its first line."""

from __future__ import annotations

from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST, require_safe

from audit import serving
from audit.exports import builder, requests
from audit.models import Entry, Export, ExportState
from audit.reports import BY_SLUG, Report, entries
from audit.web import present, progress
from audit.web.forms import LedgerForm, PeriodForm, ReportForm, ServedForm
from portal.errors import Invalid
from portal.fields import AsOfForm
from portal.http import show_errors
from registry.models import User, Version


def auditor(request: HttpRequest, rule: str) -> User:
    """Return who is signed in. Raises PermissionDenied unless the permission table lets them do this."""
    user = request.user
    assert isinstance(user, User)  # noqa: S101 -- the middleware lets nobody else in
    user.require(rule)
    return user


def report_of(slug: str) -> Report:
    """Return a report by its name. Raises Http404."""
    if slug not in BY_SLUG:
        raise Http404(f"There is no report {slug}.")
    return BY_SLUG[slug]


def status_of(form: forms.Form) -> int:
    """Return the status of a page with a form that was asked."""
    return 422 if form.errors else 200


@require_safe
def front(request: HttpRequest) -> HttpResponse:
    """Show the four questions, each with a short answer as of an instant."""
    auditor(request, "report.read")
    form = AsOfForm(request.GET)
    context = {"form": form, **present.front(form.at)}
    return render(request, "audit/front.html", context, status=status_of(form))


@require_safe
def report(request: HttpRequest, slug: str) -> HttpResponse:
    """Show one answer, page by page."""
    auditor(request, "report.read")
    form = ReportForm(report_of(slug), request.GET)
    context = present.answer(report_of(slug), form, request.GET.get("page"))
    return render(request, "audit/report.html", context, status=status_of(form))


@require_POST
def export_report(request: HttpRequest, slug: str) -> HttpResponse:
    """Ask for an answer as a file; a small one is built at once."""
    user = auditor(request, "report.export")
    form = ReportForm(report_of(slug), request.POST)
    if not form.is_valid():
        return render(request, "audit/report.html", present.answer(report_of(slug), form, None), status=422)
    return way_to(builder.answer(form.question(), request.POST.get("format", ""), actor=user))


def way_to(asked: Export) -> HttpResponse:
    """Lead to the file of an export that is built, else to its page."""
    return redirect("audit:download" if asked.state == ExportState.DONE else "audit:export", asked.pk)


@require_safe
def served(request: HttpRequest) -> HttpResponse:
    """Show who served a customer at one instant."""
    auditor(request, "report.read")
    form = ServedForm(request.GET or None)
    context = {"form": form, "crumbs": present.crumbs()}
    if form.is_valid():
        asked = form.cleaned_data
        found = serving.serving_at(asked["customer"], asked["at"], asked["deployment"] or None)
        context |= {"asked": asked, "windows": present.windows(found[: present.PAGE_SIZE])}
    return render(request, "audit/served.html", context, status=status_of(form))


@require_safe
def ledger(request: HttpRequest) -> HttpResponse:
    """Show the ledger, newest first."""
    auditor(request, "ledger.read")
    form = LedgerForm(request.GET)
    context = {"form": form, "head": present.head(), "keys": present.keys(), "crumbs": present.crumbs()}
    if form.is_valid():
        context |= present.ledger_page(entries.search(**form.cleaned_data), request.GET)
    return render(request, "audit/ledger.html", context, status=status_of(form))


@require_safe
def entry(request: HttpRequest, event_id: UUID) -> HttpResponse:
    """Show one entry: what it says, its exact content, and where it stands in the tree."""
    auditor(request, "ledger.read")
    found = get_object_or_404(Entry.objects.select_related("leaf"), event_id=event_id)
    return render(request, "audit/entry.html", present.entry(found))


@require_safe
def exports(request: HttpRequest) -> HttpResponse:
    """Show all exports and how far they are."""
    auditor(request, "report.export")
    return render(request, "audit/exports.html", progress.exports(Export.objects.all(), request.GET.get("page")))


@require_safe
def export(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Show one export; htmx asks for its progress alone."""
    auditor(request, "report.export")
    context = progress.export(get_object_or_404(Export, pk=pk))
    part = getattr(request, "htmx", False) and not context["work"]["finished"]
    response = render(request, "_progress.html" if part else "audit/export.html", context)
    if getattr(request, "htmx", False) and context["work"]["finished"]:
        response["HX-Refresh"] = "true"
    return response


@require_POST
def cancel_export(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Give up an export that is not finished."""
    user = auditor(request, "report.export")
    builder.cancel(get_object_or_404(Export, pk=pk), actor=user)
    messages.success(request, "The export was cancelled.")
    return redirect("audit:export", pk)


@require_POST
def repeat_export(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Ask for the same as of the same instant once more; a small table is built at once."""
    user = auditor(request, "report.export")
    return way_to(builder.again(get_object_or_404(Export, pk=pk), actor=user))


def period(request: HttpRequest) -> HttpResponse:
    """Show what the evidence bundle of a period holds, or ask for it."""
    user = auditor(request, "report.export")
    form = PeriodForm(request.POST if request.method == "POST" else request.GET or None)
    if request.method == "POST" and form.is_valid():
        asked = form.cleaned_data
        try:
            made = requests.request_period(asked["since"], asked["until"], actor=user, as_of=form.at)
            return redirect("audit:export", made.pk)
        except Invalid as error:
            show_errors(form, error)
    earlier = progress.exports(Export.objects.filter(kind=requests.PERIOD), request.GET.get("page"))
    status = status_of(form) if request.method == "POST" else 200
    return render(request, "audit/period.html", {"form": form, **earlier}, status=status)


def bundle(request: HttpRequest, slug: str, number: str) -> HttpResponse:
    """Show what the evidence bundle of a version holds, or ask for it."""
    user = auditor(request, "report.export")
    version = get_object_or_404(Version.objects.select_related("asset"), asset__slug=slug, number=number)
    if request.method == "POST":
        return redirect("audit:export", requests.request_bundle(version, actor=user).pk)
    earlier = Export.objects.filter(kind=requests.BUNDLE, parameters__version=version.label)
    context = {"version": version, **progress.exports(earlier, request.GET.get("page"))}
    return render(request, "audit/bundle.html", context)


@require_safe
def find_bundle(request: HttpRequest) -> HttpResponse:
    """Lead from name@number to the bundle of that version."""
    auditor(request, "report.export")
    label = request.GET.get("version", "").strip()
    slug, _, number = label.partition("@")
    if Version.objects.filter(asset__slug=slug, number=number).exists():
        return redirect("audit:bundle", slug, number)
    messages.error(request, f"No version {label[:130]} is registered; write it as name@number.")
    return redirect("audit:front")
