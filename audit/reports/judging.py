"""Was it governed? Serving windows held against the standing that their digest had while they lasted.

The standing over time comes from `governance.over_time`; here it becomes one word for each window.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from governance.over_time import Served, StandingsOverTime
from governance.standing import Standing

# What is said about windows, worst last.
WORDS = ("governed", "partly governed", "ungoverned", "revoked", "retired", "unknown")
# The rules of `governance.standing` by which a digest that is known served without being allowed to.
RETIRED, REVOKED = frozenset({"retired", "sunset"}), frozenset({"revoked", "waiver_revoked"})


@dataclass(frozen=True)
class Judgement:
    """What is said about one window: one of WORDS, about which version, by which decision, why."""

    verdict: str
    version: str = ""
    decision: str = ""
    why: str = ""


def judge(windows: Sequence[Served]) -> list[Judgement]:
    """Return the judgement on each window.

    A window is governed when its digest was allowed to serve, in its environment and for its consumer, at every
    instant of it; partly governed when it was at some. One that was at none is retired, revoked or ungoverned, as the
    first no of `governance.standing` says; a digest that nobody had registered is unknown.
    """
    over_time = StandingsOverTime(windows)
    return [summed_up(over_time.during(window), window) for window in windows]


def summed_up(answers: list[Standing | None], window: Served) -> Judgement:
    """Return one judgement from the standings that a window lived through."""
    known = [answer for answer in answers if answer is not None and answer.version is not None]
    if not known:
        return Judgement("unknown", why=f"Nothing with the identity digest {window.digest[:12]}… was registered then.")
    allowed = [answer for answer in known if answer.allow]
    refused = [answer for answer in known if not answer.allow]
    label = known[0].version.label if known[0].version else ""
    if len(allowed) == len(answers):
        return Judgement("governed", label, allowed[0].decision_id)
    why = refused[0].says if refused else "It was registered only while the window lasted."
    if allowed:
        return Judgement("partly governed", label, allowed[0].decision_id, f"For a part of the window: {why}")
    return Judgement(worded(refused[0]) if refused else "ungoverned", label, known[0].decision_id, why)


def worded(answer: Standing) -> str:
    """Return the word for a digest that served although it was not allowed to."""
    rules = {reason.rule for reason in answer.reasons}
    if rules & RETIRED:
        return "retired"
    return "revoked" if rules & REVOKED else "ungoverned"
