"""What statements about findings say, in the words of every page. Formatting only; knows no request."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from django.urls import reverse

from governance.models import Finding, TriageStatement
from governance.models.findings import Triage
from governance.triage.statements import effective_at
from registry.models import Evidence, Version

MOST_NAMES = 3
# What became of statements, of one and of several.
FATES = {
    "counts": ("counts", "count"),
    "waits": ("waits for security", "wait for security"),
    "refused": ("was not agreed to", "were not agreed to"),
    "overtaken": ("was overtaken by a newer one", "were overtaken by newer ones"),
}


def address(vulnerability: str) -> str:
    """Return the page of a vulnerability."""
    return reverse("governance:finding", args=[vulnerability])


def package(purl: str) -> str:
    """Return a package in short: `pypi/numpy 2.2.6`."""
    name, _, version = purl.removeprefix("pkg:").partition("?")[0].rpartition("@")
    return f"{name} {version}".strip() if name else version


def shortened(words: Sequence[str]) -> str:
    """Return the first words of a list and how many more there are."""
    more = len(words) - MOST_NAMES
    return ", ".join(words[:MOST_NAMES]) + (f" and {more} more" if more > 0 else "")


def standing_word(finding: Finding, at: datetime) -> str:
    """Return the word for how a finding stands: its triage, or what has become of it by itself."""
    if finding.closed_at is not None:
        return "no longer found"
    return Triage.OPEN if finding.is_open_at(at) else finding.triage


def counted(finding: Finding) -> TriageStatement | None:
    """Return the statement that a finding's triage rests on, out of its prefetched statements."""
    rows = [each for each in finding.statements.all() if effective_at(each) is not None]
    return rows[-1] if rows and rows[-1].status == finding.triage else None


def waits(finding: Finding) -> TriageStatement | None:
    """Return the statement about a finding that waits for its answer, out of its prefetched statements."""
    rows = list(finding.statements.all())
    last = rows[-1] if rows and finding.closed_at is None else None
    return last if last is not None and last.needs_answer and getattr(last, "answer", None) is None else None


def words(statement: TriageStatement) -> str:
    """Return a statement in words: "not affected, the vulnerable code is never reached"."""
    found = [statement.get_status_display().lower()]
    if statement.justification:
        justification = statement.get_justification_display()
        found.append(justification[:1].lower() + justification[1:])
    return ", ".join(found)


def said(statement: TriageStatement | None) -> dict[str, Any] | None:
    """Return what somebody said about a finding, who agreed, and the document it comes from."""
    if statement is None:
        return None
    document, given = statement.evidence, getattr(statement, "answer", None)
    return {
        "status": statement.status,
        "words": words(statement),
        "reason": statement.reason,
        "until": statement.until,
        "by": statement.stated_by,
        "at": statement.stated_at,
        "document": document.filename if document else "",
        "document_url": reverse("registry:evidence", args=[document.public_id]) if document else "",
        "agreed_by": given.answered_by if given is not None and given.agreed else None,
    }


def labels(rows: Iterable[TriageStatement]) -> str:
    """Return the versions that statements are about, the first ones by name."""
    return shortened(list(dict.fromkeys(each.finding.version.label for each in rows)))


def outcome(document: Evidence, version: Version, found: Iterable[Finding]) -> str:
    """Return what came of a VEX document attached to a version, out of the statements of its findings."""
    counts = dict.fromkeys(FATES, 0)
    for finding in found:
        waiting = waits(finding)
        for each in finding.statements.all():
            if each.evidence_id == document.pk:
                counts[fate(each, waiting)] += 1
    if total := sum(counts.values()):
        parts = ", ".join(f"{number} {FATES[name][number > 1]}" for name, number in counts.items() if number)
        return f"{total} statement{'' if total == 1 else 's'}: {parts}."
    own = {version.artifact_sha256, version.identity_digest}
    if document.subject_digests and own.isdisjoint(document.subject_digests):
        return "It is about another artifact: nothing in it was used."
    return "It names nothing that is found in this version."


def fate(statement: TriageStatement, waiting: TriageStatement | None) -> str:
    """Return what became of one statement: a key of FATES."""
    if effective_at(statement) is not None:
        return "counts"
    if statement == waiting:
        return "waits"
    return "overtaken" if getattr(statement, "answer", None) is None else "refused"
