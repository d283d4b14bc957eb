"""The scanner's own corpus of attacks: (class, file name, bytes). Made here byte by byte, never loaded or run."""

from __future__ import annotations

from tests.governance.scanning import corpus_containers, corpus_models, corpus_pickles
from tests.governance.scanning.corpus_pickles import Entry


def malicious() -> list[Entry]:
    """Return every attack, with names made unique by a number in front."""
    entries = [*corpus_pickles.by_name(), *corpus_pickles.by_trick(), *corpus_containers.in_containers()]
    return [*entries, *corpus_models.in_models()]
