"""The pickle machine: follows stack and memo symbolically and judges every global, call and assignment.

It never makes an object. What particular calls mean is in calls.py, raw arrays between the opcodes are in arrays.py.
Semantics: CPython's Modules/_pickle.c and Lib/pickle.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import cast

from governance.scanning import arrays, calls, doors
from governance.scanning.allowlist import IDENTIFIERS, Kind
from governance.scanning.limits import Unreadable
from governance.scanning.opcodes import Argument, LongText, Malformed, Source, read_opcodes
from governance.scanning.scene import Piece, Scene
from governance.scanning.values import Bag, Made, Map, Name, Value, is_dunder, rename

NEWEST_PROTOCOL = 5
LARGEST_INDEX = 1 << 26
DEEPEST_MARK = 10_000
NUMBERS = "INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT"
STRINGS = "STRING BINSTRING SHORT_BINSTRING BINBYTES SHORT_BINBYTES BINBYTES8 BYTEARRAY8"
TEXTS = "UNICODE SHORT_BINUNICODE BINUNICODE BINUNICODE8"
PUSHED = frozenset(f"{NUMBERS} {STRINGS} {TEXTS}".split())
CONSTANTS: dict[str, Callable[[], Value]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_TUPLE": tuple,
    "EMPTY_LIST": Bag,
    "EMPTY_SET": Bag,
    "EMPTY_DICT": Map,
}
Persistent = Callable[["Machine", Value], Value]


class Machine:
    """One pickle being followed, from the stream's position to its STOP."""

    def __init__(self, piece: Piece, scene: Scene, stream: Source, persistent: Persistent | None = None) -> None:
        self.piece = piece
        self.scene = scene
        self.stream = stream
        self.persistent = persistent
        self.arrays: list[tuple[int, int]] = []  # places of raw arrays and of nested pickles: [start, end)
        self.nested: list[tuple[int, int]] = []  # of these, the nested pickles
        self.follow_arrays = True
        self.protocol = 0
        self.frame_end = 0
        self.stack: list[Value] = []
        self.outer: list[list[Value]] = []
        self.memo: dict[int, Value] = {}
        self.names: dict[tuple[str, str], Name] = {}
        self.last: Value = None
        self.unexplained = Counter[tuple[str, str]]()  # mentions of getattr and type that no call has made harmless

    def run(self) -> Value:
        """Follow one pickle and return the value it would give. Raises Malformed, Unreadable or Unsafe."""
        try:
            self.follow()
        finally:
            for key in filter(self.unexplained.get, self.unexplained):
                self.judge(Name(*key, Kind.DANGEROUS))
        if self.stack or self.outer:
            self.hold("stack-left", "Objects are left on the stack at STOP; ordinary picklers leave none.")
        return self.last

    def follow(self) -> None:
        """Follow the opcodes up to STOP."""
        first = True
        for opcode, argument in read_opcodes(self.stream, self.scene.budget.spend_steps):
            if opcode in PUSHED:
                self.stack.append(cast(Value, argument))
            elif opcode in CONSTANTS:
                self.stack.append(CONSTANTS[opcode]())
            elif opcode == "PROTO":
                self.on_proto(cast(int, argument), first)
            else:
                HANDLERS[opcode](self, argument)
            first = False

    def explain(self, callee: Name) -> None:
        """Take one mention of a global for harmless, after what is done with it was followed."""
        self.unexplained[callee.key] -= 1
        self.scene.explained.add(callee.key)

    def reject(self, code: str, says: str) -> None:
        """Note what no ordinary pickle contains."""
        self.scene.reject(self.piece, code, says)

    def hold(self, code: str, says: str) -> None:
        """Note what a person has to look at."""
        self.scene.hold(self.piece, code, says)

    def pop(self) -> Value:
        """Take the top of the stack."""
        if not self.stack:
            raise Malformed("empty-stack", "The pickle takes more from its stack than it has put there.")
        return self.stack.pop()

    def pop_mark(self) -> list[Value]:
        """Take everything above the last mark."""
        if not self.outer:
            raise Malformed("no-mark", "The pickle uses a mark that it has not set.")
        items = self.stack
        self.stack = self.outer.pop()
        return items

    def top(self) -> Value:
        """Return the top of the stack and leave it there."""
        if not self.stack:
            raise Malformed("empty-stack", "The pickle looks at an empty stack.")
        return self.stack[-1]

    def on_proto(self, version: int, first: bool) -> None:
        """Take the protocol number, which belongs at the very beginning."""
        if not first:
            self.reject("late-protocol", "A protocol opcode stands in the middle of the pickle.")
        if version > NEWEST_PROTOCOL:
            raise Malformed("unknown-protocol", f"The pickle has protocol {version}; the newest is {NEWEST_PROTOCOL}.")
        self.protocol = version

    def on_frame(self, argument: Argument) -> None:
        """Check that frames follow each other: readers disagree about overlapping ones, and attacks live on that."""
        position = self.stream.tell()
        if position < self.frame_end:
            self.reject("overlapping-frames", "A frame begins inside another frame.")
        self.frame_end = position + cast(int, argument)
        if self.frame_end > self.stream.raw.size:  # type: ignore[attr-defined]
            raise Malformed("no-stop", "A frame is longer than the pickle.")

    # -- stack and memo

    def on_mark(self, _: Argument) -> None:
        """Set a mark."""
        if len(self.outer) >= DEEPEST_MARK:
            raise Unreadable("too-deep", f"The pickle has more than {DEEPEST_MARK:,} open marks.")
        self.outer.append(self.stack)
        self.stack = []

    def on_pop(self, _: Argument) -> None:
        """Drop the top of the stack, or the mark when nothing is above it."""
        if self.stack:
            self.stack.pop()
        else:
            self.pop_mark()

    def on_stop(self, _: Argument) -> None:
        """Take the result."""
        self.last = self.pop()

    def on_put(self, argument: Argument) -> None:
        """Remember the top of the stack under an index."""
        index = cast(int, argument)
        if not 0 <= index <= LARGEST_INDEX:
            raise Malformed("bad-argument", f"The pickle has a memo index of {index:,}.")
        self.memo[index] = self.top()

    def on_memoize(self, _: Argument) -> None:
        """Remember the top of the stack under the next index."""
        self.memo[len(self.memo)] = self.top()

    def on_get(self, argument: Argument) -> None:
        """Push what was remembered."""
        index = cast(int, argument)
        if index not in self.memo:
            raise Malformed("no-memo", f"The pickle asks for memo {index}, which it has not set.")
        self.push_again(self.memo[index])

    def push_again(self, value: Value) -> None:
        """Push a value that was there before."""
        if isinstance(value, Name) and doors.is_door(value):
            self.unexplained[value.key] += 1
        self.stack.append(value)

    # -- containers

    def on_tuple(self, count: int | None) -> None:
        """Push a tuple of the last `count` values, or of all above the mark."""
        if count is None:
            marked = tuple(self.pop_mark())  # which changes what the stack is
            self.stack.append(marked)
            return
        if len(self.stack) < count:
            raise Malformed("empty-stack", "The pickle takes more from its stack than it has put there.")
        self.stack[-count:] = [tuple(self.stack[-count:])]

    def on_list(self, _: Argument) -> None:
        """Push a list or a frozen set of everything above the mark."""
        items = self.pop_mark()
        self.stack.append(Bag())
        self.add(items)

    def on_dict(self, _: Argument) -> None:
        """Push a dictionary of everything above the mark."""
        items = self.pop_mark()
        self.stack.append(Map())
        self.put(items)

    def on_append(self, _: Argument) -> None:
        """Add one value to the container below it."""
        self.add([self.pop()])

    def on_appends(self, _: Argument) -> None:
        """Add everything above the mark to the container below it."""
        self.add(self.pop_mark())

    def on_setitem(self, _: Argument) -> None:
        """Set one pair in the container below it."""
        value = self.pop()
        self.put([self.pop(), value])

    def on_setitems(self, _: Argument) -> None:
        """Set the pairs above the mark in the container below it."""
        self.put(self.pop_mark())

    def add(self, values: list[Value]) -> None:
        """Add values to the top of the stack."""
        target = self.top()
        if isinstance(target, Bag):
            target.add(values)
        elif not isinstance(target, Made):
            self.refuse_target(target, "adds to")

    def put(self, items: list[Value]) -> None:
        """Set pairs in the top of the stack."""
        if len(items) % 2:
            raise Malformed("odd-pairs", "The pickle sets a key without a value.")
        target = self.top()
        if isinstance(target, Map):
            for key, value in zip(items[::2], items[1::2], strict=True):
                target.put(key, value)
        elif not isinstance(target, Made):
            self.refuse_target(target, "sets items of")

    def refuse_target(self, target: Value, says: str) -> None:
        """Refuse a change of something that is not the pickle's own."""
        if isinstance(target, Name):
            self.reject("global-changed", f"The pickle {says} {target}, which is not its own.")
        else:
            raise Malformed("bad-target", f"The pickle {says} a value that cannot take it.")

    # -- globals, calls and state

    def on_global(self, argument: Argument) -> None:
        """Push the global named in the opcode."""
        self.stack.append(self.find(*cast(tuple[str, str], argument)))

    def on_stack_global(self, _: Argument) -> None:
        """Push the global named by the two texts on the stack."""
        name, module = self.pop(), self.pop()
        if isinstance(name, str) and isinstance(module, str):
            self.stack.append(self.find(module, name))
            return
        if isinstance(name, LongText) or isinstance(module, LongText):
            self.reject("odd-name", "The pickle names a global with more than 65,536 characters.")
        else:
            self.reject("computed-name", "The pickle computes the name of a global instead of writing it.")
        self.stack.append(Name("?", "?", Kind.UNKNOWN))

    def on_extension(self, argument: Argument) -> None:
        """Refuse a global by registry number: what it names depends on the machine that loads it."""
        self.reject("extension", f"The pickle names a global by its extension number {argument}.")
        self.stack.append(Name("?", "?", Kind.UNKNOWN))

    def find(self, module: str, name: str) -> Name:
        """Return the global as this protocol would import it, judged once."""
        found = self.names.get((module, name))
        if found is None:
            real = rename(module, name) if self.protocol < 3 else (module, name)
            found = Name(*real, self.scene.allowlist.judge(*real))
            # A name that is dangerous in either Python is so here: what loads the file may map names or not.
            if Kind.DANGEROUS in {self.scene.allowlist.judge(*key) for key in ((module, name), rename(module, name))}:
                found.kind = Kind.DANGEROUS
            elif self.scene.allowlist.rests_on_allowance(*real):
                self.scene.used[real] = found.kind
            elif found.kind is not Kind.UNKNOWN:
                self.scene.explained.add((module, name))
            self.names[module, name] = found
            if not doors.is_door(found):
                self.judge(found)
        if doors.is_door(found):
            self.unexplained[found.key] += 1
        return found

    def judge(self, found: Name) -> None:
        """Note a global that may not even be mentioned."""
        shown = f"{found.module[:120]}.{found.name[:120]}"
        if found.kind is Kind.DANGEROUS:
            self.reject("dangerous-global", f"It names {shown}, which can run code, read files or reach the network.")
        elif found.kind is not Kind.UNKNOWN:
            return
        elif not (IDENTIFIERS.fullmatch(found.module) and IDENTIFIERS.fullmatch(found.name)):
            self.reject("odd-name", f"It names {shown!r}, which is no name that Python writes.")
        elif "." in found.name:
            self.reject("dotted-name", f"It reaches through {found.module} by the dotted name {found.name[:120]}.")
        elif is_dunder(found.name):
            self.reject("hidden-name", f"It names {shown}, one of Python's own hooks.")
        else:
            self.hold("unknown-global", f"It names {shown}, which is not on the allow-list.")
            self.scene.want(*found.key, Kind.REF)

    def on_inst(self, argument: Argument) -> None:
        """Push an instance of the class named in the opcode, made from everything above the mark."""
        args = tuple(self.pop_mark())
        self.stack.append(calls.instantiate(self, self.find(*cast(tuple[str, str], argument)), args))

    def on_obj(self, _: Argument) -> None:
        """Push an instance of the class that stands first above the mark."""
        items = self.pop_mark()
        if not items:
            raise Malformed("empty-stack", "The pickle makes an instance of nothing.")
        self.stack.append(calls.instantiate(self, items[0], tuple(items[1:])))

    def on_newobj(self, _: Argument) -> None:
        """Push an empty instance: cls.__new__(cls, *args)."""
        args, cls = self.pop(), self.pop()
        self.stack.append(calls.make_empty(self, cls, args))

    def on_newobj_ex(self, _: Argument) -> None:
        """Push an empty instance: cls.__new__(cls, *args, **kwargs)."""
        kwargs, args, cls = self.pop(), self.pop(), self.pop()
        self.stack.append(calls.make_empty(self, cls, (args, kwargs)))

    def on_reduce(self, _: Argument) -> None:
        """Push the result of a call."""
        args, callee = self.pop(), self.pop()
        self.stack.append(calls.call(self, callee, args))

    def on_build(self, _: Argument) -> None:
        """Give the top of the stack its state."""
        state = self.pop()
        if not isinstance(target := self.top(), Made):
            self.refuse_target(target, "sets the state of")
            return
        calls.judge_state(self, state)
        target.state |= state.named if isinstance(state, Map) else {}
        calls.apply_state(self, target, state)
        if self.follow_arrays and arrays.is_wrapper(target):
            self.stack[-1] = arrays.read_array(self, target, state)

    def on_persistent(self, argument: Argument) -> None:
        """Push what a loader would give for a persistent id."""
        pid: Value = cast(str, argument) if argument is not None else self.pop()
        if self.persistent is None:
            self.hold("persistent-id", "It refers to objects outside the pickle, which only a special loader gives.")
            self.stack.append(Made(None))
        else:
            self.stack.append(self.persistent(self, pid))

    def on_buffer(self, _: Argument) -> None:
        """Stop at data that is kept outside the file."""
        raise Malformed("outside-data", "The pickle needs buffers that are kept outside the file.")


HANDLERS: dict[str, Callable[[Machine, Argument], None]] = {
    "FRAME": Machine.on_frame,
    "MARK": Machine.on_mark,
    "POP": Machine.on_pop,
    "POP_MARK": lambda machine, _: (machine.pop_mark(), None)[1],
    "DUP": lambda machine, _: machine.push_again(machine.top()),
    "STOP": Machine.on_stop,
    "PUT": Machine.on_put,
    "BINPUT": Machine.on_put,
    "LONG_BINPUT": Machine.on_put,
    "MEMOIZE": Machine.on_memoize,
    "GET": Machine.on_get,
    "BINGET": Machine.on_get,
    "LONG_BINGET": Machine.on_get,
    "TUPLE": lambda machine, _: machine.on_tuple(None),
    "TUPLE1": lambda machine, _: machine.on_tuple(1),
    "TUPLE2": lambda machine, _: machine.on_tuple(2),
    "TUPLE3": lambda machine, _: machine.on_tuple(3),
    "LIST": Machine.on_list,
    "FROZENSET": Machine.on_list,
    "DICT": Machine.on_dict,
    "APPEND": Machine.on_append,
    "APPENDS": Machine.on_appends,
    "ADDITEMS": Machine.on_appends,
    "SETITEM": Machine.on_setitem,
    "SETITEMS": Machine.on_setitems,
    "GLOBAL": Machine.on_global,
    "STACK_GLOBAL": Machine.on_stack_global,
    "EXT1": Machine.on_extension,
    "EXT2": Machine.on_extension,
    "EXT4": Machine.on_extension,
    "INST": Machine.on_inst,
    "OBJ": Machine.on_obj,
    "NEWOBJ": Machine.on_newobj,
    "NEWOBJ_EX": Machine.on_newobj_ex,
    "REDUCE": Machine.on_reduce,
    "BUILD": Machine.on_build,
    "PERSID": Machine.on_persistent,
    "BINPERSID": Machine.on_persistent,
    "NEXT_BUFFER": Machine.on_buffer,
    "READONLY_BUFFER": Machine.on_buffer,
}
