"""Small wrong changes of a policy, one at a time: its cases are good when each of them is noticed. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from governance.conditions import TOKEN, compile_condition
from portal.errors import Invalid

# What each comparison is changed into: the one beside it, and the opposite.
FLIPS = {
    "==": ("!=",),
    "!=": ("==",),
    "<": ("<=", ">="),
    "<=": ("<", ">"),
    ">": (">=", "<="),
    ">=": (">", "<"),
    "&&": ("||",),
    "||": ("&&",),
    "!": ("",),
}
SEVERITIES = ("low", "medium", "high", "critical")


@dataclass(frozen=True)
class Change:
    """A text or a threshold as it could be by mistake, and what was done to it in words."""

    value: Any
    says: str


def conditions(text: str) -> Iterator[Change]:
    """Yield a condition with one operator changed, for each operator; what is no condition any more is left out."""
    for start, sign in operators(text):
        for other in FLIPS[sign]:
            changed = text[:start] + other + text[start + len(sign) :]
            try:
                compile_condition(changed)
            except Invalid:
                continue
            says = f"{sign} at {start + 1} changed into {other}" if other else f"{sign} at {start + 1} dropped"
            yield Change(changed, says)


def operators(text: str) -> Iterator[tuple[int, str]]:
    """Yield where each operator of a condition stands, and which it is. What stands inside a text is none."""
    tokens = [match for match in TOKEN.finditer(text) if match.lastgroup == "sign"]
    signs = {match.start(): match.group() for match in tokens}
    taken = -1
    for start, sign in signs.items():
        pair = sign + signs.get(start + 1, "")
        if start <= taken:
            continue
        if pair in FLIPS and len(pair) == 2:
            taken = start + 1
            yield start, pair
        elif sign in FLIPS:
            yield start, sign


def thresholds(limits: Mapping[str, str]) -> Iterator[Change]:
    """Yield the limits of a metric with one bound moved by its last digit, either way, or made the other bound."""
    for name, bound in limits.items():
        step = Decimal(1).scaleb(int(Decimal(bound).as_tuple().exponent))
        for moved in (Decimal(bound) - step, Decimal(bound) + step):
            yield Change({**limits, name: f"{moved:f}"}, f"{name} {bound} moved to {moved:f}")
    if len(limits) == 1:
        [(name, bound)] = limits.items()
        other = {"min": "max", "max": "min"}[name]
        yield Change({other: bound}, f"{name} {bound} changed into {other}")


def blocks(block: str) -> Iterator[Change]:
    """Yield the severities beside the one that blocks."""
    place = SEVERITIES.index(block)
    for other in (place - 1, place + 1):
        if 0 <= other < len(SEVERITIES):
            yield Change(SEVERITIES[other], f"block {block} moved to {SEVERITIES[other]}")
