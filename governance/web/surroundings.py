"""What surrounds verdicts on the review page: conditions, taking one's own verdict back, handing a role over."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.urls import reverse
from django.utils import timezone

from governance import addressees, dues, handovers, independence, obligations, reviews, seating
from governance.models import Obligation, Promotion, Review, Submission
from governance.permissions import on_team, sits_for, visible
from governance.web.timeline import VERBS
from registry.models import User

MOST = 50


def panel(submission: Submission, user: User, digest: str) -> dict[str, Any]:
    """Return the conditions of a submission's approvals, and what this person can do about their verdict and role."""
    now = timezone.now()
    return {
        "conditions": conditions(submission, user, now),
        "mine": own_verdicts(submission, user, digest, now),
        "handing": handing(submission, user, now),
    }


def conditions(submission: Submission, user: User, now: datetime) -> list[dict[str, Any]]:
    """Return every condition that was set for a submission, the one that is due first on top."""
    rows = Obligation.objects.filter(review__submission=submission)
    found = list(rows.select_related("review__reviewer", "review__withdrawal", "review__submission", "end__ended_by"))
    if not found:
        return []
    binding = set(dues.pending(now).filter(review__submission=submission).values_list("pk", flat=True))
    if submission.is_open:
        binding = {each.pk for each in found if obligations.binds(each, submission, now)}
    apart = not on_team(user, submission) and not independence.involvement(submission, user)
    return [
        {
            **condition(each, now, binds=each.pk in binding),
            "action": reverse("governance:obligation-meet", args=[each.public_id])
            if each.pk in binding and apart and is_open(each, now) and sits_for(user, each.review.role, submission)
            else "",
        }
        for each in found
    ]


def is_open(obligation: Obligation, now: datetime) -> bool:
    """Return whether nobody has agreed yet and there is time left."""
    return not hasattr(obligation, "end") and now < obligation.due_at


def condition(obligation: Obligation, now: datetime, *, binds: bool) -> dict[str, Any]:
    """Return one condition with where it stands in a word."""
    end = getattr(obligation, "end", None)
    word, tone, icon = "open", "info", "wait"
    if end is not None:
        word, tone, icon = "met", "ok", "pass"
    elif hasattr(obligation.review, "withdrawal") or (not binds and now < obligation.due_at):
        word, tone, icon = "does not count", "neutral", "withdraw"
    elif now >= obligation.due_at:
        word, tone, icon = "late", "bad", "fail"
    return {
        "says": obligation.says,
        "due": obligation.due_at,
        "role": obligation.review.role,
        "by": reviews.voice(obligation.review),
        "word": word,
        "tone": tone,
        "icon": icon,
        "end": end,
    }


def own_verdicts(submission: Submission, user: User, digest: str, now: datetime) -> list[dict[str, str]]:
    """Return the verdicts that this person can take back, each with what that brings about."""
    given = submission.reviews.filter(reviewer=user, withdrawal=None)
    decision = submission.decisions.filter(verdict="approved", revocation=None, expires_at__gt=now).first()
    if decision is not None and not Promotion.objects.filter(decision=decision).exists():
        rows = given.filter(dossier_digest=decision.dossier_digest)
        return [
            offer(review, "The decision is revoked with it; the version has to be submitted again.") for review in rows
        ]
    if submission.is_open and now < submission.ends_at:
        return [offer(review, "The role can be answered anew.") for review in given.filter(dossier_digest=digest)]
    return []


def offer(review: Review, consequence: str) -> dict[str, str]:
    """Return one verdict of this person that can be taken back."""
    return {
        "says": f"You {VERBS[review.verdict]} for {review.role}.",
        "consequence": consequence,
        "action": reverse("governance:review-withdraw", args=[review.public_id]),
    }


def handing(submission: Submission, user: User, now: datetime) -> list[dict[str, Any]]:
    """Return the missing roles that are with a named person, or that this person can hand over, and to whom."""
    if not submission.is_open or now >= submission.ends_at:
        return []
    held = {role: person for (_, role), person in handovers.holders([submission]).items()}
    missing = reviews.missing_roles(submission)
    mine = [role for role in missing if sits_for(user, role, submission)]
    if mine and independence.involvement(submission, user):
        mine = []
    return [
        {
            "role": role,
            "holder": held.get(role),
            "action": reverse("governance:hand-over", args=[submission.public_id]) if role in mine else "",
            "people": receivers(submission, role, held.get(role), user) if role in mine else [],
        }
        for role in missing
        if role in mine or role in held
    ]


def receivers(submission: Submission, role: str, holder: User | None, giver: User) -> list[dict[str, str]]:
    """Return the people to whom a role can be handed, the group among them when somebody holds it."""
    seated = [seat.user for seat in addressees.seated(submission.version.asset, [role])]
    free = [each for each in independence.independent(submission, seated) if each != holder]
    free.sort(key=lambda each: each == giver)
    group = [{"value": "", "label": "everybody in the role again"}] if holder else []
    return group + [{"value": each.username, "label": str(each)} for each in free]


def waiting_for(user: User, teams: set[int]) -> dict[str, list[dict[str, Any]]]:
    """Return the open conditions of decisions in force that a person's roles or teams have to see to."""
    now = timezone.now()
    rows = visible(user, dues.pending(now), asset="review__submission__version__asset")
    related = rows.select_related(
        "review__reviewer", "review__on_behalf_of", "review__submission__version__asset", "end", "review__withdrawal"
    )
    seats = seating.of(user)
    found: dict[str, list[dict[str, Any]]] = {"conditions_to_agree": [], "conditions_to_meet": []}
    for each in related[:MOST]:
        submission, asset = each.review.submission, each.review.submission.version.asset
        line = condition(each, now, binds=True)
        line |= {"label": str(submission), "url": f"{submission.get_absolute_url()}#conditions"}
        if asset.team_id in teams:
            found["conditions_to_meet"].append(line)
        elif seats.roles(asset.pk, [each.review.role], {}):
            found["conditions_to_agree"].append(line)
    return found
