"""What the pages of one waiver, decision or policy print: labels and values, and what may be done. Formatting only."""

from __future__ import annotations

import json
from typing import Any

from django.urls import reverse
from django.utils import timezone

from governance import decisions, dues, requirements
from governance.checks import BY_SLUG, custom
from governance.models import Decision, Policy
from governance.permissions import may
from governance.web import case_reports, seals, surroundings
from governance.web.forms import ReasonForm
from registry.models import User

Item = dict[str, Any]
CHECK = """cosign verify-blob-attestation --key countersign.pub --insecure-ignore-tlog \\
  --bundle {id}.sigstore.json --type https://countersign.dev/attestation/promotion-decision/v1 \\
  --digest {digest} --digestAlg sha256"""


def policy_item(policy: Policy) -> Item:
    """Return a link to a policy version."""
    url = reverse("governance:policy", args=[policy.name, policy.number])
    return {"label": "Policy", "value": str(policy), "url": url}


def policy(found: Policy) -> dict[str, Any]:
    """Return the page of a policy version: what it asks for, and what came of its own test cases."""
    return {
        "policy": found,
        "environments": [
            {"label": each.capitalize(), "items": environment_items(found, each)} for each in found.environments
        ],
        "checks": rules(found),
        "report": case_reports.report_of(found.content, found.digest),
    }


def environment_items(policy: Policy, name: str) -> list[Item]:
    """Return what a policy asks for one environment."""
    asked = policy.environment(name)
    return [
        {"label": "Approvals", "value": ", ".join(asked["approvals"])},
        {"label": "Own rules", "value": ", ".join(asked["rules"])},
        {"label": "Valid", "value": f"{asked['valid_days']} days"},
        {"label": "To answer within", "value": f"{asked['review_within_days']} days"},
        {"label": "Sign in again", "value": "for every verdict" if asked["reauthenticate"] else "not asked"},
        *({"label": f"If {each['if']}", "value": requirements.describe(each)} for each in asked.get("when", ())),
    ]


def rules(policy: Policy) -> list[dict[str, Any]]:
    """Return every rule of a policy with who asks it and its settings, in the order in which they are asked."""
    asking = {"baseline": policy.content["baseline"]["rules"]}
    asking |= {name: requirements.asked_at_most_in(policy, name) for name in policy.environments}
    return [
        {
            "check": BY_SLUG[slug],
            "critical": policy.is_critical(slug),
            "asked_by": [name for name, slugs in asking.items() if slug in slugs],
            "settings": settings_of(rule),
        }
        for slug, rule in ((slug, policy.rule(slug)) for slug in requirements.asked_at_most(policy))
    ] + [own_rule(policy, each) for each in custom.rules_of(policy.content)]


def own_rule(policy: Policy, each: dict[str, Any]) -> dict[str, Any]:
    """Return a rule that a policy writes itself, as a line of the same table."""
    return {
        "check": {"title": each.get("title") or each["id"], "asks": f"Denied if {each['deny_if']}"},
        "critical": each.get("critical", False),
        "asked_by": each.get("in", policy.environments),
        "settings": [{"name": "says", "value": each["say"]}],
    }


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


def decision(found: Decision, user: User, form: ReasonForm) -> dict[str, Any]:
    """Return the page of a decision: what it says, who said what, and whether it still holds."""
    version = found.version
    reviews = found.submission.reviews.select_related("reviewer", "on_behalf_of", "withdrawal").order_by("pk")
    marks = seals.of(reviews, user)
    return {
        "decision": found,
        "crumbs": [
            {"label": "Catalogue", "url": reverse("registry:catalogue")},
            {"label": version.asset.slug, "url": version.asset.get_absolute_url()},
            {"label": version.number, "url": version.get_absolute_url()},
        ],
        "facts": decision_items(found),
        "reviews": [(review, marks[review.recorded_in]) for review in reviews],
        "conditions": surroundings.conditions(found.submission, user, timezone.now()),
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
    missed = dues.missed(dues.counting(now).filter(review__submission=found.submission_id), now).first()
    stands = found.verdict == "approved" and revocation is None and not is_over and missed is None
    return {
        "revocation": revocation,
        "signature": signature,
        "is_sealed": signature is not None and decisions.is_sealed(found),
        "is_over": is_over or (missed is not None and revocation is None),
        "missed": missed if found.verdict == "approved" and revocation is None else None,
        "in_force": stands and signature is not None,
        "statement": json.loads(bytes(found.payload)),
        "check_command": CHECK.format(id=found.public_id, digest=found.identity_digest),
        "may_revoke": stands and may(user, "decision.revoke", found),
    }
