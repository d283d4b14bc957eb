"""What changed since the version that serves now, as the review page prints it: drawn, short, what counts first."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from django.utils import timezone

from governance.checks import evaluations
from governance.models import Finding, Submission
from portal.charts import threshold_bar
from registry import comparison
from registry.models import Version

DIGEST = re.compile(r"\b([0-9a-f]{12})[0-9a-f]{52}\b")
# What people judge by comes first, what machines compare comes last.
ORDER = ("uses", "risk", "licence", "components", "datasets", "people", "notes", "source", "artifact")
# How a row of a list in the dossier is called, by the field that tells its sort.
NAMED = {
    "filename": "{filename} ({kind})",
    "role": "{version} as {role}",
    "purpose": "{name} for {purpose}, from {from} to {to}, {licence}",
}
LABELS = {
    ("artifact", "identity"): "Identity digest",
    ("artifact", "sha256"): "Artifact sha256",
    ("artifact", "size"): "Size in bytes",
    ("notes", "release"): "Release notes",
    ("people", "authors"): "Authors",
    ("risk", "rating"): "Security risk",
    ("risk", "rationale"): "Risk rationale",
    ("risk", "mitigations"): "Mitigations",
    ("source", "commit"): "Source commit",
    ("source", "finetune"): "Fine-tune method",
    ("source", "lockfile"): "Lockfile sha256",
    ("source", "repository"): "Source repository",
    ("uses", "allowed"): "Allowed uses",
    ("uses", "prohibited"): "Prohibited uses",
    ("licence", "expression"): "Licence",
}


@dataclass
class Packages:
    """What differs between two SBOMs, package by package."""

    updated: list[tuple[str, str, str]] = field(default_factory=list)
    added: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)


def since(before: Version | None, submission: Submission) -> dict[str, Any]:
    """Return everything that the section prints; without a version before, only what was measured."""
    if before is None:
        return {"moved": metrics(submission, {}), "still": [], "summary": []}
    found = comparison.compare(before, submission.version)
    old = {delta.metric: delta.before for delta in found.metrics}
    steady = {delta.metric for delta in found.metrics if delta.change == 0}
    measured = metrics(submission, old)
    parts = packages(found.added, found.removed)
    rows = fields(found.fields, set(submission.policy.content["material"]))
    moved = [row for row in measured if row["metric"] not in steady]
    return {
        "moved": moved,
        "still": [row for row in measured if row["metric"] in steady],
        "fields": rows,
        "prompt": found.prompt if found.prompt and found.prompt[0] != found.prompt[1] else None,
        "packages": parts if sbom(parts) else None,
        "vulnerabilities": vulnerabilities(before, submission.version),
        "summary": summary(rows, found, parts, moved),
    }


def summary(
    rows: list[dict[str, Any]], found: comparison.Comparison, parts: Packages, moved: list[dict[str, Any]]
) -> list[dict[str, str]]:
    """Return how much differs, in a few words each."""
    prompt = "prompt text" if found.prompt and found.prompt[0] != found.prompt[1] else ""
    chips = [
        {"icon": "prompt", "words": prompt},
        {"icon": "chart", "words": counted(len(moved), "metric")},
        {"icon": "evidence", "words": counted(len(rows), "field")},
        {"icon": "bundle", "words": sbom(parts)},
    ]
    return [chip for chip in chips if chip["words"]]


def counted(count: int, word: str) -> str:
    """Return a count with its noun, nothing for none."""
    return "" if not count else f"1 {word}" if count == 1 else f"{count} {word}s"


def sbom(parts: Packages) -> str:
    """Return the size of an SBOM's change in words."""
    sizes = {"updated": len(parts.updated), "added": len(parts.added), "removed": len(parts.removed)}
    said = ", ".join(f"{size} {word}" for word, size in sizes.items() if size)
    return f"packages: {said}" if said else ""


def metrics(submission: Submission, old: dict[str, Decimal | None]) -> list[dict[str, Any]]:
    """Return every metric the policy asks for, drawn against its limits and its former value, faults first."""
    rule = submission.policy.rule("evaluations")
    if not rule:
        return []
    readings = evaluations.measure(submission.version, rule, at=timezone.now())
    rows = [metric(reading, old.get(reading.metric)) for reading in readings]
    return sorted(rows, key=lambda row: (row["outcome"] == "passed", row["metric"]))


def metric(reading: evaluations.Reading, old: Decimal | None) -> dict[str, Any]:
    """Return one metric with its bar, and its change in words with a direction."""
    change = None if old is None or reading.value is None else reading.value - old
    return {
        "metric": reading.metric,
        "fault": reading.fault,
        "outcome": "passed" if reading.within else "failed",
        "change": "" if not change else f"{'up' if change > 0 else 'down'} {plain(abs(change))}",
        "value": plain(reading.value),
        "bar": threshold_bar(
            float(reading.value),
            minimum=as_float(reading.minimum),
            maximum=as_float(reading.maximum),
            previous=as_float(old) if change else None,
            unit=reading.unit,
            passed=reading.within,
        )
        if reading.value is not None
        else None,
    }


def as_float(value: Decimal | None) -> float | None:
    """Return a decimal as a float for drawing, which needs no exactness."""
    return None if value is None else float(value)


def fields(found: tuple[tuple[str, str, Any, Any], ...], material: set[str]) -> list[dict[str, Any]]:
    """Return the changed fields, what people judge by first; an artifact that is its own identity is named once."""
    values = {(section, name): (old, new) for section, name, old, new in found}
    rows = sorted(found, key=lambda row: ORDER.index(row[0]) if row[0] in ORDER else 0)
    return [
        {
            "field": LABELS.get((section, name), f"{section.capitalize()} {name}"),
            "before": words(old),
            "after": words(new),
            "material": section in material,
        }
        for section, name, old, new in rows
        if (section, name) != ("artifact", "sha256") or values.get(("artifact", "identity")) != (old, new)
    ]


def words(value: Any) -> str:
    """Return a value of a dossier as people read it, digests cut to what tells them apart."""
    if isinstance(value, dict):
        for name, pattern in NAMED.items():
            if name in value:
                return pattern.format(**value)
        kept = {name: text for name, text in value.items() if text not in ("", None, False)}
        return ", ".join(
            name.replace("_", " ") if text is True else f"{name} {words(text)}" for name, text in kept.items()
        )
    if isinstance(value, list):
        return ", ".join(map(words, value))
    return "" if value is None else DIGEST.sub(r"\1…", str(value))


def packages(added: tuple[str, ...], removed: tuple[str, ...]) -> Packages:
    """Return packages that changed their version, came, or went."""
    come, gone = dict(map(split, added)), dict(map(split, removed))
    return Packages(
        updated=[(name, gone[name], come[name]) for name in sorted(come.keys() & gone.keys())],
        added=[f"{name} {come[name]}".strip() for name in sorted(come.keys() - gone.keys())],
        removed=[f"{name} {gone[name]}".strip() for name in sorted(gone.keys() - come.keys())],
    )


def split(part: str) -> tuple[str, str]:
    """Return the name and the version of a package, from its purl or its words."""
    bare = part.partition("?")[0]
    name, _, number = bare.rpartition("@") if bare.startswith("pkg:") and "@" in bare else (bare, "", "")
    return name.removeprefix("pkg:"), number


def vulnerabilities(before: Version, after: Version) -> dict[str, list[str]]:
    """Return which known vulnerabilities came and which went, among those not closed."""
    rows = Finding.objects.filter(version__in=(before, after), closed_at=None).values_list("version", "vulnerability")
    old = {name for version, name in rows if version == before.pk}
    new = {name for version, name in rows if version == after.pk}
    return {"added": sorted(new - old), "removed": sorted(old - new)}


def plain(value: Decimal | None) -> str:
    """Return a decimal without trailing zeros."""
    return "—" if value is None else f"{value.normalize():f}"
