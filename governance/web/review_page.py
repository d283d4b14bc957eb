"""What the review page prints, top to bottom in the order a reviewer needs it. Formatting only."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db.models import Q
from django.urls import reverse
from django.utils import timezone

from audit import log
from audit.models import Entry
from governance import promotions, queries, reviews, submissions
from governance.checks.verdicts import RuleVerdict, red
from governance.models import Promotion, Submission
from governance.permissions import may, sits_for
from governance.web import changes, panels, sheets, timeline
from governance.web.forms import ReviewForm, WithdrawForm
from registry.models import User, Version


def page(submission: Submission, user: User, *, form: ReviewForm | None = None) -> dict[str, Any]:
    """Return everything the review page needs, in its order from top to bottom."""
    version, drawn = submission.version, submissions.current_picture(submission)
    digest = submissions.digest_of(submission, drawn)
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
        "voided": panels.voided(submission, drawn, digest) if submission.is_open else None,
        "signing": signing(submission, digest),
        "promises": promises(version),
        "before": before,
        "nothing_before": nothing_before(submission, serving),
        "changes": changes.since(before, submission),
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
        "withdraw_form": WithdrawForm(auto_id="withdraw_%s"),
        "precedents": queries.precedents(submission, user),
        "events": timeline.events(happened(submission), user, notes=notes(submission)),
    }


def notes(submission: Submission) -> dict[str, str]:
    """Return what reviewers wrote, by the id of the review."""
    return {str(review.public_id): review.note for review in submission.reviews.exclude(note="")}


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
        {"label": "Identity digest", "value": version.identity_digest, "kind": "digest"},
        {"label": "Dossier digest", "value": digest, "kind": "digest"},
        sheets.policy_item(submission.policy),
        {"label": "Submitted by", "value": str(submission.submitted_by)},
        {"label": "Humans behind it", "value": humans(version)},
        {"label": "Security risk", "value": version.risk, "kind": "badge"},
    ]


def promises(version: Version) -> list[dict[str, Any]]:
    """Return what the owners promise about uses and risk."""
    return [
        {"label": "Allowed uses", "value": version.allowed_uses},
        {"label": "Prohibited uses", "value": version.prohibited_uses},
        {"label": "Risk rationale", "value": version.risk_rationale},
        {"label": "Mitigations", "value": version.mitigations},
    ]


def humans(version: Version) -> str:
    """Return the people behind a version, commit authors of its build included, by the names the portal knows."""
    named = sorted({*version.authors, *reviews.behind_builds(version.evidence.filter(kind="provenance"))})
    known = User.objects.filter(Q(username__in=named) | Q(email__in=named))
    shown = {identity: str(person) for person in known for identity in (person.username, person.email)}
    return ", ".join(f"{shown[name]} ({name})" if name in shown else name for name in named) or "nobody named"


def box(
    submission: Submission, user: User, digest: str, form: ReviewForm | None, blocking: list[RuleVerdict]
) -> dict[str, Any]:
    """Return the decision box: what this person can sign, or why they cannot."""
    missing = [each.role for each in reviews.progress(submission, digest) if each.review is None]
    mine = [role for role in missing if sits_for(user, role, submission)]
    cannot = panels.cannot(submission, user, mine, digest)
    days = submission.policy.environment(submission.environment)["valid_days"]
    until = timezone.now() + timedelta(days=days)
    chosen = form or ReviewForm(auto_id="review_%s")
    end = f"{until.day} {until:%b %Y}"
    return {
        "action": reverse("governance:review", args=[submission.public_id]),
        "role": mine[0] if len(mine) == 1 and not cannot else "",
        "roles": [{"value": role, "label": role.capitalize(), "selected": role == mine[0]} for role in mine]
        if len(mine) > 1
        else [],
        "note": chosen["note"],
        "dossier_digest": digest,
        "approve_label": f"Approve {submission.version.number} for {submission.environment} until {end}",
        "blocked": f"Approving is possible once nothing is in the way: {words_of(blocking)}." if blocking else "",
        "cannot": cannot,
    }


def words_of(found: list[RuleVerdict]) -> str:
    """Return the titles of rules as a list in words."""
    return ", ".join(each.title.lower() for each in found)
