"""What is different between two versions: fields, prompt text, SBOM components, metrics. Facts only, no judgement."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from portal.errors import Invalid
from registry import dossier, evidence, storage
from registry.models import Evaluation, Version

MAX_PROMPT = 256 * 1024
SKIPPED = {("artifact", "version"), ("artifact", "uri"), ("source", "build")}


@dataclass(frozen=True)
class Delta:
    """One metric in two versions."""

    metric: str
    before: Decimal | None
    after: Decimal | None

    @property
    def change(self) -> Decimal | None:
        """Return after minus before, when both are known."""
        return None if self.before is None or self.after is None else self.after - self.before


@dataclass(frozen=True)
class Comparison:
    """Everything that differs from an earlier version to a later one."""

    before: Version
    after: Version
    fields: tuple[tuple[str, str, Any, Any], ...]
    prompt: tuple[str, str] | None
    added: tuple[str, ...]
    removed: tuple[str, ...]
    metrics: tuple[Delta, ...]


def compare(before: Version, after: Version) -> Comparison:
    """Return what differs between two versions of an asset."""
    old, new = parts_of(before), parts_of(after)
    rows = dossier.changes(dossier.picture(before), dossier.picture(after))
    return Comparison(
        before,
        after,
        tuple(row for row in rows if row[:2] not in SKIPPED and row[0] != "evidence"),
        prompts(before, after),
        tuple(sorted(new - old)),
        tuple(sorted(old - new)),
        tuple(deltas(before, after)),
    )


def parts_of(version: Version) -> set[str]:
    """Return the components that a version's newest SBOM names."""
    row = evidence.newest(version, "sbom")
    if row is None:
        return set()
    named = row.sbom_components.values_list("purl", "name", "version")
    return {purl or f"{name} {number}".strip() for purl, name, number in named}


def prompts(before: Version, after: Version) -> tuple[str, str] | None:
    """Return the texts of two prompts, or None when they are no prompts or cannot be read as text."""
    if after.asset.kind != "prompt":
        return None
    old, new = read_text(before), read_text(after)
    return None if old is None or new is None else (old, new)


def read_text(version: Version) -> str | None:
    """Return an artifact as text, when it is one of at most 256 KiB and its bytes are still the registered ones."""
    try:
        with storage.open_artifact(version.storage_uri) as stream:
            body = stream.read(MAX_PROMPT + 1)
    except (storage.Unreadable, Invalid):
        return None
    if len(body) > MAX_PROMPT or hashlib.sha256(body).hexdigest() != version.artifact_sha256:
        return None
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError:
        return None


def deltas(before: Version, after: Version) -> list[Delta]:
    """Return every metric measured on either version's own identity digest."""
    old, new = values_of(before), values_of(after)
    return [Delta(name, old.get(name), new.get(name)) for name in sorted(old.keys() | new.keys())]


def values_of(version: Version) -> dict[str, Decimal]:
    """Return the newest overall value of each metric measured on a version's own identity digest."""
    rows = Evaluation.objects.filter(evidence__version=version, subject_digest=version.identity_digest, slice="")
    return {row.name: row.value for row in rows.order_by("measured_at", "pk")}
