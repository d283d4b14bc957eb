"""What the review page prints, top to bottom in the order a reviewer needs it. Formatting only."""

from __future__ import annotations

from typing import Any

from django.db.models import Q

from audit import log
from audit.models import Entry
from governance import independence, promotions, queries, submissions
from governance.checks.verdicts import red
from governance.models import Promotion, Submission
from governance.permissions import may
from governance.web import changes, panels, sheets, surroundings, timeline, verdict_box, voided
from governance.web.forms import ReviewForm, WithdrawForm
from registry.models import User, Version


def page(submission: Submission, user: User, *, form: ReviewForm | None = None) -> dict[str, Any]:
    """Return everything the review page needs, in its order from top to bottom."""
    version, drawn = submission.version, submissions.current_picture(submission)
    digest = submissions.digest_of(submission, drawn)
    found = submissions.standing_verdicts(submission)
    blocking = red(found)
    got = panels.approvals(submission, digest, user)
    serving = promotions.current(version.asset, submission.environment)
    before = serving.version if serving and serving.version_id != version.pk else None
    return {
        "submission": submission,
        "version": version,
        "asset": version.asset,
        "crumbs": panels.crumbs(version),
        "verdict": panels.verdict_strip(submission, found, got),
        "voided": voided.page(submission) if submission.is_open else None,
        "around": surroundings.panel(submission, user, digest),
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
            "requested_by", "version__asset", "finding"
        ),
        "box": verdict_box.box(submission, user, digest, form, blocking),
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
    taken_back = [
        entry for review in submission.reviews.exclude(withdrawal=None) for entry in log.entries(subject=review)[:1]
    ]
    return sorted([*own, *about, *taken_back], key=lambda entry: entry.pk, reverse=True)


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
    named = sorted({*version.authors, *independence.behind_builds(version.evidence.filter(kind="provenance"))})
    known = User.objects.filter(Q(username__in=named) | Q(email__in=named))
    shown = {identity: str(person) for person in known for identity in (person.username, person.email)}
    return ", ".join(f"{shown[name]} ({name})" if name in shown else name for name in named) or "nobody named"
