"""The elements of an SPDX 3 document by their ids, and how they hang together. What they mean is said in `spdx3`.

Source: https://spdx.github.io/spdx-spec/v3.0.1/ (Core, Software, SimpleLicensing, ExpandedLicensing).
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from typing import Any

from registry.readers import fields
from registry.readers.documents import fail, picture
from registry.readers.licences import spdx_expression
from registry.readers.parts import MAX_EXPRESSION, ML_MODEL, add_hash

VERSIONS = ("3.0.0", "3.0.1")
# The packages that become parts, and the type that other formats give such a thing.
PACKAGES = {"software_Package": "package", "ai_AIPackage": ML_MODEL, "dataset_DatasetPackage": "data"}
FILE = "software_File"
COLLECTIONS = frozenset({"SpdxDocument", "Bom", "Bundle", "software_Sbom"})
BELOW = frozenset(
    {"contains", "dependsOn", "hasStaticLink", "hasDynamicLink", "hasPrerequisite", "hasDistributionArtifact"}
    | {"hasOptionalComponent", "hasOptionalDependency", "hasProvidedDependency"}
)
INSIDE = frozenset({"contains", "hasDistributionArtifact"})
LICENCES = ("hasConcludedLicense", "hasDeclaredLicense")

_LISTED = re.compile(r"https?://spdx\.org/licenses/([A-Za-z0-9.+-]{1,100})")
_UNSAID = re.compile(r"(?:.*[/:_])?(?:NoAssertion|None)(?:License|Element)?|NOASSERTION|NONE", re.DOTALL)

# One element as JSON with its path in the document.
Found = tuple[str, dict[str, Any]]


class Graph:
    """One document. Loops among its elements end, and an element that it names and does not hold is counted."""

    def __init__(self, document: dict[str, Any]) -> None:
        everything = list(_elements(document))
        self.elements = _by_id(everything)
        self.creations = [creation for each in everything if (creation := _creation(*each))]
        self.below: dict[str, list[str]] = {}
        self.inside: dict[str, list[str]] = {}
        self.relations: dict[tuple[str, str], list[str]] = {}
        self.dangling: set[str] = set()
        self.unread_licences: set[str] = set()
        described: list[str] = []
        for place, element in everything:
            if element["type"].endswith("Relationship"):
                described += self._relate(place, element)
        self.roots = self._roots(described)

    def type_of(self, key: str) -> str:
        """Return the type of an element, "" when it is not in the document."""
        return str(self.elements[key][1]["type"]) if key in self.elements else ""

    def packages(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """Yield (id, path, package) for each package."""
        for key, (place, element) in self.elements.items():
            if element["type"] in PACKAGES:
                yield key, place, element

    def hashes(self, key: str) -> dict[str, str]:
        """Return the hashes of an element by algorithm. Two values for one algorithm are Invalid."""
        place, element = self.elements[key]
        found: dict[str, str] = {}
        for at, method in self.objects(element, "verifiedUsing", place):
            if method.get("type") == "Hash":
                algorithm = fields.text(method, "algorithm", at, limit=100, required=True).rpartition("/")[2].upper()
                digits = fields.text(method, "hashValue", at, limit=256, required=True)
                add_hash(found, algorithm, digits, f"{at}.hashValue")
        return found

    def objects(self, holder: dict[str, Any], key: str, at: str) -> list[Found]:
        """Return the objects of a member, each written in place or named by its id."""
        found: list[Found] = []
        for place, item in _items(holder, key, at):
            if isinstance(item, str):
                found += [self.elements[item]] if self._knows(item) else []
            else:
                found.append((place, fields.as_mapping(item, place)))
        return found

    def licences(self, key: str) -> tuple[str, ...]:
        """Return what was concluded and what was declared about an element, as expressions or names."""
        named = [self._licence(each) for kind in LICENCES for each in self.relations.get((key, kind), ())]
        return tuple(dict.fromkeys(filter(None, named)))

    def names(self, keys: list[str]) -> list[str]:
        """Return the names of elements, leaving out what has none."""
        named = [self.elements[key][1].get("name") for key in keys if key in self.elements]
        return [name[:200] for name in named if isinstance(name, str) and name]

    def _relate(self, place: str, relation: dict[str, Any]) -> list[str]:
        """Take in a relationship; return what it says a collection describes."""
        kind = fields.text(relation, "relationshipType", place, limit=100, required=True)
        left = (references(relation, "from", place) or [""])[0]
        rights = references(relation, "to", place)
        if kind == "describes":
            return rights if self.type_of(left) in COLLECTIONS else []
        if kind in BELOW:
            known = [key for key in rights if self._knows(key)]
            self.below.setdefault(left, []).extend(key for key in known if self.type_of(key) in PACKAGES)
            if kind in INSIDE:
                self.inside.setdefault(left, []).extend(key for key in known if self.type_of(key) == FILE)
        else:
            self.relations.setdefault((left, kind), []).extend(rights)
        return []

    def _roots(self, described: list[str]) -> list[str]:
        """Return the packages and files that the document is about, through its collections."""
        found: dict[str, None] = {}
        seen: set[str] = set()
        documents = [key for key in self.elements if self.type_of(key) == "SpdxDocument"]
        waiting = deque(documents or [key for key in self.elements if self.type_of(key) in COLLECTIONS])
        waiting.extend(described)
        while waiting:
            key = waiting.popleft()
            if key in seen or not self._knows(key):
                continue
            seen.add(key)
            place, element = self.elements[key]
            if element["type"] in COLLECTIONS:
                waiting.extend(references(element, "rootElement", place))
            elif element["type"] in PACKAGES or element["type"] == FILE:
                found[key] = None
        return list(found)

    def _knows(self, key: str) -> bool:
        """Say whether an id is an element of the document; one that is not is counted."""
        if key not in self.elements and not _UNSAID.fullmatch(key):
            self.dangling.add(key)
        return key in self.elements

    def _licence(self, key: str) -> str:
        """Return a licence by its id: the id of a listed one, or what its element says; "" when nothing is said."""
        if listed := _LISTED.fullmatch(key):
            return listed[1]
        if _UNSAID.fullmatch(key):
            return ""
        # Some tools write the expression where the id of an element should stand.
        if key not in self.elements and (expression := spdx_expression(key)):
            return expression
        if not self._knows(key):
            return ""
        place, element = self.elements[key]
        expression = fields.text(element, "simplelicensing_licenseExpression", place, limit=MAX_EXPRESSION).strip()
        named = expression or fields.text(element, "name", place, limit=MAX_EXPRESSION).strip()[:300]
        if not named:
            self.unread_licences.add(key)
        return "" if _UNSAID.fullmatch(named) else named


def references(holder: dict[str, Any], key: str, at: str) -> list[str]:
    """Return the ids in a member: one or a list, each as a text or as the element itself. Raises Invalid."""
    value = holder.get(key)
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return value
    found = []
    for place, item in _items(holder, key, at):
        name = item.get("spdxId", item.get("@id")) if isinstance(item, dict) else item
        if not isinstance(name, str):
            fail(place, picture(name), "the id of an element")
        found.append(name)
    return found


def _items(holder: dict[str, Any], key: str, at: str) -> list[tuple[str, Any]]:
    """Return what a member holds, each with its path: JSON-LD may leave the brackets of a list of one away."""
    value = holder.get(key)
    if not isinstance(value, list):
        return [] if value is None else [(fields.below(at, key), value)]
    path = fields.below(at, key)
    return [(fields.below(path, index), item) for index, item in enumerate(value)]


def _elements(document: dict[str, Any]) -> Iterator[Found]:
    """Yield (path, element) for each element of the graph, and for those written inside another one."""
    waiting = fields.mappings(document, "@graph", required=True)[::-1]
    while waiting:
        place, element = waiting.pop()
        fields.text(element, "type", place, limit=100, required=True)
        yield place, element
        for key, value in element.items():
            items = value if isinstance(value, list) else [value]
            if any(_is_element(item) for item in items):
                waiting += [(at, item) for at, item in _items(element, key, place) if _is_element(item)]


def _is_element(value: Any) -> bool:
    """Say whether a value is an element that is written in place."""
    return isinstance(value, dict) and "spdxId" in value


def _by_id(everything: list[Found]) -> dict[str, Found]:
    """Return the elements by their ids; a package needs one. Raises Invalid for an id that came before."""
    found: dict[str, Found] = {}
    for place, element in everything:
        name = "spdxId" if "spdxId" in element or element["type"] in PACKAGES else "@id"
        key = fields.text(element, name, place, limit=2000, required=element["type"] in PACKAGES)
        if key in found:
            fail(f"{place}.{name}", picture(key), "an id that no other element has")
        if key:
            found[key] = (place, element)
    return found


def _creation(place: str, element: dict[str, Any]) -> dict[str, Any]:
    """Return the creation info that an element is or holds in place, empty when it does neither."""
    if element["type"] == "CreationInfo":
        return element
    return fields.mapping(element, "creationInfo", place) if isinstance(element.get("creationInfo"), dict) else {}
