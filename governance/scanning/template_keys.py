"""Finds keys that a Jinja template puts together at run time: `x[key]` is also how Jinja reads attributes.

Names are followed without regard to order: a name that is ever given a text put together from pieces is a built name,
and so is one that is given something from a built name. Tokens come from templates.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

FILTERS = "format join list lower upper map replace reverse string sum title capitalize batch slice urlencode center"
FILTERS_OF_TEXT = frozenset(f"{FILTERS} first last random truncate indent wordwrap xmlattr pprint escape e".split())
METHODS = "format format_map join replace lower upper title capitalize swapcase zfill ljust rjust center translate"
METHODS_OF_TEXT = frozenset(METHODS.split())
# Filters whose arguments name attributes.
READERS = frozenset(
    {"map", "selectattr", "rejectattr", "sort", "groupby", "sum", "min", "max", "unique", "join", "attr"}
)
# Texts that the file beside the template sets.
SETTINGS = frozenset({f"{name}_token" for name in ("bos", "eos", "unk", "pad", "sep", "cls", "mask")} | {"request"})
OPENERS, CLOSERS = frozenset("([{"), frozenset(")]}")
JOINERS = frozenset({"+", "*", "%"})


class Token(Protocol):
    """What a token is, seen from here."""

    @property
    def kind(self) -> str:
        """Return string, name, number or operator."""
        ...

    @property
    def text(self) -> str:
        """Return what it says."""
        ...


Block = Sequence[Token]


def find_built_keys(blocks: Sequence[Block], count: Callable[[int], None]) -> Iterator[str]:
    """Yield a sentence for each block that reads by a key put together at run time; `count` is told of each step."""
    built = _find_built_names(blocks, count)
    for block in blocks:
        count(1 + len(block) // 16)
        if any(_builds(part, built) or _names_in(part) & SETTINGS for part in _keys(block)):
            yield "The template puts a key together at run time."
        if _formats_built(block):
            yield "The template fills a pattern that it put together at run time."


def _find_built_names(blocks: Sequence[Block], count: Callable[[int], None]) -> set[str]:
    """Return the names that are ever given a text put together from pieces; those in a namespace with a dot."""
    macros = {block[1].text: _names_in(block[2:]) for block in blocks if len(block) > 2 and block[0].text == "macro"}
    given = [gift for block in blocks for gift in _gifts(block, macros, count)]
    built: set[str] = set()
    while True:
        count(1 + len(given))
        fresh = {target for target, value in given if value is None or _builds(value, built)}
        if fresh <= built:
            return built
        built |= fresh
        given = [(target, value) for target, value in given if target not in built]


def _gifts(
    block: Block, macros: dict[str, set[str]], count: Callable[[int], None]
) -> Iterator[tuple[str, Block | None]]:
    """Yield what a block gives to which name: by set, for, with, by keyword, or to a macro's parameters."""
    first = block[0].text if block else ""
    if first == "for":
        end = next((place for place, token in enumerate(block) if token.text == "in"), len(block))
        yield from ((name, block[end + 1 :]) for name in _names_in(block[1:end]))
    elif first == "set" and not any(token.text == "=" for token in block):
        # Without a value it gives whatever text it encloses.
        yield from ((name, None) for name in _names_in(block[1:2]))
    for place, token in enumerate(block[1:], 1):
        before = block[place - 1]
        if token.text in {"=", "("}:
            count(1 + len(block) // 16)
        if token.text == "=" and token.kind == "operator" and before.kind == "name":
            value = block[place + 1 : _value_end(block, place + 1)]
            dotted = place > 1 and block[place - 2].text == "."
            names = {before.text} if first != "set" or dotted else _names_in(block[1:place]) or {before.text}
            if not _is_filter_argument(block, place):
                yield from ((f".{name}" if dotted or _is_inside(block, place) else name, value) for name in names)
        elif token.text == "(" and before.kind == "name" and before.text in macros and first != "macro":
            value = block[place : _closing(block, place)]
            yield from ((name, value) for name in macros[before.text])


def _value_end(block: Block, start: int) -> int:
    """Return where the value ends that begins at a place: at a comma or bracket of its own level."""
    depth = 0
    for place in range(start, len(block)):
        token = block[place]
        if token.kind == "operator":
            depth += (token.text in OPENERS) - (token.text in CLOSERS)
            if depth < 0 or (depth == 0 and token.text == "," and _is_inside(block, place)):
                return place
    return len(block)


def _is_inside(block: Block, at: int) -> bool:
    """Return whether a place stands between brackets."""
    return (
        sum((token.text in OPENERS) - (token.text in CLOSERS) for token in block[:at] if token.kind == "operator") > 0
    )


def _is_filter_argument(block: Block, at: int) -> bool:
    """Return whether a place stands between the parentheses of a filter, whose keywords name nothing."""
    depth = 0
    for place in range(at - 1, 1, -1):
        token = block[place]
        if token.kind == "operator":
            depth += (token.text in CLOSERS) - (token.text in OPENERS)
            if depth < 0:
                return block[place - 2].text == "|"
    return False


def _names_in(tokens: Block) -> set[str]:
    """Return all names among tokens."""
    return {token.text for token in tokens if token.kind == "name"}


def _builds(tokens: Block, built: set[str]) -> bool:
    """Return whether tokens put a text together, or mention a name that was."""
    before: Token | None = None
    for token in tokens:
        after_string = before is not None and before.kind == "string"
        behind = before.text if before is not None and not after_string else ""
        found = {
            "operator": token.text == "~" or (after_string and token.text in JOINERS | {"["}),
            "string": behind in JOINERS,
            "name": _is_built(token.text, behind, built),
        }
        if found.get(token.kind):
            return True
        before = token
    return False


def _is_built(name: str, behind: str, built: set[str]) -> bool:
    """Return whether a name behind a sign puts a text together, or was given one that was."""
    if behind == ".":
        return name in METHODS_OF_TEXT or f".{name}" in built
    return name in built or (behind == "|" and name in FILTERS_OF_TEXT)


def _keys(block: Block) -> Iterator[Block]:
    """Yield what stands in each subscript, and between the parentheses of a filter that reads attributes."""
    for place, token in enumerate(block[1:], 1):
        before = block[place - 1]
        if token.kind != "operator":
            continue
        is_key = token.text == "[" and (before.kind in {"name", "string"} or before.text in {")", "]"})
        if token.text == "(" and before.text in READERS and place > 1:
            is_key = block[place - 2].text == "|"
        if is_key:
            yield block[place + 1 : _closing(block, place)]


def _closing(block: Block, opened: int) -> int:
    """Return the place of the bracket that closes the one at a place."""
    depth = 0
    for place in range(opened, len(block)):
        if block[place].kind == "operator":
            depth += (block[place].text in OPENERS) - (block[place].text in CLOSERS)
            if depth == 0:
                return place
    return len(block)


def _formats_built(block: Block) -> bool:
    """Return whether `.format` is called on something else than a plain text: patterns can read attributes."""
    for place, token in enumerate(block):
        if token.kind == "name" and token.text in {"format", "format_map"} and place and block[place - 1].text == ".":
            return place < 2 or block[place - 2].kind != "string"
    return False
