"""The JSON doors into what happened: serving reports in, who served whom out, and the keys that prove it."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime
from typing import Annotated, Any

from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone
from ninja import Query, Router, Schema
from pydantic import AwareDatetime, Field, StringConstraints

from audit import keyset, sealer, serving
from audit.exports import kit
from audit.models import ServingBatch
from audit.web import answers, batches
from governance import standing
from governance.permissions import visible
from registry.models import User, Version
from registry.web.doors import NOES, caller, guard

router = Router(tags=["audit"])
MOST_LISTED = 1000
BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/x-ndjson": {"schema": {"type": "string"}},
            "text/csv": {"schema": {"type": "string"}},
        },
    }
}
Label = Annotated[str, StringConstraints(min_length=1, max_length=120, pattern=r"^[^\x00]*$")]
Instant = Annotated[AwareDatetime, Field(ge=datetime(2000, 1, 1, tzinfo=UTC), lt=datetime(2200, 1, 1, tzinfo=UTC))]


class ServedQuestion(Schema):
    """Whom, and when."""

    customer: Label
    at: Instant


class Place(Schema):
    """Where a window stands: in which report of whom, on which line."""

    source: Label
    batch_id: Label
    line: Annotated[int, Field(ge=1, le=50_000)]


class Span(Schema):
    """Two sizes of the ledger."""

    old: Annotated[int, Field(ge=1, lt=2**53)]
    new: Annotated[int, Field(ge=1, lt=2**53)]


@router.post(
    "/serving/batches",
    auth=guard("serving"),
    response={200: answers.BatchAnswer, **NOES},
    summary="Report who was served by what",
    openapi_extra=BODY,
)
def report(request: HttpRequest, batch_id: Label) -> answers.BatchAnswer:
    """Record up to 50,000 windows under the caller's name; the same batch again is the same, another one is a 409."""
    reporter = caller(request)
    reporter.require("serving.report")
    # The source is the account itself, so that nobody can report, or take a batch id, in another's name.
    return answers.batch(
        serving.report(actor=reporter, source=reporter.username, batch_id=batch_id, windows=batches.read(request))
    )


@router.get(
    "/serving/who",
    auth=guard("read"),
    response={200: answers.ServedAnswer, **NOES},
    summary="Who served a customer at an instant",
)
def who(request: HttpRequest, question: Query[ServedQuestion]) -> answers.ServedAnswer:
    """Return the windows in which a customer was served: a service sees the digests of its teams."""
    found = serving.serving_at(question.customer, question.at)
    names = name_digests(caller(request), {window.digest for window in found})
    found = [window for window in found if window.digest in names]
    return answers.served(question.customer, question.at, found, names, MOST_LISTED)


@router.get(
    "/serving/proof",
    auth=guard("read"),
    response={200: answers.WindowProofAnswer, **NOES},
    summary="The proof of one serving window",
)
def prove(request: HttpRequest, place: Query[Place]) -> dict[str, Any]:
    """Return what proves without the portal that a window was reported; 404 for what the token may not see."""
    batch = ServingBatch.objects.filter(source=place.source, batch_id=place.batch_id).first()
    own = opening(caller(request)).order_by().values("identity_digest")
    window = serving.rows_of(batch).filter(line=place.line, digest__in=own).first() if batch else None
    if window is None:
        raise Http404("There is no such window, or none that this token may see.")
    return serving.prove(window).as_dict()


def opening(user: User) -> QuerySet[Version]:
    """Return the versions through which the caller sees what was served: a draft, of any digest, is quickly typed."""
    return visible(user, Version.objects.filter(standing.admitted(timezone.now())))


def name_digests(user: User, digests: set[str]) -> dict[str, list[str]]:
    """Return the versions that let the caller see what was served, for each identity digest."""
    names = defaultdict(list)
    rows = opening(user).filter(identity_digest__in=digests)
    for version in rows.select_related("asset").order_by("pk"):
        names[version.identity_digest].append(version.label)
    return names


@router.get(
    "/ledger/consistency",
    auth=guard("gate", "read", "audit"),
    response={200: str, **NOES},
    summary="The proof that the ledger only grew",
)
def show_consistency(request: HttpRequest, span: Query[Span]) -> HttpResponse:
    """Return the hashes that lead from a ledger of `old` entries to one of `new` entries (RFC 9162 §2.1.4), as text."""
    return HttpResponse(kit.consistency(span.old, span.new), content_type="text/plain; charset=utf-8")


@router.get("/keys", auth=None, response=answers.KeysAnswer, summary="The public keys of this portal")
def show_keys(request: HttpRequest) -> answers.KeysAnswer:
    """Return the keys that verify decisions and checkpoints of the ledger; anybody may ask."""
    return answers.keys(keyset.decision_keys(), sealer.ledger_keys())
