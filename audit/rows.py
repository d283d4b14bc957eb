"""The canonical form of a table row, and how an entry names the rows that were written under it.

A row's canonical form is the RFC 8785 object {column: text or null} of all its columns, made from values freshly read
from the database, so that it is the same today and in ten years:

- times are UTC with microseconds and a `Z`, dates and times of day ISO 8601, durations whole microseconds
- decimals have the scale of their column; whole numbers are decimal; truth is `true` or `false`
- binary is lower-case hex, identifiers are lower-case with dashes
- JSON is compact, with sorted keys, as Python's json module writes it

An entry names each row by its sha256, or, when many rows are written at once, all rows of a table by their count and
the RFC 6962 root over their canonical forms in the order of their primary keys.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import singledispatch
from typing import Any
from uuid import UUID

from django.apps import apps
from django.db import models

from audit import merkle, seal
from audit.models.bases import AppendOnly

LISTED = 64


def recorded_models() -> dict[str, type[AppendOnly]]:
    """Return every model whose rows are named by entries, histories included, by its table."""
    found = {
        model._meta.db_table: model
        for model in apps.get_models(include_auto_created=True)
        if issubclass(model, AppendOnly) and not model._meta.abstract and not model._meta.proxy
    }
    return dict(sorted(found.items()))


def columns(model: type[models.Model]) -> list[str]:
    """Return the attribute names of all columns of a model."""
    return [field.attname for field in model._meta.concrete_fields]


@singledispatch
def text(value: object) -> str | None:
    """Return the canonical text of one column's value. Raises TypeError for a type that has none."""
    raise TypeError(f"A column of type {type(value).__name__} has no canonical text yet; give it one in audit.rows.")


text.register(type(None), lambda value: None)
text.register(str, str)
text.register(bool, lambda value: "true" if value else "false")
text.register(int, str)
text.register(UUID, str)
text.register(Decimal, lambda value: format(value, "f"))
text.register(datetime, seal.instant)
text.register(date, date.isoformat)
text.register(time, time.isoformat)
text.register(timedelta, lambda value: str(value // timedelta(microseconds=1)))
text.register(bytes, bytes.hex)
text.register(memoryview, lambda value: value.hex())


@text.register(dict)
@text.register(list)
@text.register(float)
def _json(value: object) -> str:
    """Return JSON as compact text with sorted keys."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=text)


def canonical(names: Sequence[str], values: Sequence[object]) -> bytes:
    """Return the canonical form of a row, from its column names and the values read from the database."""
    found = {name: value if type(value) is str else text(value) for name, value in zip(names, values, strict=True)}
    return seal.canonical(found)


def stored(model: type[models.Model], **lookup: Any) -> Iterator[tuple[Any, bytes]]:
    """Yield (primary key, canonical form) of the stored rows that fit a look-up, in the order of their keys."""
    names = columns(model)
    found = model._base_manager.filter(**lookup).order_by("pk").values_list("pk", *names)
    for key, *values in found:
        yield key, canonical(names, values)


def named(model_set: Iterable[type[AppendOnly]], event_id: UUID) -> list[dict[str, Any]]:
    """Return how the entry `event_id` names the rows of these models that were written under it.

    Up to 64 rows are listed as {table, id, sha256}; more than that are named as {table, count, root} for each table.
    Rows that were rolled back with a savepoint are no longer there and so are not named.
    """
    found = {
        model._meta.db_table: list(stored(model, recorded_in=event_id))
        for model in sorted(model_set, key=lambda model: model._meta.db_table)
    }
    if sum(map(len, found.values())) <= LISTED:
        return [
            {"table": table, "id": str(key), "sha256": seal.digest(row)}
            for table, rows in found.items()
            for key, row in rows
        ]
    return [
        {"table": table, "count": len(rows), "root": group_root(row for _, row in rows)}
        for table, rows in found.items()
        if rows
    ]


def group_root(canonical_rows: Iterable[bytes]) -> str:
    """Return the hex root over the canonical forms of many rows."""
    return merkle.root(map(merkle.leaf_hash, canonical_rows)).hex()


def count_of(name: Mapping[str, Any]) -> int:
    """Return how many rows one element of an entry's `rows` stands for."""
    return int(name.get("count", 1))
