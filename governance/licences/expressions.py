"""Weighs a licence expression against the uses it has to allow. AND: every part has to. OR: the best part is chosen.

An exception (WITH) that SPDX knows only adds to what is allowed; any other could take away, so it stays unknown.
Source: https://spdx.github.io/spdx-spec/v2.3/SPDX-license-expressions/
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from license_expression import ExpressionError, Licensing, ParseError

from governance.licences.table import Denied, Licence, Table

MAX_CHARACTERS = 500
MAX_DEPTH = 20


class Rank(IntEnum):
    """How good a licence is for what is wanted, the best first."""

    ALLOWED = 0
    UNKNOWN = 1
    FORBIDDEN = 2
    DENIED = 3


@dataclass(frozen=True)
class Want:
    """One use that has to be allowed: a word of the vocabulary, who wants it, and that as the end of a sentence.

    `by` is `text` (the version's allowed uses), `policy`, or `making` (how the version was made).
    """

    use: str
    by: str
    why: str


@dataclass(frozen=True)
class Problem:
    """Why one licence stands in the way. `want` is set when it forbids a use."""

    rank: Rank
    licence: str
    says: str
    want: Want | None = None


@dataclass(frozen=True)
class Weighed:
    """What an expression amounts to: its rank, the licences that count, and what stands in the way."""

    rank: Rank
    licences: tuple[Licence, ...] = ()
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True)
class Question:
    """What is asked of every licence in an expression: wanted uses by their words, and what is denied."""

    table: Table
    wanted: Mapping[str, Want]
    denied: Denied


def weigh_all(written: Iterable[str], question: Question) -> Weighed:
    """Return what several licences that hold together amount to; none at all is unknown."""
    parts = [weigh(each, question) for each in written]
    return join(parts) if parts else weigh("", question)


def weigh(written: str, question: Question) -> Weighed:
    """Return what a licence as somebody wrote it amounts to. Never raises: what cannot be read is unknown."""
    text = written.strip()
    if not text or question.table.find(text) is not None:
        return weigh_one(text, question)
    if len(text) > MAX_CHARACTERS or nesting(text) > MAX_DEPTH:
        return unread(text, f"The expression is longer than {MAX_CHARACTERS} characters or nested too deeply.")
    try:
        tree = Licensing().parse(text, simple=True)
    except (ExpressionError, ParseError):
        # Most such texts are names in prose, as some SBOMs have them.
        return weigh_one(text, question)
    return weigh_tree(tree, question) if tree is not None else weigh_one("", question)


def nesting(text: str) -> int:
    """Return how many parentheses are open at once at most."""
    deepest = depth = 0
    for letter in text:
        depth += (letter == "(") - (letter == ")")
        deepest = max(deepest, depth)
    return deepest


def weigh_tree(tree: Any, question: Question) -> Weighed:
    """Return what a parsed expression amounts to."""
    operator = getattr(tree, "operator", None)
    if operator is not None:
        parts = [weigh_tree(each, question) for each in tree.args]
        if operator.strip() == "OR":
            return min(parts, key=lambda part: (part.rank, len(part.problems)))
        return join(parts)
    exception = getattr(tree, "exception_symbol", None)
    name = str(tree.license_symbol.key if exception is not None else tree.key)
    if exception is not None and not question.table.is_exception(str(exception.key)):
        return unread(str(tree), f"SPDX does not know the exception “{exception.key}”, which could take rights away.")
    return weigh_one(name, question)


def join(parts: Iterable[Weighed]) -> Weighed:
    """Return what parts that all hold amount to: the worst of them, with everything that stands in the way."""
    found = list(parts)
    return Weighed(
        max(part.rank for part in found),
        tuple(dict.fromkeys(each for part in found for each in part.licences)),
        tuple(dict.fromkeys(each for part in found for each in part.problems)),
    )


def weigh_one(name: str, question: Question) -> Weighed:
    """Return what one licence amounts to."""
    found = question.table.find(name)
    mine = (found,) if found is not None else ()
    if question.denied.covers(name, found):
        says = f"{name} is on the policy's list of licences that are never allowed"
        return Weighed(Rank.DENIED, mine, (Problem(Rank.DENIED, name, says),))
    if found is None:
        return unread(name, question.table.why_unknown(name))
    problems = [
        Problem(Rank.FORBIDDEN, name, f"{name} forbids {question.table.uses[use].title}, which {want.why}", want)
        for use, want in question.wanted.items()
        if use in found.forbids
    ]
    return Weighed(Rank.FORBIDDEN if problems else Rank.ALLOWED, mine, tuple(problems))


def unread(name: str, why: str) -> Weighed:
    """Return what a licence amounts to that nobody here has read."""
    return Weighed(Rank.UNKNOWN, (), (Problem(Rank.UNKNOWN, name[:MAX_CHARACTERS], why.rstrip(".")),))
