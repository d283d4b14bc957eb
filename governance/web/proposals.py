"""Doors to changes of policy: write a text and try it, propose it, and answer as the second person."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render

from governance import policy, proposals
from governance.models import PolicyProposal
from governance.models.policies import ProposalState
from governance.permissions import may
from governance.web import proposal_page
from governance.web.proposal_forms import AnswerForm, ProposeForm
from portal.errors import Invalid, Refused
from portal.http import posted, show_errors, status_of, tell

MOST_WAITING = 20


def propose(request: HttpRequest) -> HttpResponse:
    """Show the form for another text, try it without keeping anything, or propose it."""
    user: Any = request.user
    user.require("policy.propose")
    form = ProposeForm(posted(request), initial=proposal_page.start(request.GET))
    tried: dict[str, Any] = {}
    if form.is_valid():
        try:
            if form.cleaned_data["do"] == "propose":
                made = proposals.propose(form.cleaned_data["text"], actor=user, note=form.cleaned_data["note"])
                return tell(request, f"The {made} waits for a second person.", made.get_absolute_url())
            tried = proposal_page.tried(policy.read(form.cleaned_data["text"]))
        except (Refused, Invalid) as error:
            show_errors(form, error)
    context = {"form": form, "crumbs": proposal_page.CRUMBS, **tried}
    return render(request, "governance/proposal_new.html", context, status=status_of(form))


def proposal(request: HttpRequest, public_id: str) -> HttpResponse:
    """Show a proposal with what it would change, or record the answer."""
    user: Any = request.user
    user.require("policy.read")
    rows = PolicyProposal.objects.select_related("proposed_by", "decided_by", "published")
    found = get_object_or_404(rows, public_id=public_id)
    form = AnswerForm(posted(request), waiting=proposal_page.waiting(found))
    if form.is_valid():
        try:
            return tell(request, answer(found, user, form), request.path)
        except (Refused, Invalid) as error:
            form.show_no(error)
    context = {"proposal": found, "form": form, **proposal_page.build(found, user, form)}
    return render(request, "governance/proposal.html", context, status=status_of(form))


def answer(found: PolicyProposal, user: Any, form: AnswerForm) -> str:
    """Call the verb that the pressed button names, and say what is done."""
    typed = form.cleaned_data
    if typed["answer"] == "publish":
        seen = typed["seen_replay"]
        published = proposals.publish(found, actor=user, choices=form.choices(), seen_replay=seen, note=typed["note"])
        return f"{published} is published."
    if typed["answer"] == "decline":
        proposals.decline(found, actor=user, note=typed["note"])
        return "The proposal is declined."
    proposals.withdraw(found, actor=user, note=typed["note"])
    return "The proposal is withdrawn."


def to_answer(user: Any) -> list[PolicyProposal]:
    """Return the open proposals that wait for this person as the second one; only administrators cost a query."""
    if not may(user, "policy.publish"):
        return []
    opened = PolicyProposal.objects.filter(state=ProposalState.OPEN).exclude(proposed_by=user)
    return list(opened.select_related("proposed_by")[:MOST_WAITING])
