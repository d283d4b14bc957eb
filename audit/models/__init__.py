"""What happened, as tables, and the bases that every other table of the record stands on.

`bases` stands below the others. `audit.history` adds the history of governed rows.
"""

from audit.models.bases import AppendOnly, Governed, GovernedQuerySet, InsertOnly
from audit.models.exports import Export, ExportState
from audit.models.ledger import Checkpoint, Entry, Leaf, Pending, Tile
from audit.models.outside import CheckpointCopy, Cosignature, Keyset, Verification
from audit.models.serving import Completeness, ServingBatch, ServingConflict, ServingWindow, UnjudgedBatch
from audit.recording import UnrecordedChange

__all__ = [
    "AppendOnly",
    "Checkpoint",
    "CheckpointCopy",
    "Completeness",
    "Cosignature",
    "Entry",
    "Export",
    "ExportState",
    "Governed",
    "GovernedQuerySet",
    "InsertOnly",
    "Keyset",
    "Leaf",
    "Pending",
    "ServingBatch",
    "ServingConflict",
    "ServingWindow",
    "Tile",
    "UnjudgedBatch",
    "UnrecordedChange",
    "Verification",
]
