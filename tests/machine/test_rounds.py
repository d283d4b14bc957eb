"""Eight acts at the same moment, round after round. Whichever wins, the record is one that the rules allow."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from random import Random
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied
from django.utils import timezone

from audit import sealer, verifier
from audit.models import Entry
from governance import decisions, promotions, reviews, standing, submissions, waivers
from governance.models import Decision, Promotion, Review, Submission, Waiver
from portal.errors import Invalid, Refused
from registry import evidence
from registry.models import User, Version
from tests.factories import Walk, artifacts
from tests.governance.test_concurrency import at_once

pytestmark = pytest.mark.django_db(transaction=True)

NOES = (Refused, Invalid, PermissionDenied)
ROLES = ("platform", "product", "security")


class Round:
    """One submission and eight acts about it that start together."""

    def __init__(self, walk: Walk, version: Version, number: int) -> None:
        self.walk, self.version, self.chance = walk, version, Random(number)
        self.number = number
        for old in Submission.objects.filter(version=version, state="open"):
            submissions.withdraw(old, actor=walk.cast.ada)
        self.submission = walk.submit(version, "production", actor=walk.cast.ada)
        self.seen = submissions.current_digest(self.submission)

    def acts(self) -> list[Callable[[], Any]]:
        """Return eight acts, always with the verdicts that a decision needs, in any order."""
        cast = self.walk.cast
        always = [self.approves("petra", "platform"), self.approves("dana", "product")]
        often = [self.approves("rhea", "security"), self.approves("sol", "security")]
        others: list[Callable[[], Any]] = [
            self.rejects("sol", "security"),
            self.rejects("petra", "platform"),
            self.asks_for_changes("rhea", "security"),
            self.attaches,
            self.attaches,
            self.grants("rhea"),
            self.grants("sol"),
            self.revokes_waiver,
            self.revokes_decision,
            self.withdraws,
            self.takes_back("dana"),
            decisions.sign_due,
            lambda: promotions.promote(self.fresh(self.version), "production", actor=self.fresh(cast.ada)),
        ]
        chosen: list[Callable[[], Any]] = [*always, *often, *self.chance.sample(others, 4)]
        self.chance.shuffle(chosen)
        return chosen

    def fresh(self, row: Any) -> Any:
        """Return a row as another process would read it."""
        return type(row)._default_manager.get(pk=row.pk)

    def person(self, name: str) -> User:
        """Return an account as another process would read it."""
        return User.objects.get(username=name)

    def told(self, name: str, role: str) -> dict[str, Any]:
        """Return how somebody answers."""
        return {"actor": self.person(name), "role": role, "seen": self.seen, "proof": self.walk.proof()}

    def approves(self, name: str, role: str) -> Callable[[], Any]:
        """Return an approval."""
        return lambda: reviews.approve(self.fresh(self.submission), **self.told(name, role))

    def rejects(self, name: str, role: str) -> Callable[[], Any]:
        """Return a rejection."""
        return lambda: reviews.reject(self.fresh(self.submission), note="Not like this.", **self.told(name, role))

    def asks_for_changes(self, name: str, role: str) -> Callable[[], Any]:
        """Return a request for changes."""
        verb = reviews.request_changes
        return lambda: verb(self.fresh(self.submission), note="Say what for.", **self.told(name, role))

    def takes_back(self, name: str) -> Callable[[], Any]:
        """Return the withdrawal of whatever verdict somebody has given."""

        def act() -> Any:
            found = Review.objects.filter(submission=self.submission, reviewer__username=name).first()
            return found and reviews.withdraw(found, actor=self.person(name), reason="I was wrong.")

        return act

    def attaches(self) -> Any:
        """Attach a document, which changes the dossier."""
        body = f"news of round {self.number}".encode()
        return evidence.attach(
            self.fresh(self.version), actor=self.person("cee-i"), kind="other", filename="news.txt", body=body
        )

    def grants(self, name: str) -> Callable[[], Any]:
        """Return an answer to the waiver that waits, which is asked for first when there is none."""

        def act() -> Any:
            waiting = Waiver.objects.filter(version=self.version, state="requested").first()
            waiting = waiting or waivers.request(
                self.fresh(self.version),
                actor=self.person("ada"),
                rule="evaluations",
                environment="production",
                reason="We are on it.",
                compensating_control="Somebody looks.",
                expires_at=timezone.now() + timedelta(days=9),
            )
            return waivers.grant(waiting, actor=self.person(name), note="Looked at it.")

        return act

    def revokes_waiver(self) -> Any:
        """End a waiver that is in force."""
        found = Waiver.objects.filter(version=self.version, state="granted").first()
        return found and waivers.revoke(found, actor=self.person("rhea"), reason="It is over.")

    def revokes_decision(self) -> Any:
        """Revoke the newest approval."""
        found = Decision.objects.filter(version=self.version, verdict="approved", revocation=None).first()
        return found and decisions.revoke(found, actor=self.person("sol"), reason="Recalled.")

    def withdraws(self) -> Any:
        """Take the submission back."""
        return submissions.withdraw(self.fresh(self.submission), actor=self.person("ben"))


def accepted_or_no(act: Callable[[], Any]) -> Callable[[], Any]:
    """Return the act with a no as its result. Any other exception fails the round."""

    def run() -> Any:
        try:
            return act()
        except NOES as no:
            return no

    return run


def expect_one_outcome(submission: Submission) -> None:
    """Assert what the rules allow of one submission."""
    submission.refresh_from_db()
    ended = Decision.objects.filter(submission=submission).exclude(verdict="revoked")
    given = list(Review.objects.filter(submission=submission).select_related("withdrawal").order_by("pk"))
    assert ended.count() <= 1
    assert submission.state in {*(each.verdict for each in ended), *(() if ended else ("open", "withdrawn"))}
    doubled = Counter((each.reviewer_id, each.dossier_digest) for each in standing_verdicts(given))
    assert all(times == 1 for times in doubled.values())
    for decision in ended:
        expect_true(decision, given)


def standing_verdicts(given: list[Review]) -> list[Review]:
    """Return the verdicts that nobody has taken back."""
    return [each for each in given if not hasattr(each, "withdrawal")]


def expect_true(decision: Decision, given: list[Review]) -> None:
    """Assert that a decision says what was so when it was made, and that nothing was missing."""
    said = json.loads(bytes(decision.payload))["predicate"]
    before = [each for each in given if each.given_at <= decision.made_at]
    if decision.verdict == "rejected":
        assert [each.verdict for each in before].count("reject") == 1
        return
    counted = [each for each in before if str(each.public_id) in {row["review"] for row in said["approvals"]}]
    assert {each.dossier_digest for each in counted} == {said["dossier"]["sha256"]}
    approved = [each for each in counted if each.verdict == "approve"]
    assert sorted(each.role for each in approved) == sorted(ROLES)
    assert len({each.reviewer_id for each in approved}) == len(ROLES)
    assert not any(each.verdict == "reject" for each in before)
    for row in said["exceptions"]:
        waiver = Waiver.objects.get(public_id=row["id"])
        assert waiver.decided_by_id not in {None, waiver.requested_by_id}
        assert waiver.is_in_force(decision.made_at)
        assert decision.expires_at is not None
        assert decision.expires_at <= waiver.expires_at


def expect_true_record(version: Version) -> None:
    """Assert that every row has its one entry, and that whatever serves is allowed to."""
    kinds = Counter(Entry.objects.values_list("kind", flat=True))
    assert kinds["review.given"] == Review.objects.count()
    assert kinds["decision.made"] == Decision.objects.exclude(verdict="revoked").count()
    assert kinds["decision.revoked"] == Decision.objects.filter(verdict="revoked").count()
    assert kinds["version.promoted"] == Promotion.objects.count()
    for moved in Promotion.objects.select_related("decision"):
        found = standing.of(version, "production", at=moved.promoted_at)
        assert found.allow
        assert found.decision_id == str(moved.decision.public_id)


@pytest.mark.usefixtures("share")
def test_eight_at_once_never_break_a_rule(walk: Walk, pytestconfig: pytest.Config) -> None:
    weak = {"metrics": {"quality/accuracy": "0.5"}}
    version = walk.candidate("fraud-scorer", "1.0.0", artifacts.scorer(1), **weak)
    accepted: Counter[str] = Counter()
    for number in range(40 if pytestconfig.getoption("long") else 12):
        this = Round(walk, version, number)
        results = at_once(*map(accepted_or_no, this.acts()))
        accepted.update(type(result).__name__ for result in results)
        expect_one_outcome(this.submission)
    walk.work()
    expect_true_record(version)
    sealer.seal_due()
    assert verifier.verify().is_sound
    assert accepted["Review"] > 0
