"""Gives all records of one vulnerability one name: a CVE id where there is one, else a GHSA id, else its smallest."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable

from governance.advisories.osv import MAX_LINKS
from governance.models.advisories import Advisory

# Aliases are transitive. Beyond this many names the chain is an error of some database, and would merge strangers.
MAX_GROUP = 32
_CVE = re.compile(r"CVE-\d{4}-\d{4,}")
_CHUNK = 2_000


def name_group(ids: Iterable[str]) -> str:
    """Return the name for a vulnerability that is known under some ids."""
    ranked = ((0 if _CVE.fullmatch(each) else 1 if each.startswith("GHSA-") else 2, each) for each in ids)
    return min(ranked)[1]


def regroup() -> set[str]:
    """Bring every advisory's group up to date, and return the groups that lost or gained one.

    Names are computed from all records that are not withdrawn, so that they do not depend on the order of imports.
    """
    names = _name_all()
    moved: dict[str, str] = {}
    changed: set[str] = set()
    stored = Advisory.objects.values_list("id", "group", "aliases")
    for identifier, group, aliases in stored.iterator(chunk_size=_CHUNK):
        name = names.get(identifier) or name_group([identifier, *aliases])
        if name != group:
            moved[identifier] = name
            changed |= {name, group}
    rows = [Advisory(id=identifier, group=name) for identifier, name in moved.items()]
    Advisory.objects.bulk_update(rows, ["group"], batch_size=_CHUNK)
    return changed


def _name_all() -> dict[str, str]:
    """Return the group of every id that a record links with another one."""
    parents: dict[str, str] = {}
    rows = Advisory.objects.filter(withdrawn=None).exclude(aliases=[]).values_list("id", "aliases")
    for identifier, aliases in rows.iterator(chunk_size=_CHUNK):
        for alias in aliases if len(aliases) <= MAX_LINKS else ():
            parents[_root(parents, identifier)] = _root(parents, alias)
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for identifier in list(parents):
        groups[_root(parents, identifier)].append(identifier)
    return {
        identifier: name
        for members in groups.values()
        if len(members) <= MAX_GROUP
        for name in [name_group(members)]
        for identifier in members
    }


def _root(parents: dict[str, str], identifier: str) -> str:
    """Return the id that stands for a chain of aliases, shortening the chain on the way."""
    parents.setdefault(identifier, identifier)
    while parents[identifier] != identifier:
        parents[identifier] = parents[parents[identifier]]
        identifier = parents[identifier]
    return identifier
