"""The licence table: uses, classes, and what each licence allows, forbids and asks for. `reading` fills it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

REF, SCANCODE = "licenseref-", "scancode-"


@dataclass(frozen=True)
class Use:
    """One word of the vocabulary. `names` are whole phrases that mean it, `mentions` phrases that mean it in prose."""

    key: str
    title: str
    means: str
    names: tuple[str, ...]
    mentions: tuple[str, ...]


@dataclass(frozen=True)
class LicenceClass:
    """What licences of one sort have in common."""

    key: str
    title: str
    means: str
    forbids: tuple[str, ...]
    conditions: tuple[str, ...]


@dataclass(frozen=True)
class Licence:
    """One licence: uses it allows and forbids in words of the vocabulary, and conditions in sentences."""

    key: str
    title: str
    source: str
    classes: tuple[str, ...]
    allows: tuple[str, ...]
    forbids: tuple[str, ...]
    conditions: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """The whole table. `own` finds licences of the table by their names, `spdx` those of SPDX, both folded.

    `exceptions` are SPDX's, which only ever add to what a licence allows.
    """

    version: str
    digest: str
    uses: Mapping[str, Use]
    classes: Mapping[str, LicenceClass]
    licences: Mapping[str, Licence]
    own: Mapping[str, str]
    spdx: Mapping[str, str]
    unknown: Mapping[str, str]
    exceptions: frozenset[str]

    def find(self, name: str) -> Licence | None:
        """Return the licence that a name means, or None when nobody here knows it.

        `LicenseRef-` may stand before a name of the table; it never makes an SPDX licence of somebody's own text.
        """
        folded = fold(name)
        if folded.startswith(REF):
            bare = folded.removeprefix(REF).removeprefix(SCANCODE)
            key = self.spdx.get(folded) or self.own.get(bare)
        else:
            key = self.own.get(folded) or self.spdx.get(folded) or self.spdx.get(folded.removesuffix("+"))
        return self.licences[key] if key else None

    def why_unknown(self, name: str) -> str:
        """Return why a name says nothing about what is allowed."""
        return self.unknown.get(fold(name)) or f"Neither SPDX nor the licence table knows “{name[:120]}”."

    def is_exception(self, name: str) -> bool:
        """Return whether SPDX knows an exception by a name."""
        return fold(name) in self.exceptions


@dataclass(frozen=True)
class Denied:
    """What a policy never allows: licences by key, whole classes, and names that only have to be the same."""

    keys: frozenset[str] = frozenset()
    classes: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()

    def covers(self, name: str, found: Licence | None) -> bool:
        """Return whether a licence, found or not, is denied."""
        if found is not None and (found.key in self.keys or self.classes & set(found.classes)):
            return True
        return fold(name) in self.names


def fold(name: str) -> str:
    """Return a name as it is compared: lower case, blanks and underscores as hyphens, without a classifier's path."""
    return re.sub(r"[\s_]+", "-", name.rpartition(" :: ")[2].strip().casefold())


def deny(names: Iterable[str], table: Table) -> Denied:
    """Return what a policy's list of denied names covers.

    A name without `-only` or `-or-later`, such as AGPL-3.0, covers both.
    """
    keys, classes, plain = set(), set(), set()
    for name in names:
        folded, found = fold(name), table.find(name)
        plain.add(folded)
        if folded in table.classes:
            classes.add(folded)
        elif found is not None:
            keys.add(found.key)
            if found.key.endswith("-only") and not folded.endswith("-only"):
                keys.add(found.key.removesuffix("-only") + "-or-later")
    return Denied(frozenset(keys), frozenset(classes), frozenset(plain))


def is_deniable(name: str, table: Table) -> bool:
    """Return whether denying a name can ever cover anything: a misspelt one would deny nothing, silently."""
    return fold(name).startswith(REF) or fold(name) in table.classes or table.find(name) is not None
