"""Doors to bytes: evidence documents, composition manifests, schemas. Always as attachments, never shown as a page."""

from __future__ import annotations

from pathlib import Path

from django.http import FileResponse, Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404

from governance.permissions import visible
from registry import composition, readers, storage
from registry.models import Evidence
from registry.web.register import find

SCHEMA = Path(readers.__file__).parent / "schemas" / "evaluation-package-v1.json"


def document(request: HttpRequest, public_id: str) -> FileResponse:
    """Hand out one evidence document as it was attached."""
    rows = visible(request.user, Evidence.objects.all(), asset="version__asset")  # type: ignore[arg-type]
    row = get_object_or_404(rows, public_id=public_id)
    answer = FileResponse(storage.open(row.sha256), as_attachment=True, filename=row.filename)
    answer["Content-Type"] = "application/octet-stream"
    answer["X-Content-Type-Options"] = "nosniff"
    return answer


def composition_manifest(request: HttpRequest, slug: str, number: str) -> HttpResponse:
    """Hand out the exact bytes whose sha256 is a composed version's identity digest."""
    _, version = find(request, slug, number)
    manifest = composition.manifest(version)
    if manifest is None:
        raise Http404(f"{version.label} has no composition: its artifact's sha256 is its identity digest.")
    answer = HttpResponse(manifest, content_type="application/json")
    answer["Content-Disposition"] = f'attachment; filename="{slug}-{number}.composition.json"'
    return answer


def evaluation_schema(request: HttpRequest) -> HttpResponse:
    """Hand out the JSON Schema of evaluation packages."""
    return HttpResponse(SCHEMA.read_bytes(), content_type="application/schema+json")
