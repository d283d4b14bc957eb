"""What a check is: one question, asked of a version under one rule, answered without writing anything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from governance.models.runs import Outcome
from registry.models import Version


@dataclass(frozen=True)
class Dossier:
    """What a check looks at: the version, the canonical picture of its record, and the instant of asking."""

    version: Version
    picture: Mapping[str, Any]
    at: datetime


@dataclass(frozen=True)
class Answer:
    """What a check found: the outcome, a sentence, what would make it pass, and the facts behind both.

    `valid_until` is the first instant at which time alone would change the answer.
    """

    outcome: Outcome
    says: str
    fix: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    tool: str = "countersign"
    tool_version: str = ""
    valid_until: datetime | None = None


class Check(Protocol):
    """One question. `slug` is stable for ever: rows and policies store it."""

    slug: str
    title: str
    asks: str
    sections: tuple[str, ...]

    def outside(self, version: Version) -> Mapping[str, Any]:
        """Return what the answer depends on beyond the dossier, so that a change there makes the answer stale."""
        ...

    def examine(self, dossier: Dossier, rule: Mapping[str, Any]) -> Answer:
        """Return the answer, without writing. `rule` holds the policy's parameters for this check."""
        ...


def passed(says: str, **more: Any) -> Answer:
    """Return an answer that the question is met."""
    return Answer(Outcome.PASSED, says, **more)


def failed(says: str, fix: str, **more: Any) -> Answer:
    """Return an answer that the question is not met, with what would make it so."""
    return Answer(Outcome.FAILED, says, fix, **more)


def errored(says: str, fix: str, **more: Any) -> Answer:
    """Return an answer that nobody could find out, which is never green."""
    return Answer(Outcome.ERROR, says, fix, **more)


def not_applicable(says: str, **more: Any) -> Answer:
    """Return an answer that the question does not arise."""
    return Answer(Outcome.NOT_APPLICABLE, says, **more)
