"""The portal beside the model: what both are, how time passes, and what is measured."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import time_machine
from django.core.exceptions import PermissionDenied
from django.db import transaction
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    rule,
)

from governance import (
    decisions,
    proposals,
    submissions,
    sweeps,
)
from governance.checks import runner
from governance.models import PolicyProposal, Submission
from portal.demo import documents
from portal.errors import Invalid, Refused
from registry import evidence
from registry.models import User
from tests import policies
from tests.machine import texts
from tests.machine.expectation import Ask, Measured, Text, World
from tests.scene import Scene

ENVIRONMENTS = st.sampled_from(["staging", "production"])
AUTHORS = {"evaluations": "evaluations@example.com", "petra": "petra@example.com", "rhea": "Rhea Security"}
NOES = (Refused, Invalid, PermissionDenied)


class Both(RuleBasedStateMachine):
    """The portal beside the model. Every rule does one thing in both."""

    scene: ClassVar[Scene]
    begun: ClassVar[World]

    @classmethod
    def begin(cls, scene: Scene) -> None:
        """Let all runs begin with a good evaluation and the mildest policy."""
        start = datetime.now(UTC).replace(microsecond=0) + timedelta(minutes=5)
        cls.scene, cls.begun = scene, World(start, [Text(1, 0.85, False, False)])
        first = cls()
        first.measure("evaluations", 0.93, 0.01)
        first.install(first.world.text, {})
        first.clock.stop()
        first.atomic.__exit__(None, None, None)
        cls.begun = first.world

    def __init__(self) -> None:
        super().__init__()
        self.atomic = transaction.atomic()
        self.atomic.__enter__()
        scene, self.world = deepcopy(self.scene), deepcopy(self.begun)
        self.cast, self.version = scene.walk.cast, scene.version
        self.clock = time_machine.travel(self.world.now, tick=False)
        self.traveller = self.clock.start()
        self.pairs: dict[Any, Any] = {}
        self.steps = 0

    def teardown(self) -> None:
        """Forget everything that happened."""
        self.clock.stop()
        transaction.set_rollback(True)
        self.atomic.__exit__(None, None, None)

    # --- the two sides -----------------------------------------------------------------------------------------------

    def person(self, name: str) -> User:
        """Return an account as a new request would read it."""
        return User.objects.get(username=name)

    def attempt(self, act: Callable[[], Any], expected: bool) -> Any:
        """Call a verb, and hold whether it was accepted against what the model says."""
        try:
            done, says = act(), "accepted"
        except NOES as no:
            done, says = None, str(no)
        assert (done is not None) == expected, f"expected {'yes' if expected else 'no'}, but: {says}"
        self.work()
        return done

    def work(self) -> None:
        """Answer checks and sign, as workers do within seconds."""
        submissions.refresh_due()
        runner.run_due()
        decisions.sign_due()

    def pass_time(self, span: timedelta) -> None:
        """Let time go by, in both."""
        self.world.now += span
        self.traveller.move_to(self.world.now)

    def opened(self) -> list[Ask]:
        """Return the submissions that nobody has closed."""
        return [ask for ask in self.world.asks if ask.is_open]

    # --- time --------------------------------------------------------------------------------------------------------

    @rule(hours=st.sampled_from([1, 7, 24, 24 * 3, 24 * 9, 24 * 20, 24 * 31]))
    def jump(self, hours: int) -> None:
        """Let time go by while the clock of the portal stands still."""
        self.pass_time(timedelta(hours=hours))

    @rule()
    def wake(self) -> None:
        """Let the sweeps run, as they would every minute."""
        sweeps.sweep_due()
        self.work()
        self.world.wake()

    # --- evidence ----------------------------------------------------------------------------------------------------

    @rule(
        author=st.sampled_from(sorted(AUTHORS)),
        accuracy=st.sampled_from([0.8, 0.88, 0.93, 0.97]),
        toxicity=st.sampled_from([0.01, 0.01, 0.05, 0.2]),
    )
    def measure(self, author: str, accuracy: float, toxicity: float) -> None:
        """Attach an evaluation, whose author may be somebody who reviews."""
        self.pass_time(timedelta(minutes=1))
        metrics = {"quality/accuracy": str(accuracy), "toxicity/rate": str(toxicity)}
        body = documents.evaluation(
            self.version.identity_digest, at=self.world.now, author=AUTHORS[author], metrics=metrics
        )
        evidence.attach(self.version, actor=self.cast.cee_i, kind="evaluation", filename="more.json", body=body)
        self.world.measured.append(Measured(self.world.now, author, accuracy, toxicity))
        self.work()

    def install(self, text: Text, chosen: dict[Ask, timedelta | None]) -> None:
        """Propose a policy as one administrator and publish it as the other."""
        world = self.world
        made: PolicyProposal = proposals.propose(texts.write(text), actor=self.person("alma"))
        choices: dict[str, dict[str, Any]] = {}
        for ask, span in chosen.items():
            found = Submission.objects.get(pk=self.pairs[ask])
            until = None if span is None else min(world.now + span, ask.ends)
            choices[str(found.public_id)] = {"do": "move"} if until is None else {"do": "finish", "until": until}
            if until is None:
                ask.text = text
            else:
                ask.until = until
        proposals.publish(made, actor=self.person("abel"), choices=choices, seen_replay=policies.seen(made))
        world.texts.append(text)
        self.work()
