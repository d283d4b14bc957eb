"""Reads Jinja templates without rendering them: chat templates, and prompts that hold template blocks.

A template is harmless when it only prints and branches over plain data. What reaches for Python's internals is
rejected; names that are put together at run time cannot be judged and are held. Known attack: CVE-2024-34359.
Where keys come from is the business of template_keys.py.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from governance.scanning import template_keys
from governance.scanning.scene import Piece, Scene

TOKEN = re.compile(
    r"""(?P<space>\s+)
    |(?P<string>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")
    |(?P<name>[^\W\d]\w*)
    |(?P<number>\d[\w.]*)
    |(?P<operator>//|\*\*|==|!=|<=|>=|[-+*/%~\[\](){}|.,:;=<>])""",
    re.VERBOSE | re.DOTALL,
)
# The cases matter: \N{LOW LINE} is an underscore, \n{ is a new line and a brace.
ESCAPE = re.compile(r"\\(?:x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|([0-7]{1,3})|N\{([^}]*)\}|(.))", re.S)
HIDDEN = re.compile(r"__[^\W_]|[^\W_]__")
# Tag characters; runs of variation selectors and of characters without width, in which texts are hidden too.
TAGS = re.compile("[\U000e0000-\U000e007f]|[\U000e0100-\U000e01ef]{4}|[\u200b\u200c\u200d\u2060-\u2064]{8}")
FLAGS = re.compile("\U0001f3f4[\U000e0020-\U000e007f]+")
DOORS = frozenset({"cycler", "joiner", "lipsum", "self", "get_flashed_messages", "url_for"})
# What a web framework's request leads to; a prompt may well have a request of its own.
WEB = "application args cookies data environ files form headers json method stream url values"
REQUESTED = frozenset(WEB.split())
FRAMES = "func_globals func_code f_globals f_builtins f_locals f_back f_code gi_frame gi_code cr_frame cr_code ag_frame"
INTERNALS = frozenset(f"mro subclasses popen import_module builtins tb_frame {FRAMES}".split())
PARTS = INTERNALS | {"class", "base", "bases", "globals", "getitem", "import", "getattribute"}
LOADERS = frozenset({"include", "import", "from", "extends"})
CLOSERS = {"{{": "}}", "{%": "%}"}
PAIRS = {"(": ")", "[": "]", "{": "}"}
STRIPS = frozenset("-+")
MOST_TOKENS = 20_000
LARGEST_NUMBER = 10_000_000


@dataclass(frozen=True, slots=True)
class Token:
    """One token of a template block; `text` of a string is what it means, without quotes and escapes."""

    kind: str
    text: str


def has_blocks(text: str) -> bool:
    """Return whether a text holds anything that a template engine would act on."""
    return "{{" in text or "{%" in text


def judge(piece: Piece, scene: Scene, text: str, strict: bool = True) -> None:
    """Judge every block of a template. With `strict`, a block that cannot be read is held; prose may hold such."""
    if strict and TAGS.search(FLAGS.sub("", text)):
        scene.hold(piece, "hidden-text", "The template holds invisible tag characters, which only models read.")
    blocks: list[list[Token]] = []
    for tokens in read_blocks(text, scene):
        if tokens is not None:
            blocks.append(tokens)
            _judge_names(piece, scene, tokens)
        elif strict:
            scene.hold(piece, "template-broken", "The template has a block that cannot be read.")
    for says in template_keys.find_built_keys(blocks, scene.budget.spend_steps):
        scene.hold(piece, "template-key", says)


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
            # A sign at either end only strips the spaces around the block.
            signed = bool(tokens) and tokens[0].text in STRIPS and tokens[0].kind == "operator"
            return tokens[int(signed) :], position + 2
        match = TOKEN.match(text, position)
        if match is None or len(tokens) > MOST_TOKENS:
            break
        kind, part = str(match.lastgroup), match[0]
        if part in PAIRS:
            open_pairs.append(PAIRS[part])
        elif kind == "operator" and open_pairs and part == open_pairs[-1]:
            open_pairs.pop()
        _add(tokens, kind, part)
        position = match.end()
    return tokens, -1


def _add(tokens: list[Token], kind: str, part: str) -> None:
    """Add a token; neighbouring strings become one, as Jinja joins them."""
    if kind == "string":
        said = ESCAPE.sub(_unescape, part[1:-1])
        if tokens and tokens[-1].kind == "string":
            said = tokens.pop().text + said
        tokens.append(Token(kind, said))
    elif kind != "space":
        tokens.append(Token(kind, part))


def _unescape(match: re.Match[str]) -> str:
    """Return the character that an escape in a string stands for."""
    two, four, eight, octal, name, other = match.groups()
    code = two or four or eight
    try:
        if name is not None:
            return unicodedata.lookup(name)
        return chr(int(code, 16) if code else int(octal, 8)) if code or octal else str(other)
    except (KeyError, ValueError, OverflowError):
        return "\ufffd"


def _judge_names(piece: Piece, scene: Scene, tokens: list[Token]) -> None:
    """Judge names, attributes, filters, numbers and texts one by one."""
    before = Token("operator", "")
    for number, token in enumerate(tokens):
        if token.kind == "name":
            _judge_name(piece, scene, token.text, before.text)
            if [part.text for part in tokens[number : number + 2]] == ["request", "."] and number + 2 < len(tokens):
                _judge_request(piece, scene, tokens[number + 2].text)
            if number == 0 and token.text in LOADERS:
                scene.hold(piece, "template-loads", f"The template loads another one ({token.text}).")
        elif token.kind == "string":
            _judge_string(piece, scene, token.text)
            if token.text == "attr" and before.text == "(":
                scene.reject(piece, "template-internals", "The template hands on the filter that looks up attributes.")
        elif token.kind == "number" and (before.text == "**" or _is_large(token.text)):
            scene.hold(piece, "template-large", f"The template counts with a number as large as {token.text[:20]}.")
        before = token


def _judge_request(piece: Piece, scene: Scene, attribute: str) -> None:
    """Judge what is read from a request."""
    if attribute in REQUESTED:
        scene.reject(piece, "template-door", f"The template uses request.{attribute}, a known way out of the template.")


def _is_large(digits: str) -> bool:
    """Return whether a whole number is larger than any template counts to."""
    plain = digits.replace("_", "")
    return plain.isdecimal() and (len(plain) > 12 or int(plain) > LARGEST_NUMBER)


def _judge_name(piece: Piece, scene: Scene, name: str, before: str) -> None:
    """Judge a name behind the token `before`."""
    if "__" in name or (before in {".", "|"} and name in INTERNALS):
        scene.reject(piece, "template-internals", f"The template reaches for Python's internals: {name[:60]}.")
    elif before == "|" and name == "attr":
        scene.reject(piece, "template-internals", "The template looks up attributes by computed names (attr).")
    elif before not in {".", "|"} and name in DOORS:
        scene.reject(piece, "template-door", f"The template uses {name}, a known way out of the template.")


def _judge_string(piece: Piece, scene: Scene, said: str) -> None:
    """Judge what a string in a template means."""
    if HIDDEN.search(said):
        scene.reject(piece, "template-internals", f"The template reaches for Python's internals: {said[:60]!r}.")
    elif said.strip("_") in PARTS:
        scene.hold(piece, "template-parts", f"The template holds the text {said[:40]!r}, a part of an internal name.")
    elif said and not said.strip("_"):
        scene.hold(piece, "template-parts", "The template holds a text of underscores only.")
