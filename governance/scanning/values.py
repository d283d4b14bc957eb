"""The symbolic values on a pickle's stack: what an object is made by and from, never the object itself."""

from __future__ import annotations

from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from governance.scanning.allowlist import Kind
from governance.scanning.opcodes import Literal

KEPT = 1 << 16
NAMED = 64


@dataclass(slots=True, eq=False)
class Name:
    """A global: module and name as the unpickler would import them, and how it may be used."""

    module: str
    name: str
    kind: Kind

    @property
    def key(self) -> tuple[str, str]:
        """Return module and name."""
        return self.module, self.name

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(slots=True, eq=False)
class Made:
    """The result of a call, or an instance; `state` collects what BUILD gave it by name."""

    maker: Name | None
    args: Value = ()
    state: dict[str, Value] = field(default_factory=dict)
    size: int | None = None
    objects: bool | None = None

    def made_by(self, *keys: tuple[str, str]) -> bool:
        """Return whether one of these globals made it."""
        return self.maker is not None and self.maker.key in keys


@dataclass(slots=True, eq=False)
class Bag:
    """A list or set. Past a limit plain literals are counted but not kept."""

    items: list[Value] = field(default_factory=list)
    count: int = 0

    def add(self, values: list[Value]) -> None:
        """Add values at the end."""
        self.count += len(values)
        if self.count <= KEPT:
            self.items += values
        else:
            self.items += [value for value in values if not isinstance(value, Literal)]

    @property
    def whole(self) -> bool:
        """Return whether every item was kept."""
        return self.count == len(self.items)


@dataclass(slots=True, eq=False)
class Map:
    """A dictionary. The first text keys are kept by name; of the rest only what is more than a literal.

    `computed` says that a key is neither written out nor a tuple of what is.
    """

    named: dict[str, Value] = field(default_factory=dict)
    others: list[Value] = field(default_factory=list)
    hidden: set[str] = field(default_factory=set)
    crowded: bool = False
    computed: bool = False

    def put(self, key: Value, value: Value) -> None:
        """Set one pair."""
        if isinstance(key, str):
            if is_dunder(key):
                self.hidden.add(key)
            if key in self.named or len(self.named) < NAMED:
                self.named[key] = value
                return
        self.crowded = True
        self.computed = self.computed or isinstance(key, Made)
        self.others += [part for part in (key, value) if not isinstance(part, Literal)]


Value: TypeAlias = "Literal | Name | Made | Bag | Map | tuple[Value, ...]"


def rename(module: str, name: str) -> tuple[str, str]:
    """Return the Python 3 name of a global in a pickle of protocol 2 or older (Lib/_compat_pickle.py)."""
    if (module, name) in NAME_MAPPING:
        return NAME_MAPPING[module, name]
    return IMPORT_MAPPING.get(module, module), name


def is_dunder(name: str) -> bool:
    """Return whether a name has two underscores at both ends, as Python's own hooks have."""
    return len(name) > 4 and name.startswith("__") and name.endswith("__")


def mentioned(value: Value, count: Callable[[int], None]) -> Iterator[Name]:
    """Yield every global inside a value's containers, each container once; `count` is told of each step."""
    waiting: list[Value] = [value]
    seen: set[int] = set()
    while waiting:
        current = waiting.pop()
        if isinstance(current, Name):
            yield current
        elif isinstance(current, tuple | Bag | Map) and id(current) not in seen:
            seen.add(id(current))
            parts = _parts(current)
            count(1 + len(parts) // 16)
            waiting += [part for part in parts if not isinstance(part, Literal)]


def _parts(value: tuple[Value, ...] | Bag | Map) -> list[Value]:
    """Return what a container holds."""
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, Bag):
        return value.items
    return [*value.named.values(), *value.others]
