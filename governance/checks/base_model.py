"""Is every version that this one is made from in good standing? Its base, the base's base, and the parts of a bundle.

Good standing means: nominated and green (candidate, approved, or deprecated before its sunset), and not challenged. A
draft is not: nobody has checked it. Whether the licences fit is the matter of the licence check.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils import timezone

from governance import advisories, challenges, doubts, policy
from governance.checks.base import Answer, Dossier, failed, not_applicable, passed
from governance.models import Challenge, Finding, Transition
from registry import composition
from registry.models import State, Version

MOST_NAMED = 3
FIXES = {
    "draft": "Nominate {label}, or build on a version that is a candidate or approved.",
    "retired": "Build on a version of {asset} that is in force; {label} is retired for good.",
    "sunset": "Build on {successor}; the sunset of {label} has passed.",
    "vulnerable": "Have the finding {vulnerability} of {label} answered in triage, or build on a version without it.",
    "challenged": "Have the finding {vulnerability} of {label} answered by its owners or security, or build on a "
    "version without it.",
    "doubted": "Have the owners of {label} answer what challenges it, or build on a version that nothing challenges.",
}


@dataclass(frozen=True)
class Part:
    """One version below, as it stands at an instant: `fault` is a key of FIXES, or empty."""

    version: Version
    roles: tuple[str, ...]
    fault: str
    says: str
    words: Mapping[str, str]
    sunset: datetime | None

    def as_fact(self) -> dict[str, Any]:
        """Return the part as the check's page shows it."""
        return {
            "version": self.version.label,
            "role": ", ".join(self.roles),
            "state": self.version.state,
            "stands": not self.fault,
            "why": self.says,
            "url": self.version.get_absolute_url(),
        }


class BaseModel:
    """Asks after everything below, because what happens to a base happens to what is made from it."""

    slug = "base-model"
    title = "Base model"
    asks = "Is every version that this one is made from in good standing?"
    sections: tuple[str, ...] = ("components",)

    def outside(self, version: Version) -> Mapping[str, Any]:
        """Depend on the states, sunsets and open challenges of the versions below."""
        parts, now = parts_of(version), timezone.now()
        opened = challenges.open_for(parts, now) if parts else {}
        return {
            "parts": [[row.label, row.state] for row in parts],
            "sunsets": [[row.pk, at] for row, at, _ in sunsets_of(parts)],
            "challenges": sorted(row.pk for rows in opened.values() for row in rows),
            "findings": sorted(each.pk for each in vulnerable(parts, now).values()),
        }

    def examine(self, dossier: Dossier, rule: Mapping[str, Any]) -> Answer:
        """Answer by the standing of every version below, as of the instant of asking."""
        found = judge(dossier.version, dossier.at)
        if not found:
            return not_applicable("It is made from no other version.")
        facts = {"parts": [part.as_fact() for part in found]}
        bad = [part for part in found if part.fault]
        if not bad:
            until = min((part.sunset for part in found if part.sunset and part.sunset > dossier.at), default=None)
            names = ", ".join(part.version.label for part in found[:MOST_NAMED])
            more = f" and {len(found) - MOST_NAMED} more" if len(found) > MOST_NAMED else ""
            return passed(f"In good standing: {names}{more}.", facts=facts, valid_until=until)
        says = "; ".join(part.says for part in bad[:MOST_NAMED])
        fix = " ".join(dict.fromkeys(FIXES[part.fault].format(**part.words) for part in bad[:MOST_NAMED]))
        return failed(f"{len(bad)} of {len(found)} versions below: {says}.", fix, facts=facts)


def parts_of(version: Version) -> list[Version]:
    """Return every version below, nearest first, each once."""
    return list({edge.part_id: edge.part for edge in composition.ancestors(version)}.values())


def sunsets_of(parts: Iterable[Version]) -> list[tuple[Version, datetime, str]]:
    """Return the deprecated versions with their announced sunset and the label of their successor, if any."""
    deprecated = {row.pk: row for row in parts if row.state == State.DEPRECATED}
    if not deprecated:
        return []
    moves = (
        Transition.objects.filter(version__in=deprecated, to_state=State.DEPRECATED)
        .select_related("successor__asset")
        .order_by("version_id", "-at", "-pk")
        .distinct("version_id")
    )
    return [
        (deprecated[move.version_id], move.sunset_at, move.successor.label if move.successor else "")
        for move in moves
        if move.sunset_at is not None
    ]


def vulnerable(parts: Iterable[Version], at: datetime) -> dict[int, Finding]:
    """Return, by version id, an open finding at the level that the policy of each version blocks.

    Only what is in force is challenged; a candidate with such a finding is in no better standing.
    """
    rows = Finding.objects.filter(version__in=[part.pk for part in parts], closed_at=None).select_related(
        "version__asset"
    )
    found: dict[int, Finding] = {}
    for row in rows.order_by("-pk"):
        if row.is_open_at(at) and advisories.reaches(row.severity, policy.governing(row.version).rule(challenges.RULE)):
            found[row.version_id] = row
    return found


def judge(version: Version, at: datetime) -> list[Part]:
    """Return how every version below stands at an instant, nearest first."""
    edges = composition.ancestors(version)
    parts = {edge.part_id: edge.part for edge in edges}
    if not parts:
        return []
    sunsets = {row.pk: (sunset, successor) for row, sunset, successor in sunsets_of(parts.values())}
    opened = challenges.open_for(parts.values(), at)
    hit = vulnerable(parts.values(), at)
    found = []
    for part in parts.values():
        roles = tuple(dict.fromkeys(str(edge.role) for edge in edges if edge.part_id == part.pk))
        found.append(
            hold(part, roles, sunsets.get(part.pk, (None, "")), next(iter(opened[part.pk]), hit.get(part.pk)), at)
        )
    return found


def hold(
    part: Version,
    roles: tuple[str, ...],
    announced: tuple[datetime | None, str],
    doubt: Challenge | Finding | None,
    at: datetime,
) -> Part:
    """Return how one version stands."""
    sunset, successor = announced
    words = {
        "label": part.label,
        "asset": part.asset.slug,
        "successor": successor or f"another version of {part.asset.slug}",
        "vulnerability": doubt.vulnerability if doubt else "",
    }
    if part.state == State.RETIRED:
        return Part(part, roles, "retired", f"{part.label} is retired", words, sunset)
    if part.state == State.DRAFT:
        return Part(part, roles, "draft", f"{part.label} is a draft", words, sunset)
    if sunset is not None and at >= sunset:
        says = f"{part.label} reached its sunset on {sunset:%Y-%m-%d}"
        return Part(part, roles, "sunset", says, words, sunset)
    if isinstance(doubt, Challenge) and doubt.finding is None:
        return Part(part, roles, "doubted", f"{part.label} is challenged by {doubts.of(doubt).name}", words, sunset)
    if doubt is not None:
        fault = "challenged" if isinstance(doubt, Challenge) else "vulnerable"
        says = f"{part.label} is {fault} by {doubt.vulnerability} ({doubt.severity})"
        return Part(part, roles, fault, says.replace("vulnerable by", "vulnerable to"), words, sunset)
    return Part(part, roles, "", f"{part.get_state_display()}", words, sunset)
