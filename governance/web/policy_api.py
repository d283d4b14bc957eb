"""The JSON doors to policies, for a policy repository's CI: read the newest, try a text, propose it.

Publishing is for people, in the portal.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any
from uuid import UUID

from django.http import Http404, HttpRequest
from django.urls import reverse
from django.utils import timezone
from ninja import Router, Schema, Status
from pydantic import StringConstraints

from audit import seal
from governance import cases, policy, proposals, replay
from governance.models import Policy, PolicyProposal
from governance.web import replay_rows
from registry.models import User
from registry.web.doors import NOES, Part, absolute, caller, guard, prefixed

router = Router(tags=["policies"])
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]


class PolicyPart(Part):
    """A policy text, in YAML or JSON."""

    # A text is kept to the letter, so nothing is stripped from it.
    text: Annotated[str, StringConstraints(strip_whitespace=False, max_length=policy.MAX_BYTES)]


class ProposalPart(PolicyPart):
    """A policy text to be published by two people, and why."""

    note: Annotated[str, StringConstraints(max_length=4000, pattern=r"^[^\x00]*$")] = ""


class PolicyAnswer(Schema):
    """A published version of a policy."""

    name: str
    number: int
    digest: str
    published_at: str
    text: str
    url: str


class FlipAnswer(Schema):
    """One open submission or one version in force, as it would be judged under a text."""

    kind: str
    label: str
    environment: str
    policy: str
    effect: str
    can_move: bool
    sentences: list[str]


class TriedAnswer(Schema):
    """What came of a text that is only tried: its test cases in sentences, and the replay."""

    name: str
    digest: str
    green: bool
    sentences: list[str]
    replay: list[FlipAnswer]


class ProposalAnswer(Schema):
    """A proposal: who answers it, and what came of it."""

    id: str
    name: str
    digest: str
    state: str
    proposed_at: str
    decision_note: str
    published: int | None
    replay: list[FlipAnswer]
    url: str


@router.get(
    "/policies",
    auth=guard("read", "policy"),
    response={200: list[PolicyAnswer], **NOES},
    summary="The newest version of each policy",
)
def list_policies(request: HttpRequest) -> list[PolicyAnswer]:
    """Return the newest published version of each policy, with its text."""
    rows = Policy.objects.order_by("name", "-number").distinct("name")
    return [published(each) for each in rows]


@router.post(
    "/policies/test",
    auth=guard("policy"),
    response={200: TriedAnswer, **NOES},
    summary="Try a policy text without keeping anything",
)
def try_policy(request: HttpRequest, body: PolicyPart) -> TriedAnswer:
    """Return what came of the text's own test cases, and what would be judged otherwise under it."""
    caller(request).require("policy.propose")
    content = policy.read(body.text)
    report, flips = cases.run(content), replay.replay(content, at=timezone.now())
    return TriedAnswer(
        name=content["name"],
        digest=f"sha256:{seal.digest(content)}",
        green=report.is_green,
        sentences=list(report.sentences),
        replay=flips_for(caller(request), (each.as_dict() for each in flips)),
    )


@router.post(
    "/policies/proposals",
    auth=guard("policy"),
    response={201: ProposalAnswer, **NOES},
    summary="Propose a policy text",
)
def propose(request: HttpRequest, body: ProposalPart) -> Status:
    """Propose a text; an administrator who did not issue the token publishes it in the portal."""
    account = caller(request)
    return Status(201, proposed(proposals.propose(body.text, actor=account, note=body.note), account))


@router.get(
    "/policies/proposals/{uuid:proposal}",
    auth=guard("read", "policy"),
    response={200: ProposalAnswer, **NOES},
    summary="What came of a proposal",
)
def show_proposal(request: HttpRequest, proposal: UUID) -> ProposalAnswer:
    """Return the state of a proposal, and of what was shown to whoever answered it what the caller may see."""
    found = PolicyProposal.objects.select_related("published").filter(public_id=proposal).first()
    if found is None:
        raise Http404(f"No proposal {proposal} is there.")
    return proposed(found, caller(request))


@router.get(
    "/policies/{name}",
    auth=guard("read", "policy"),
    response={200: PolicyAnswer, **NOES},
    summary="The newest version of a policy",
)
def show_policy(request: HttpRequest, name: Name) -> PolicyAnswer:
    """Return the newest published version of a policy, with its text."""
    found = policy.newest(name)
    if found is None:
        raise Http404(f"No policy {name} is published.")
    return published(found)


def published(found: Policy) -> PolicyAnswer:
    """Return a published version as the API shows it."""
    return PolicyAnswer(
        name=found.name,
        number=found.number,
        digest=prefixed(found.digest) or "",
        published_at=seal.instant(found.published_at),
        text=found.text,
        url=absolute(reverse("governance:policy", args=[found.name, found.number])),
    )


def proposed(found: PolicyProposal, account: User) -> ProposalAnswer:
    """Return a proposal as the API shows it to an account."""
    return ProposalAnswer(
        id=str(found.public_id),
        name=found.name,
        digest=prefixed(found.digest) or "",
        state=found.state,
        proposed_at=seal.instant(found.proposed_at),
        decision_note=found.decision_note,
        published=found.published.number if found.published else None,
        replay=flips_for(account, found.replay),
        url=absolute(found.get_absolute_url()),
    )


def flips_for(account: User, told: Iterable[dict[str, Any]]) -> list[FlipAnswer]:
    """Return the lines of a replay that an account may see, as the API shows them; the others are counted."""
    fields = FlipAnswer.model_fields
    return [FlipAnswer(**{name: flip[name] for name in fields}) for flip in replay_rows.shown_to(account, told)]
