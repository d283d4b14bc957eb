"""Reads Jinja templates without rendering them: chat templates, and prompts that hold template blocks.

A template is harmless when it only prints and branches over plain data. What reaches for Python's internals is
rejected; names that are put together at run time cannot be judged and are held. Known attack: CVE-2024-34359.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from governance.scanning.scene import Piece, Scene

TOKEN = re.compile(
    r"""(?P<space>\s+)
    |(?P<string>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")
    |(?P<name>[^\W\d]\w*)
    |(?P<number>\d[\w.]*)
    |(?P<operator>//|\*\*|==|!=|<=|>=|[-+*/%~\[\](){}|.,:;=<>])""",
    re.VERBOSE | re.DOTALL,
)
HIDDEN = re.compile(r"__[^\W_]|[^\W_]__|\\x5f|\\u005f|\\U0000005f|\\137|\\N\{", re.IGNORECASE)
DOORS = frozenset({"cycler", "joiner", "lipsum", "self", "request", "get_flashed_messages", "url_for"})
FRAMES = "func_globals f_globals f_builtins gi_frame gi_code cr_frame tb_frame"
INTERNALS = frozenset(f"mro subclasses popen import_module builtins {FRAMES}".split())
PARTS = INTERNALS | {"class", "base", "bases", "globals", "getitem", "import", "getattribute"}
LOADERS = frozenset({"include", "import", "from", "extends"})
BUILDERS = frozenset({"format", "join", "list", "lower", "map", "replace", "reverse", "string", "sum", "upper"})
CLOSERS = {"{{": "}}", "{%": "%}"}
PAIRS = {"(": ")", "[": "]", "{": "}"}


@dataclass(frozen=True, slots=True)
class Token:
    """One token of a template block."""

    kind: str
    text: str


def has_blocks(text: str) -> bool:
    """Return whether a text holds anything that a template engine would act on."""
    return "{{" in text or "{%" in text


def judge(piece: Piece, scene: Scene, text: str, strict: bool = True) -> None:
    """Judge every block of a template. With `strict`, a block that cannot be read is held; prose may hold such."""
    for tokens in read_blocks(text, scene):
        if tokens is None:
            if strict:
                scene.hold(piece, "template-broken", "The template has a block that cannot be read.")
            continue
        _judge_names(piece, scene, tokens)
        _judge_keys(piece, scene, tokens)


def read_blocks(text: str, scene: Scene) -> Iterator[list[Token] | None]:
    """Yield the tokens of each block, or None for one that is not closed."""
    position = 0
    while True:
        starts = [at for at in (text.find(mark, position) for mark in ("{{", "{%", "{#")) if at >= 0]
        if not starts:
            return
        start = min(starts)
        mark = text[start : start + 2]
        if mark == "{#":
            end = text.find("#}", start)
            position = end + 2 if end >= 0 else start + 2
            continue
        tokens, end = _read_block(text, start + 2, CLOSERS[mark])
        scene.budget.spend_steps(1 + len(tokens))
        closed = end > 0
        yield tokens if closed else None
        position = end if closed else start + 2


def _read_block(text: str, position: int, closer: str) -> tuple[list[Token], int]:
    """Return the tokens up to the closing mark and the position behind it, or a negative position without one."""
    tokens: list[Token] = []
    open_pairs: list[str] = []
    while position < len(text):
        if not open_pairs and text.startswith(closer, position):
            return tokens, position + 2
        match = TOKEN.match(text, position)
        if match is None or len(tokens) > 100_000:
            break
        kind, part = str(match.lastgroup), match[0]
        if part in PAIRS:
            open_pairs.append(PAIRS[part])
        elif kind == "operator" and open_pairs and part == open_pairs[-1]:
            open_pairs.pop()
        if kind != "space":
            tokens.append(Token(kind, part))
        position = match.end()
    return tokens, -1


def _judge_names(piece: Piece, scene: Scene, tokens: list[Token]) -> None:
    """Judge names, attributes, filters and texts one by one."""
    before = Token("operator", "")
    for number, token in enumerate(tokens):
        text = token.text
        if token.kind in {"name", "string"} and (HIDDEN.search(text) or ("__" in text and token.kind == "name")):
            scene.reject(piece, "template-internals", f"The template reaches for Python's internals: {text[:60]}.")
        elif token.kind == "name" and before.text in {".", "|"} and text in INTERNALS:
            scene.reject(piece, "template-internals", f"The template reaches for Python's internals: {text}.")
        elif token.kind == "name" and before.text == "|" and text == "attr":
            scene.reject(piece, "template-internals", "The template looks up attributes by computed names (attr).")
        elif token.kind == "name" and before.text not in {".", "|"} and text in DOORS:
            scene.reject(piece, "template-door", f"The template uses {text}, a known way out of the template.")
        elif number == 0 and text in LOADERS:
            scene.hold(piece, "template-loads", f"The template loads another one ({text}).")
        elif token.kind == "string" and text[1:-1].strip("_") in PARTS:
            scene.hold(piece, "template-parts", f"The template holds the text {text[:40]}, a part of an internal name.")
        elif token.kind == "string" and len(text) > 2 and not text[1:-1].strip("_"):
            scene.hold(piece, "template-parts", "The template holds a text of underscores only.")
        before = token


def _judge_keys(piece: Piece, scene: Scene, tokens: list[Token]) -> None:
    """Hold subscripts whose key is put together from texts."""
    open_keys: list[bool] = []
    before = Token("operator", "")
    for token in tokens:
        text = token.text
        if token.kind == "operator" and text in PAIRS:
            is_key = text == "[" and (before.kind in {"name", "string"} or before.text in {")", "]"})
            open_keys.append(is_key or any(open_keys))
        elif token.kind == "operator" and text in PAIRS.values() and open_keys:
            open_keys.pop()
        elif any(open_keys):
            joined = token.kind == "string" and before.text in {"+", "*", "%"}
            if text == "~" or joined or (before.text == "|" and text in BUILDERS):
                scene.hold(piece, "template-key", "The template puts a key together at run time.")
        before = token
