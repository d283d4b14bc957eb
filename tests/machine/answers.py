"""Submissions and verdicts in both: given rightly, given anyhow, taken back."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import (
    precondition,
    rule,
)

from governance import (
    obligations,
    reviews,
    submissions,
)
from governance.models import Decision, Obligation, Review, Submission
from tests.machine.both import ENVIRONMENTS, Both
from tests.machine.expectation import SEATS, Ask, Condition, Verdict


class Answers(Both):
    """What owners and reviewers do."""

    @rule(environment=ENVIRONMENTS, by=st.sampled_from(["ada", "ben"]))
    def submit(self, environment: str, by: str) -> None:
        """Submit for an environment."""
        world = self.world
        known = any(ask.environment == environment for ask in self.opened())
        done = self.attempt(
            lambda: submissions.submit(self.version, environment, actor=self.person(by)),
            not known and world.retired is None,
        )
        if done:
            ask = Ask(environment, by, world.text, done.due_at)
            world.asks.append(ask)
            self.pairs[ask] = done.pk

    def answer(self, ask: Ask, person: str, role: str, says: str, days: list[int]) -> None:
        """Give one verdict, an approval perhaps with conditions."""
        self.pass_time(timedelta(minutes=1))
        found = Submission.objects.select_related("version__asset", "policy").get(pk=self.pairs[ask])
        told: dict[str, Any] = {"actor": self.person(person), "role": role, "seen": submissions.current_digest(found)}
        conditions = [Condition(self.world.now + timedelta(days=each)) for each in days]
        if says == "approve":
            wanted = [(f"Condition {place}.", each.due) for place, each in enumerate(conditions)]
            act = lambda: reviews.approve(found, conditions=wanted, **told)  # noqa: E731
        else:
            verb = reviews.reject if says == "reject" else reviews.request_changes
            act = lambda: verb(found, note="Not like this.", **told)  # noqa: E731
        done = self.attempt(act, self.world.may_answer(ask, person, role, says))
        if done:
            verdict = Verdict(person, role, says, self.world.content(ask), conditions)
            self.pairs[verdict] = done.pk
            for place, each in enumerate(conditions):
                self.pairs[each] = Obligation.objects.get(review=done, says=f"Condition {place}.").pk
            before = len(self.world.rulings)
            self.world.answer(ask, verdict)
            if len(self.world.rulings) > before:
                made = Decision.objects.get(submission_id=self.pairs[ask], verdict="approved")
                assert made.expires_at == self.world.rulings[-1].ends
                self.pairs[self.world.rulings[-1]] = made.pk

    @precondition(lambda self: self.opened())
    @rule(data=st.data(), days=st.sampled_from([[], [], [], [2], [5, 12]]))
    def approve_rightly(self, data: st.DataObject, days: list[int]) -> None:
        """Approve as somebody who sits in a role that is still missing."""
        ask = data.draw(st.sampled_from(self.opened()))
        given = {each.role for each in self.world.counting(ask)}
        missing = [role for role in ask.text.roles(ask.environment) if role not in given] or ["platform"]
        role = data.draw(st.sampled_from(missing))
        person = data.draw(st.sampled_from([name for name, seat in SEATS.items() if seat == role]))
        self.answer(ask, person, role, "approve", days)

    @precondition(lambda self: self.world.asks)
    @rule(
        data=st.data(),
        person=st.sampled_from(["ada", "mallory", "alma", *SEATS]),
        role=st.sampled_from(["platform", "product", "security"]),
        says=st.sampled_from(["approve", "approve", "reject", "request_changes"]),
    )
    def answer_anyhow(self, data: st.DataObject, person: str, role: str, says: str) -> None:
        """Answer as anybody, for anything."""
        self.answer(data.draw(st.sampled_from(self.world.asks)), person, role, says, [])

    @precondition(lambda self: self.opened())
    @rule(data=st.data())
    def answer_what_was_not_seen(self, data: st.DataObject) -> None:
        """Approve another dossier than the present one."""
        ask = data.draw(st.sampled_from(self.opened()))
        found = Submission.objects.select_related("version__asset", "policy").get(pk=self.pairs[ask])
        rhea = self.person("rhea")
        self.attempt(lambda: reviews.approve(found, actor=rhea, role="security", seen="0" * 64), expected=False)

    @precondition(lambda self: self.opened())
    @rule(data=st.data())
    def withdraw_submission(self, data: st.DataObject) -> None:
        """Take a submission back."""
        ask = data.draw(st.sampled_from(self.opened()))
        found = Submission.objects.get(pk=self.pairs[ask])
        done = self.attempt(
            lambda: submissions.withdraw(found, actor=self.person("ada")), ask.is_answerable(self.world.now)
        )
        ask.is_open = ask.is_open and not done

    @precondition(lambda self: any(ask.verdicts for ask in self.world.asks))
    @rule(data=st.data())
    def withdraw_verdict(self, data: st.DataObject) -> None:
        """Take a verdict back, while it is open or before anything was promoted on it."""
        world = self.world
        given = [(ask, each) for ask in world.asks for each in ask.verdicts]
        ask, verdict = data.draw(st.sampled_from(given))
        ruling = next((each for each in world.rulings if verdict in each.verdicts), None)
        if not ask.is_answerable(world.now) and (ruling is None or not ruling.holds(world.now)):
            return
        self.pass_time(timedelta(minutes=1))
        if not ask.is_answerable(world.now) and not (ruling and ruling.holds(world.now)):
            return
        found = Review.objects.get(pk=self.pairs[verdict])
        done = self.attempt(
            lambda: reviews.withdraw(found, actor=self.person(verdict.person), reason="I was wrong."),
            not verdict.is_withdrawn and (not ruling.is_promoted if ruling else verdict.content == world.content(ask)),
        )
        if done:
            verdict.is_withdrawn = True
            if ruling is not None:
                ruling.revoked = world.now

    @precondition(lambda self: any(each.verdicts for each in self.world.rulings))
    @rule(data=st.data())
    def meet_condition(self, data: st.DataObject) -> None:
        """Agree that a condition is met, as another person of the role or the same."""
        world = self.world
        pending = [
            (verdict, each)
            for ruling in world.rulings
            if ruling.holds(world.now + timedelta(minutes=1))
            for verdict in ruling.verdicts
            for each in verdict.conditions
            if each.met is None and verdict.person not in {known.author for known in world.measured}
        ]
        if not pending:
            return
        verdict, condition = data.draw(st.sampled_from(pending))
        self.pass_time(timedelta(minutes=1))
        found = Obligation.objects.get(pk=self.pairs[condition])
        self.attempt(
            lambda: obligations.meet(found, actor=self.person(verdict.person), note="It is done."), expected=True
        )
        condition.met = world.now
