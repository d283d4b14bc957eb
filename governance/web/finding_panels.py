"""What the lists of findings print: rows and filters, and what waits for somebody. Formatting only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from governance.doubts import OpenChallenge
from governance.models import TriageStatement
from governance.models.advisories import Severity
from governance.triage import sentences, tasks

FACETS = {"severity": "Severity", "state": "State", "team": "Team", "asset": "Asset"}


def row(task: tasks.Task) -> dict[str, Any]:
    """Return one vulnerability as the list prints it."""
    count = f"{task.versions} version{'' if task.versions == 1 else 's'}"
    if not task.versions:
        count = "in what yours is made from"
    return {
        "label": task.vulnerability,
        "url": sentences.address(task.vulnerability),
        "summary": task.summary,
        "severity": task.severity,
        "versions": count,
        "in_force": f"{task.in_force} in force" if task.in_force else "",
        "packages": sentences.shortened([sentences.package(purl) for purl in task.packages]),
        "fixed_in": sentences.shortened(task.fixed_in) or "no fix known",
        "due": task.due_at,
        "waiting": task.waiting,
        "state": "open" if task.open else "answered",
    }


def facets(chosen: Mapping[str, Sequence[str]], teams: Iterable[tuple[str, str]]) -> list[dict[str, Any]]:
    """Return the filters of the list; an asset is a filter only where a link has set one."""
    choices: dict[str, Iterable[tuple[str, str]]] = {
        "severity": [(str(each), str(each.label)) for each in sorted(Severity, key=lambda each: -tasks.RANKS[each])],
        "state": tasks.STATES.items(),
        "team": teams,
        "asset": [(slug, slug) for slug in chosen.get("asset", ())],
    }
    return [
        {
            "name": name,
            "label": label,
            "options": [
                {"value": value, "label": shown, "selected": value in chosen.get(name, ())}
                for value, shown in choices[name]
            ],
        }
        for name, label in FACETS.items()
        if name != "asset" or chosen.get("asset")
    ]


def turn(rows: Sequence[TriageStatement]) -> dict[str, Any]:
    """Return a group of statements that wait for an answer, as the home page prints it."""
    first = rows[0]
    return {
        "label": first.finding.vulnerability,
        "url": f"{sentences.address(first.finding.vulnerability)}#answers",
        "severity": first.finding.severity,
        "says": f"{sentences.words(first)}, says {first.stated_by} about {sentences.labels(rows)}",
        "since": first.stated_at,
    }


def doubt(found: OpenChallenge) -> dict[str, Any]:
    """Return what became of a base or a licence, and challenges a team's version, as the home page prints it."""
    return {"label": found.version, "url": found.where, "severity": "", "versions": f"{found.says}.", "due": found.due}


def challenge(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return a vulnerability that challenges a team's versions, as the home page prints it."""
    count = found["versions"]
    return {
        "label": found["vulnerability"],
        "url": sentences.address(found["vulnerability"]),
        "severity": found["severity"],
        "versions": f"{count} version{'' if count == 1 else 's'}",
        "due": found["due"],
    }
