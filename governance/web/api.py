"""The JSON doors into the judgements: nominate, submit, the gate, promotions, and decisions that prove themselves."""

from __future__ import annotations

import json
from typing import Annotated
from uuid import UUID

from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from ninja import Query, Router, Schema, Status
from pydantic import StringConstraints

from audit.exports import kit
from audit.seal import BUNDLE_TYPE
from governance import decisions, promotions, submissions, triage
from governance.models import Decision, Submission, Violation
from governance.permissions import visible
from governance.web import answers, finding_answers
from registry.registration import Semver, Slug
from registry.web.doors import NOES, Part, caller, find_version, guard

router = Router(tags=["governance"])
MOST_LISTED = 200
ENVELOPE_TYPE = "application/vnd.dsse.envelope.v1+json"
Environment = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,39}$")]
Consumer = Annotated[str, StringConstraints(min_length=1, max_length=promotions.MAX_CONSUMER)]
Digest = Annotated[str, StringConstraints(pattern=r"^(sha256:)?[0-9a-f]{64}$")]


class SubmissionPart(Part):
    """What a version asks for."""

    environment: Environment
    note: Annotated[str, StringConstraints(max_length=4000, pattern=r"^[^\x00]*$")] = ""


class PromotionPart(Part):
    """Which environment is to point at a version, and why."""

    environment: Environment
    reason: Annotated[str, StringConstraints(max_length=4000, pattern=r"^[^\x00]*$")] = ""


class GateQuestion(Schema):
    """A deployer's question."""

    digest: Digest
    environment: Environment
    consumer: Consumer


@router.get(
    "/versions/{asset}/{number}",
    auth=guard("read", "register"),
    response={200: answers.VersionAnswer, **NOES},
    summary="Where a version stands",
)
def show_version(request: HttpRequest, asset: Slug, number: Semver) -> answers.VersionAnswer:
    """Return state, identity digest, checks, submissions, and the standing in every environment."""
    return answers.version(find_version(request, asset, number))


@router.post(
    "/versions/{asset}/{number}/nominate",
    auth=guard("register"),
    response={200: answers.VersionAnswer, **NOES},
    summary="Freeze a draft and ask its baseline checks",
)
def nominate(request: HttpRequest, asset: Slug, number: Semver) -> answers.VersionAnswer:
    """Freeze the content and queue the baseline checks; the version is a candidate once they are green."""
    version = find_version(request, asset, number)
    return answers.version(submissions.nominate(version, actor=caller(request)))


@router.post(
    "/versions/{asset}/{number}/submissions",
    auth=guard("register"),
    response={201: answers.SubmissionAnswer, **NOES},
    summary="Ask for an environment",
)
def submit(request: HttpRequest, asset: Slug, number: Semver, body: SubmissionPart) -> Status:
    """Submit a candidate for one environment; people review it there."""
    version = find_version(request, asset, number)
    opened = submissions.submit(version, body.environment, actor=caller(request), note=body.note)
    return Status(201, answers.submission(opened))


@router.get(
    "/versions/{asset}/{number}/findings",
    auth=guard("read", "register"),
    response={200: list[finding_answers.FindingAnswer], **NOES},
    summary="Known vulnerabilities of a version, and how they are answered",
)
def list_findings(request: HttpRequest, asset: Slug, number: Semver) -> list[finding_answers.FindingAnswer]:
    """Return the findings, open and severe ones first, each with the statement that counts and the one that waits."""
    return finding_answers.findings(find_version(request, asset, number))


@router.post(
    "/versions/{asset}/{number}/findings/{uuid:finding}/statements",
    auth=guard("register"),
    response={201: finding_answers.StatementAnswer, **NOES},
    summary="State something about a finding",
)
def state(
    request: HttpRequest, asset: Slug, number: Semver, finding: UUID, body: finding_answers.StatementPart
) -> Status:
    """State it in an OpenVEX document that is kept as evidence; security answers, except when it opens again."""
    found = finding_answers.of(find_version(request, asset, number), finding)
    if found is None:
        raise Http404(f"No finding {finding} of {asset}@{number} is there.")
    made = triage.state_by_document(found, actor=caller(request), **body.dict())
    return Status(201, finding_answers.said_as(made))


@router.get(
    "/submissions/{uuid:submission}",
    auth=guard("read", "register"),
    response={200: answers.SubmissionAnswer, **NOES},
    summary="Where a submission stands",
)
def show_submission(request: HttpRequest, submission: UUID) -> answers.SubmissionAnswer:
    """Return the state, the roles got and needed, and every rule that stands in the way."""
    rows = Submission.objects.select_related("version__asset__team", "policy")
    found = visible(caller(request), rows, asset="version__asset").filter(public_id=submission).first()
    if found is None:
        raise Http404(f"No submission {submission} is there that this token may see.")
    return answers.submission(found)


@router.get("/gate", auth=guard("gate"), response={200: answers.GateAnswer, **NOES}, summary="May this digest serve?")
def ask_gate(request: HttpRequest, question: Query[GateQuestion]) -> JsonResponse:
    """Answer 200 with allow true or false, and why; a digest that nobody registered may not serve."""
    answer = promotions.ask_gate(question.digest, question.environment, question.consumer, actor=caller(request))
    # Not validated a second time on its way out: deployers wait for this answer.
    response = JsonResponse(answers.gate(answer).dict())
    response["Cache-Control"] = "no-store"
    return response


@router.post(
    "/versions/{asset}/{number}/promotions",
    auth=guard("promote"),
    response={200: answers.PromotionAnswer, **NOES},
    summary="Point an environment at a version",
)
def promote(request: HttpRequest, asset: Slug, number: Semver, body: PromotionPart) -> answers.PromotionAnswer:
    """Move the environment's pointer; 409 with the reasons when the version may not serve there."""
    version = find_version(request, asset, number)
    return answers.promotion(promotions.promote(version, body.environment, actor=caller(request), reason=body.reason))


@router.get(
    "/decisions/{uuid:decision}.dsse.json",
    auth=guard("gate", "read"),
    response={200: dict, **NOES},
    summary="A signed decision as a DSSE envelope",
    url_name="decision-dsse",
)
def read_envelope(request: HttpRequest, decision: UUID) -> HttpResponse:
    """Return the in-toto statement in its DSSE envelope."""
    found = find_decision(request, decision)
    return signed_form(json.dumps(decisions.envelope(found)).encode(), ENVELOPE_TYPE, answers.file_name(found, "dsse"))


@router.get(
    "/decisions/{uuid:decision}.sigstore.json",
    auth=guard("gate", "read"),
    response={200: dict, **NOES},
    summary="A signed decision as a Sigstore bundle v0.3",
    url_name="decision-sigstore",
)
def read_bundle(request: HttpRequest, decision: UUID) -> HttpResponse:
    """Return the same envelope as a Sigstore bundle, which cosign verifies with the published key."""
    found = find_decision(request, decision)
    return signed_form(decisions.bundle(found), BUNDLE_TYPE, answers.file_name(found, "sigstore"))


@router.get(
    "/decisions/{uuid:decision}.tlog-proof",
    auth=guard("gate", "read"),
    response={200: str, **NOES},
    summary="The proof that the ledger holds a decision, for gates without the portal",
    url_name="decision-proof",
)
def read_proof(request: HttpRequest, decision: UUID) -> HttpResponse:
    """Return a C2SP tlog-proof that carries the entry which names the decision and the sha256 of its envelope."""
    found = find_decision(request, decision)
    return signed_form(kit.proof(kit.entry_of(found)).encode(), "text/plain; charset=utf-8", f"{decision}.tlog-proof")


@router.get(
    "/decisions/{uuid:decision}.kit.zip",
    auth=guard("gate", "read"),
    response={200: bytes, **NOES},
    summary="Everything that a gate without the portal needs",
    url_name="decision-kit",
)
def read_kit(request: HttpRequest, decision: UUID) -> HttpResponse:
    """Return the decision, its proof, the keyset, the revocation list and the gate as one zip; 409 without a keyset."""
    return signed_form(kit.write(find_decision(request, decision)), "application/zip", f"{decision}.kit.zip")


class WantedViolations(Schema):
    """Which violations: open, answered, or all."""

    state: Annotated[str, StringConstraints(pattern=r"^(open|answered)?$")] = ""


@router.get(
    "/violations",
    auth=guard("read", "serving"),
    response={200: answers.ViolationsAnswer, **NOES},
    summary="What was served without being allowed to",
)
def list_violations(request: HttpRequest, wanted: Query[WantedViolations]) -> answers.ViolationsAnswer:
    """Return the violations about versions that the token may see, the latest on top."""
    rows = visible(caller(request), Violation.objects.all(), asset="version__asset").select_related("version__asset")
    rows = rows.filter(state=wanted.state) if wanted.state else rows
    return answers.violations(rows.order_by("-last_window", "-pk")[:MOST_LISTED])


def find_decision(request: HttpRequest, public_id: UUID) -> Decision:
    """Return a decision that the caller may see. Raises Http404.

    A deployer may fetch every decision, because the gate names it to whoever holds the digest.
    """
    user = caller(request)
    rows: QuerySet[Decision] = Decision.objects.select_related("version__asset")
    if "gate" not in getattr(user, "token_scopes", ()):
        rows = visible(user, rows, asset="version__asset")
    found = rows.filter(public_id=public_id).first()
    if found is None:
        raise Http404(f"No decision {public_id} is there that this token may see.")
    return found


def signed_form(body: bytes, media_type: str, name: str) -> HttpResponse:
    """Return a signed decision as a file."""
    return HttpResponse(body, media_type, headers={"Content-Disposition": f'attachment; filename="{name}"'})
