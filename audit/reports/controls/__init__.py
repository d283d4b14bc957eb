"""Which of our records have to do with which point of a framework: dated data, read from the files beside this one.

What is said here is a pointer to records. Whether an organisation complies with anything is not said, nor could it be.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema_rs
import yaml

FOLDER = Path(__file__).parent
DISCLAIMER = (
    "This is a map, not a judgement: it says which records of this portal have to do with which point, and claims no "
    "compliance with anything."
)


@dataclass(frozen=True)
class Framework:
    """One text, in one version, as it was mapped on one day."""

    slug: str
    title: str
    text: str
    as_of: date
    source: str
    checked: str


@dataclass(frozen=True)
class Control:
    """One point of a framework in our own words, what answers a part of it, and what stays with the organisation."""

    framework: Framework
    number: str
    asks: str
    stays: str
    shows: str = ""
    reports: tuple[str, ...] = ()
    records: tuple[str, ...] = ()
    evidence: tuple[str, ...] = ()
    checks: tuple[str, ...] = ()
    unchecked: bool = False

    @property
    def key(self) -> str:
        """Return what names this point among all."""
        return f"{self.framework.slug}/{self.number}"

    @property
    def is_touched(self) -> bool:
        """Return whether any record has to do with the point."""
        return bool(self.reports or self.records or self.evidence or self.checks)


@cache
def all_controls() -> tuple[Control, ...]:
    """Return every point of every framework. Raises ValueError naming the file and the place of what is wrong."""
    schema = jsonschema_rs.validator_for(json.loads((FOLDER / "schema.json").read_text()))
    found: list[Control] = []
    for path in sorted(FOLDER.glob("*.yaml")):
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        for error in schema.iter_errors(content):
            raise ValueError(f"{path.name}, {'/'.join(map(str, error.instance_path)) or 'the whole'}: {error.message}")
        found += read(content)
    return tuple(found)


def read(content: Mapping[str, Any]) -> list[Control]:
    """Return the points of one file that fits the schema."""
    framework = Framework(
        slug=content["framework"],
        title=content["title"],
        text=content["text"],
        as_of=date.fromisoformat(content["as_of"]),
        source=content["source"],
        checked=content["checked"],
    )
    listed = ("reports", "records", "evidence", "checks")
    return [
        Control(
            framework=framework,
            number=each["id"],
            asks=each["asks"],
            stays=each["stays"],
            shows=each.get("shows", ""),
            unchecked=each.get("unchecked", False),
            **{name: tuple(each.get(name, ())) for name in listed},
        )
        for each in content["controls"]
    ]


def frameworks() -> tuple[Framework, ...]:
    """Return the frameworks, in the order of their files."""
    return tuple(dict.fromkeys(control.framework for control in all_controls()))
