"""The scanner's own corpus of attacks: (class, file name, bytes). Made here byte by byte, never loaded or run."""

from __future__ import annotations

from tests.governance.scanning import (
    corpus_containers,
    corpus_gadgets,
    corpus_graphs,
    corpus_keras,
    corpus_models,
    corpus_pickles,
    corpus_reaching,
    corpus_texts,
)
from tests.governance.scanning.corpus_pickles import Entry


def malicious() -> list[Entry]:
    """Return every attack, with names made unique by a number in front."""
    entries = [*corpus_pickles.by_name(), *corpus_pickles.by_trick(), *corpus_containers.in_containers()]
    entries += [*corpus_reaching.reaching(), *corpus_gadgets.by_gadget(), *corpus_reaching.in_streams()]
    entries += corpus_models.in_models()
    return [*entries, *corpus_keras.in_keras(), *corpus_graphs.in_graphs(), *corpus_texts.in_texts()]
