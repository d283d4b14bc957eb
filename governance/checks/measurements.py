"""What was measured about a version: every stored value, what it was measured on, how sure that is, who signed for it.

The binding of a value is computed when it is read, never stored, because keys are trusted and revoked:

- none: nobody says what was measured, or the signature around it is broken;
- declared: the report, its sidecar or whoever attached it names the identity digest;
- proven: a signed statement by somebody trusted for evaluation results names the identity digest among its subjects,
  and carries the value itself or names the sha256 of the report that does.

Limits are held against values in `evaluations`; why a value is stale is said by `staleness`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Q

from governance.checks import attestations
from governance.models.keys import Purpose
from portal.errors import Invalid
from registry import evidence, storage
from registry.models import Evaluation, Evidence, ReportSignature, Version

PROVEN, DECLARED, NONE = "proven", "declared", "none"
MAX_ROWS = 3000
MAX_STATEMENTS = 20


@dataclass(frozen=True)
class Statement:
    """A signed statement about reports: which identity digests and reports it names, and what its signature is worth.

    `code` is `ok`, or why the signature does not count; `reports` are sha256, the statement's own document included.
    `until` is when time alone changes that: the end of the trust in its signer, or the beginning.
    """

    subjects: frozenset[str]
    reports: frozenset[str]
    code: str
    says: str
    signer: str = ""
    fingerprint: str = ""
    until: datetime | None = None


@dataclass(frozen=True)
class Sidecar:
    """A document that says, without a signature, what another report was measured on."""

    filename: str
    subjects: tuple[str, ...]
    reports: frozenset[str]


@dataclass(frozen=True)
class Measurement:
    """One stored value with its report. `subject` is the digest it was measured on, "" when nobody says.

    `why` is a sentence about the binding, and `statement` the signed one that it rests on, or that does not count.
    """

    row: Evaluation
    report: Evidence
    subject: str
    binding: str
    why: str
    statement: Statement | None = None

    @property
    def signatures(self) -> list[ReportSignature]:
        """Return who signed the report, first signer first."""
        return list(self.report.signatures.all())


@dataclass(frozen=True)
class Record:
    """Everything that tells what a version's reports are about: the reports, signed statements, and sidecars."""

    version: Version
    reports: Mapping[int, Evidence]
    statements: tuple[Statement, ...]
    sidecars: tuple[Sidecar, ...]

    def values(self, names: Iterable[str] | None = None) -> list[Measurement]:
        """Return stored values with their binding, newest first.

        `names` are the metrics that are asked for, as policies name them; None returns the newest three thousand.
        """
        if not self.reports:
            return []
        rows = Evaluation.objects.filter(evidence__in=self.reports).order_by("-measured_at", "-pk")
        rows = rows[:MAX_ROWS] if names is None else rows.filter(asked(names))
        identity = self.version.identity_digest
        return [bind(row, self.reports[row.evidence_id], identity, self.statements, self.sidecars) for row in rows]


def look_up(version: Version, *, at: datetime) -> Record:
    """Return what a version's reports are about, as of an instant, in a fixed number of queries and a few files."""
    found = version.evidence.filter(kind="evaluation").defer("summary", "warnings")
    reports = {row.pk: row for row in found.prefetch_related("signatures__signed_by")}
    signed = [row for row in reports.values() if row.reader == evidence.SIGNED][:MAX_STATEMENTS]
    statements = tuple(read_statement(row, version, at=at) for row in signed)
    return Record(version, reports, statements, tuple(find_sidecars(version)) if reports else ())


def gather(version: Version, *, at: datetime, names: Iterable[str] | None = None) -> list[Measurement]:
    """Return the values in a version's reports with their binding, newest first."""
    return look_up(version, at=at).values(names)


def asked(names: Iterable[str]) -> Q:
    """Return the filter for the metrics of some names; what stands behind [ or @ may be a slice or a data set."""
    wanted = Q(pk=None)
    for name in names:
        category, _, metric = name.partition("/")
        forms = {metric, metric.rpartition("@")[0] or metric, metric.partition("[")[0] or metric}
        wanted |= Q(category=category, metric__in=forms)
    return wanted


def find_sidecars(version: Version) -> list[Sidecar]:
    """Return the unsigned documents of a version that speak for other reports, newest first."""
    key = f"summary__{evidence.SPEAKS_FOR}"
    rows = version.evidence.filter(kind="evaluation", summary__has_key=evidence.SPEAKS_FOR)
    found = rows.exclude(reader=evidence.SIGNED).values_list("filename", "subject_digests", key)
    return [Sidecar(name, tuple(subjects), frozenset(reports)) for name, subjects, reports in found]


def read_statement(row: Evidence, version: Version, *, at: datetime) -> Statement:
    """Return what a signed statement says and what its signature is worth; what cannot be read is worth nothing."""
    try:
        reading = evidence.reread(row)
    except (Invalid, storage.Unreadable) as error:
        return Statement(frozenset(), frozenset({row.sha256}), "unsupported", str(error))
    if reading.statement is None:
        return Statement(frozenset(), frozenset({row.sha256}), "unsupported", "It holds no statement.")
    found = attestations.find_signer(reading.statement, version, Purpose.EVALUATION, at=at)
    return Statement(
        subjects=frozenset(reading.subject_digests),
        reports=frozenset({row.sha256, *reading.reports}),
        code=found.code,
        says=found.says,
        signer=found.signer.title if found.signer else "",
        fingerprint=found.signer.fingerprint if found.signer else "",
        until=found.signer.valid_until if found.signer else found.until,
    )


def bind(
    row: Evaluation, report: Evidence, identity: str, statements: Sequence[Statement], sidecars: Sequence[Sidecar]
) -> Measurement:
    """Return a value with what it was measured on and how sure that is."""
    about = [each for each in statements if report.sha256 in each.reports]
    proof = next((each for each in about if each.code == "ok" and identity in each.subjects), None)
    if proof is not None and identity and row.subject_digest in {"", identity}:
        return Measurement(row, report, identity, PROVEN, f"signed by {proof.signer}", proof)
    weak = next((each for each in about if each.code != "ok"), None)
    if weak is not None and weak.code == "bad_signature" and report.reader == evidence.SIGNED:
        return Measurement(row, report, "", NONE, f"the signature around it is broken: {weak.says}", weak)
    aside = f"; a statement about it does not count: {weak.says}" if weak is not None else ""
    if row.subject_digest:
        why = f"as its report or its submitter says{aside}"
        return Measurement(row, report, row.subject_digest, DECLARED, why, weak)
    sidecar = next((each for each in sidecars if report.sha256 in each.reports and each.subjects), None)
    if sidecar is not None:
        subject = identity if identity in sidecar.subjects else sidecar.subjects[0]
        return Measurement(row, report, subject, DECLARED, f"as {sidecar.filename} says{aside}", weak)
    return Measurement(row, report, "", NONE, f"nobody says what it was measured on{aside}", weak)
