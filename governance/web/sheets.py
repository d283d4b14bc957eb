"""What the pages of one waiver, decision or policy print: labels and values, and what may be done. Formatting only."""

from __future__ import annotations

import json
from typing import Any

from django.urls import reverse
from django.utils import timezone

from governance.checks import BY_SLUG, runner
from governance.models import Decision, Policy, Waiver
from governance.models.waivers import WaiverState
from governance.permissions import may, sits_for
from governance.web.forms import ReasonForm
from portal.errors import Reason
from registry.models import User

Item = dict[str, Any]
CHECK = """cosign verify-blob-attestation --key countersign.pub --insecure-ignore-tlog \\
  --bundle {id}.sigstore.json --type https://countersign.dev/attestation/promotion-decision/v1 \\
  --digest {digest} --digestAlg sha256"""


def policy_item(policy: Policy) -> Item:
    """Return a link to a policy version."""
    url = reverse("governance:policy", args=[policy.name, policy.number])
    return {"label": "Policy", "value": str(policy), "url": url}


def environment_items(policy: Policy, name: str) -> list[Item]:
    """Return what a policy asks for one environment."""
    asked = policy.environment(name)
    return [
        {"label": "Approvals", "value": ", ".join(asked["approvals"])},
        {"label": "Own rules", "value": ", ".join(asked["rules"])},
        {"label": "Valid", "value": f"{asked['valid_days']} days"},
        {"label": "To answer within", "value": f"{asked['review_within_days']} days"},
        {"label": "Sign in again", "value": "for every verdict" if asked["reauthenticate"] else "not asked"},
    ]


def rules(policy: Policy) -> list[dict[str, Any]]:
    """Return every rule of a policy with who asks it and its settings, in the order in which they are asked."""
    asking = {"baseline": policy.content["baseline"]["rules"]}
    asking |= {name: policy.environment(name)["rules"] for name in policy.environments}
    return [
        {
            "check": BY_SLUG[slug],
            "critical": policy.is_critical(slug),
            "asked_by": [name for name, slugs in asking.items() if slug in slugs],
            "settings": settings_of(rule),
        }
        for slug, rule in ((slug, policy.rule(slug)) for slug in runner.slugs_of(policy))
    ]


def settings_of(rule: dict[str, Any]) -> list[dict[str, str]]:
    """Return the settings of a rule as names and words."""
    found = []
    for name, value in rule.items():
        if name == "thresholds":
            found += [{"name": metric, "value": limits(bounds)} for metric, bounds in value.items()]
        elif name != "critical":
            text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            found.append({"name": name.replace("_", " "), "value": text})
    return found


def limits(bounds: dict[str, str]) -> str:
    """Return the limits of one metric in words."""
    words = {"min": "at least", "max": "at most"}
    return ", ".join(f"{words[name]} {bound}" for name, bound in bounds.items())


def waiver(found: Waiver, user: User) -> dict[str, Any]:
    """Return the page of a waiver: what is asked, the answer, and what this person can do about it."""
    facts = [
        {"label": "Rule", "value": f"{BY_SLUG[found.rule].title}: {BY_SLUG[found.rule].asks}"},
        {"label": "Version", "value": found.version.label, "url": found.version.get_absolute_url()},
        {"label": "Where", "value": found.environment.capitalize()},
        {"label": "Why", "value": found.reason},
        {"label": "Meanwhile", "value": found.compensating_control},
        {"label": "Requested by", "value": found.requested_by},
        {"label": "Requested", "value": found.requested_at, "kind": "when"},
        {"label": "Ends", "value": found.expires_at, "kind": "when"},
        policy_item(found.policy),
    ]
    answer = [
        {"label": "Answered by", "value": found.decided_by},
        {"label": "Answered", "value": found.decided_at, "kind": "when"},
        {"label": "Note", "value": found.decision_note},
    ]
    if found.revoked_at:
        answer.append({"label": "Revoked", "value": found.revoked_at, "kind": "when"})
    cannot = waiver_cannot(found, user)
    return {
        "facts": facts,
        "answer": answer,
        "in_force": found.is_in_force(timezone.now()),
        "cannot": cannot,
        "ways": [] if cannot else waiver_ways(found),
    }


def waiver_ways(found: Waiver) -> list[dict[str, str]]:
    """Return the answers that a waiver's state leaves open, with the consequence on each button."""
    if found.state == WaiverState.GRANTED:
        return [{"value": "revoke", "label": "Revoke it now", "css": "btn-danger"}]
    until = f"{found.expires_at.day} {found.expires_at:%b %Y}"
    return [
        {"value": "grant", "label": f"Grant it until {until}", "css": "btn-primary"},
        {"value": "refuse", "label": "Refuse it", "css": "btn-danger"},
    ]


def waiver_cannot(found: Waiver, user: User) -> list[Reason]:
    """Return why this person cannot answer a waiver now; empty when they can try."""
    roles = found.policy.content["waivers"]["roles"]
    if found.state in {WaiverState.REFUSED, WaiverState.REVOKED}:
        return [Reason("state", f"It is {found.get_state_display().lower()}.", "A new request starts again.")]
    if timezone.now() >= found.expires_at:
        return [Reason("state", "Its time is over.", "A new request starts again.")]
    if not any(sits_for(user, role, found) for role in roles):
        return [Reason("seat", f"Waivers are answered by {' or '.join(roles)}.", "")]
    if found.state == WaiverState.REQUESTED and has_hand_in(found, user):
        return [Reason("independence", "You had a hand in it.", "Somebody else has to answer the request.")]
    return []


def has_hand_in(found: Waiver, user: User) -> bool:
    """Return whether a person asked for a waiver or is an author of what it is for."""
    return found.requested_by_id == user.pk or any(user.is_known_as(name) for name in found.version.authors)


def decision(found: Decision, user: User, form: ReasonForm) -> dict[str, Any]:
    """Return the page of a decision: what it says, who said what, and whether it still holds."""
    version = found.version
    return {
        "decision": found,
        "crumbs": [
            {"label": "Catalogue", "url": reverse("registry:catalogue")},
            {"label": version.asset.slug, "url": version.asset.get_absolute_url()},
            {"label": version.number, "url": version.get_absolute_url()},
        ],
        "facts": decision_items(found),
        "reviews": found.submission.reviews.select_related("reviewer").order_by("pk"),
        "form": form,
        **force(found, user),
    }


def decision_items(found: Decision) -> list[Item]:
    """Return what a decision says, as labels and values."""
    items: list[Item] = [
        {"label": "Version", "value": found.version.label, "url": found.version.get_absolute_url()},
        {"label": "Environment", "value": found.environment.capitalize()},
        {"label": "Identity digest", "value": found.identity_digest, "kind": "digest"},
        {"label": "Submission", "value": str(found.submission), "url": found.submission.get_absolute_url()},
        policy_item(found.submission.policy),
        {"label": "Decided", "value": found.made_at, "kind": "when"},
        {"label": "Completed by", "value": found.made_by},
    ]
    if found.expires_at:
        items.append({"label": "Ends", "value": found.expires_at, "kind": "when"})
    if found.reason:
        items.append({"label": "Reason", "value": found.reason})
    if found.revokes:
        items.append({"label": "Revokes", "value": str(found.revokes), "url": found.revokes.get_absolute_url()})
    return items


def force(found: Decision, user: User) -> dict[str, Any]:
    """Return whether a decision is in force, its signature and statement, and whether this person may revoke it."""
    now = timezone.now()
    revocation, signature = getattr(found, "revocation", None), getattr(found, "signature", None)
    is_over = found.expires_at is not None and now >= found.expires_at
    stands = found.verdict == "approved" and revocation is None and not is_over
    return {
        "revocation": revocation,
        "signature": signature,
        "is_over": is_over,
        "in_force": stands and signature is not None,
        "statement": json.loads(bytes(found.payload)),
        "check_command": CHECK.format(id=found.public_id, digest=found.identity_digest),
        "may_revoke": stands and may(user, "decision.revoke", found),
    }
