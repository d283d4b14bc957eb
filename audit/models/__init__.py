"""What happened, as tables, and the bases that every other table of the record stands on.

`bases` stands below the others. `audit.history` adds the history of governed rows.
"""

from audit.models.bases import AppendOnly, Governed, GovernedQuerySet, InsertOnly
from audit.models.exports import Export, ExportState
from audit.models.ledger import Checkpoint, Entry, Leaf, Pending, Tile
from audit.models.serving import ServingBatch, ServingConflict, ServingWindow
from audit.recording import UnrecordedChange

__all__ = [
    "AppendOnly",
    "Checkpoint",
    "Entry",
    "Export",
    "ExportState",
    "Governed",
    "GovernedQuerySet",
    "InsertOnly",
    "Leaf",
    "Pending",
    "ServingBatch",
    "ServingConflict",
    "ServingWindow",
    "Tile",
    "UnrecordedChange",
]
