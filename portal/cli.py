"""Hands out what runs elsewhere, each one file: the command for CI, and the gate, verifier and witness of others."""

from __future__ import annotations

from pathlib import Path

from django.contrib.auth.decorators import login_not_required
from django.contrib.staticfiles import finders
from django.http import FileResponse, Http404, HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from audit.exports import standalone
from audit.exports import verify as verifier

PYTHON = "text/x-python; charset=utf-8"


@login_not_required
@require_safe
def countersign(request: HttpRequest) -> FileResponse:
    """Return the command's file; whoever can reach the portal may have it, it holds no secret."""
    found = finders.find("cli/countersign")
    if not isinstance(found, str):
        raise Http404("The command is not installed with this portal.")
    return FileResponse(Path(found).open("rb"), filename="countersign", content_type=PYTHON)


@login_not_required
@require_safe
def gate(request: HttpRequest) -> HttpResponse:
    """Return the gate that needs no portal."""
    return HttpResponse(standalone.gate_file(), content_type=PYTHON)


@login_not_required
@require_safe
def witness(request: HttpRequest) -> HttpResponse:
    """Return the witness, for hosts of other owners."""
    return HttpResponse(standalone.witness_file(), content_type=PYTHON)


@login_not_required
@require_safe
def verify(request: HttpRequest) -> HttpResponse:
    """Return the verifier that needs no portal."""
    return HttpResponse(Path(verifier.__file__).read_bytes(), content_type=PYTHON)
