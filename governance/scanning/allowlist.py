"""Which names a pickle may mention, and in which way. The names themselves are data: allowlist.json, pinned by digest.

Names match exactly. What the file does not list is unknown, and unknown is held, never passed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from pathlib import Path

# Modules that others import, so that `numpy.os` is a way to `os`.
SMUGGLED = frozenset({"builtins", "importlib", "nt", "os", "posix", "shutil", "socket", "subprocess", "sys"})
SHIPPED = Path(__file__).with_name("allowlist.json")


class Kind(StrEnum):
    """How a name may be used; each of the first three includes what the following ones allow."""

    CALL = "call"  # may be called with literals, containers and results
    CLASS = "class"  # may be made empty and then given its state
    CONSTANT = "constant"  # may be handed to a call: array types, dtypes, storages
    REF = "ref"  # may be mentioned in a state, not handed to a call
    DANGEROUS = "dangerous"  # runs code, reads files or reaches the network
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class AllowList:
    """The names of one version of the list, by module and name, with the digest of the file they came from."""

    version: str
    digest: str
    kinds: Mapping[tuple[str, str], Kind]
    dangerous_modules: frozenset[str]

    def judge(self, module: str, name: str) -> Kind:
        """Return how `module.name` may be used; an exact entry wins over its module's general one."""
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
