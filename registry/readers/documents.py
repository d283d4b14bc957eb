"""Bounded, strict parsing of untrusted bytes: UTF-8 text, JSON, YAML, front matter. Knows no format.

Every limit is checked before the work that it bounds. Whatever comes out can be stored by PostgreSQL and written as
UTF-8 again: texts hold no NUL and no lone surrogate, numbers are `int` or `Decimal`, never `float`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Hashable
from decimal import Decimal
from itertools import accumulate
from typing import Any, NoReturn

import yaml

from portal.errors import Fault, Invalid, show

MAX_VALUES = 3_000_000
MAX_FRONT_MATTER = 64 * 1024
MAX_YAML_DEPTH = 50
MAX_PLAIN_LEVELS = 30
MAX_NUMBER_DIGITS = 100
MAX_EXPONENT = 300

_STRINGS = re.compile(r'"[^"]*"?')
_NOT_STRUCTURE = re.compile(r"[^\[\]{},]+")
_STEP = {"[": 1, "{": 1, "]": -1, "}": -1, ",": 0}
_RISKY_ESCAPE = re.compile(r"\\u(?:0000|[dD][89a-fA-F])")
_WHOLE = re.compile(r"^(?:0|-?[1-9][0-9]{0,14})$")
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def fail(field: str, seen: str, expected: str) -> NoReturn:
    """Raise Invalid with one fault."""
    raise Invalid(Fault(field, seen, expected))


def parse(body: bytes, *, max_bytes: int, max_depth: int = 100) -> Any:
    """Return the JSON value in the body, with decimal numbers as Decimal.

    Raises Invalid for more than max_bytes, for nesting deeper than max_depth, for more than three million values, for
    NaN and infinities, for numbers of more than 100 digits or beyond 1e±300, for duplicate keys (RFC 8259 §4 leaves
    them open, so two readers could see two documents), for NUL and lone surrogates, and for anything but UTF-8.
    A byte order mark is skipped, as RFC 8259 §8.1 allows.
    """
    text = decode(body, max_bytes=max_bytes)
    _bound_structure(text, max_depth)
    try:
        value = json.loads(
            text,
            parse_float=_read_decimal,
            parse_int=_read_integer,
            parse_constant=_refuse_constant,
            object_pairs_hook=_read_object,
        )
    except json.JSONDecodeError as error:
        fail("document", f"{error.msg} at line {error.lineno}, column {error.colno}", "well-formed JSON")
    if _RISKY_ESCAPE.search(text):
        _refuse_unstorable(value)
    return value


def decode(body: bytes, *, max_bytes: int) -> str:
    """Return the body as text without a byte order mark. Raises Invalid when it is empty, too large or not UTF-8."""
    if len(body) > max_bytes:
        fail("document", f"{len(body):,} bytes", f"at most {max_bytes:,} bytes")
    if not body:
        fail("document", "an empty document", "at least one byte")
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        fail("document", f"bytes that are not UTF-8 at offset {error.start}", "UTF-8 text")


def plain(value: Any, levels: int = MAX_PLAIN_LEVELS) -> Any:
    """Return a parsed value with every number written as text, for a summary that JSON and pages can show.

    Raises Invalid for more levels than a digest over the whole record has room for.
    """
    if levels < 0:
        fail("document", "a part to show that is nested too deep", f"at most {MAX_PLAIN_LEVELS} levels of nesting")
    if isinstance(value, dict):
        return {key: plain(item, levels - 1) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item, levels - 1) for item in value]
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    return number_text(value)


def picture(value: Any) -> str:
    """Return a short printable picture of a parsed value for a Fault, a decimal as it was written."""
    return number_text(value) if isinstance(value, Decimal) else show(value)


def number_text(value: int | Decimal) -> str:
    """Return a number as people write it: without an exponent unless it is very large or very small."""
    if isinstance(value, Decimal) and -20 < value.adjusted() < 20:
        return f"{value:f}"
    return str(value)


def parse_yaml(body: bytes, *, max_bytes: int) -> Any:
    """Return the one YAML value in the body: true, false, null, whole numbers, texts, lists and mappings.

    Every other scalar is text as it was written, decimal numbers included: 0.10 stays "0.10", and `no` is no boolean.
    Raises Invalid for more than max_bytes, anything but UTF-8, aliases, tags, keys that are no text, duplicate keys
    and nesting deeper than 50.
    """
    return _load_yaml(decode(body, max_bytes=max_bytes), _PlainLoader, "document")


def split_front_matter(text: str) -> tuple[str, str]:
    """Return (front matter, rest) of a Markdown text; the front matter is empty when the text does not begin with it.

    Raises Invalid when a front matter begins and does not end, or is larger than 64 KiB.
    """
    lines = text.splitlines(keepends=True)
    if not lines or lines[0].rstrip() != "---":
        return "", text
    for number, line in enumerate(lines[1:], start=1):
        if line.rstrip() in {"---", "..."}:
            matter = "".join(lines[1:number])
            if len(matter) > MAX_FRONT_MATTER:
                fail("front matter", f"{len(matter):,} characters", f"at most {MAX_FRONT_MATTER:,} characters")
            return matter, "".join(lines[number + 1 :])
    fail("front matter", "a first line --- and no second", "front matter that ends with a line ---")


def parse_front_matter(matter: str) -> dict[str, Any]:
    """Return the YAML mapping of a front matter with every scalar as text, so that `no` and `1.10` stay as written.

    Raises Invalid for anything but a mapping, for aliases, tags, duplicate keys and nesting deeper than 50.
    """
    if len(matter) > MAX_FRONT_MATTER:
        fail("front matter", f"{len(matter):,} characters", f"at most {MAX_FRONT_MATTER:,} characters")
    value = _load_yaml(matter, _TextLoader, "front matter")
    if value is None:
        return {}
    if not isinstance(value, dict):
        fail("front matter", show(value), "a YAML mapping")
    return value


def _bound_structure(text: str, max_depth: int) -> None:
    """Refuse deep and huge JSON by one linear scan, because the parser itself recurses once for each level."""
    # Pairs of backslashes go first: then every backslash before a quote escapes it, and strings can be cut out blindly.
    bare = _STRINGS.sub("", text.replace("\\\\", "").replace('\\"', ""))
    structure = _NOT_STRUCTURE.sub("", bare)
    if len(structure) > MAX_VALUES:
        fail("document", f"about {len(structure):,} values", f"at most {MAX_VALUES:,} values")
    if max(accumulate(map(_STEP.__getitem__, structure)), default=0) > max_depth:
        fail("document", f"nesting deeper than {max_depth} levels", f"at most {max_depth} levels of nesting")


def _read_decimal(text: str) -> Decimal:
    """Return a JSON number; its exponent is bounded, so that nobody can ask for a billion zeros."""
    exponent = re.split("[eE]", text)[1] if "e" in text or "E" in text else "0"
    if len(text) > MAX_NUMBER_DIGITS or len(exponent) > 10 or abs(int(exponent)) > MAX_EXPONENT:
        fail("document", f"the number {show(text)}", "numbers of at most 100 digits, between 1e-300 and 1e300")
    return Decimal(text)


def _read_integer(text: str) -> int:
    """Return a whole JSON number of at most 100 digits."""
    if len(text) > MAX_NUMBER_DIGITS:
        fail("document", f"the number {show(text)}", "numbers of at most 100 digits")
    return int(text)


def _refuse_constant(text: str) -> NoReturn:
    """Refuse NaN and the infinities, which Python's parser would take although they are not JSON."""
    fail("document", text, "finite numbers: JSON has no NaN and no Infinity")


def _read_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object whose keys are all different."""
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        # `set.add` returns None, so this stops at the first key that was already there, in one pass.
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        fail("document", f"the key {show(twice)} more than once in one object", "every key once")
    return found


def _refuse_unstorable(value: Any) -> None:
    """Refuse texts that neither PostgreSQL nor UTF-8 can hold, anywhere in a parsed value."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            waiting.extend(item.keys())
            waiting.extend(item.values())
        elif isinstance(item, list):
            waiting.extend(item)
        elif isinstance(item, str) and _UNSTORABLE.search(item):
            fail("document", show(item), "text without NUL characters and lone surrogates")


def _load_yaml(text: str, loader_class: type[_TextLoader], field: str) -> Any:
    """Return the one value of a YAML text. Raises Invalid, with the line and column where YAML goes wrong."""
    try:
        loader = loader_class(text)
    except yaml.YAMLError as error:
        fail(field, _first_words(error), "YAML without control characters")
    try:
        value = loader.get_single_data()
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        # The last two come from an escape beyond Unicode, such as "\\UFFFFFFFF", which PyYAML does not check itself.
        fail(field, _first_words(error), "well-formed YAML without aliases, tags and duplicate keys")
    finally:
        loader.dispose()
    _refuse_unstorable(value)
    return value


def _first_words(error: Exception) -> str:
    """Return what the YAML parser says in one bounded line."""
    return " ".join(str(error).split())[:200]


def _refuse_node(what: str, mark: Any) -> NoReturn:
    """Raise a YAML error with its line."""
    raise yaml.YAMLError(f"{what} in line {mark.line + 1}")


class _TextLoader(yaml.SafeLoader):
    """A safe loader that keeps every scalar as text and refuses what can grow or surprise: aliases, tags, depth."""

    # Without implicit resolvers nothing is guessed: no dates that do not exist, no octal versions, no NaN.
    yaml_implicit_resolvers: dict[str, Any] = {}

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Compose one node, one level deeper than its parent."""
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent):
            _refuse_node("an alias", event.start_mark)
        if getattr(event, "tag", None) is not None:
            _refuse_node("a tag", event.start_mark)
        if self.depth >= MAX_YAML_DEPTH:
            _refuse_node("nesting too deep", event.start_mark)
        self.depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Construct a mapping whose keys are all different texts."""
        keys = [key.value for key, _ in node.value if key.tag == "tag:yaml.org,2002:str"]
        if len(keys) != len(node.value):
            _refuse_node("a key that is not text", node.start_mark)
        if len(set(keys)) != len(keys):
            _refuse_node("a key more than once", node.start_mark)
        return super().construct_mapping(node, deep=deep)


class _PlainLoader(_TextLoader):
    """A loader that also knows true, false, null and whole numbers of at most 15 digits, and guesses nothing else."""

    yaml_implicit_resolvers: dict[str, Any] = {}


_PlainLoader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|false)$"), list("tf"))
_PlainLoader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"^(?:null|)$"), ["n", ""])
_PlainLoader.add_implicit_resolver("tag:yaml.org,2002:int", _WHOLE, list("-0123456789"))
