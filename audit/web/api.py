"""The JSON doors into what happened: serving reports in, who served whom out, and the keys that prove it."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime
from typing import Annotated

from django.http import HttpRequest
from ninja import Query, Router, Schema
from pydantic import AwareDatetime, Field, StringConstraints

from audit import seal, sealer, serving
from audit.models import ServingWindow
from audit.web import answers, batches
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
    found = find_windows(caller(request), question)
    names = name_digests(caller(request), {window.digest for window in found})
    return answers.served(question.customer, question.at, found, names, MOST_LISTED)


def find_windows(user: User, question: ServedQuestion) -> list[ServingWindow]:
    """Return the windows that the caller may see, one more than are listed."""
    own = visible(user, Version.objects.all()).order_by().values("identity_digest")
    found = serving.serving_at(question.customer, question.at).filter(digest__in=own).select_related("batch")
    return list(found[: MOST_LISTED + 1])


def name_digests(user: User, digests: set[str]) -> dict[str, list[str]]:
    """Return the versions that the caller may see for each identity digest."""
    names = defaultdict(list)
    rows = visible(user, Version.objects.select_related("asset")).filter(identity_digest__in=digests)
    for version in rows.order_by("pk"):
        names[version.identity_digest].append(version.label)
    return names


@router.get("/keys", auth=None, response=answers.KeysAnswer, summary="The public keys of this portal")
def show_keys(request: HttpRequest) -> answers.KeysAnswer:
    """Return the keys that verify decisions and checkpoints of the ledger; anybody may ask."""
    return answers.keys(seal.decision_key(), sealer.ledger_keys())
