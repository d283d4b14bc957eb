"""Hands out the `countersign` command: one file for CI, standard library only."""

from __future__ import annotations

from pathlib import Path

from django.contrib.auth.decorators import login_not_required
from django.contrib.staticfiles import finders
from django.http import FileResponse, Http404, HttpRequest
from django.views.decorators.http import require_safe


@login_not_required
@require_safe
def countersign(request: HttpRequest) -> FileResponse:
    """Return the command's file; whoever can reach the portal may have it, it holds no secret."""
    found = finders.find("cli/countersign")
    if not isinstance(found, str):
        raise Http404("The command is not installed with this portal.")
    return FileResponse(Path(found).open("rb"), filename="countersign", content_type="text/x-python; charset=utf-8")
