"""What a version's page prints about known vulnerabilities: findings, how they are answered, and VEX documents."""

from __future__ import annotations

from typing import Any

from django.utils import timezone

from governance import challenges, doubts
from governance.models import Challenge, Finding
from governance.triage import sentences, tasks
from registry import evidence
from registry.models import Version


def vulnerabilities(version: Version) -> dict[str, Any]:
    """Return the findings, open and severe first, how much the SBOM could tell, and what came of each VEX document."""
    rows, now = tasks.tab(version), timezone.now()
    places = tasks.places(rows)
    opened = challenges.open_of(version)
    due = {each.finding_id: each.due_at for each in reversed(opened)}
    sbom = evidence.newest(version, "sbom")
    documents = version.evidence.filter(kind="vex").select_related("attached_by")
    return {
        "findings": [
            {
                "finding": row,
                "url": sentences.address(row.vulnerability),
                "package": sentences.package(row.purl),
                "places": places[row.pk][:3],
                "word": sentences.standing_word(row, now),
                "counted": sentences.said(sentences.counted(row)),
                "waits": sentences.said(sentences.waits(row)),
                "due": due.get(row.pk),
            }
            for row in rows
        ],
        "sbom": sbom,
        "coverage": sbom.summary.get("coverage", "") if sbom else "",
        "below": below(version, opened),
        "vex": [{"document": each, "outcome": sentences.outcome(each, version, rows)} for each in documents],
    }


def below(version: Version, opened: list[Challenge]) -> list[dict[str, Any]]:
    """Return those of a version's challenges that do not come from its own findings, each cause once."""
    found: dict[str, Any] = {}
    for each in opened:
        finding: Finding | None = each.finding
        if finding is None:
            label = doubts.of(each)
            found.setdefault(label.name, {"label": label.name, "url": label.where, "due": each.due_at})
        elif finding.version_id != version.pk and finding.vulnerability not in found:
            url = sentences.address(finding.vulnerability)
            found[finding.vulnerability] = {"label": finding.vulnerability, "url": url, "due": each.due_at}
    return list(found.values())
