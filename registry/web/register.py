"""Doors of the draft form: start, fill in from a document, save a section, components, data sets, evidence.

Everything works without JavaScript.
"""

from __future__ import annotations

from typing import Any, TypeVar

from django.contrib import messages
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST

from governance.permissions import visible
from portal.errors import Fault, Invalid, Refused, show
from portal.http import posted, show_errors, status_of, tell
from registry import catalog, drafts, evidence
from registry.models import Asset, Version
from registry.web import panels, version_page
from registry.web.forms import SECTIONS, ComponentForm, DatasetForm, DraftForm, EvidenceForm, PrefillForm, StartForm

Row = TypeVar("Row", bound=Model)


def find(request: HttpRequest, slug: str, number: str) -> tuple[Any, Version]:
    """Return who asks and the version they may see, or 404."""
    user: Any = request.user
    rows = visible(user, Version.objects.select_related("asset__team", "asset__owner", "asset__backup_owner"))
    return user, get_object_or_404(rows, asset__slug=slug, number=number)


def start(request: HttpRequest) -> HttpResponse:
    """Ask which asset gets a new version, and start its draft."""
    user: Any = request.user
    mine = Asset.objects.filter(team__memberships__user=user)
    form = StartForm(posted(request), request.FILES or None, assets=mine, initial={"asset": request.GET.get("asset")})
    if form.is_valid():
        try:
            version = begin(request, form)
            return redirect("registry:version-edit", version.asset.slug, version.number)
        except (Refused, Invalid) as error:
            show_errors(form, error)
    context = {"form": form, "assets": mine}
    return render(request, "registry/register.html", context, status=status_of(form))


def begin(request: HttpRequest, form: StartForm) -> Version:
    """Start the draft that the form asks for, filled in from the document when one was sent."""
    user: Any = request.user
    asset, number = form.cleaned_data["asset"], form.cleaned_data["number"]
    copied = catalog.versions_of(asset).first() if form.cleaned_data["copy_previous"] else None
    if not form.cleaned_data["document"]:
        return drafts.start_draft(asset, number, actor=user, copy_from=copied)
    done = drafts.start_from_document(asset, number, actor=user, copy_from=copied, **form.upload())
    messages.success(request, panels.told(done))
    return done.version


@require_POST
def prefill(request: HttpRequest, slug: str, number: str) -> HttpResponse:
    """Fill the empty fields of a draft in from a document, and attach it."""
    user, version = find(request, slug, number)
    form = PrefillForm(request.POST, request.FILES)
    if form.is_valid():
        try:
            done = drafts.prefill(version, actor=user, **form.upload())
            return tell(request, panels.told(done), reverse("registry:version-edit", args=[slug, number]))
        except (Refused, Invalid) as error:
            show_errors(form, error)
    return render(request, "registry/draft.html", panels.draft(version, prefill_form=form), status=status_of(form))


def edit(request: HttpRequest, slug: str, number: str) -> HttpResponse:
    """Show the whole draft form; frozen content is read on the version's page."""
    user, version = find(request, slug, number)
    user.require("version.edit", version)
    if version.is_frozen:
        return redirect(version.get_absolute_url())
    return render(request, "registry/draft.html", panels.draft(version))


@require_POST
def save(request: HttpRequest, slug: str, number: str, section: str) -> HttpResponse:
    """Save one section of a draft; htmx gets the section's news back, a plain browser the page."""
    user, version = find(request, slug, number)
    form = DraftForm(request.POST, instance=version, section=known(section))
    fresh = get_object_or_404(Version.objects.select_related("asset"), pk=version.pk)
    if form.is_valid():
        try:
            fresh = drafts.edit(fresh, actor=user, **form.values())
            if not request.htmx:  # type: ignore[attr-defined]
                return redirect(reverse("registry:version-edit", args=[slug, number]) + f"#{section}")
        except (Refused, Invalid) as error:
            show_errors(form, error)
    context = panels.draft(fresh, bound=form)
    if request.htmx:  # type: ignore[attr-defined]
        return render(
            request, "registry/_section_saved.html", context | {"section": panels.section_of(context, section)}
        )
    return render(request, "registry/draft.html", context, status=status_of(form))


def known(section: str) -> str:
    """Return the name of a section of the form. Raises Invalid for another one."""
    if section not in SECTIONS:
        raise Invalid(Fault("section", show(section), f"one of {', '.join(SECTIONS)}"))
    return section


def to_remove(request: HttpRequest, rows: QuerySet[Row]) -> Row | None:
    """Return the row that a Remove button names, None when another button was pressed, or 404."""
    key = request.POST.get("remove", "")
    return get_object_or_404(rows, pk=key if key.isdecimal() else None) if key else None


@require_POST
def components(request: HttpRequest, slug: str, number: str) -> HttpResponse:
    """Take a version into a draft, or out of it."""
    user, version = find(request, slug, number)
    back = reverse("registry:version-edit", args=[slug, number]) + "#components"
    if edge := to_remove(request, version.components.all()):
        drafts.remove_component(edge, actor=user)
        return tell(request, "The component is out of the draft.", back)
    form = ComponentForm(request.POST, parts=visible(user, Version.objects.all()))
    if form.is_valid():
        try:
            edge = drafts.add_component(version, actor=user, **form.cleaned_data)
            return tell(request, f"{edge.part.label} is in the draft.", back)
        except (Refused, Invalid) as error:
            show_errors(form, error)
    return render(request, "registry/draft.html", panels.draft(version, component_form=form), status=status_of(form))


@require_POST
def datasets(request: HttpRequest, slug: str, number: str) -> HttpResponse:
    """Record the use of a data set in a draft, or take it out."""
    user, version = find(request, slug, number)
    back = reverse("registry:version-edit", args=[slug, number]) + "#datasets"
    if use := to_remove(request, version.dataset_uses.all()):
        drafts.remove_dataset_use(use, actor=user)
        return tell(request, "The data set is out of the draft.", back)
    form = DatasetForm(request.POST)
    if form.is_valid():
        try:
            use = drafts.use_dataset(version, form.part(), actor=user)
            return tell(request, f"{use.dataset.name} is in the draft.", back)
        except (Refused, Invalid) as error:
            show_errors(form, error)
    return render(request, "registry/draft.html", panels.draft(version, dataset_form=form), status=status_of(form))


@require_POST
def attach(request: HttpRequest, slug: str, number: str) -> HttpResponse:
    """Attach a document to a version."""
    user, version = find(request, slug, number)
    form = EvidenceForm(request.POST, request.FILES)
    if form.is_valid():
        try:
            row = evidence.attach(version, actor=user, **form.attachment())
            back = reverse("registry:version-tab", args=[slug, number, "evidence"])
            return tell(request, f"{row} is attached.", back)
        except (Refused, Invalid) as error:
            show_errors(form, error)
    context = version_page.page(version, user, "evidence", evidence_form=form)
    return render(request, "registry/version.html", context, status=status_of(form))
