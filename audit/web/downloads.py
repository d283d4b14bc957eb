"""Doors to bytes: built exports, and the ledger's proofs, checkpoints and exact entries. Always as attachments."""

from __future__ import annotations

from uuid import UUID

from django.http import FileResponse, Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_safe

from audit import cosignatures, log
from audit.exports import files
from audit.models import Entry, Export, ExportState
from audit.web.pages import auditor


def attachment(body: str | bytes, name: str, media_type: str = "text/plain; charset=utf-8") -> HttpResponse:
    """Return a small file that browsers save and never show."""
    answer = HttpResponse(body, content_type=media_type)
    answer["Content-Disposition"] = f'attachment; filename="{name}"'
    answer["X-Content-Type-Options"] = "nosniff"
    return answer


@require_safe
def export(request: HttpRequest, pk: UUID) -> FileResponse:
    """Hand out a built export, as a stream."""
    auditor(request, "report.export")
    found = get_object_or_404(Export.objects.exclude(file=""), pk=pk, state=ExportState.DONE)
    stream = files.open_file(found)
    answer = FileResponse(stream, as_attachment=True, filename=found.file, content_type="application/octet-stream")
    answer["X-Content-Type-Options"] = "nosniff"
    return answer


@require_safe
def proof(request: HttpRequest, event_id: UUID) -> HttpResponse:
    """Hand out the proof that an entry stands in the ledger."""
    auditor(request, "ledger.read")
    entry = get_object_or_404(Entry, event_id=event_id)
    return attachment(log.proof(entry), f"{event_id}.tlog-proof")


@require_safe
def body(request: HttpRequest, event_id: UUID) -> HttpResponse:
    """Hand out the exact bytes of an entry, which its leaf hash is over."""
    auditor(request, "ledger.read")
    entry = get_object_or_404(Entry, event_id=event_id)
    return attachment(bytes(entry.body), f"{event_id}.json", "application/json")


@require_safe
def checkpoint(request: HttpRequest) -> HttpResponse:
    """Hand out the newest checkpoint, one that a witness cosigned if there is one, to be kept outside of the portal."""
    auditor(request, "ledger.read")
    newest = cosignatures.best_over(0)
    if newest is None:
        raise Http404("There is no checkpoint yet: nothing was sealed.")
    return attachment(cosignatures.cosigned(newest), f"checkpoint-{newest.size}.txt")
