"""Proving one window: its exact bytes, the path from its hash to the root over its batch, and the entry with the root.

Whoever holds the four parts needs neither the portal nor its database: see `docs/serving.md`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from audit import log, merkle
from audit.models import Entry, ServingWindow
from audit.serving.conflicts import rows_of
from audit.serving.windows import Window, canonical
from portal.errors import Refused

FORMAT = "countersign-window-proof/v1"


@dataclass(frozen=True)
class WindowProof:
    """The proof that one row is in its batch, and its batch in the ledger. Hashes are RFC 6962, SHA-256, lower hex.

    `index` counts the rows that the batch added, from 0, of `size`. `entry` is the exact body of the batch's entry,
    whose details name the root over those rows as `rowsRoot`; `tlog_proof` leads from it to a signed checkpoint.
    """

    row: str
    index: int
    size: int
    path: tuple[str, ...]
    rows_root: str
    entry: str
    tlog_proof: str

    def as_dict(self) -> dict[str, Any]:
        """Return the proof as the JSON that doors hand out and verifiers read."""
        return {
            "format": FORMAT,
            "row": self.row,
            "rowsProof": {"index": self.index, "size": self.size, "path": list(self.path), "root": self.rows_root},
            "entry": self.entry,
            "tlogProof": self.tlog_proof,
        }


def prove(window: ServingWindow) -> WindowProof:
    """Return the proof of one stored window.

    Raises Refused with code `unsealed` while the entry of its batch waits to be sealed, and with `damaged` when what is
    stored contradicts the entry, so that no wrong proof is ever handed out.
    """
    batch = window.batch
    lines = list(rows_of(batch).values_list("line", "row_hash"))
    hashes = [bytes(row_hash) for _, row_hash in lines]
    row = canonical([getattr(window, name) for name in Window._fields])
    entry = Entry.objects.get(event_id=batch.recorded_in)
    root = entry.details["rowsRoot"]
    try:
        index = [line for line, _ in lines].index(window.line)
        path = merkle.inclusion_proof(index, len(hashes), merkle.nodes_of(hashes))
        holds = merkle.verify_inclusion(index, len(hashes), merkle.leaf_hash(row), path, bytes.fromhex(root))
    except ValueError:
        holds = False
    if not holds or entry.details["rowCount"] != len(hashes):
        raise Refused("damaged", f"The stored windows of {batch} contradict its entry; run `manage.py verify_ledger`.")
    return WindowProof(
        row=row.decode(),
        index=index,
        size=len(hashes),
        path=tuple(each.hex() for each in path),
        rows_root=root,
        entry=bytes(entry.body).decode(),
        tlog_proof=log.proof(entry),
    )
