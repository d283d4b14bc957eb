"""What administrators see of the audit's own tables, read-only. Reports and exports are for auditors."""

from __future__ import annotations

from django.contrib import admin

from audit.models import (
    Checkpoint,
    CheckpointCopy,
    Cosignature,
    Entry,
    Export,
    Keyset,
    Leaf,
    Pending,
    ServingBatch,
    ServingConflict,
    Tile,
    Verification,
)
from portal.administration import RecordAdmin, show, site


@admin.register(Entry, site=site)
class EntryAdmin(RecordAdmin):
    """Shows which entries there are."""

    list_display = ("kind", "subject_label", "actor", "occurred_at")
    list_filter = ("kind",)
    search_fields = ("=subject_id", "=subject_label", "=actor")
    # The body may name anybody, customers included: it is on the entry's page, for auditors.
    fields = ("event_id", "kind", "subject_kind", "subject_label", "actor", "occurred_at", "recorded_at")


show(Pending, "entry")
show(Leaf, "leaf_index", "entry")
show(Tile, "level", "index", "width")
show(Checkpoint, "size", "created_at")
show(CheckpointCopy, "place", "size", "sent_at", "attempts", "error", filters=("place",))
show(Cosignature, "size", "witness", "received_at", filters=("witness",))
show(Keyset, "number", "issued_at", "expires_at", "sha256")
# What was found names customers and people: it is on a page of its own, for auditors.
show(
    Verification,
    *("started_at", "entries", "rows", "fault_count", "compared_with"),
    hidden=frozenset({"faults"}),
)
show(ServingBatch, "source", "batch_id", "actor", "row_count", "received_at", search=("=source", "=batch_id"))
show(ServingConflict, "batch", "actor", "row_count", "received_at", hidden=frozenset({"differences"}))
show(Export, "kind", "state", "progress", "requested_by", "requested_at", filters=("state",))
