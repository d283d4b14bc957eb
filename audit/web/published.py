"""Doors that are open to everybody: what gates and verifiers outside need to believe decisions. No secret is in it.

Each document is signed, so it does not matter by which way it arrives.
"""

from __future__ import annotations

import hashlib
import json

from django.contrib.auth.decorators import login_not_required
from django.http import Http404, HttpRequest, HttpResponse
from django.utils.cache import get_conditional_response, patch_cache_control
from django.views.decorators.http import require_safe

from audit.models import Checkpoint, Keyset
from governance import revocations

MAX_AGE = 60


def handed_out(request: HttpRequest, body: str, media_type: str) -> HttpResponse:
    """Return a document that caches may keep for a minute, or 304 to whoever has it."""
    answer = HttpResponse(body, content_type=media_type)
    answer["ETag"] = f'"{hashlib.sha256(body.encode()).hexdigest()}"'
    answer["Access-Control-Allow-Origin"] = "*"
    patch_cache_control(answer, public=True, max_age=MAX_AGE)
    return get_conditional_response(request, etag=answer["ETag"], response=answer) or answer


def envelope(request: HttpRequest, found: dict[str, object] | None, missing: str) -> HttpResponse:
    """Return a signed document as JSON. Raises Http404 saying what there is not yet."""
    if found is None:
        raise Http404(missing)
    return handed_out(request, json.dumps(found, indent=2) + "\n", "application/json")


@login_not_required
@require_safe
def keyset(request: HttpRequest, number: int = 0) -> HttpResponse:
    """Hand out the newest keyset, or one by its number, for who has to follow the roots from an older one."""
    rows = Keyset.objects.filter(number=number) if number else Keyset.objects.all()
    found = rows.values_list("envelope", flat=True).first()
    return envelope(request, found, "No keyset is published.")


@login_not_required
@require_safe
def revocation_list(request: HttpRequest) -> HttpResponse:
    """Hand out the newest revocation list."""
    newest = revocations.newest()
    return envelope(request, newest.envelope if newest else None, "No revocation list is issued yet.")


@login_not_required
@require_safe
def checkpoint(request: HttpRequest) -> HttpResponse:
    """Hand out the newest signed checkpoint of the ledger: a size and a hash, which tell nothing of what is in it."""
    newest = Checkpoint.objects.first()
    if newest is None:
        raise Http404("There is no checkpoint yet: nothing was sealed.")
    return handed_out(request, newest.note, "text/plain; charset=utf-8")
