"""What calls in a pickle may do: by default any listed callable with literals, containers, results and listed types.

A few callables would undo that rule, because they call or resolve what they are given; each has its own rule here.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable
from typing import TYPE_CHECKING

from governance.scanning import arrays, doors
from governance.scanning.allowlist import Kind
from governance.scanning.limits import Unreadable
from governance.scanning.opcodes import Blob, Malformed
from governance.scanning.values import Made, Map, Name, Value, mentioned

if TYPE_CHECKING:
    from governance.scanning.machine import Machine

PLAIN = "bool bytes complex dict float frozenset int list object set str tuple"
BASES = {("builtins", name) for name in PLAIN.split()}
MOST_BYTES = 1 << 31
# Python sets these itself: what a generic was made with, and what a made-up function is called.
HARMLESS_HOOKS = {"__orig_class__", "__dict__", "__doc__", "__name__", "__qualname__", "__module__"}
# What makes an instance of any class it is handed, and classes of arrays whose making opens a file.
MAKERS = ("_new_", "__pyx_unpickle_", "newObj", "_mareconstruct")
OPENERS = {"memmap"}


def call(machine: Machine, callee: Value, args: Value) -> Value:
    """Judge callee(*args) and return its symbolic result. Raises Malformed when it is no call at all."""
    if not isinstance(callee, Name):
        machine.reject("computed-call", "The pickle calls something that it computed, not a global that it names.")
        return Made(None)
    if doors.is_door(callee):
        return doors.take(machine, callee, args)
    if not isinstance(args, tuple):
        raise Malformed("bad-call", f"The pickle calls {callee} with arguments that are not a tuple.")
    if callee.kind in {Kind.CLASS, Kind.CONSTANT, Kind.REF}:
        machine.hold("call-not-allowed", f"The pickle calls {callee}; the allow-list lets it be named, not called.")
        machine.scene.want(*callee.key, Kind.CALL)
    _want_more(machine, callee, Kind.CALL)
    _judge_arguments(machine, callee, args)
    rule = RULES.get(callee.key)
    return rule(machine, callee, args) if rule else Made(callee)


def instantiate(machine: Machine, cls: Value, args: tuple[Value, ...]) -> Value:
    """Judge an INST or OBJ opcode: with arguments it is a call, without it makes an empty instance."""
    return call(machine, cls, args) if args else make_empty(machine, cls, ())


def make_empty(machine: Machine, cls: Value, args: Value) -> Value:
    """Judge cls.__new__(cls, *args) and return the symbolic instance."""
    if not isinstance(cls, Name):
        machine.reject("computed-call", "The pickle makes an instance of something that it computed.")
        return Made(None)
    if cls.kind in {Kind.CONSTANT, Kind.REF}:
        machine.hold("call-not-allowed", f"The pickle makes an instance of {cls}, which it may only name.")
        machine.scene.want(*cls.key, Kind.CLASS)
    _want_more(machine, cls, Kind.CLASS)
    _judge_arguments(machine, cls, args)
    return Made(cls)


def apply_state(machine: Machine, target: Made, state: Value) -> None:
    """Follow a BUILD whose target's state matters later."""
    if target.made_by(("numpy", "dtype")):
        arrays.set_dtype_state(machine, target, state)
    elif doors.is_distribution(target):
        doors.judge_distribution(machine, state)


def judge_state(machine: Machine, state: Value) -> None:
    """Refuse a state that replaces Python's own hooks, or that computes the names of attributes."""
    for part in state if isinstance(state, tuple) else (state,):
        if isinstance(part, Map) and part.hidden - HARMLESS_HOOKS:
            shown = ", ".join(sorted(part.hidden)[:3])
            machine.reject("hidden-state", f"It replaces Python's own hooks in an object's state: {shown}.")
        if isinstance(part, Map) and part.computed:
            machine.reject("computed-state", "It computes the name of an attribute instead of writing it.")


def _want_more(machine: Machine, used: Name, use: Kind) -> None:
    """Keep what is done with a global that was held for its name."""
    if used.key in machine.scene.wanted:
        machine.scene.want(*used.key, use)


def _judge_arguments(machine: Machine, callee: Name, args: Value) -> None:
    """Hold a call that is handed a function, which the callee might call."""
    for name in mentioned(args, machine.scene.budget.spend_steps):
        if name.kind is Kind.REF:
            machine.hold("function-handed", f"The pickle hands the function {name} to {callee}.")
            machine.scene.want(*name.key, Kind.CLASS)
        elif callee.module.startswith("numpy.random") and not name.module.startswith("numpy.random"):
            machine.reject("function-handed", f"The pickle hands {name} to {callee}, which would call it.")
        elif name.name in OPENERS and callee.name != "_reconstruct":
            machine.reject("function-handed", f"The pickle hands {name} to {callee}, which would open a file with it.")
        elif callee.name.startswith(MAKERS) and not _are_related(callee, name):
            machine.reject("function-handed", f"The pickle hands {name} to {callee}, which makes one of it.")
        _want_more(machine, name, Kind.CLASS)


def _are_related(callee: Name, name: Name) -> bool:
    """Return whether a class belongs to the package of what makes instances of it, or is a plain type."""
    return name.key in BASES or name.module.partition(".")[0] in {callee.module.partition(".")[0], "numpy"}


def _encode(machine: Machine, callee: Name, args: tuple[Value, ...]) -> Value:
    """Judge _codecs.encode: old protocols write bytes as latin-1 text; any other codec hides something."""
    codec = args[1] if len(args) == 2 else None
    try:
        known = isinstance(codec, str) and codecs.lookup(codec).name == "iso8859-1"
    except (LookupError, ValueError):
        known = False
    if not known:
        machine.reject("odd-codec", f"The pickle transforms text with the codec {codec!r}; picklers only use latin1.")
    return Made(callee, args[:1])


def _reconstruct(machine: Machine, callee: Name, args: tuple[Value, ...]) -> Value:
    """Judge copyreg._reconstructor(cls, base, state), which calls base.__init__ with the state."""
    cls = args[0] if args else None
    base = args[1] if len(args) == 3 else None
    if not isinstance(cls, Name):
        machine.reject("computed-call", "The pickle makes an instance of something that it computed.")
        return Made(None)
    if cls.kind is Kind.CONSTANT or not (isinstance(base, Name) and base.key in BASES):
        machine.hold("call-not-allowed", f"The pickle rebuilds {cls} on a base that is not a plain built-in type.")
    return Made(cls)


def _rebuild_typed(machine: Machine, callee: Name, args: tuple[Value, ...]) -> Value:
    """Judge torch._tensor._rebuild_from_type_v2(func, type, args, state), which calls func(*args)."""
    func = args[0] if args else None
    if not (len(args) == 4 and isinstance(func, Name) and func.module == "torch._utils" and func.kind is Kind.CALL):
        machine.reject("function-handed", f"The pickle hands {callee} something else than a tensor's own rebuild.")
        return Made(None)
    return call(machine, func, args[2])


def _load_nested(machine: Machine, callee: Name, args: tuple[Value, ...]) -> Value:
    """Follow torch.storage._load_from_bytes(b), which loads the bytes as another PyTorch file."""
    data = args[0] if len(args) == 1 else None
    if not isinstance(data, Blob):
        machine.hold("nested-unseen", "The pickle loads another PyTorch file from bytes that cannot be followed.")
        return Made(callee)
    scene = machine.scene
    piece = scene.nested(machine.piece, machine.piece.window.part(data.start, data.size), "nested.pt")
    here = machine.stream.tell()
    scene.inspect(piece, scene)
    machine.stream.seek(here)
    return Made(callee)


def _allocate(machine: Machine, callee: Name, args: tuple[Value, ...]) -> Value:
    """Judge bytes(n) and bytearray(n), which would take that much memory."""
    if args and isinstance(args[0], int) and args[0] > MOST_BYTES:
        raise Unreadable("too-large", f"The pickle asks for {args[0]:,} empty bytes.")
    return Made(callee)


RULES: dict[tuple[str, str], Callable[[Machine, Name, tuple[Value, ...]], Value]] = {
    ("_codecs", "encode"): _encode,
    ("builtins", "bytearray"): _allocate,
    ("builtins", "bytes"): _allocate,
    ("copyreg", "_reconstructor"): _reconstruct,
    ("numpy", "dtype"): arrays.make_dtype,
    ("torch._tensor", "_rebuild_from_type_v2"): _rebuild_typed,
    ("torch.storage", "_load_from_bytes"): _load_nested,
}
