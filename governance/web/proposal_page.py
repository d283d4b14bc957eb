"""What the pages about a change of policy print: what differs, what it would do, who may answer. Formatting only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django.urls import reverse
from django.utils import timezone

from governance import cases, policy, proposals, replay
from governance.models import Policy, PolicyProposal, Submission
from governance.models.policies import ProposalState
from governance.permissions import may
from governance.web import case_reports, replay_rows
from governance.web.proposal_forms import AnswerForm
from portal.errors import Reason
from registry.models import User

CRUMBS = [{"label": "Policies", "url": "/policies/"}]
# What would happen to one row of a replay, as a badge: the word that gives its colour, and what it says.
EFFECTS = {
    "blocked": ("failed", "Would be stopped"),
    "roles": ("changes_requested", "More people"),
    "asked": ("queued", "Asked again"),
    "eased": ("passed", "Eased"),
    "stays": ("not_applicable", "Stays as it is"),
}


def start(asked: Mapping[str, str]) -> dict[str, str]:
    """Return what the form begins with: the shipped text, or the newest text of a policy."""
    if asked.get("from") == "shipped":
        return {"text": policy.shipped(), "note": "The text that comes with this release."}
    known = policy.newest(asked.get("from") or "default") or Policy.objects.first()
    return {"text": known.text if known else policy.shipped()}


def tried(content: dict[str, Any]) -> dict[str, Any]:
    """Return what came of a text that is only tried: its cases, what differs, and the replay."""
    flips = replay.replay(content, at=timezone.now())
    return {"report": cases.run(content), "replay": [as_row(flip.as_dict()) for flip in flips], "is_tried": True}


def waiting(found: PolicyProposal) -> list[Submission]:
    """Return the submissions that an open proposal needs a choice for."""
    return replay.open_under(found.content, at=timezone.now()) if found.state == ProposalState.OPEN else []


def build(found: PolicyProposal, user: User, form: AnswerForm) -> dict[str, Any]:
    """Return the page of a proposal. It is replayed only for whoever may publish it; others read what was kept."""
    can = ways(found, user, form)
    flips = replay.replay(found.content, at=timezone.now()) if can["may_publish"] else None
    told = found.replay if flips is None else [flip.as_dict() for flip in flips]
    before = Policy.objects.filter(name=found.name)
    if found.published is not None:
        before = before.filter(number__lt=found.published.number)
    older = before.first()
    return {
        "crumbs": CRUMBS,
        "is_open": found.state == ProposalState.OPEN,
        "older": older,
        "before": older.text if older else "",
        "report": case_reports.report_of(found.content, found.digest),
        "replay": [as_row(each) for each in replay_rows.shown_to(user, told)],
        "replay_of": "" if flips is not None else "published" if found.published else "proposed",
        "seen_replay": "" if flips is None else replay.digest(found.content, flips),
        "facts": facts(found),
        "chosen": list(chosen(found, user)),
        **can,
    }


def as_row(flip: dict[str, Any]) -> dict[str, Any]:
    """Return one line of a replay with its badge."""
    word, label = EFFECTS[flip["effect"]]
    return {**flip, "word": word, "says": label}


def facts(found: PolicyProposal) -> list[dict[str, Any]]:
    """Return who did what about a proposal, and when."""
    items: list[dict[str, Any]] = [
        {"label": "Policy", "value": found.name},
        {"label": "Proposed by", "value": found.proposed_by},
        {"label": "Proposed", "value": found.proposed_at, "kind": "when"},
        {"label": "Why", "value": found.note},
        {"label": "Digest", "value": found.digest, "kind": "digest"},
    ]
    if found.state == ProposalState.OPEN and (taken := taken_over(found)):
        items.insert(1, {"label": "Takes over", "value": ", ".join(taken)})
    if found.decided_at:
        items += [
            {"label": "Answered by", "value": found.decided_by},
            {"label": "Answered", "value": found.decided_at, "kind": "when"},
            {"label": "Note", "value": found.decision_note},
        ]
    if found.published:
        url = reverse("governance:policy", args=[found.name, found.published.number])
        items.append({"label": "Became", "value": found.published, "url": url})
    return items


def taken_over(found: PolicyProposal) -> list[str]:
    """Return each kind that a policy of another name governs until this text is published."""
    known = policy.governed(found.content)
    return [f"{kind} from {rules}" for kind, rules in known.items() if rules.name != found.name]


def chosen(found: PolicyProposal, user: User) -> Iterable[dict[str, Any]]:
    """Yield what was chosen for each submission that a person may see, and how many others there were."""
    seen = replay_rows.seen_by(user, found.choices)
    rows = Submission.objects.filter(public_id__in=seen).select_related("version__asset")
    for each in rows.order_by("pk"):
        choice = found.choices[str(each.public_id)]
        until = f"finishes under its older version until {choice.get('until', '')[:16].replace('T', ' ')} UTC"
        yield {
            "label": str(each),
            "value": until if choice["do"] == "finish" else "moved",
            "url": each.get_absolute_url(),
        }
    if hidden := len(found.choices) - len(seen):
        yield {"label": "Others", "value": replay_rows.beyond(hidden)}


def waits(user: User, waiting: list[Submission]) -> list[str]:
    """Return the submissions that wait for a choice and that a person may see, and how many others do."""
    seen = replay_rows.seen_by(user, (str(each.public_id) for each in waiting))
    told = [f"{each} until {each.ends_at:%Y-%m-%d}" for each in waiting if str(each.public_id) in seen]
    hidden = len(waiting) - len(told)
    return [*told, replay_rows.beyond(hidden)] if hidden else told


def ways(found: PolicyProposal, user: User, form: AnswerForm) -> dict[str, Any]:
    """Return what this person can do about a proposal, and why not the rest."""
    is_open, administers = found.state == ProposalState.OPEN, may(user, "policy.publish", found)
    cannot = []
    if is_open and not administers:
        cannot.append(Reason("policy.publish", "A policy is published by an administrator.", "", ""))
    elif is_open:
        fix = "Another administrator has to publish it."
        cannot += [Reason("policy.publish", says, fix, "") for says in proposals.involvement(found, user)]
    return {
        "cannot": cannot,
        "may_publish": is_open and administers and not cannot,
        "may_decline": is_open and administers and user.pk != found.proposed_by_id,
        "may_withdraw": is_open and may(user, "policy.propose") and proposals.withdraws(found, user),
        "rows": form.rows() if is_open and not cannot else [],
        "waits": waits(user, form.waiting),
    }
