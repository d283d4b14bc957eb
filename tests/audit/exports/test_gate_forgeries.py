"""Thousands of forged papers, none of them accepted; and the same forgeries find a gate that lacks any one rule."""

from __future__ import annotations

import copy
import os
import sys
from collections import Counter
from typing import Any

import pytest

from audit.exports.gatekeeping import Gate
from tests.audit.exports.forgeries import FORGERIES, forge
from tests.audit.exports.forging import Case, Scene

SEED = int(os.environ.get("COUNTERSIGN_SEED", "5"))
FEW, MANY = 1_500, 20_000


@pytest.fixture(scope="module")
def scene() -> Scene:
    return Scene()


def test_no_forgery_is_accepted(
    scene: Scene, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    long = request.config.getoption("--long")
    rounds = MANY if long else FEW
    wrong, tried, forged, harmless = [], Counter[str](), Counter[str](), Counter[str]()
    for seed in range(SEED * MANY, SEED * MANY + rounds):
        case = forge(scene, seed)
        tried[case.done] += 1
        allowed = Gate(case.papers, case.local, copy.deepcopy(case.memory)).allows()
        # The oracle is slower than the gate, so a short run asks it about what was accepted alone.
        is_wrong = (allowed or long) and scene.is_wrong(case)
        forged[case.done] += is_wrong
        harmless[case.done] += allowed and not is_wrong
        wrong += [(seed, case.done)] if allowed and is_wrong else []
    if long:
        with capsys.disabled():
            sys.stdout.write(f"\n{rounds} cases: {forged.total()} forgeries, {len(wrong)} accepted; ")
            sys.stdout.write(f"{harmless.total()} changed nothing that was signed, a yes\n")
    assert wrong == []
    assert set(tried) == {act.__name__ for act in FORGERIES}
    # A generator that breaks everything coarsely would prove little: some cases are a yes, as they should be.
    assert harmless.total() > rounds / 200


def accepts_wrongly(lax: type[Gate], scene: Scene, case: Case) -> bool:
    return lax(case.papers, case.local, copy.deepcopy(case.memory)).allows() and scene.is_wrong(case)


class Without(Gate):
    """A gate that lacks one rule."""

    left_out = ""

    def attempt(self, rule: str, step: Any) -> Any:
        return {} if rule == self.left_out else super().attempt(rule, step)


@pytest.mark.parametrize("rule", ["signature", "digest", "scope", "time", "revoked"])
def test_the_forgeries_find_a_gate_that_lacks_a_rule(scene: Scene, rule: str) -> None:
    class Lax(Without):
        left_out = rule

    cases = (forge(scene, seed) for seed in range(FEW))
    assert any(accepts_wrongly(Lax, scene, case) for case in cases)


@pytest.mark.parametrize("step", ["remember", "follow", "witnessed", "check_entry"])
def test_the_forgeries_find_a_gate_that_lacks_a_step(scene: Scene, step: str) -> None:
    lax: Any = type("Lax", (Gate,), {step: lambda self, *given: None})
    cases = (forge(scene, seed) for seed in range(FEW))
    assert any(accepts_wrongly(lax, scene, case) for case in cases)
