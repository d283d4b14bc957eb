"""Doors for monitors: the log itself after C2SP tlog-tiles, and the proof of a single entry.

Entries tell who did what, so a token needs the scope `audit`. Whoever only has to know that the log goes on finds its
newest checkpoint, open to everybody, in `audit.web.published`.
"""

from __future__ import annotations

import re
from typing import NamedTuple
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from ninja import Router

from audit import cosignatures, log
from audit.models import Checkpoint, Entry
from audit.tiles import HEIGHT, WIDTH, StoredTree
from registry.web.doors import NOES, caller, guard

router = Router(tags=["ledger"])
TEXT, BYTES = "text/plain; charset=utf-8", "application/octet-stream"
TILE = re.compile(
    r"(?P<level>[0-9]{1,2}|entries)/(?P<index>(?:x[0-9]{3}/)*[0-9]{3})(?:\.p/(?P<width>[1-9][0-9]{0,2}))?"
)
NO_TILE = "The log has no such tile: see c2sp.org/tlog-tiles, and begin with its checkpoint."
# A tile of a signed log never changes again; a checkpoint does every second.
FOR_EVER, NOT_AT_ALL = "private, max-age=31536000, immutable", "no-store"


class Place(NamedTuple):
    """Where a tile stands, and how wide it is asked for. Level -1 are the entries."""

    level: int
    at: int
    width: int


def reader(request: HttpRequest) -> None:
    """Let in who may read the whole ledger. Raises PermissionDenied."""
    caller(request).require("ledger.read")


def answer(body: str | bytes, media_type: str, caching: str) -> HttpResponse:
    """Return a resource of the log."""
    return HttpResponse(body, media_type, headers={"Cache-Control": caching, "X-Content-Type-Options": "nosniff"})


def newest() -> Checkpoint:
    """Return the newest checkpoint. Raises Http404 while there is none."""
    found = Checkpoint.objects.first()
    if found is None:
        raise Http404("There is no checkpoint yet: nothing was sealed.")
    return found


@router.get(
    "/ledger/{uuid:event_id}/proof",
    auth=guard("audit"),
    response={200: str, **NOES},
    summary="The tlog-proof of one entry",
)
def prove(request: HttpRequest, event_id: UUID) -> HttpResponse:
    """Return the C2SP tlog-proof of an entry, as text; 409 while it waits to be sealed."""
    reader(request)
    return answer(log.proof(get_object_or_404(Entry, event_id=event_id)), TEXT, NOT_AT_ALL)


@router.get(
    "/ledger/checkpoint",
    auth=guard("audit"),
    response={200: str, **NOES},
    summary="The newest checkpoint",
)
@router.get(
    "/ledger/tiles/checkpoint", auth=guard("audit"), response={200: str, **NOES}, summary="The same, for monitors"
)
def read_checkpoint(request: HttpRequest) -> HttpResponse:
    """Return the newest signed checkpoint with the cosignatures of witnesses, as text."""
    reader(request)
    return answer(cosignatures.cosigned(newest()), TEXT, NOT_AT_ALL)


@router.get(
    "/ledger/tiles/tile/{path:place}",
    auth=guard("audit"),
    response={200: str, **NOES},
    summary="A tile of hashes or entries",
)
def read_tile(request: HttpRequest, place: str) -> HttpResponse:
    """Return `<level>/<index>` or `entries/<index>`, in parts with `.p/<width>`, as c2sp.org/tlog-tiles has it."""
    reader(request)
    size = newest().size
    asked = parse(place, size)
    hashes = StoredTree(size).tile(max(asked.level, 0), asked.at)[: asked.width]
    if len(hashes) != asked.width:
        raise Http404(NO_TILE)
    return answer(bundle(asked) if asked.level < 0 else b"".join(hashes), BYTES, FOR_EVER)


def parse(place: str, size: int) -> Place:
    """Return which tile of a tree of `size` leaves a path names. Raises Http404 for one that is not there yet."""
    found = TILE.fullmatch(place)
    if found is None or len(place) > len("entries/x001/x001/x001/x001/001.p/255"):
        raise Http404(NO_TILE)
    level = -1 if found["level"] == "entries" else int(found["level"])
    index, width = int(re.sub("[x/]", "", found["index"])), int(found["width"] or WIDTH)
    there = (size >> (HEIGHT * max(level, 0))) - index * WIDTH
    if width > min(there, WIDTH) or path_of(level, index, width) != place:
        raise Http404(NO_TILE)
    return Place(level, index, width)


def path_of(level: int, index: int, width: int = WIDTH) -> str:
    """Return the one path of a tile: three digits an element, all but the last with an `x`."""
    digits = str(index)
    digits = digits.zfill(-(-len(digits) // 3) * 3)
    *above, last = [digits[at : at + 3] for at in range(0, len(digits), 3)]
    head = "".join(f"x{element}/" for element in above)
    return f"{'entries' if level < 0 else level}/{head}{last}" + (f".p/{width}" if width < WIDTH else "")


def bundle(asked: Place) -> bytes:
    """Return the exact bytes of the entries of a tile, each after its length in two bytes."""
    start = asked.at * WIDTH
    rows = Entry.objects.filter(leaf__leaf_index__range=(start, start + asked.width - 1)).order_by("leaf__leaf_index")
    bodies = [bytes(body) for body in rows.values_list("body", flat=True)]
    return b"".join(len(body).to_bytes(2) + body for body in bodies)
