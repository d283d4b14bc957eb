"""Reads one OSV record (OSV schema 1.x). What a bad record lacks is named, and nothing half-read comes out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NoReturn

from governance.advisories.ecosystems import find_ecosystem, spell
from governance.advisories.ranges import BOUNDS
from governance.advisories.severity import Rating, rate
from governance.advisories.versions import MAX_LENGTH
from portal.errors import Fault, Invalid, show

MAX_ID = 100
MAX_NAME = 300
MAX_SUMMARY = 500
MAX_ALIASES = 1_000
# A record that names many others as aliases is a bundle, not a synonym; OSV draws the line here too.
MAX_LINKS = 5


@dataclass(frozen=True, slots=True)
class Affected:
    """One package that a record affects, under one spelling of its name; ranges hold comparable events only."""

    ecosystem: str
    purl_type: str
    purl_name: str
    versions: list[str]
    ranges: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Record:
    """One advisory. `aliases` are other names of the same vulnerability; `ecosystems` all that it mentions."""

    id: str
    aliases: list[str]
    summary: str
    rating: Rating
    published: datetime | None
    modified: datetime
    withdrawn: datetime | None
    affected: list[Affected]
    ecosystems: frozenset[str]


def read_record(raw: bytes) -> Record:
    """Return the record that a JSON document holds. Raises Invalid naming the first field that is wrong."""
    data = _load(raw)
    packages = [part for part in _list(data, "affected") if _is_packaged(part)]
    modified = _instant(data, "modified")
    if modified is None:
        _refuse("modified", None, "an RFC 3339 instant")
    return Record(
        id=_text(data, "id", MAX_ID),
        aliases=_aliases(data),
        summary=_summary(data),
        rating=rate(data),
        published=_instant(data, "published"),
        modified=modified,
        withdrawn=_instant(data, "withdrawn"),
        affected=[each for place, part in enumerate(packages) for each in _affected(part, f"affected[{place}]")],
        ecosystems=frozenset(str(part["package"].get("ecosystem")).partition(":")[0] for part in packages),
    )


def _load(raw: bytes) -> Mapping[str, Any]:
    """Return the JSON object of a record whose schema is known."""
    try:
        data = json.loads(raw.decode("utf-8"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise Invalid(Fault("record", show(str(error)), "a JSON object in UTF-8")) from error
    if not isinstance(data, dict):
        _refuse("record", data, "a JSON object")
    schema = data.get("schema_version", "1.0.0")
    if not isinstance(schema, str) or not schema.startswith("1."):
        _refuse("schema_version", schema, "OSV schema 1.x")
    return data


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _is_packaged(part: Any) -> bool:
    """Return whether an affected entry names a package; entries about a git repository alone do not."""
    if not isinstance(part, dict):
        _refuse("affected", part, "a list of objects")
    return isinstance(part.get("package"), dict)


def _affected(part: Mapping[str, Any], place: str) -> list[Affected]:
    """Return an affected entry once for each spelling of its package; none for an ecosystem without a purl type."""
    package = part["package"]
    full = _text(package, "ecosystem", MAX_NAME, place)
    ecosystem = find_ecosystem(full)
    if ecosystem is None:
        return []
    name = _text(package, "name", MAX_NAME, place)
    versions = _all_storable(_list(part, "versions", place), f"{place}.versions", MAX_LENGTH)
    ranges = [_range(each, f"{place}.ranges") for each in _list(part, "ranges") if not _is_git(each, f"{place}.ranges")]
    spelled = spell(ecosystem.purl_type, name)
    return [Affected(full, ecosystem.purl_type, _storable(each, place, MAX_NAME), versions, ranges) for each in spelled]


def _is_git(found: Any, place: str) -> bool:
    """Return whether a range counts commits, which no package version compares with."""
    if not isinstance(found, dict):
        _refuse(place, found, "a list of objects")
    return found.get("type") == "GIT"


def _range(found: Mapping[str, Any], place: str) -> dict[str, Any]:
    """Return a range's events. One without an introduced event would silently affect nothing, so it is refused."""
    kind = found.get("type")
    if kind not in {"SEMVER", "ECOSYSTEM"}:
        _refuse(f"{place}.type", kind, "SEMVER, ECOSYSTEM or GIT")
    events = []
    for event in _list(found, "events", place):
        bounds = [name for name in BOUNDS if name in event] if isinstance(event, dict) else []
        if len(bounds) != 1:
            _refuse(f"{place}.events", event, f"one of {', '.join(BOUNDS)}")
        events.append({bounds[0]: _storable(event[bounds[0]], f"{place}.events", MAX_LENGTH)})
    if not any("introduced" in event for event in events):
        _refuse(f"{place}.events", events, "at least one introduced event")
    return {"type": kind, "events": events}


def _aliases(data: Mapping[str, Any]) -> list[str]:
    """Return the names under which the same vulnerability is known elsewhere.

    A single `upstream` is one of them: that is how distributions name the CVE that a record of theirs is about. Several
    are a bundle of fixes, whose members must not become one vulnerability.
    """
    named = _all_storable(_list(data, "aliases"), "aliases", MAX_ID)
    upstream = _all_storable(_list(data, "upstream"), "upstream", MAX_ID)
    if len(named) > MAX_ALIASES:
        _refuse("aliases", len(named), f"at most {MAX_ALIASES} names")
    return sorted({*named, *(upstream if len(upstream) == 1 else ())})


def _summary(data: Mapping[str, Any]) -> str:
    """Return the summary, or the first line of the details, cleaned of what cannot be stored or shown."""
    for field in ("summary", "details"):
        found = data.get(field)
        lines = found.strip().splitlines() if isinstance(found, str) else []
        if lines:
            line = lines[0][:MAX_SUMMARY]
            return line if line.isprintable() else "".join(each for each in line if each.isprintable())
    return ""


def _instant(data: Mapping[str, Any], field: str) -> datetime | None:
    """Return an RFC 3339 instant in UTC, or None when the field is absent."""
    found = data.get(field)
    if found is None:
        return None
    try:
        instant = datetime.fromisoformat(found)
        if instant.tzinfo is None:
            _refuse(field, found, "an RFC 3339 instant with a time zone")
        return instant.astimezone(UTC)
    except (TypeError, ValueError, OverflowError) as error:
        raise Invalid(Fault(field, show(found), "an RFC 3339 instant such as 2026-11-23T10:00:00Z")) from error


def _list(data: Mapping[str, Any], field: str, place: str = "") -> list[Any]:
    """Return a list, empty when the field is absent or null."""
    found = data.get(field)
    if found is None:
        return []
    if not isinstance(found, list):
        _refuse(f"{place}.{field}".lstrip("."), found, "a list")
    return found


def _text(data: Mapping[str, Any], field: str, limit: int, place: str = "") -> str:
    """Return a text that must be there."""
    return _storable(data.get(field), f"{place}.{field}".lstrip("."), limit)


def _storable(found: Any, field: str, limit: int) -> str:
    """Return a text of bounded length in printable characters: PostgreSQL takes no NUL and no half characters."""
    if not isinstance(found, str) or not 0 < len(found) <= limit or not found.isprintable():
        _refuse(field, found, f"1 to {limit} printable characters")
    return found


def _all_storable(found: list[Any], field: str, limit: int) -> list[str]:
    """Return a list of such texts. Lists of versions are long, so all of them are looked at together first."""
    if all(isinstance(each, str) and 0 < len(each) <= limit for each in found) and "".join(found).isprintable():
        return found
    return [_storable(each, field, limit) for each in found]


def _refuse(field: str, seen: object, expected: str) -> NoReturn:
    raise Invalid(Fault(field, show(seen), expected))
