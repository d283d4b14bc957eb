"""The names that model formats other than pickle may use: operators, layers, functions. The names themselves are data.

vocabulary.json lists them exactly, in groups; its digest is part of the engines' versions, so that a change of it asks
for a new scan. What the file does not list is unknown, and unknown is held.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

SHIPPED = Path(__file__).with_name("vocabulary.json")
Group = Mapping[str, frozenset[str]]


@dataclass(frozen=True)
class Vocabulary:
    """The groups of names of one version of the list, by format, with the digest of the file they came from."""

    version: str
    digest: str
    tensorflow: Group
    tflite: Group
    keras: Group
    operations: Group


@lru_cache(maxsize=2)
def read_vocabulary(path: Path = SHIPPED) -> Vocabulary:
    """Return the names in a JSON file: for each format, groups of lines in which names are separated by spaces."""
    raw = path.read_bytes()
    data = json.loads(raw)
    keras = dict(data["keras"])
    operations = _read_group(keras.pop("operations"))
    return Vocabulary(
        version=str(data["version"]),
        digest=hashlib.sha256(raw).hexdigest(),
        tensorflow=_read_group(data["tensorflow"]),
        tflite=_read_group(data["tflite"]),
        keras=_read_group(keras),
        operations=operations,
    )


def _read_group(lines: Mapping[str, list[str]]) -> Group:
    """Return the names of each group."""
    return {name: frozenset(" ".join(parts).split()) for name, parts in lines.items()}
