"""What ordinary pickles use and attacks use more: `getattr`, `type`, and the text that scipy's distributions run.

Python writes members of enumerations, bound methods and time zones as getattr(object, name), and the type of None as
type(None); with anything else these are ways to everything. Each use has to be one of those; each other mention is
dangerous.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from governance.scanning.allowlist import Kind
from governance.scanning.values import Made, Map, Name, Value

if TYPE_CHECKING:
    from governance.scanning.machine import Machine

GETATTR = ("builtins", "getattr")
TYPE = ("builtins", "type")
SINGLE = {("builtins", "Ellipsis"), ("builtins", "NotImplemented")}
MEMBER = re.compile(r"[A-Z][A-Z0-9_]*", re.ASCII)
DISTRIBUTIONS = frozenset({"scipy.stats._continuous_distns", "scipy.stats._discrete_distns"})
INFRASTRUCTURE = "scipy.stats._distn_infrastructure"
TEMPLATE_KEY = "_parse_arg_template"
SHAPES = re.compile(r"\ndef _parse_args\(self, ((?:[A-Za-z]\w*, )*) (loc=0(?:, scale=1)?)\):\n", re.ASCII)
# scipy/stats/_distn_infrastructure.py, parse_arg_template: unpickling a distribution executes its own copy of it.
TEMPLATE = """
def _parse_args(self, {shapes} {settings}):
    return ({shapes}), {values}

def _parse_args_rvs(self, {shapes} {settings}, size=None):
    return self._argcheck_rvs({shapes} {values}, size=size)

def _parse_args_stats(self, {shapes} {settings}, moments='mv'):
    return ({shapes}), {values}, moments
"""


def is_door(value: Value) -> bool:
    """Return whether a value is one of the globals that reach everything."""
    return isinstance(value, Name) and value.key in {GETATTR, TYPE}


def take(machine: Machine, callee: Name, args: Value) -> Value:
    """Judge a call of one of them and return what it gives, which may be kept but neither called nor handed on."""
    if callee.key == GETATTR:
        return _take_attribute(machine, callee, args)
    only = args[0] if isinstance(args, tuple) and len(args) == 1 else args
    if only is None or (isinstance(only, Name) and only.key in SINGLE):
        machine.explain(callee)
    return Name("builtins", "NoneType", Kind.REF)


def _take_attribute(machine: Machine, callee: Name, args: Value) -> Value:
    """Judge getattr(object, name)."""
    if isinstance(args, tuple) and len(args) == 2 and isinstance(args[1], str):
        owner, name = args[0], args[1]
        if isinstance(owner, Name):
            whole = f"{owner.name}.{name}"
            listed = machine.scene.allowlist.kinds.get((owner.module, whole), Kind.DANGEROUS)
            if listed is not Kind.DANGEROUS:
                machine.explain(callee)
                return Name(owner.module, whole, listed)
            if MEMBER.fullmatch(name) and owner.kind in {Kind.CALL, Kind.CLASS, Kind.REF, Kind.UNKNOWN}:
                machine.explain(callee)
                return Name(owner.module, whole, Kind.REF)
        if is_distribution(owner) and name == "_entropy":
            machine.explain(callee)
            return Name(INFRASTRUCTURE, f"rv_generic.{name}", Kind.REF)
    return Made(None)


def is_distribution(value: Value) -> bool:
    """Return whether a value is one of scipy's distributions."""
    made = value.maker if isinstance(value, Made) else None
    if made is None or made.name.endswith("_frozen"):
        return False
    return made.module in DISTRIBUTIONS or made.module == INFRASTRUCTURE


def judge_distribution(machine: Machine, state: Value) -> None:
    """Refuse a state of a distribution whose text to be run is not exactly scipy's own."""
    text = state.named.get(TEMPLATE_KEY) if isinstance(state, Map) and not state.crowded else None
    if not (isinstance(text, str) and text == expected_template(text)):
        machine.reject("state-is-run", "A distribution's state holds program text that is run, and it is not scipy's.")


def expected_template(text: str) -> str | None:
    """Return scipy's text for the shapes that a text begins with, or None when it begins otherwise."""
    found = SHAPES.match(text)
    if found is None:
        return None
    values = "loc, scale" if "scale" in found[2] else "loc, 1"
    return TEMPLATE.format(shapes=found[1], settings=found[2], values=values)
