"""Doors of the draft form: start, save a section, components, data sets, evidence. Works without JavaScript."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST

from governance.permissions import visible
from portal.errors import Fault, Invalid, Refused, show
from portal.http import show_errors, tell
from registry import catalog, drafts, evidence
from registry.models import Asset, Component, DatasetUse, Version
from registry.registration import DatasetPart
from registry.web import panels, version_page
from registry.web.forms import SECTIONS, ComponentForm, DatasetForm, DraftForm, EvidenceForm, StartForm


def find(request: HttpRequest, slug: str, number: str) -> tuple[Any, Version]:
    """Return who asks and the version they may see, or 404."""
    user: Any = request.user
    rows = visible(user, Version.objects.select_related("asset__team", "asset__owner", "asset__backup_owner"))
    return user, get_object_or_404(rows, asset__slug=slug, number=number)


def start(request: HttpRequest) -> HttpResponse:
    """Ask which asset gets a new version, and start its draft."""
    user: Any = request.user
    mine = Asset.objects.filter(team__memberships__user=user)
    form = StartForm(request.POST or None, assets=mine, initial={"asset": request.GET.get("asset")})
    if request.method == "POST" and form.is_valid():
        asset = form.cleaned_data["asset"]
        copied = catalog.versions_of(asset).first() if form.cleaned_data["copy_previous"] else None
        try:
            version = drafts.start_draft(asset, form.cleaned_data["number"], actor=user, copy_from=copied)
            return redirect("registry:version-edit", version.asset.slug, version.number)
        except (Refused, Invalid) as error:
            show_errors(form, error)
    context = {"form": form, "assets": mine}
    return render(request, "registry/register.html", context, status=422 if form.errors else 200)


def edit(request: HttpRequest, slug: str, number: str) -> HttpResponse:
    """Show the whole draft form."""
    user, version = find(request, slug, number)
    user.require("version.edit", version)
    return render(request, "registry/draft.html", panels.draft(version))


@require_POST
def save(request: HttpRequest, slug: str, number: str, section: str) -> HttpResponse:
    """Save one section of a draft; htmx gets the section and the meter back, a plain browser the page."""
    user, version = find(request, slug, number)
    if section not in SECTIONS:
        raise Invalid(Fault("section", show(section), f"one of {', '.join(SECTIONS)}"))
    form = DraftForm(request.POST, instance=version, section=section)
    fresh = get_object_or_404(Version.objects.select_related("asset"), pk=version.pk)
    if form.is_valid():
        try:
            version = drafts.edit(fresh, actor=user, **form.values())
            if not request.htmx:  # type: ignore[attr-defined]
                return redirect(reverse("registry:version-edit", args=[slug, number]) + f"#{section}")
        except Invalid as error:
            show_errors(form, error)
    status = 422 if form.errors and not request.htmx else 200  # type: ignore[attr-defined]
    context = panels.draft(version if not form.errors else fresh, bound=form)
    template = "registry/_section_saved.html" if request.htmx else "registry/draft.html"  # type: ignore[attr-defined]
    return render(request, template, {**context, "section": panels.section_of(context, section)}, status=status)


@require_POST
def components(request: HttpRequest, slug: str, number: str) -> HttpResponse:
    """Take a version into a draft, or out of it."""
    user, version = find(request, slug, number)
    back = reverse("registry:version-edit", args=[slug, number]) + "#components"
    if request.POST.get("remove"):
        edge = get_object_or_404(Component, pk=request.POST["remove"], version=version)
        drafts.remove_component(edge, actor=user)
        return tell(request, "The component is out of the draft.", back)
    form = ComponentForm(request.POST)
    if not form.is_valid():
        return render(request, "registry/draft.html", panels.draft(version, component_form=form), status=422)
    part_slug, _, part_number = form.cleaned_data["part"].partition("@")
    part = get_object_or_404(visible(user, Version.objects.all()), asset__slug=part_slug, number=part_number)
    drafts.add_component(version, actor=user, role=form.cleaned_data["role"], part=part)
    return tell(request, f"{part.label} is in the draft.", back)


@require_POST
def datasets(request: HttpRequest, slug: str, number: str) -> HttpResponse:
    """Record the use of a data set in a draft, or take it out."""
    user, version = find(request, slug, number)
    back = reverse("registry:version-edit", args=[slug, number]) + "#datasets"
    if request.POST.get("remove"):
        use = get_object_or_404(DatasetUse, pk=request.POST["remove"], version=version)
        drafts.remove_dataset_use(use, actor=user)
        return tell(request, "The data set is out of the draft.", back)
    form = DatasetForm(request.POST)
    if not form.is_valid():
        return render(request, "registry/draft.html", panels.draft(version, dataset_form=form), status=422)
    typed = dict(form.cleaned_data)
    part = DatasetPart(**{"from": typed.pop("window_from"), "to": typed.pop("window_to"), **typed})
    drafts.use_dataset(version, part, actor=user)
    return tell(request, f"{part.name} is in the draft.", back)


@require_POST
def attach(request: HttpRequest, slug: str, number: str) -> HttpResponse:
    """Attach a document to a version."""
    user, version = find(request, slug, number)
    form = EvidenceForm(request.POST, request.FILES)
    if form.is_valid():
        typed = form.cleaned_data
        try:
            row = evidence.attach(
                version,
                actor=user,
                kind=typed["kind"],
                filename=typed["document"].name,
                body=typed["document"].read(),
                identity_digest=typed["identity_digest"],
            )
            return tell(
                request, f"{row} is attached.", reverse("registry:version-tab", args=[slug, number, "evidence"])
            )
        except (Refused, Invalid) as error:
            show_errors(form, error)
    context = version_page.page(version, user, "evidence", evidence_form=form)
    return render(request, "registry/version.html", context, status=422)
