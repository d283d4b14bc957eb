"""Conditions of policies: CEL expressions over a documented context, behind one adapter (https://cel.dev, the spec).

An expression that cannot be answered is never true and never false: it is a Failure, and whoever asks treats it as no.
What is looked at lives in `CONTEXT`; filling it for a version is the business of `governance.context`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cel

from portal.errors import Fault, Invalid, show

MAX_CHARACTERS = 2_000
MAX_NESTING = 2
MAX_ITEMS = 2_000
MAX_SLOT = 300
MAX_LISTED = 10
MACROS = frozenset({"all", "exists", "exists_one", "filter", "map"})
# What the library raises for an expression without an answer: syntax, unknown names, types, arithmetic.
ERRORS = (ArithmeticError, AttributeError, LookupError, NotImplementedError, RuntimeError, TypeError, ValueError)
WORDS = frozenset({"true", "false", "null", "in"})
TOKEN = re.compile(
    r"""(?P<text>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')|(?P<name>[A-Za-z_]\w*)|(?P<number>\d[\w.]*)|(?P<sign>\S)""",
)

SLOT = re.compile(r"\{([^{}]*)\}")

# Everything an expression may look at: a text says what the value is, a mapping has fixed fields, {"*": …} is a mapping
# with any keys, and a list holds what each of its items looks like.
CONTEXT: dict[str, Any] = {
    "environment": "text: the environment that is asked for, or `baseline`",
    "version": {
        "label": "text: asset@number",
        "number": "text: the semantic version",
        "kind": "text: model, adapter, prompt or bundle",
        "risk": "text: low, medium, high or critical; empty while it is not rated",
        "format": "text: the artifact's format",
        "size": "number: the artifact's size in bytes",
        "storage": "text: the scheme of the storage URI, such as s3",
        "licence": "text: the SPDX expression",
        "finetune": "text: the fine-tune method",
        "repository": "text: the source repository",
        "commit": "text: the source commit",
        "lockfile": "text: the sha256 of the lockfile; empty when none is named",
        "allowed_uses": ["text"],
        "prohibited_uses": ["text"],
        "mitigations": ["text"],
        "authors": ["text"],
    },
    "asset": {
        "name": "text",
        "kind": "text",
        "team": "text: the team's short name",
        "has_owner": "true or false",
        "has_backup_owner": "true or false",
    },
    "datasets": [
        {
            "name": "text",
            "licence": "text",
            "personal_data": "true or false",
            "purpose": "text: train, fine-tune or evaluate",
        }
    ],
    "components": [
        {
            "role": "text: base, adapter, prompt, tokenizer or member",
            "name": "text: the other asset's name",
            "number": "text",
            "state": "text: draft, candidate, approved, deprecated or retired",
            "risk": "text",
        }
    ],
    "findings": [
        {
            "id": "text: the vulnerability",
            "severity": "text: unknown, low, medium, high or critical",
            "open": "true or false",
            "certain": "true or false",
            "package": "text: the purl",
        }
    ],
    "evidence": [{"kind": "text", "reader": "text", "age_days": "number: whole days"}],
    "metrics": {"*": "number: the newest value measured on this identity digest, by category/metric"},
}


@dataclass(frozen=True)
class Failure:
    """Why an expression has no answer. Never true, never false."""

    says: str


@dataclass(frozen=True)
class Condition:
    """One compiled expression, with the paths into the context that it reads."""

    text: str
    program: Any
    paths: tuple[tuple[str, ...], ...]
    guarded: frozenset[tuple[str, ...]]

    @property
    def roots(self) -> frozenset[str]:
        """Return the parts of the context that the expression looks at."""
        return frozenset(path[0] for path in self.paths)

    def evaluate(self, context: Mapping[str, Any]) -> bool | Failure:
        """Return what the expression says about a context, or why it has no answer.

        A path that is not there is a failure even where CEL would not look at it: `true || error` is true in CEL.
        """
        for path in self.paths:
            missing = find_missing(context, path)
            if missing and path not in self.guarded:
                return Failure(f"there is no {missing}")
        try:
            value = self.program.execute(cel.Context(variables=dict(context)))
        except ERRORS as error:
            return Failure(str(error).splitlines()[0][:300] if str(error) else type(error).__name__)
        if not isinstance(value, bool):
            return Failure(f"it gives {show(value)}, not true or false")
        return value


@lru_cache(maxsize=500)
def compile_condition(text: str) -> Condition:
    """Return a compiled expression. Raises Invalid naming what is wrong, unknown paths and bounds included."""
    if len(text) > MAX_CHARACTERS:
        raise Invalid(Fault("condition", f"{len(text):,} characters", f"at most {MAX_CHARACTERS:,}"))
    if odd := find_odd(text):
        expected = 'text in plain quotes that ends on its line, such as "low", and no comments'
        raise Invalid(Fault("condition", show(odd), expected))
    try:
        program = cel.compile(text)
    except ERRORS as error:
        says = str(error).splitlines()[0][:300] if str(error) else type(error).__name__
        raise Invalid(Fault("condition", show(text), f"an expression in CEL ({says})")) from None
    reading = Reading(text)
    if reading.nesting > MAX_NESTING:
        expected = f"at most {MAX_NESTING} macros such as exists() inside each other"
        raise Invalid(Fault("condition", show(text), expected))
    faults = [Fault("condition", wrong, expected) for path in reading.paths for wrong, expected in lint(path)]
    if faults:
        raise Invalid(*faults)
    return Condition(text, program, tuple(dict.fromkeys(reading.paths)), frozenset(reading.guarded))


def find_odd(text: str) -> str:
    """Return the first place that CEL reads as one thing and our tokens as another, or nothing.

    That is a raw or byte string, a string in three quotes, a quote that stays open, or a comment: any of them could
    hide a path from `Reading`.
    """
    before: re.Match[str] | None = None
    for match in TOKEN.finditer(text):
        value, is_text = match.group(), match.lastgroup == "text"
        touches = before is not None and before.end() == match.start()
        if value in {"'", '"', "`", "\\"}:
            return value
        if (
            touches
            and before
            and ((is_text and before.lastgroup in {"text", "name"}) or value == before.group() == "/")
        ):
            return before.group() + value
        before = match
    return ""


class Reading:
    """What an expression reads: its paths, those it asks for with has() or `in`, and how deep its macros are nested.

    A path is a tuple of names; `[]` stands for any item of a list.
    """

    def __init__(self, text: str) -> None:
        self.paths: list[tuple[str, ...]] = []
        self.guarded: set[tuple[str, ...]] = set()
        self.nesting = 0
        self._tokens = [(match.lastgroup or "", match.group()) for match in TOKEN.finditer(text)]
        self._bound: dict[str, tuple[str, ...]] = {}
        self._closing: list[bool] = []
        place = 0
        while place < len(self._tokens):
            place = self._step(place)

    def _peek(self, place: int) -> tuple[str, str]:
        return self._tokens[place] if place < len(self._tokens) else ("", "")

    def _before(self, place: int) -> str:
        return self._tokens[place - 1][1] if place > 0 else ""

    def _step(self, place: int) -> int:
        """Read one token or one whole path, and return the place behind it."""
        group, value = self._tokens[place]
        if value == "(":
            self._closing.append(False)
        elif value == ")" and self._closing:
            self._closing.pop()
        elif group == "text" and self._peek(place + 1)[1] == "in" and self._peek(place + 2)[0] == "name":
            path, _ = self._read_path(place + 2)
            self.guarded.add((*path, value[1:-1]))
        # A name behind a dot belongs to a value that is no path, and one before a bracket is a function such as size().
        if group != "name" or value in WORDS or self._before(place) == "." or self._peek(place + 1)[1] == "(":
            return place + 1
        path, after = self._read_path(place)
        is_asked = self._before(place - 1) == "has"
        if self._peek(after)[1] == "(":
            method, path = path[-1], path[:-1]
            if method in MACROS and self._peek(after + 1)[0] == "name":
                self._bind(self._peek(after + 1)[1], path)
                self._keep(path, is_asked)
                return after + 3
        self._keep(path, is_asked)
        return after

    def _bind(self, name: str, path: tuple[str, ...]) -> None:
        """Remember what a macro's variable stands for, and count how deep it is."""
        self._closing.append(True)
        self.nesting = max(self.nesting, sum(self._closing))
        items = (*path, "[]")
        if self._bound.get(name, items) != items or name in CONTEXT:
            raise Invalid(Fault("condition", f"the variable {show(name)} for two things", "another name for each"))
        self._bound[name] = items

    def _keep(self, path: tuple[str, ...], is_asked: bool) -> None:
        if path:
            self.paths.append(path)
            if is_asked:
                self.guarded.add(path)

    def _read_path(self, place: int) -> tuple[tuple[str, ...], int]:
        """Return the path that begins at a name, a bound variable replaced, and the place behind it."""
        name = self._tokens[place][1]
        path, place = list(self._bound.get(name, (name,))), place + 1
        while True:
            _, value = self._peek(place)
            if value == "." and self._peek(place + 1)[0] == "name":
                path.append(self._peek(place + 1)[1])
                place += 2
            elif value == "[" and self._peek(place + 1)[0] == "text" and self._peek(place + 2)[1] == "]":
                path.append(self._peek(place + 1)[1][1:-1])
                place += 3
            elif value == "[" and self._peek(place + 1)[0] == "number" and self._peek(place + 2)[1] == "]":
                path.append("[]")
                place += 3
            else:
                return tuple(path), place


def lint(path: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Yield (what was seen, what is expected) when a path leads nowhere in the context."""
    shape: Any = CONTEXT
    for depth, step in enumerate(path):
        seen = show(".".join(path[: depth + 1]))
        if isinstance(shape, dict):
            if step not in shape and "*" not in shape:
                yield f"the path {seen}", f"one of {', '.join(sorted(shape))} there"
                return
            shape = shape.get(step, shape.get("*"))
        elif isinstance(shape, list):
            if step != "[]":
                yield f"the path {seen}", "a macro such as exists(), because this is a list"
                return
            shape = shape[0]
        else:
            yield f"the path {seen}", f"nothing behind {'.'.join(path[:depth])}, which is a single value"
            return


def find_missing(context: Mapping[str, Any], path: tuple[str, ...]) -> str:
    """Return the path as text when it is not in a context, and an empty text when it is there."""
    value: Any = context
    for step in path:
        if step == "[]":
            return ""  # every item of a list has all fields: `normalise` sees to it
        if not isinstance(value, Mapping) or step not in value:
            return ".".join(path)
        value = value[step]
    return ""


def normalise(value: Any) -> Any:
    """Return a value as expressions see it: plain types, every number a double, lists of bounded length.

    Raises ValueError for NaN, infinities, huge numbers, and lists of more than 2,000 items.
    """
    if isinstance(value, Mapping):
        return {str(key): normalise(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        if len(value) > MAX_ITEMS:
            raise ValueError(f"a list of {len(value):,} items; conditions look at {MAX_ITEMS:,} at most")
        return [normalise(item) for item in value]
    if value is None or isinstance(value, bool | str):
        return value
    try:
        number = float(value)
    except OverflowError:
        raise ValueError("a number that is too large") from None
    if not math.isfinite(number):
        raise ValueError(f"{value} is not a finite number")
    return number


def read_slots(text: str) -> list[tuple[str, ...]]:
    """Return the paths that a sentence names in braces, such as {version.risk} or {metrics.quality/accuracy}.

    Raises Invalid for stray braces, unknown paths, and paths that lead to more than a value or a list.
    """
    slots = [(match.group(), path_of(match.group(1))) for match in SLOT.finditer(text)]
    faults = [Fault("say", wrong, expected) for _, path in slots for wrong, expected in lint(path)]
    if not faults:
        whole = [slot for slot, path in slots if isinstance(shape_of(path), dict)]
        faults = [Fault("say", slot, "a path to one value or to a list") for slot in whole]
    if stray := re.search(r"[{}]", SLOT.sub("", text)):
        faults.append(Fault("say", stray.group(), "braces only around a path of the context, such as {version.risk}"))
    if faults:
        raise Invalid(*faults)
    return [path for _, path in slots]


def path_of(text: str) -> tuple[str, ...]:
    """Return the path that dots separate; the name of a metric is one step, whatever is in it."""
    root, _, rest = text.strip().partition(".")
    steps = [rest] if root == "metrics" else rest.split(".")
    return (root, *steps) if rest else (root,)


def shape_of(path: tuple[str, ...]) -> Any:
    """Return what the context says about a path that leads somewhere."""
    shape: Any = CONTEXT
    for step in path:
        shape = shape.get(step, shape.get("*"))
    return shape


def fill_slots(text: str, context: Mapping[str, Any]) -> str:
    """Return a sentence with the values of a context in place of its slots, each of bounded length.

    Values are put in as they are, in one pass: braces in a value name nothing.
    """

    def said(match: re.Match[str]) -> str:
        value: Any = context
        for step in path_of(match.group(1)):
            value = value.get(step) if isinstance(value, Mapping) else None
        return " ".join(in_words(value).split())[:MAX_SLOT]

    return SLOT.sub(said, text)


def in_words(value: Any) -> str:
    """Return a value of the context as people read it; an item of a list goes by its name."""
    if isinstance(value, Mapping):
        return in_words(next((value[name] for name in ("name", "id", "kind") if value.get(name)), None))
    if isinstance(value, list):
        more = f" and {len(value) - MAX_LISTED} more" if len(value) > MAX_LISTED else ""
        return (", ".join(map(in_words, value[:MAX_LISTED])) or "nothing") + more
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.12g}" if isinstance(value, float) else str(value or "nothing")
