"""The decision box of the review page: in which roles somebody can answer, for whom, or why they cannot."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.urls import reverse
from django.utils import timezone
from django.utils.text import capfirst

from governance import handovers, independence, reviews, seating, submissions
from governance.checks.verdicts import RuleVerdict
from governance.models import Review, Submission
from governance.web.forms import CONDITION_ROWS, ReviewForm
from governance.web.timeline import VERBS
from portal.errors import Reason
from registry.models import User

OTHERS = "Somebody else with this role has to review."


@dataclass(frozen=True)
class Voice:
    """One way to answer: in a role, oneself or for somebody."""

    role: str
    giver: User | None = None

    @property
    def value(self) -> str:
        """Return what the form sends."""
        return f"{self.role}:{self.giver.username}" if self.giver else self.role

    @property
    def label(self) -> str:
        """Return it in words."""
        return f"{self.role}, for {self.giver}" if self.giver else self.role


def box(
    submission: Submission, user: User, digest: str, form: ReviewForm | None, blocking: list[RuleVerdict]
) -> dict[str, Any]:
    """Return the decision box: what this person can sign, or why they cannot."""
    given = list(
        submission.reviews.filter(dossier_digest=digest, withdrawal=None).select_related("reviewer", "on_behalf_of")
    )
    missing = [each.role for each in reviews.progress(submission, digest) if each.review is None]
    voices = free(voices_of(submission, user, missing), submission, given)
    days = submissions.needs_of(submission).valid_days
    until = timezone.now() + timedelta(days=days)
    end = f"{until.day} {until:%b %Y}"
    chosen = form or ReviewForm(auto_id="review_%s")
    reasons = cannot(submission, user, given, voices)
    only = voices[0] if len(voices) == 1 and not reasons else None
    asked = chosen["role"].value() if chosen.is_bound else None
    picked = asked if asked in {voice.value for voice in voices} else voices[0].value if voices else ""
    return {
        "action": reverse("governance:review", args=[submission.public_id]),
        "role": only.value if only else "",
        "speaks_as": only.label if only else "",
        "roles": [
            {"value": each.value, "label": capfirst(each.label), "selected": each.value == picked} for each in voices
        ]
        if len(voices) > 1
        else [],
        "note": chosen["note"],
        "conditions": [(chosen[f"condition_{place}"], chosen[f"due_{place}"]) for place in CONDITION_ROWS],
        "conditions_open": chosen.is_bound and bool(chosen.data.get("condition_1") or chosen.non_field_errors()),
        "errors": chosen.non_field_errors() if chosen.is_bound else [],
        "dossier_digest": digest,
        "approve_label": f"Approve {submission.version.number} for {submission.environment} until {end}",
        "blocked": f"Approving is possible once nothing is in the way: {words_of(blocking)}." if blocking else "",
        "cannot": reasons,
    }


def voices_of(submission: Submission, user: User, roles: Iterable[str]) -> list[Voice]:
    """Return the ways in which a person's seats let them answer for some roles, their own before those lent to them."""
    seats, asset, wanted = seating.of(user), submission.version.asset_id, list(roles)
    held = {role: person.pk for (_, role), person in handovers.holders([submission]).items()}
    own = [Voice(role) for role in seats.roles(asset, wanted, held)]
    return own + [Voice(role, giver) for role, giver in seats.deputised(asset, wanted, held)]


def free(voices: Iterable[Voice], submission: Submission, given: list[Review]) -> list[Voice]:
    """Return the voices whose giver has neither answered already nor had a hand in it."""
    return [voice for voice in voices if voice.giver is None or not hindrance(voice.giver, submission, given)]


def hindrance(giver: User, submission: Submission, given: list[Review]) -> list[str]:
    """Return why nobody can answer for somebody."""
    theirs = [review for review in given if giver in reviews.people_of(review)]
    said = [f"{reviews.voice(review)} answered for {review.role} already." for review in theirs]
    return said or independence.involvement(submission, giver)


def cannot(submission: Submission, user: User, given: list[Review], voices: list[Voice]) -> list[Reason]:
    """Return why this person cannot give a verdict now; empty when they can try."""
    if not submission.is_open or timezone.now() >= submission.ends_at:
        state = submission.get_state_display().lower() if not submission.is_open else "over: unanswered is no"
        return [Reason("state", f"The submission is {state}.")]
    mine = next((review for review in given if user in reviews.people_of(review)), None)
    if mine is not None:
        return [Reason("answered", answered(mine, user))]
    wanted = submissions.required_roles(submission)
    seats, asset = seating.of(user), submission.version.asset_id
    own, lent = seats.roles(asset, wanted, {}), seats.deputised(asset, wanted, {})
    if not own and not lent:
        return [Reason("seat", "You do not review for any of the roles that are needed here.")]
    involved = independence.involvement(submission, user)
    if involved:
        return [Reason("independence", each, OTHERS) for each in involved]
    return [] if voices else hindrances(submission, given, {*own, *dict(lent)}, [giver for _, giver in lent])


def answered(review: Review, user: User) -> str:
    """Return in words what a person has answered, or somebody for them."""
    did = f"{VERBS[review.verdict]} for {review.role}"
    if review.reviewer_id != user.pk:
        return f"{review.reviewer} {did} on this dossier already, for you."
    return f"You {did}{f', for {review.on_behalf_of},' if review.on_behalf_of else ''} on this dossier already."


def hindrances(submission: Submission, given: list[Review], roles: set[str], givers: list[User]) -> list[Reason]:
    """Return why nothing is left to answer in somebody's roles."""
    said = [f"{reviews.voice(review)} approved for {review.role} already." for review in given if review.role in roles]
    for (_, role), holder in handovers.holders([submission]).items():
        said += [f"The answer for {role} was handed to {holder}."] if role in roles else []
    said += [each for giver in givers for each in hindrance(giver, submission, given)]
    return [Reason("answered", each) for each in dict.fromkeys(said)]


def words_of(found: list[RuleVerdict]) -> str:
    """Return the titles of rules as a list in words."""
    return ", ".join(each.title.lower() for each in found)
