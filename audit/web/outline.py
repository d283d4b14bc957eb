"""What a check of the record found, in numbers: for those who keep it running and do not read it.

The sentences themselves name customers, people and values. Nothing of them is handed on here but words of our own.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from django.apps import apps

WINDOWS = re.compile(r"(A|Two|The [\d,]+|There are [\d,]+|No batch added the|The serving) (serving )?windows?\b")
NAME = re.compile(r"\b[a-z]+_[a-z_]+\b")
# By what stands in a sentence: the first that does says what was done to the table that it names.
DONE = {
    "append-only triggers": "triggers are missing or switched off",
    "was changed": "changed without an entry",
    "was added": "added without an entry",
    "was deleted": "deleted without an entry",
    "is missing": "missing",
    "is not what": "not what the entry recorded",
    "has no entry": "without an entry",
}
# For sentences that name no table.
ABOUT = {
    "keyset": "Keysets",
    "checkpoint": "Checkpoints and their copies",
    "cut off": "Checkpoints and their copies",
    "tile": "Entries and the tree over them",
    "lea": "Entries and the tree over them",
    "entr": "Entries and the tree over them",
}


def outline(faults: Sequence[str]) -> list[tuple[str, int]]:
    """Return how many contradictions there are of each kind, by table where they name one, the most first."""
    tables = {model._meta.db_table for model in apps.get_models(include_auto_created=True)}
    return Counter(kind_of(fault, tables) for fault in faults).most_common()


def kind_of(fault: str, tables: Iterable[str]) -> str:
    """Return what one contradiction is about, in words of ours."""
    if WINDOWS.match(fault):
        return "Serving windows"
    table = next((name for name in NAME.findall(fault) if name in tables), "")
    if table:
        done = next((words for said, words in DONE.items() if said in fault), "contradicts the entries")
        return f"{table}: {done}"
    return next((words for said, words in ABOUT.items() if said in fault), "Something else")
