"""What the governing policies say about hygiene, for each kind of asset, and since when they say it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from governance.models import Policy
from registry.models.assets import AssetKind

# When a policy does not say on which days before a move people are warned.
WARN_DAYS = (30, 7, 1)
DATED = ("stale_days", "unowned_grace_days", "vulnerable_grace_days")


@dataclass(frozen=True)
class Rules:
    """The hygiene of one policy, for the kinds of assets that it governs. A key that is not there asks for nothing."""

    kinds: tuple[str, ...]
    policy: str = ""
    content: Mapping[str, Any] = field(default_factory=dict)
    since: Mapping[str, datetime] = field(default_factory=dict)

    def days(self, key: str) -> timedelta | None:
        """Return how long a rule waits, or None when the policy does not have it."""
        return timedelta(days=self.content[key]) if key in self.content else None

    @property
    def warn_days(self) -> tuple[int, ...]:
        """Return on which days before a move people are warned, the earliest warning first."""
        return tuple(sorted(set(self.content.get("warn_days", WARN_DAYS)), reverse=True))

    @property
    def notice(self) -> timedelta:
        """Return how long before a move the first warning is; an unowned version may still serve as long."""
        return timedelta(days=max(self.warn_days, default=max(WARN_DAYS)))

    def first(self, key: str) -> datetime:
        """Return the first instant at which a rule may move anything: a new rule is announced like every move."""
        return self.since[key] + self.notice


def governing() -> list[Rules]:
    """Return the rules that are in force now, those of each governing policy once, in one query."""
    shelves: defaultdict[str, list[Policy]] = defaultdict(list)
    for row in Policy.objects.defer("text").order_by("name", "-number"):
        shelves[row.name].append(row)
    kinds: defaultdict[tuple[str, int], list[str]] = defaultdict(list)
    for kind in AssetKind.values:
        chosen = choose(shelves, kind)
        kinds[(chosen.name, chosen.number) if chosen else ("", 0)].append(kind)
    return [read(shelves[name], number, tuple(found)) for (name, number), found in kinds.items()]


def choose(shelves: Mapping[str, Sequence[Policy]], kind: str) -> Policy | None:
    """Return the policy that governs a kind, as `policy.governing` chooses it."""
    newest = (
        next((row for row in shelf if kind in row.content["applies_to"]["kinds"]), None) for shelf in shelves.values()
    )
    return max((row for row in newest if row is not None), key=lambda row: row.published_at, default=None)


def read(shelf: Sequence[Policy], number: int, kinds: tuple[str, ...]) -> Rules:
    """Return the rules of one version of a policy; of none when nothing governs the kinds."""
    older = [row for row in shelf if row.number <= number]
    if not older:
        return Rules(kinds)
    content = older[0].content.get("hygiene", {})
    return Rules(kinds, str(older[0]), content, {key: said_since(older, key) for key in DATED if key in content})


def said_since(shelf: Sequence[Policy], key: str) -> datetime:
    """Return since when a policy has said the same about a rule without a break; `shelf` is newest first."""
    words = shelf[0].content["hygiene"][key]
    since = shelf[0].published_at
    for row in shelf[1:]:
        if row.content.get("hygiene", {}).get(key) != words:
            break
        since = row.published_at
    return since


def horizon() -> timedelta:
    """Return how far ahead the clock has to look, so that no warning comes late."""
    return max(rules.notice for rules in governing())
