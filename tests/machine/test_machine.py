"""Any order of verbs and clock jumps, held against a small independent model of the rules after every step.

Each verb must be accepted or refused as the model says, and the standing must be the model's, now and at past instants.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from governance import (
    decisions,
    lifecycle,
    promotions,
    standing,
    waivers,
)
from governance.models import Decision, Waiver
from tests.machine.answers import Answers
from tests.machine.both import ENVIRONMENTS
from tests.machine.expectation import SEATS, Ask, Exemption, Ruling, Text
from tests.scene import Scene

RUNS = 200


class Machine(Answers):
    """Waivers, and what follows from decisions."""

    @rule(
        environment=ENVIRONMENTS,
        asked=st.sampled_from(["evaluations", "no-toxic-model"]),
        days=st.sampled_from([1, 5, 30, 31]),
    )
    def request_waiver(self, environment: str, asked: str, days: int) -> None:
        """Ask for an exception; there is at most one live one of a rule in an environment here."""
        world, text = self.world, self.world.text
        same = [each for each in world.exemptions if (each.rule, each.environment) == (asked, environment)]
        if world.retired or any(world.now < each.ends and not each.is_refused for each in same):
            return
        ends = world.now + timedelta(days=days)
        done = self.attempt(
            lambda: waivers.request(
                self.version,
                actor=self.person("ada"),
                rule=asked,
                environment=environment,
                reason="We are on it.",
                compensating_control="Somebody looks.",
                expires_at=ends,
            ),
            days <= 30
            and asked in {"evaluations", "no-toxic-model" if environment == "production" else ""}
            and not (text.is_critical and asked == "evaluations"),
        )
        if done:
            exemption = Exemption(asked, environment, text, ends)
            world.exemptions.append(exemption)
            self.pairs[exemption] = done.pk

    @precondition(lambda self: any(each.granted is None and not each.is_refused for each in self.world.exemptions))
    @rule(
        data=st.data(),
        person=st.sampled_from(["rhea", "sol", "sol", "ada", "petra", "mallory"]),
        grants=st.sampled_from([True, True, False]),
    )
    def answer_waiver(self, data: st.DataObject, person: str, grants: bool) -> None:
        """Grant or refuse an exception."""
        world = self.world
        waiting = [each for each in world.exemptions if each.granted is None and not each.is_refused]
        exemption = data.draw(st.sampled_from(waiting))
        self.pass_time(timedelta(minutes=1))
        found = Waiver.objects.select_related("version__asset").get(pk=self.pairs[exemption])
        is_theirs = SEATS.get(person) == "security" and person not in {each.author for each in world.measured}
        verb = waivers.grant if grants else waivers.refuse
        done = self.attempt(
            lambda: verb(found, actor=self.person(person), note="Looked at it."),
            is_theirs and (world.now < exemption.ends or not grants),
        )
        if done and grants:
            exemption.granted = world.now
        exemption.is_refused = exemption.is_refused or bool(done and not grants)

    @precondition(lambda self: any(each.holds(self.world.now) for each in self.world.exemptions))
    @rule(data=st.data(), person=st.sampled_from(["rhea", "sol", "ada"]))
    def revoke_waiver(self, data: st.DataObject, person: str) -> None:
        """End an exception."""
        self.pass_time(timedelta(minutes=1))
        exemption = data.draw(st.sampled_from([each for each in self.world.exemptions if each.granted is not None]))
        found = Waiver.objects.select_related("version__asset").get(pk=self.pairs[exemption])
        done = self.attempt(
            lambda: waivers.revoke(found, actor=self.person(person), reason="It is over."),
            SEATS.get(person) == "security" and exemption.holds(self.world.now),
        )
        if done:
            exemption.revoked = self.world.now

    # --- what follows ------------------------------------------------------------------------------------------------

    @precondition(lambda self: any(each.holds(self.world.now) for each in self.world.rulings))
    @rule(data=st.data(), person=st.sampled_from(["rhea", "petra", "alma", "ada"]))
    def revoke_decision(self, data: st.DataObject, person: str) -> None:
        """Revoke an approval in force."""
        held = [each for each in self.world.rulings if each.holds(self.world.now)]
        ruling: Ruling = data.draw(st.sampled_from(held))
        found = Decision.objects.get(pk=self.pairs[ruling])
        done = self.attempt(
            lambda: decisions.revoke(found, actor=self.person(person), reason="Recalled."), person == "rhea"
        )
        if done:
            ruling.revoked = self.world.now

    @rule(environment=ENVIRONMENTS, person=st.sampled_from(["ada", "ada", "rhea", "mallory"]))
    def promote(self, environment: str, person: str) -> None:
        """Point an environment at the version."""
        world = self.world
        done = self.attempt(
            lambda: promotions.promote(self.version, environment, actor=self.person(person)),
            person == "ada" and world.allows(environment, world.now),
        )
        if done:
            held = [each for each in world.rulings if each.environment == environment and each.holds(world.now)]
            next(each for each in held if self.pairs[each] == done.decision_id).is_promoted = True

    @rule(
        least=st.sampled_from([0.85, 0.85, 0.9, 0.95]),
        asks_product=st.booleans(),
        is_critical=st.booleans(),
        data=st.data(),
    )
    def publish(self, least: float, asks_product: bool, is_critical: bool, data: st.DataObject) -> None:
        """Publish another policy, choosing for each open submission."""
        self.pass_time(timedelta(minutes=1))
        chosen: dict[Ask, timedelta | None] = {}
        for ask in self.opened():
            if ask.is_answerable(self.world.now):
                is_stuck = any(each.says == "request_changes" for each in self.world.counting(ask))
                # Zero days is to move, which a request for changes stands in the way of.
                days = data.draw(st.sampled_from([1, 4] if is_stuck else [0, 1, 4]))
                chosen[ask] = timedelta(days=days) if days else None
        self.install(Text(self.world.text.number + 1, least, asks_product, is_critical), chosen)

    @precondition(lambda self: len(self.world.rulings) > 1)
    @rule(person=st.sampled_from(["ada", "rhea"]))
    def retire(self, person: str) -> None:
        """End the version for good."""
        if self.world.retired is None:
            act = lambda: lifecycle.retire(self.version, actor=self.person(person), reason="Nobody uses it.")  # noqa: E731
            if self.attempt(act, person == "ada"):
                self.world.retired = self.world.now

    # --- what has to be true -----------------------------------------------------------------------------------------

    def compare(self, environment: str, at: datetime) -> None:
        """Hold the standing in an environment at an instant against the model's."""
        found = standing.of(self.version, environment, at=at)
        assert found.allow == self.world.allows(environment, at), (environment, at, found.says)

    @invariant()
    def standing_is_what_the_model_says(self) -> None:
        """Ask the standing now, in production and in staging by turns."""
        self.steps += 1
        self.compare(("production", "staging")[self.steps % 2], self.world.now)

    @precondition(lambda self: self.world.rulings)
    @rule(data=st.data(), seconds=st.sampled_from([-1, 0, 1, 3600, 86400]))
    def look_back(self, data: st.DataObject, seconds: int) -> None:
        """Ask the standing at past instants around those where something began or ended."""
        now = self.world.now
        edges = [each for ruling in self.world.rulings for each in (ruling.made, ruling.ends, ruling.revoked) if each]
        edges += [
            each.due for ruling in self.world.rulings for verdict in ruling.verdicts for each in verdict.conditions
        ]
        at = min(now, data.draw(st.sampled_from(edges)) + timedelta(seconds=seconds))
        self.compare("production", at)
        self.compare("staging", at)


@pytest.mark.usefixtures("db", "share")
def test_nothing_serves_without_what_the_policy_asked(stage: Scene) -> None:
    Machine.begin(stage)
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=RUNS,
            stateful_step_count=12,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
