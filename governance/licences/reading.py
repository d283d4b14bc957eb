"""Fills the licence table from licences.json and from the index of license-expression.

SPDX identifiers are classed by our patterns first and by the index's category otherwise. A category without a class
means that nobody here has read the licence: it stays unknown.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from license_expression import get_license_index

from governance.licences.table import Licence, LicenceClass, Table, Use, fold

FILE = Path(__file__).parent / "licences.json"
SPDX_PAGE = "https://spdx.org/licenses/{}.html"
SCANCODE_PAGE = "https://scancode-licensedb.aboutcode.org/{}.html"


@cache
def read_table() -> Table:
    """Return the table, read once. Raises ValueError when the data file contradicts itself."""
    body = FILE.read_bytes()
    return build(json.loads(body), get_license_index(), hashlib.sha256(body).hexdigest())


def release() -> str:
    """Return which table answers: the data file's version with its digest, and the version of the SPDX list's bringer.

    It changes whenever an answer could.
    """
    table = read_table()
    return f"table {table.version} ({table.digest[:12]}), license-expression {version('license-expression')}"


def build(data: Mapping[str, Any], index: Iterable[Mapping[str, Any]], digest: str) -> Table:
    """Return the table that a data file and an SPDX index amount to. Raises ValueError naming what does not fit."""
    uses = {
        key: Use(key, row["title"], row["means"], tuple(row["names"]), tuple(row["mentions"]))
        for key, row in data["uses"].items()
    }
    classes = {
        key: LicenceClass(key, row["title"], row["means"], tuple(row["forbids"]), tuple(row["conditions"]))
        for key, row in data["classes"].items()
    }
    licences: dict[str, Licence] = {}
    own: dict[str, str] = {}
    for key, row in data["licences"].items():
        licences[key] = licence(key, row, classes, data["ordinary"])
        expect(set(licences[key].forbids) <= uses.keys(), f"{key} forbids a use that is not in the vocabulary")
        claim(own, [key, *row["aliases"]], key)
    spdx, exceptions = add_spdx(data, index, classes, licences)
    for key, spellings in data["spellings"].items():
        expect(key in licences, f"spellings of {key}, which SPDX does not know")
        claim(spdx, spellings, key)
    return Table(
        version=data["version"],
        digest=digest,
        uses=uses,
        classes=classes,
        licences=licences,
        own=own,
        spdx=spdx,
        unknown={fold(name): words for name, words in data["unknown"].items()},
        exceptions=exceptions,
    )


def licence(key: str, row: Mapping[str, Any], classes: Mapping[str, LicenceClass], ordinary: list[str]) -> Licence:
    """Return one licence with what its classes forbid and ask for."""
    expect(set(row["classes"]) <= classes.keys(), f"{key} is of a class that is not there")
    mine = [classes[name] for name in row["classes"]]
    forbids = unique([*row.get("forbids", []), *(use for each in mine for use in each.forbids)])
    return Licence(
        key=key,
        title=row["title"],
        source=row["source"],
        classes=tuple(row["classes"]),
        allows=tuple(use for use in ordinary if use not in forbids),
        forbids=forbids,
        conditions=unique([*row.get("conditions", []), *(says for each in mine for says in each.conditions)]),
    )


def add_spdx(
    data: Mapping[str, Any],
    index: Iterable[Mapping[str, Any]],
    classes: Mapping[str, LicenceClass],
    licences: dict[str, Licence],
) -> tuple[dict[str, str], frozenset[str]]:
    """Add the licences of the SPDX index that can be classed. Returns their names, and the names of exceptions."""
    names: dict[str, str] = {}
    exceptions: set[str] = set()
    for row in index:
        key = row.get("spdx_license_key") or ""
        spellings = [each for each in (key, *row.get("other_spdx_license_keys", []), row["license_key"]) if each]
        if row.get("is_exception"):
            # What SPDX has not taken up, such as the Commons Clause, may take rights away instead of adding some.
            exceptions.update(map(fold, spellings if key and "LicenseRef" not in key else ()))
            continue
        key = key or row["license_key"]
        found = classes_of(key, row["category"], data)
        if key not in licences and found:
            page = SCANCODE_PAGE.format(row["license_key"]) if "LicenseRef" in key else SPDX_PAGE.format(key)
            licences[key] = licence(key, {"title": key, "source": page, "classes": found}, classes, data["ordinary"])
        if key in licences:
            for name in spellings:
                names.setdefault(fold(name), key)
    return names, frozenset(exceptions)


def classes_of(key: str, category: str, data: Mapping[str, Any]) -> list[str]:
    """Return the classes of an SPDX licence: those of the first pattern that fits, or its category's."""
    for pattern, found in data["patterns"].items():
        if fnmatchcase(key, pattern):
            return list(found)
    return [data["categories"][category]] if category in data["categories"] else []


def claim(names: dict[str, str], spellings: Iterable[str], key: str) -> None:
    """Let names mean a licence. Raises ValueError when one means another licence already."""
    for name in spellings:
        taken = names.setdefault(fold(name), key)
        expect(taken == key, f"the name {name!r} means both {taken} and {key}")


def unique(words: Iterable[str]) -> tuple[str, ...]:
    """Return words without repetitions, in their order."""
    return tuple(dict.fromkeys(words))


def expect(fits: bool, otherwise: str) -> None:
    """Raise ValueError unless the data file fits together."""
    if not fits:
        raise ValueError(f"licences.json: {otherwise}.")
