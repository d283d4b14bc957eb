"""Sealed entries, read and compared many at once: it says that nothing contradicts, or nothing at all.

What exactly is wrong with entries that are not plain is for `audit.verifier` to find, one by one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pydantic_core import from_json

from audit import binary, merkle

# One text instead of six costs a third less to bring over. No column can hold more separators without being seen.
SEPARATOR = "\x1f"
# What a body raises that is not what entries are.
UNREADABLE = (ValueError, KeyError, TypeError, AttributeError)
SAID = f" || chr({ord(SEPARATOR)}) || ".join(
    ("e.event_id::text", "e.kind", "e.subject_kind", "e.subject_label", "e.subject_id", "e.actor")
)
SEALED = f"""
SELECT l.leaf_index, CASE WHEN e.leaf_hash = l.leaf_hash THEN l.leaf_hash END, e.body, {SAID},
    CASE WHEN e.occurred_at BETWEEN '1900-01-01' AND '9000-01-01' THEN e.occurred_at END
FROM audit_leaf l JOIN audit_entry e ON e.id = l.entry_id
WHERE l.leaf_index >= %s ORDER BY l.leaf_index LIMIT %s
"""  # noqa: S608 -- of constants

Named = list[tuple[str, list[Mapping[str, Any]]]]


def read_plain(start: int, most: int) -> tuple[Sequence[bytes], Named] | None:
    """Return the leaf hashes from `start` on, and what their entries name as (event id, rows).

    None says that there are none, or that something is not as it was sealed: a leaf or an entry is missing, or an entry
    is not what its leaf, its hash or its columns say.
    """
    rows = binary.read(SEALED, [start, most])
    if not rows:
        return None
    indexes, leaves, bodies, columns, times = zip(*rows, strict=True)
    if indexes != tuple(range(start, start + len(rows))) or leaves != tuple(map(merkle.leaf_hash, bodies)):
        return None
    named = _compare(bodies, columns, times)
    return None if named is None else (leaves, named)


def _compare(bodies: Sequence[bytes], columns: Sequence[str], times: Sequence[datetime | None]) -> Named | None:
    """Return the rows that entries name, or None when a body cannot be read or its columns say something else."""
    named: Named = []
    parse_time = datetime.fromisoformat
    try:
        for body, said, at in zip(bodies, columns, times, strict=True):
            # json.loads gives the same and takes three times as long.
            document = from_json(body, cache_strings="keys")
            subject, event = document["subject"], document["eventId"]
            told = (event, document["kind"], subject["kind"], subject["label"], subject["id"], document["actor"])
            # Joining takes nothing but text: a number that only reads like its column is not plain.
            text = SEPARATOR.join(told)
            if text != said or said.count(SEPARATOR) != 5 or parse_time(document["occurredAt"]) != at:
                return None
            if (rows := document["rows"]) != []:
                named.append((event, rows))
    except UNREADABLE:
        return None
    return named
