"""How what happened looks as JSON: one class for each answer, one function that makes it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from ninja import Schema

from audit import seal
from audit.models import ServingBatch, ServingWindow
from audit.notes import NoteKey

PUBLISHED = "/.well-known/countersign"


class BatchAnswer(Schema):
    """One recorded report. `rows_root` is the Merkle root over the windows it added (RFC 6962), kept by the ledger.

    `replayed` windows were known just so; `conflicts` contradict what was reported before, which stands.
    """

    source: str
    batch_id: str
    windows: int
    replayed: int
    conflicts: int
    requests: int
    first_start: str
    last_end: str
    rows_root: str
    received_at: str


class WindowAnswer(Schema):
    """One serving window [start, end). `versions` are the registered ones with this digest that the token may see."""

    deployment: str
    environment: str
    consumer: str
    digest: str
    versions: list[str]
    start: str
    end: str
    requests: int
    errors: int
    config_digest: str
    completeness: str
    sequence: int
    source: str
    batch_id: str
    line: int


class RowsProof(Schema):
    """The RFC 6962 path from a window to the root over the windows that its batch added."""

    index: int
    size: int
    path: list[str]
    root: str


class WindowProofAnswer(Schema):
    """The proof of one window: its exact text, its path, the exact entry that names the root, and the entry's proof."""

    format: str
    row: str
    rowsProof: RowsProof  # noqa: N815 -- as the ledger's documents spell it
    entry: str
    tlogProof: str  # noqa: N815


class ServedAnswer(Schema):
    """Who served a customer at an instant; `truncated` when there are more windows than are listed."""

    customer: str
    at: str
    windows: list[WindowAnswer]
    truncated: bool


class DecisionKey(Schema):
    """A public key that verifies decisions; `keyid` is the hex sha256 of its SPKI DER."""

    keyid: str
    scheme: str
    pem: str


class LedgerKey(Schema):
    """A verifier key of the ledger's checkpoints, as C2SP signed notes write it."""

    origin: str
    vkey: str


class KeysAnswer(Schema):
    """The public keys of this portal, present ones first, and where the signed documents about them lie."""

    decision: list[DecisionKey]
    ledger: list[LedgerKey]
    keyset: str
    revocations: str
    checkpoint: str


def batch(row: ServingBatch) -> BatchAnswer:
    """Return one recorded report."""
    return BatchAnswer(
        source=row.source,
        batch_id=row.batch_id,
        windows=row.row_count,
        replayed=row.replayed_count,
        conflicts=row.conflict_count,
        requests=row.request_count,
        first_start=seal.instant(row.first_start),
        last_end=seal.instant(row.last_end),
        rows_root=row.rows_root,
        received_at=seal.instant(row.received_at),
    )


def window(row: ServingWindow, versions: list[str]) -> WindowAnswer:
    """Return one serving window."""
    return WindowAnswer(
        deployment=row.deployment,
        environment=row.environment,
        consumer=row.consumer,
        digest=f"sha256:{row.digest}",
        versions=versions,
        start=seal.instant(row.start),
        end=seal.instant(row.end),
        requests=row.requests,
        errors=row.errors,
        config_digest=f"sha256:{row.config_digest}" if row.config_digest else "",
        completeness=row.completeness,
        sequence=row.sequence,
        source=row.source,
        batch_id=row.batch.batch_id,
        line=row.line,
    )


def served(
    customer: str, at: datetime, windows: list[ServingWindow], names: Mapping[str, list[str]], most: int
) -> ServedAnswer:
    """Return who served a customer at an instant, at most so many windows."""
    return ServedAnswer(
        customer=customer,
        at=seal.instant(at),
        windows=[window(row, names.get(row.digest, [])) for row in windows[:most]],
        truncated=len(windows) > most,
    )


def keys(decisions: Iterable[seal.PublicKey], ledger: Iterable[NoteKey]) -> KeysAnswer:
    """Return the public keys of this portal."""
    return KeysAnswer(
        decision=[DecisionKey(keyid=key.fingerprint, scheme=key.scheme, pem=key.pem) for key in decisions],
        ledger=[LedgerKey(origin=key.name, vkey=key.vkey) for key in ledger],
        keyset=f"{PUBLISHED}/keyset.json",
        revocations=f"{PUBLISHED}/revocations.json",
        checkpoint=f"{PUBLISHED}/checkpoint",
    )
