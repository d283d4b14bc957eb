"""What the review page prints, top to bottom in the order a reviewer needs it. Formatting only."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.urls import reverse
from django.utils import timezone

from audit import log
from audit.models import Entry
from governance import promotions, queries, reviews, submissions
from governance.checks.verdicts import RuleVerdict, red
from governance.models import Promotion, Submission
from governance.permissions import may, sits_for
from governance.web import panels, sheets, timeline
from governance.web.forms import ReasonForm, ReviewForm
from registry import comparison
from registry.models import User


def page(submission: Submission, user: User, *, form: ReviewForm | None = None) -> dict[str, Any]:
    """Return everything the review page needs, in its order from top to bottom."""
    version, digest = submission.version, submissions.current_digest(submission)
    found = submissions.standing_verdicts(submission)
    blocking = red(found)
    got = panels.approvals(submission, digest)
    serving = promotions.current(version.asset, submission.environment)
    before = serving.version if serving and serving.version_id != version.pk else None
    return {
        "submission": submission,
        "version": version,
        "asset": version.asset,
        "crumbs": panels.crumbs(version),
        "verdict": panels.verdict_strip(submission, found, got),
        "voided": panels.voided(submission) if submission.is_open else [],
        "signing": signing(submission, digest),
        "before": before,
        "nothing_before": nothing_before(submission, serving),
        "changes": changes(submission, before) if before else None,
        "blocking": blocking,
        "waived": [each for each in found if each.outcome == "waived"],
        "passed": [each for each in found if each.is_green and each.outcome != "waived"],
        "findings": version.findings.filter(closed_at=None).order_by("triage", "pk"),
        "waivers": version.waivers.filter(environment__in=("baseline", submission.environment)).select_related(
            "requested_by", "version__asset"
        ),
        "box": box(submission, user, digest, form, blocking),
        "bar": f"{sum(each['verdict'] == 'approve' for each in got)} of {len(got)} approvals",
        "may_withdraw": submission.is_open and may(user, "submission.withdraw", submission),
        "withdraw_form": ReasonForm(auto_id="withdraw_%s"),
        "precedents": queries.precedents(submission),
        "events": timeline.events(happened(submission), user),
    }


def nothing_before(submission: Submission, serving: Promotion | None) -> str:
    """Return why there is nothing to compare with."""
    if serving is None:
        return f"Nothing of {submission.version.asset.slug} serves in {submission.environment} yet: all of it is new."
    return "This very version serves there now."


def happened(submission: Submission) -> list[Entry]:
    """Return what the ledger says about a submission, and about its version since it was opened, newest first."""
    own = log.entries(subject=submission)[:50]
    about = log.entries(subject=submission.version, since=submission.submitted_at)[:50]
    return sorted([*own, *about], key=lambda entry: entry.pk, reverse=True)


def signing(submission: Submission, digest: str) -> list[dict[str, Any]]:
    """Return what a reviewer puts their name to."""
    version = submission.version
    return [
        {"label": "Version", "value": version.label, "url": version.get_absolute_url()},
        {"label": "Environment", "value": submission.environment.capitalize()},
        {"label": "Identity digest", "value": version.identity_digest, "kind": "digest"},
        {"label": "Dossier digest", "value": digest, "kind": "digest"},
        sheets.policy_item(submission.policy),
        {"label": "Submitted by", "value": str(submission.submitted_by)},
        {"label": "Humans behind it", "value": ", ".join(version.authors) or "nobody named"},
        {"label": "Allowed uses", "value": version.allowed_uses},
        {"label": "Prohibited uses", "value": version.prohibited_uses},
        {"label": "Security risk", "value": version.risk, "kind": "badge"},
        {"label": "Risk rationale", "value": version.risk_rationale},
        {"label": "Mitigations", "value": version.mitigations},
    ]


def changes(submission: Submission, before: Any) -> dict[str, Any]:
    """Return what differs from the version that serves there now."""
    found = comparison.compare(before, submission.version)
    material = set(submission.policy.content["material"])
    return {
        "fields": [
            {
                "field": f"{section}: {field}",
                "before": words(old),
                "after": words(new),
                "material": section in material,
            }
            for section, field, old, new in found.fields
        ],
        "prompt": found.prompt,
        "added": found.added,
        "removed": found.removed,
        "metrics": [
            {
                "metric": delta.metric,
                "before": plain(delta.before),
                "after": plain(delta.after),
                "change": f"{delta.change.normalize():+f}" if delta.change is not None else "",
            }
            for delta in found.metrics
        ],
    }


def plain(value: Any) -> str:
    """Return a decimal without trailing zeros."""
    return "—" if value is None else f"{value.normalize():f}"


def words(value: Any) -> str:
    """Return a value of a dossier as people read it."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {text}" for name, text in value.items() if text not in ("", None))
    return "" if value is None else str(value)


def box(
    submission: Submission, user: User, digest: str, form: ReviewForm | None, blocking: list[RuleVerdict]
) -> dict[str, Any]:
    """Return the decision box: what this person can sign, or why they cannot."""
    mine = [role for role in reviews.missing_roles(submission) if sits_for(user, role, submission)]
    days = submission.policy.environment(submission.environment)["valid_days"]
    until = timezone.now() + timedelta(days=days)
    chosen = form or ReviewForm(auto_id="review_%s")
    end = f"{until.day} {until:%b %Y}"
    return {
        "action": reverse("governance:review", args=[submission.public_id]),
        "role": mine[0] if len(mine) == 1 else "",
        "roles": [{"value": role, "label": role.capitalize(), "selected": role == mine[0]} for role in mine]
        if len(mine) > 1
        else [],
        "note": chosen["note"],
        "dossier_digest": digest,
        "approve_label": f"Approve {submission.version.number} for {submission.environment} until {end}",
        "blocked": f"Approving is possible once nothing is in the way: {words_of(blocking)}." if blocking else "",
        "cannot": panels.cannot(submission, user, mine, digest),
    }


def words_of(found: list[RuleVerdict]) -> str:
    """Return the titles of rules as a list in words."""
    return ", ".join(each.title.lower() for each in found)
