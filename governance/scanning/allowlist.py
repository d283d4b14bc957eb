"""Which names a pickle may mention, and in which way. The names themselves are data: allowlist.json, pinned by digest.

Names match exactly. What the file does not list is unknown, and unknown is held, never passed. A caller can add single
names for one scan (allowances); they never make a dangerous name harmless.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import lru_cache
from pathlib import Path

# Modules that others import, so that `numpy.os` is a way to `os`.
SMUGGLED = frozenset({"builtins", "importlib", "nt", "os", "posix", "shutil", "socket", "subprocess", "sys"})
SHIPPED = Path(__file__).with_name("allowlist.json")
IDENTIFIERS = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", re.ASCII)
LONGEST_NAME = 300


class Kind(StrEnum):
    """How a name may be used; each of the first three includes what the following ones allow."""

    CALL = "call"  # may be called with literals, containers and results
    CLASS = "class"  # may be made empty and then given its state
    CONSTANT = "constant"  # may be handed to a call: array types, dtypes, storages
    REF = "ref"  # may be mentioned in a state, not handed to a call
    DANGEROUS = "dangerous"  # runs code, reads files or reaches the network
    UNKNOWN = "unknown"


# From the least a pickle can do with a name to the most.
RISING = (Kind.REF, Kind.CONSTANT, Kind.CLASS, Kind.CALL)


@dataclass(frozen=True)
class NamedGlobal:
    """One global and what a pickle does, or may do, with it: ref, class or call."""

    module: str
    name: str
    use: Kind

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(frozen=True)
class AllowList:
    """The names of one version of the list, by module and name, with the digest of the file they came from.

    `allowances` are names that one scan may count on besides; the digest does not cover them.
    """

    version: str
    digest: str
    kinds: Mapping[tuple[str, str], Kind]
    dangerous_modules: frozenset[str]
    allowances: Mapping[tuple[str, str], Kind] = field(default_factory=dict)

    def judge(self, module: str, name: str) -> Kind:
        """Return how `module.name` may be used; of the list and an allowance, what allows more counts."""
        listed = self.judge_listed(module, name)
        return self.allowances[module, name] if self.rests_on_allowance(module, name) else listed

    def rests_on_allowance(self, module: str, name: str) -> bool:
        """Return whether only an allowance lets a global be used as `judge` says."""
        allowed = self.allowances.get((module, name))
        listed = self.judge_listed(module, name) if allowed else Kind.DANGEROUS
        if allowed is None or listed is Kind.DANGEROUS:
            return False
        return listed is Kind.UNKNOWN or RISING.index(allowed) > RISING.index(listed)

    def counting_on(self, allowed: Iterable[NamedGlobal]) -> AllowList:
        """Return this list with allowances; what nobody may allow is left out, and the widest use of a name counts."""
        found: dict[tuple[str, str], Kind] = {}
        for each in allowed:
            key = (each.module, each.name)
            if self.explain_refusal(*key) is None and each.use in RISING:
                found[key] = max(each.use, found.get(key, Kind.REF), key=RISING.index)
        return replace(self, allowances=found)

    def explain_refusal(self, module: str, name: str) -> str | None:
        """Return why nobody may allow a global, or None when a person may."""
        whole = f"{module}.{name}"
        if max(len(module), len(name)) > LONGEST_NAME or not IDENTIFIERS.fullmatch(whole):
            return "It is not a module and a name as Python writes them; patterns are not allowed."
        if "." in name:
            return "The name reaches through an object with a dot; only a name that stands in a module can be allowed."
        if any(part.startswith("__") and part.endswith("__") for part in whole.split(".")):
            return "Names with two underscores at both ends are Python's own, or mean whatever program loads the file."
        if self.judge_listed(module, name) is Kind.DANGEROUS:
            return f"The allow-list {self.version} calls {whole} dangerous: it can run code, read files or reach out."
        return None

    def judge_listed(self, module: str, name: str) -> Kind:
        """Return what the list alone says; an exact entry wins over its module's general one."""
        exact = self.kinds.get((module, name))
        if exact is not None:
            return exact
        parts = module.split(".")
        if SMUGGLED.intersection(parts):
            return Kind.DANGEROUS
        prefixes = (".".join(parts[: end + 1]) for end in range(len(parts)))
        if any(prefix in self.dangerous_modules for prefix in prefixes):
            return Kind.DANGEROUS
        if any(self.kinds.get((module, part)) is Kind.DANGEROUS for part in name.split(".")):
            return Kind.DANGEROUS
        return Kind.UNKNOWN


@lru_cache(maxsize=4)
def read_allowlist(path: Path = SHIPPED) -> AllowList:
    """Return the list in a JSON file: for each kind, names separated by spaces under their module; `*` is a module."""
    raw = path.read_bytes()
    data = json.loads(raw)
    kinds: dict[tuple[str, str], Kind] = {}
    modules = set()
    for kind in (Kind.DANGEROUS, Kind.REF, Kind.CONSTANT, Kind.CLASS, Kind.CALL):
        for module, names in data[kind.value].items():
            for name in names.split():
                if name == "*":
                    modules.add(module)
                else:
                    kinds[module, name] = kind
    return AllowList(str(data["version"]), hashlib.sha256(raw).hexdigest(), kinds, frozenset(modules))
