"""The JSON doors into the facts: registrations, evidence, and the manifest an identity digest is computed from."""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse
from ninja import Router, Status

from registry import composition, evidence, intake
from registry.registration import EvidencePart, Registration, Semver, Slug
from registry.web import answers, reports
from registry.web.doors import NOES, caller, find_version, guard

router = Router(tags=["registry"])


@router.post(
    "/registrations",
    auth=guard("register"),
    response={200: answers.RegistrationAnswer, 201: answers.RegistrationAnswer, **NOES},
    summary="Register a whole version with its evidence",
)
def register(request: HttpRequest, body: Registration) -> Status:
    """Register a version: 201 when it is new, 200 when it says the same again, 409 with both hashes when it differs."""
    outcome = intake.register(body, actor=caller(request))
    return Status(201 if outcome.created else 200, answers.registration(outcome))


@router.post(
    "/versions/{asset}/{number}/evidence",
    auth=guard("register"),
    response={200: answers.DocumentAnswer, **NOES},
    summary="Attach one document to a version",
)
def attach(request: HttpRequest, asset: Slug, number: Semver, body: EvidencePart) -> answers.DocumentAnswer:
    """Attach one document, its exact bytes in base64; the same bytes again return the document that is there."""
    version = find_version(request, asset, number)
    return answers.document(evidence.attach_once(version, body, actor=caller(request)))


@router.get(
    "/versions/{asset}/{number}/evaluations",
    auth=guard("read", "register"),
    response={200: list[reports.MeasuredAnswer], **NOES},
    summary="What was measured on a version",
)
def read_evaluations(request: HttpRequest, asset: Slug, number: Semver) -> list[reports.MeasuredAnswer]:
    """Return the metrics that the policy requires, then everything else that was measured, with their signers."""
    return reports.measured(find_version(request, asset, number))


@router.get(
    "/versions/{asset}/{number}/composition",
    auth=guard("read", "register", "gate"),
    response={200: dict, **NOES},
    summary="The manifest whose sha256 is the identity digest",
)
def read_composition(request: HttpRequest, asset: Slug, number: Semver) -> HttpResponse:
    """Return the canonical bytes of the composition manifest; 404 when the artifact itself is the identity."""
    version = find_version(request, asset, number)
    manifest = composition.manifest(version)
    if manifest is None:
        raise Http404(f"{version.label} has no composition: the sha256 of its artifact is its identity digest.")
    return HttpResponse(manifest, content_type="application/json")
