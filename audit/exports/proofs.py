"""The part of the ledger that a bundle carries: entries as exact bytes, each with its proof, under one checkpoint."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import NamedTuple

from django.db.models import Q

from audit import cosignatures, log, merkle, notes, roles, sealer
from audit.exports.archive import Archive
from audit.models import Checkpoint, Entry
from audit.rows import stored
from audit.tiles import StoredTree
from governance.models import (
    CheckRun,
    ConsumerGrant,
    Decision,
    Promotion,
    Review,
    Signature,
    Submission,
    Transition,
    Waiver,
)
from portal.errors import Refused
from registry.models import Evidence, Version

CHUNK = 500
# Others go on writing while a bundle is made; what they write after this is not about it.
MOST_SEALS = 20
# In seconds, for a sealer that is a process of its own.
LONGEST_WAIT = 10.0


class Sealed(NamedTuple):
    """The checkpoint that all proofs of a bundle lead to, the tree under it, and its note with cosignatures."""

    checkpoint: Checkpoint
    tree: StoredTree
    note: str


class Rows(NamedTuple):
    """Rows of one recorded table that are about a version: how to find them, and the column that dates them."""

    model: type
    version: str
    at: str


RECORDED = (
    Rows(Evidence, "version", "attached_at"),
    Rows(CheckRun, "version", "ended_at"),
    Rows(Review, "submission__version", "given_at"),
    Rows(Waiver.history.model, "version", "history_date"),
    Rows(Decision, "version", "made_at"),
    Rows(Signature, "decision__version", "signed_at"),
    Rows(Transition, "version", "at"),
    Rows(Promotion, "version", "promoted_at"),
    Rows(ConsumerGrant, "version", "granted_at"),
)


def write(archive: Archive, version: Version, as_of: datetime) -> int:
    """Write rows, entries, proofs and the checkpoint they lead to; return how many entries there are.

    What waits is sealed first, so that nothing about the version is left out for being too young. Raises Refused with
    code `damaged` when the stored ledger contradicts its checkpoint: no wrong proof is ever handed out.
    """
    under = sealed()
    events = write_rows(archive, version, as_of)
    written = 0
    for entry in entries_about(version, as_of, events):
        if entry.leaf.leaf_index < under.checkpoint.size:
            write_entry(archive, entry, under)
            written += 1
    archive.add("ledger/checkpoint", under.note)
    return written


def sealed() -> Sealed:
    """Return the newest checkpoint once what waits is sealed. Raises Refused with code `unsealed` without one."""
    settle()
    checkpoint = Checkpoint.objects.first()
    if checkpoint is None:
        raise Refused("unsealed", "The ledger has no checkpoint yet; try again in a few seconds.")
    return Sealed(checkpoint, StoredTree(checkpoint.size), cosignatures.cosigned(checkpoint))


def settle() -> None:
    """Have what waits sealed: by ourselves, or by the sealer where that is its right alone, for at most ten seconds."""
    if roles.may_seal():
        for _ in range(MOST_SEALS):
            if not sealer.seal_due():
                return
    deadline = time.monotonic() + LONGEST_WAIT
    while log.unsealed().count and time.monotonic() < deadline:
        time.sleep(0.2)


def write_rows(archive: Archive, version: Version, as_of: datetime) -> set[str]:
    """Write the canonical form of every recorded row about a version; return the event ids that name them."""
    events: set[str] = set()
    for model, path, at in RECORDED:
        lookup = {path: version.pk if path == "version" else version, f"{at}__lte": as_of}
        for key, body in stored(model, **lookup):
            archive.add(f"ledger/rows/{model._meta.db_table}/{key}.json", body)  # type: ignore[attr-defined]
        named = model._base_manager.filter(**lookup).order_by()  # type: ignore[attr-defined]
        events.update(str(event) for event in named.values_list("recorded_in", flat=True))
    return events


def entries_about(version: Version, as_of: datetime, events: Iterable[str]) -> Iterator[Entry]:
    """Yield the sealed entries about a version, its submissions, decisions and waivers, and all that name its rows."""
    subjects = Q(subject_kind="version", subject_id=str(version.pk))
    for kind, model in {"submission": Submission, "decision": Decision, "waiver": Waiver}.items():
        found = model._base_manager.filter(version=version).values_list("public_id", flat=True)
        subjects |= Q(subject_kind=kind, subject_id__in=[str(public_id) for public_id in found])
    rows = Entry.objects.filter(subjects | Q(event_id__in=list(events)), occurred_at__lte=as_of, leaf__isnull=False)
    yield from rows.select_related("leaf").order_by("leaf__leaf_index").iterator(chunk_size=CHUNK)


def write_entry(archive: Archive, entry: Entry, under: Sealed) -> None:
    """Write one entry's exact bytes and its proof."""
    checkpoint, tree, note = under
    index, body = entry.leaf.leaf_index, bytes(entry.body)
    path = merkle.inclusion_proof(index, checkpoint.size, tree.node)
    if not merkle.verify_inclusion(index, checkpoint.size, merkle.leaf_hash(body), path, bytes(checkpoint.root)):
        raise Refused("damaged", "The stored ledger contradicts its own checkpoint; run `manage.py verify_ledger`.")
    archive.add(f"ledger/entries/{index}.json", body)
    archive.add(f"ledger/proofs/{index}.tlog-proof", notes.proof_text(notes.Proof(index, path, note)))
